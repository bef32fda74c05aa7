//! A new configuration in place of the old one, taken by all processes or by none.
//!
//! First everything that can fail is done: the configuration is read and checked, new listeners
//! and channels are made, new processes are started where they are needed, and every process, old
//! or new, says that it can take its part. Only then is anything changed.
//!
//! # Failure
//! Until the last process has said yes, any error leaves everything as it was. A process that is
//! down takes the new configuration when it starts.

mod commit;
mod prepare;

use config::{Change, Config};
use mail::{InstanceName, Moment};

use super::certificates::Certificates;
use super::child::ProcessId;
use super::member::Member;
use super::successor::Successor;
use super::watch::Watch;
use super::wiring::Wiring;
use crate::channel::ToChild;

/// A reload under way.
#[derive(Debug)]
pub(super) struct Reloading {
    cause: Cause,
    stage: Stage,
    changes: Vec<(InstanceName, Change)>,
    /// All that were told, and those of them that have not answered yet.
    told: Vec<ProcessId>,
    waiting: Vec<ProcessId>,
    /// The new processes, until they take their places.
    successors: Vec<Successor>,
    deadline: Moment,
}

impl Reloading {
    /// The new processes that wait for it.
    pub(super) const fn successors_mut(&mut self) -> &mut Vec<Successor> {
        &mut self.successors
    }
}

/// What it is for.
#[derive(Clone, Debug)]
enum Cause {
    /// Somebody asked: the request to answer; `None` where it was a signal.
    Asked(Option<u64>),
    /// The certificate of this instance was renewed.
    Renewed(InstanceName),
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    /// It is in force; the confirmations are not all here.
    Committing,
    /// Processes are looking at it.
    Preparing {
        /// The new configuration.
        config: Box<Config>,
        /// What it needs beyond what is there.
        staged: Wiring,
        /// The certificates, of which those that change are being read.
        certificates: Certificates,
    },
}

/// What happened to one instance, for who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The instance.
    pub(super) name: InstanceName,
    /// Whether a process has to start before it is in use.
    pub(super) needs_process: bool,
    /// In words.
    pub(super) text: String,
}

impl Watch<'_> {
    /// Begins a reload that somebody asked for.
    pub(super) fn reload(&mut self, request: Option<u64>, now: Moment) {
        let cause = Cause::Asked(request);
        let reloading = self.prepare_asked(&cause, now);
        self.begin_reload(cause, reloading);
    }

    /// Has an instance take up its renewed certificate, under the configuration that is in force.
    pub(super) fn renew(&mut self, name: InstanceName, now: Moment) {
        let cause = Cause::Renewed(name);
        let reloading = self.prepare_renewed(&cause, now);
        self.begin_reload(cause, reloading);
    }

    fn begin_reload(&mut self, cause: Cause, reloading: Result<Reloading, String>) {
        match reloading {
            Ok(reloading) => {
                self.owing.extend(&reloading.told);
                self.reloading = Some(reloading);
            }
            Err(why) => self.report_reload(cause, Err(why)),
        }
    }

    /// A process can take it.
    pub(super) fn reload_prepared(&mut self, id: ProcessId) {
        self.reload_answered(id, Answered::Prepared);
    }

    /// A process has taken it.
    pub(super) fn reload_committed(&mut self, id: ProcessId) {
        self.reload_answered(id, Answered::Committed);
    }

    /// A process is gone; the next one takes whatever is in force when it starts.
    pub(super) fn reload_lost(&mut self, id: ProcessId) {
        self.owing.retain(|of| *of != id);
        if let Some(reloading) = &mut self.reloading {
            reloading.waiting.retain(|of| *of != id);
            reloading.told.retain(|of| *of != id);
        }
    }

    /// A process cannot take it.
    pub(super) fn reload_refused(&mut self, id: ProcessId, why: &str) {
        self.owing.retain(|of| *of != id);
        let asked = self.reloading.as_ref().is_some_and(|reloading| {
            matches!(reloading.stage, Stage::Preparing { .. }) && reloading.waiting.contains(&id)
        });
        if asked {
            let who = self.owner_of(id);
            self.abandon_reload(&format!("{who}: {why}"));
        }
    }

    /// Takes what was prepared back, and says why; nothing has changed.
    pub(super) fn abandon_reload(&mut self, why: &str) {
        match self.reloading.take() {
            Some(Reloading {
                stage: Stage::Preparing { .. },
                cause,
                told,
                successors,
                ..
            }) => {
                self.dismiss(successors, self.clock.now());
                self.tell_all(&told, || ToChild::Abandon);
                self.report_reload(cause, Err(why.to_owned()));
            }
            // Too late: it is in force.
            other @ (Some(Reloading {
                stage: Stage::Committing,
                ..
            })
            | None) => {
                self.reloading = other;
            }
        }
    }

    /// Goes on where all have answered or the time is over.
    pub(super) fn continue_reload(&mut self, now: Moment) -> Option<Moment> {
        let reloading = self.reloading.as_ref()?;
        let late = reloading.deadline <= now;
        if !reloading.waiting.is_empty() && !late {
            return Some(reloading.deadline);
        }
        let silent: Vec<String> = reloading
            .waiting
            .iter()
            .map(|id| self.owner_of(*id))
            .collect();
        match &reloading.stage {
            Stage::Preparing { .. } if !silent.is_empty() => {
                let silent = silent.join(", ");
                self.abandon_reload(&format!("no answer in time from {silent}"));
                None
            }
            Stage::Preparing { .. } => {
                self.commit_reload(now);
                self.reloading
                    .as_ref()
                    .map(|reloading| reloading.deadline)
                    .or(Some(now))
            }
            Stage::Committing => {
                self.finish_reload(&silent);
                None
            }
        }
    }

    fn reload_answered(&mut self, id: ProcessId, answered: Answered) {
        self.owing.retain(|of| *of != id);
        if let Some(reloading) = &mut self.reloading {
            let fits = match reloading.stage {
                Stage::Committing => answered == Answered::Committed,
                Stage::Preparing { .. } => answered == Answered::Prepared,
            };
            if fits {
                reloading.waiting.retain(|of| *of != id);
            }
        }
    }

    fn tell_all(&self, ids: &[ProcessId], down: impl Fn() -> ToChild) {
        for child in self.members.iter().filter_map(Member::child) {
            if ids.contains(&child.id) {
                // One that is deaf is found by the answer that does not come.
                let _ = child.tell(down());
            }
        }
    }

    fn owner_of(&self, id: ProcessId) -> String {
        let mut members = self.members.iter();
        let member = members.find(|m| m.children().any(|child| child.id == id));
        if let Some(member) = member {
            return member.who.to_string();
        }
        let successors = self.reloading.iter().flat_map(|of| &of.successors);
        let successor = successors.into_iter().find(|of| of.child.id == id);
        successor.map_or_else(
            || "a process".to_owned(),
            |of| format!("the new process of {}", of.name),
        )
    }
}

/// What a process answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Committed,
    Prepared,
}
