//! The files of the workspace, read once, and what a check says about them.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Folders that hold what is built or run, not what is written.
const NOT_OURS: &[&str] = &[".git", "postern-data", "target"];

/// Endings of the files that are read.
const TEXT_ENDINGS: &[&str] = &["c", "md", "py", "rs", "sh", "toml", "txt"];

/// Every text file below the root.
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    files: Vec<File>,
}

/// One file.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// What stands in it.
    pub(crate) text: String,
}

/// One thing that is wrong.
pub(crate) struct Finding {
    path: String,
    line: Option<usize>,
    text: String,
}

impl Workspace {
    /// Reads the workspace that this program was built in.
    ///
    /// # Errors
    /// When a folder or file cannot be read, or is not UTF-8.
    pub(crate) fn read() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or(io::ErrorKind::NotFound)?
            .to_path_buf();
        let mut files = Vec::new();
        read_folder(&root, &root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root, files })
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|f| f.path.ends_with(".rs"))
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// Whether a file or folder stands at `path`.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

impl File {
    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Whether it holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// How many lines it has without the tests at its end.
    pub(crate) fn production_len(&self) -> usize {
        let tests = "\n#[cfg(test)]\nmod tests";
        let end = self.text.find(tests).unwrap_or(self.text.len());
        self.text[..end].lines().count()
    }

    /// A finding about the whole file.
    pub(crate) fn finding(&self, text: impl Into<String>) -> Finding {
        Finding::new(&self.path, text)
    }

    /// A finding about one line.
    pub(crate) fn finding_at(&self, line: usize, text: impl Into<String>) -> Finding {
        Finding {
            line: Some(line),
            ..self.finding(text)
        }
    }
}

impl Finding {
    /// About the file at `path`, which need not exist.
    pub(crate) fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if entry.file_type()?.is_dir() {
            if !NOT_OURS.iter().any(|n| name == *n) {
                read_folder(root, &path, files)?;
            }
        } else if has_text_ending(&path) {
            let text = fs::read_to_string(&path)?;
            let relative = path.strip_prefix(root).unwrap_or(&path);
            files.push(File {
                path: relative.to_string_lossy().into_owned(),
                text,
            });
        }
    }
    Ok(())
}

fn has_text_ending(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| TEXT_ENDINGS.iter().any(|e| ending == *e))
}
