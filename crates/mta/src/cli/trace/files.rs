//! The log and its rotated files, oldest first, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use events::line::Line;

/// The longest line that is read, in octets; what is longer was not written by control.
const LINE_LEN_MAX: u64 = 64 * 1024;

/// The ends of names of compressed files.
const PACKED: [&str; 4] = ["bz2", "gz", "xz", "zst"];

/// The files of a log.
#[derive(Debug)]
pub(super) struct LogFiles {
    paths: Vec<PathBuf>,
    n_packed: usize,
}

impl LogFiles {
    /// All files whose names begin with that of the log, in the order of their last writing.
    /// Compressed ones are passed over.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(super) fn find(log: &Path) -> io::Result<Self> {
        let name = log.file_name().unwrap_or_default().as_encoded_bytes();
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        let mut n_packed = 0;
        for entry in std::fs::read_dir(log.parent().unwrap_or(log))? {
            let entry = entry?;
            let is_ours = entry.file_name().as_encoded_bytes().starts_with(name);
            let is_packed = entry
                .path()
                .extension()
                .is_some_and(|e| PACKED.iter().any(|packed| e == *packed));
            n_packed += usize::from(is_ours && is_packed);
            if is_ours && !is_packed {
                let looked = entry
                    .metadata()
                    .and_then(|f| Ok((f.is_file(), f.modified()?)));
                match looked {
                    Ok((true, modified)) => found.push((modified, entry.path())),
                    // A pipe, say: to open it could take for ever.
                    Ok((false, _)) => {}
                    // Rotated away in this moment.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        found.sort();
        let paths = found.into_iter().map(|(_, path)| path).collect();
        Ok(Self { paths, n_packed })
    }

    /// How many compressed ones were passed over.
    pub(super) fn n_packed(&self) -> usize {
        self.n_packed
    }

    /// Gives each line that is one.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn each_line(&self, mut take: impl FnMut(Line)) -> io::Result<()> {
        for path in &self.paths {
            match File::open(path) {
                Ok(file) => each_line_of(BufReader::with_capacity(256 * 1024, file), &mut take)?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn each_line_of(mut file: impl BufRead, take: &mut impl FnMut(Line)) -> io::Result<()> {
    let mut octets = Vec::new();
    loop {
        octets.clear();
        let len = io::Read::take(&mut file, LINE_LEN_MAX).read_until(b'\n', &mut octets)?;
        if len == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&octets);
        if let Some(line) = text.strip_suffix('\n').and_then(Line::parse) {
            take(line);
        }
    }
}
