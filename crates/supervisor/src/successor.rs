//! New processes that a reload makes necessary. They are started before anything is changed: when
//! one of them cannot begin, no instance takes the new configuration.
//!
//! # Guarantees
//! An instance whose process is replaced is served all the time: by the old process until it gives
//! up the spool, then by the new one; in between connections wait in the listener's queue. The old
//! process stays for the clients that it has.

use std::os::fd::OwnedFd;

use config::{Change, Config};
use mail::{InstanceName, Moment};

use super::child::{Child, ProcessId, Word};
use super::limits::{CHANGE_LIMIT, DISMISS_LIMIT, RETIRE_LIMIT};
use super::member::{Member, Presence, Who, describe};
use super::reload::Reloading;
use super::watch::{Watch, shortened};
use super::wiring::{Wiring, next_instance};
use crate::channel::{FromChild, ToChild};

/// A process that has everything and waits for the word.
#[derive(Debug)]
pub(super) struct Successor {
    /// Of which instance.
    pub(super) name: InstanceName,
    /// The process.
    pub(super) child: Child,
    generation: u64,
    /// For the old process: over it goes what its clients still bring.
    successor: OwnedFd,
}

impl Watch<'_> {
    /// Starts a process for every instance that needs one under `config`.
    pub(super) fn start_successors(
        &mut self,
        config: &Config,
        staged: &Wiring,
        changes: &[(InstanceName, Change)],
        now: Moment,
    ) -> Result<Vec<Successor>, String> {
        let mut successors = Vec::new();
        for (name, change) in changes {
            if !matches!(change, Change::Added | Change::NeedsGeneration(_)) {
                continue;
            }
            match self.start_successor(name, config, staged) {
                Ok(successor) => successors.push(successor),
                Err(error) => {
                    self.dismiss(successors, now);
                    return Err(format!("no process for {name} could be started: {error}"));
                }
            }
        }
        Ok(successors)
    }

    fn start_successor(
        &mut self,
        name: &InstanceName,
        config: &Config,
        staged: &Wiring,
    ) -> std::io::Result<Successor> {
        let who = Who::Instance(name.clone());
        let before = self.place_of(name).map(|at| self.members[at].generation);
        let generation = before.unwrap_or(0) + 1;
        let told = self.what_to_tell(&who, generation, config, staged, ToChild::Prepare)?;
        let successor = self
            .wiring
            .successor_channel(name)
            .or_else(|_| staged.successor_channel(name))?;
        let mut child = self.spawn(&who, told)?;
        child.next = config.instance(name).and_then(next_instance).cloned();
        Ok(Successor {
            name: name.clone(),
            child,
            generation,
            successor,
        })
    }

    /// The point of no return is passed: each takes its place.
    pub(super) fn install(&mut self, successors: Vec<Successor>, now: Moment) {
        for successor in successors {
            let Successor {
                name,
                child,
                generation,
                successor,
            } = successor;
            let at = self.place_of(&name).unwrap_or_else(|| {
                self.members.push(Member::new(Who::Instance(name), now));
                self.members.len() - 1
            });
            // One that is deaf or gone is found by its end.
            let _ = child.tell(ToChild::Commit);
            let member = &mut self.members[at];
            // Its sockets may be others now.
            member.refuser = None;
            member.generation = generation;
            let before = std::mem::replace(&mut member.presence, Presence::FromChild(child));
            if let Presence::FromChild(mut old) = before {
                old.kill_at = Some(now + CHANGE_LIMIT);
                let limit = RETIRE_LIMIT * 9 / 10;
                // One that is deaf will be killed.
                let _ = old.tell(ToChild::Retire { limit, successor });
                member.retiring.push(old);
            }
            // Clients wait for it in the meantime; not for ever.
            member.deserted = Some(now + CHANGE_LIMIT);
        }
    }

    /// They are not needed after all.
    pub(super) fn dismiss(&mut self, successors: Vec<Successor>, now: Moment) {
        for Successor { mut child, .. } in successors {
            // One that is deaf will be killed.
            let _ = child.tell(ToChild::Abandon);
            child.kill_at = Some(now + DISMISS_LIMIT);
            self.dismissed.push(child);
        }
    }

    /// Takes in what is reported of a process that has no place yet, or none any more.
    pub(super) fn hear_successor(&mut self, id: ProcessId, word: Word) {
        if let Word::Exited(_) = word {
            self.dismissed.retain(|child| child.id != id);
        }
        let waiting = self.reloading.as_mut().map(Reloading::successors_mut);
        let Some((at, successors)) = waiting.and_then(|of| {
            let at = of.iter().position(|successor| successor.child.id == id)?;
            Some((at, of))
        }) else {
            return;
        };
        match word {
            Word::Exited(status) => {
                let Successor { name, child, .. } = successors.remove(at);
                let how = describe(&status);
                let why = child
                    .failed
                    .map_or_else(|| how.clone(), |why| format!("{how}: {why}"));
                self.abandon_reload(&format!("{name}: its new process {why}"));
            }
            Word::Garbled(_) => successors[at].child.kill(),
            Word::Said(FromChild::Failed(why)) => {
                successors[at].child.failed = Some(shortened(&why).into())
            }
            Word::Said(FromChild::Prepared) => self.reload_prepared(id),
            Word::Said(_) => {}
        }
    }

    /// The new process has the spool, so that the old one may take its time.
    pub(super) fn succeeded(&mut self, at: usize, now: Moment) {
        for old in &mut self.members[at].retiring {
            if !old.told_to_stop {
                old.kill_at = Some(now + RETIRE_LIMIT);
            }
        }
    }
}
