//! Which system a command is about: its configuration and its state directory.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::SystemArguments;
use super::exit::{Exit, Failure};
use config::Config;
use config::whereabouts;
use supervisor::{self, Source};

/// The configuration where nothing else is named: `sendmail` and `mailq` are called by programs
/// that know of no argument and set no environment.
pub(crate) const USUAL_FILE: &str = "/etc/postern/postern.toml";

/// Where the configuration comes from: by arguments, else by environment, else the usual file
/// where there is one, else the embedded one.
pub(crate) fn source(arguments: &SystemArguments) -> Source {
    let environment = |name: &str| std::env::var_os(name);
    source_with(arguments, environment, Path::new(USUAL_FILE))
}

fn source_with(
    arguments: &SystemArguments,
    environment: impl Fn(&str) -> Option<OsString>,
    usual: &Path,
) -> Source {
    let set = |name: &str| {
        environment(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let file = arguments.config.clone().or_else(|| set("POSTERN_CONFIG"));
    let state = arguments.state.clone().or_else(|| set("POSTERN_STATE"));
    // One that may not be looked at counts as there: to go on with the embedded configuration
    // would be to speak to another system.
    let is_usual = || !matches!(usual.try_exists(), Ok(false));
    let file = match file {
        None if state.is_none() && is_usual() => Some(usual.to_owned()),
        file => file,
    };
    Source { file, state }
}

/// The configuration that `source` names, for people.
pub(crate) fn named(source: &Source) -> String {
    match &source.file {
        Some(file) => file.display().to_string(),
        None => "embedded, for trying it out".to_owned(),
    }
}

/// What a command needs to know of the system that `source` names. One that runs says it itself:
/// its file may have been changed, damaged or removed meanwhile. Where none runs its file says it,
/// and where that cannot be used, what ran last.
///
/// # Errors
/// Everything that is wrong with the file, a line each, where nothing ever ran.
pub(crate) fn config(source: &Source) -> Result<Config, Failure> {
    let known = known_state(source);
    let published = || known.as_deref().and_then(whereabouts::read);
    let is_first = source.file.is_none() || known.as_deref().is_some_and(may_run);
    if let Some(config) = is_first.then(published).flatten() {
        return Ok(config);
    }
    source
        .load()
        .or_else(|problems| published().ok_or(problems))
        .map_err(|problems| Failure::error(problems.to_string()))
}

/// The state directory, as far as it is known without the configuration file.
fn known_state(source: &Source) -> Option<PathBuf> {
    match (&source.state, &source.file) {
        (Some(state), _) => std::path::absolute(state).ok(),
        (None, Some(file)) => whereabouts::find(file),
        (None, None) => None,
    }
}

/// Whether a system runs there, or at least may: only root and the user that runs it can tell.
fn may_run(state: &Path) -> bool {
    match supervisor::running(state) {
        Ok(pid) => pid.is_some(),
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// A system that a command speaks to.
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// Its state directory, absolute.
    pub(crate) state: PathBuf,
    /// The arguments that name it, as they are typed after `postern`.
    pub(crate) typed: String,
}

impl System {
    /// Where the system of that configuration is.
    pub(crate) fn of(source: &Source, config: &Config) -> Self {
        Self::new(source, config.state.clone())
    }

    /// Finds it; reads the configuration file only where nothing else says where it is.
    ///
    /// # Errors
    /// When the configuration file cannot be used, and nothing ever ran by it.
    pub(crate) fn find(source: &Source) -> Result<Self, Failure> {
        let known = known_state(source);
        let state = match known {
            Some(state) if source.state.is_some() || may_run(&state) => state,
            Some(_) | None => config(source)?.state,
        };
        Ok(Self::new(source, state))
    }

    fn new(source: &Source, state: PathBuf) -> Self {
        let typed = typed(source, &state);
        Self { state, typed }
    }

    /// A command that reaches it, within a sentence.
    pub(crate) fn command(&self, verb: &str) -> String {
        format!("`postern{} {verb}`", self.typed)
    }

    /// Nothing runs there.
    pub(crate) fn not_running(&self) -> Failure {
        Failure {
            exit: Exit::NotRunning,
            text: format!("not running in {}", self.state.display()),
        }
    }

    fn not_started(&self) -> Failure {
        let Failure { exit, text } = self.not_running();
        let text = format!("{text}; {} starts it", self.command("start"));
        Failure { exit, text }
    }

    /// Something runs there, and this user may not steer it.
    pub(crate) fn forbidden(&self) -> Failure {
        Failure::error(format!(
            "permission denied for the system in {}: ask as root or as the user that runs it",
            self.state.display()
        ))
    }

    /// Why a connection to `whom` there came to this, as far as the locks tell.
    pub(crate) fn away(&self, whom: &str, error: &io::Error) -> Failure {
        let is_gone = matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        );
        match supervisor::running(&self.state) {
            Ok(None) => self.not_started(),
            Ok(Some(_)) if error.kind() == io::ErrorKind::PermissionDenied => self.forbidden(),
            // Who may not look at the lock learns it from the socket.
            Err(unseen) if unseen.kind() == io::ErrorKind::PermissionDenied && is_gone => {
                self.not_started()
            }
            Err(unseen) if unseen.kind() == io::ErrorKind::PermissionDenied => self.forbidden(),
            Ok(Some(pid)) => {
                let status = self.command("status");
                let text = format!(
                    "{whom} does not answer ({error}); the supervisor is process {pid}, and \
                     {status} shows what else runs"
                );
                let exit = Exit::Partial;
                Failure { exit, text }
            }
            Err(unseen) => {
                let state = self.state.display();
                Failure::error(format!(
                    "{whom}: {error}; cannot look into {state}: {unseen}"
                ))
            }
        }
    }
}

/// The arguments with which another command reaches the same system, from any directory; for what
/// is to be typed. `state` is the configuration's.
fn typed(source: &Source, state: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.into());
    let is_usual = |path: &&Path| *path == Path::new(USUAL_FILE) && source.state.is_none();
    let file = source
        .file
        .as_deref()
        .filter(|path| !is_usual(path))
        .map(|path| format!(" --config {}", quoted(&absolute(path))));
    // A file says where its state lies; the embedded configuration means the directory in which
    // the system was started.
    let is_told = source.state.is_some() || source.file.is_none();
    let state = is_told.then(|| format!(" --state {}", quoted(state)));
    [file, state].into_iter().flatten().collect()
}

/// A path as a shell takes it for one word.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(config: Option<&str>, state: Option<&str>) -> SystemArguments {
        SystemArguments {
            config: config.map(Into::into),
            state: state.map(Into::into),
            json: false,
            instance: None,
        }
    }

    /// What is found where the usual file is not there.
    fn without_usual(
        arguments: &SystemArguments,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> (Option<PathBuf>, Option<PathBuf>) {
        let source = source_with(arguments, environment, Path::new("/nowhere/postern.toml"));
        (source.file, source.state)
    }

    #[test]
    fn arguments_come_before_the_environment_and_empty_variables_count_as_unset() {
        let environment = |name: &str| match name {
            "POSTERN_CONFIG" => Some("/env/config".into()),
            "POSTERN_STATE" => Some(OsString::new()),
            _ => None,
        };
        assert_eq!(
            without_usual(&arguments(None, None), environment),
            (Some("/env/config".into()), None)
        );
        assert_eq!(
            without_usual(&arguments(Some("/c"), Some("/s")), environment),
            (Some("/c".into()), Some("/s".into()))
        );
    }

    #[test]
    fn the_usual_file_is_used_where_it_exists_and_nothing_else_is_named() {
        let nothing = |_: &str| None;
        assert_eq!(without_usual(&arguments(None, None), nothing), (None, None));
        // A file that certainly is there.
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let found = |config, state| source_with(&arguments(config, state), nothing, &usual);
        assert_eq!(found(None, None).file, Some(usual.clone()));
        assert_eq!(found(Some("/c"), None).file, Some("/c".into()));
        // Whoever names a state directory alone means the embedded configuration in it.
        assert_eq!(found(None, Some("/s")).file, None);
        // It cannot be looked for below what is no directory.
        let unseen = usual.join("postern.toml");
        let source = source_with(&arguments(None, None), nothing, &unseen);
        assert_eq!(source.file, Some(unseen));
    }

    #[test]
    fn what_is_to_be_typed_survives_a_shell_and_a_change_of_directory() {
        let typed = |file: Option<&str>, state: Option<&str>| {
            let source = Source {
                file: file.map(Into::into),
                state: state.map(Into::into),
            };
            typed(&source, "/var/s".as_ref())
        };
        let both = typed(Some("/a b/it's"), Some("x"));
        assert_eq!(both, r" --config '/a b/it'\''s' --state /var/s");
        assert_eq!(typed(Some("/c"), None), " --config /c");
        assert_eq!(typed(Some(USUAL_FILE), None), "");
        assert_eq!(typed(None, None), " --state /var/s");
    }
}
