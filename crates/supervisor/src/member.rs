//! One place in the system: control or an instance, whatever process fills it at the moment.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use mail::{InstanceName, Moment};

use super::backoff::Backoff;
use super::child::Child;
use super::refuse::Refuser;

/// Which place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Control.
    Control,
    /// An instance.
    Instance(InstanceName),
}

impl Who {
    /// The instance's name.
    pub(super) const fn instance(&self) -> Option<&InstanceName> {
        match self {
            Self::Control => None,
            Self::Instance(name) => Some(name),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.pad("control"),
            Self::Instance(name) => fmt::Display::fmt(name, f),
        }
    }
}

/// What stands in a place.
#[derive(Debug)]
pub(super) enum Presence {
    /// A process died; the next one is started then.
    ToChild {
        /// When.
        until: Moment,
    },
    /// Nothing, for good.
    Gone,
    /// A process.
    FromChild(Child),
    /// Nothing yet: what it needs is not there.
    Waiting {
        /// Since when.
        since: Moment,
    },
}

/// A place.
#[derive(Debug)]
pub(super) struct Member {
    /// Which.
    pub(super) who: Who,
    /// Counts the processes that reloads made necessary, from 1.
    pub(super) generation: u64,
    /// Counts the deaths that nobody asked for.
    pub(super) restarts: u64,
    /// How the last process ended.
    pub(super) last_exit: Option<Box<str>>,
    /// What stands there.
    pub(super) presence: Presence,
    /// The processes of earlier generations that finish what they have.
    pub(super) retiring: Vec<Child>,
    /// It is to stop and not to come back.
    pub(super) leaving: bool,
    /// Since when nobody accepts; `None`: somebody does.
    pub(super) deserted: Option<Moment>,
    /// Answers its clients while nobody accepts.
    pub(super) refuser: Option<Refuser>,
    /// How long it stays down after a death.
    pub(super) backoff: Backoff,
}

impl Member {
    /// A place that was never filled.
    pub(super) fn new(who: Who, now: Moment) -> Self {
        Self {
            who,
            generation: 1,
            restarts: 0,
            last_exit: None,
            presence: Presence::Waiting { since: now },
            retiring: Vec::new(),
            leaving: false,
            deserted: Some(now),
            refuser: None,
            backoff: Backoff::new(),
        }
    }

    /// The process that fills it.
    pub(super) const fn child(&self) -> Option<&Child> {
        match &self.presence {
            Presence::FromChild(child) => Some(child),
            Presence::ToChild { .. } | Presence::Gone | Presence::Waiting { .. } => None,
        }
    }

    /// The process that fills it.
    pub(super) const fn child_mut(&mut self) -> Option<&mut Child> {
        match &mut self.presence {
            Presence::FromChild(child) => Some(child),
            Presence::ToChild { .. } | Presence::Gone | Presence::Waiting { .. } => None,
        }
    }

    /// Whether its process accepts.
    pub(super) fn is_ready(&self) -> bool {
        self.child().is_some_and(|child| child.ready.is_some())
    }

    /// Whether there is a process of it.
    pub(super) fn runs(&self) -> bool {
        self.children().next().is_some()
    }

    /// Every process of it, also those that retire.
    pub(super) fn children(&self) -> impl Iterator<Item = &Child> {
        self.child().into_iter().chain(&self.retiring)
    }

    /// Every process of it, also those that retire.
    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = &mut Child> {
        let child = match &mut self.presence {
            Presence::FromChild(child) => Some(child),
            Presence::ToChild { .. } | Presence::Gone | Presence::Waiting { .. } => None,
        };
        child.into_iter().chain(&mut self.retiring)
    }

    /// The word for its state in `status`.
    pub(super) fn state(&self) -> &'static str {
        match &self.presence {
            Presence::ToChild { .. } => "restarting",
            Presence::Gone => "gone",
            Presence::FromChild(child) if child.kill_at.is_some() => "stopping",
            Presence::FromChild(child) if child.ready.is_some() => "ready",
            Presence::FromChild(_) => "starting",
            Presence::Waiting { .. } => "waiting",
        }
    }
}

/// How a process ended, in words.
pub(super) fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was killed by {}", signal_name(signal)),
            (None, None) => "ended".to_owned(),
        },
        Err(error) => format!("ended in a way that cannot be told ({error})"),
    }
}

fn signal_name(number: i32) -> String {
    const NAMES: [(i32, &str); 10] = [
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(
        || format!("signal {number}"),
        |(_, name)| (*name).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_told_in_words() {
        for (raw, expected) in [
            (0, "exited with status 0"),
            (0x0100, "exited with status 1"),
            (9, "was killed by SIGKILL"),
            (0x80 | 6, "was killed by SIGABRT"),
            (64, "was killed by signal 64"),
        ] {
            assert_eq!(describe(&Ok(ExitStatus::from_raw(raw))), expected);
        }
    }
}
