//! What the exit status of a command says.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// It could not.
    Error,
    /// Something is damaged; what is has been shown.
    Findings,
    /// The system does not run.
    NotRunning,
    /// An instance did not answer, or its spool could not be read; what the others answered has
    /// been shown.
    Partial,
    /// One of sysexits.h, as programs expect it of `sendmail`.
    Sysexits(u8),
    /// The arguments are wrong.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::NotRunning => 4,
            Exit::Findings => 5,
            Exit::Sysexits(code) => code,
        })
    }
}

/// Why a command ended early: what it says, and its status.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How it ended.
    pub(crate) exit: Exit,
    /// What is said on the standard error stream.
    pub(crate) text: String,
}

impl Failure {
    /// It could not do what was asked.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Error,
            text: text.into(),
        }
    }

    /// It was asked wrongly.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            text: text.into(),
        }
    }
}
