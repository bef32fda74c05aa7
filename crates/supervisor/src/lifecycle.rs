//! Starting processes, and starting them again; what is done meanwhile for those that wait for one.

use std::io;
use std::process::ExitStatus;

use config::Config;
use mail::{InstanceName, Moment};

use super::child::{Child, ProcessId};
use super::heartbeat::{Beat, Heartbeat};
use super::limits::{DESERTED_PATIENCE, DOWN_PATIENCE, START_PATIENCE};
use super::member::{Presence, Who, describe};
use super::refuse::Refuser;
use super::watch::Watch;
use super::wiring::{Wiring, next_instance};
use crate::channel::{Document, Purpose, ToChild, Weight};

impl Watch<'_> {
    /// Starts what waits for nothing any more, and what has been down for long enough.
    pub(super) fn start_what_may_start(&mut self, now: Moment) -> Option<Moment> {
        let mut due = None;
        for at in 0..self.members.len() {
            let start_at = match self.members[at].presence {
                Presence::ToChild { until } => until,
                Presence::Waiting { since } => {
                    if self.has_what_it_needs(at) {
                        now
                    } else {
                        since + START_PATIENCE
                    }
                }
                Presence::Gone | Presence::FromChild(_) => continue,
            };
            if start_at > now {
                due = earlier(due, start_at);
            } else if let Err(error) = self.start(at) {
                self.buried(at, None, &format!("could not be started: {error}"), now);
                due = earlier(due, now);
            }
        }
        due
    }

    /// Control waits for nothing, an instance for control and for the one behind it.
    fn has_what_it_needs(&self, at: usize) -> bool {
        let is_ready = |who: &Who| {
            self.members
                .iter()
                .any(|member| member.who == *who && member.is_ready())
        };
        let Some(instance) = self.instance_at(at) else {
            return true;
        };
        let next = next_instance(instance).map(|next| Who::Instance(next.clone()));
        is_ready(&Who::Control) && next.is_none_or(|next| is_ready(&next))
    }

    /// Starts a process in this place and gives it what it needs.
    fn start(&mut self, at: usize) -> io::Result<()> {
        let (who, generation) = (self.members[at].who.clone(), self.members[at].generation);
        if let Some(name) = who.instance() {
            self.certificates.take(name);
        }
        let (config, nothing) = (&self.config, Wiring::default());
        let told = self.what_to_tell(&who, generation, config, &nothing, ToChild::Go)?;
        let mut child = self.spawn(&who, told)?;
        child.next = self.instance_at(at).and_then(next_instance).cloned();
        self.members[at].presence = Presence::FromChild(child);
        Ok(())
    }

    /// Starts a process and tells it that.
    pub(super) fn spawn(&mut self, who: &Who, told: Vec<ToChild>) -> io::Result<Child> {
        let (id, words) = self.new_process();
        let child = Child::start(who, id, self.clock.timestamp(), words)?;
        for down in told {
            child.tell(down).map_err(io::Error::other)?;
        }
        Ok(child)
    }

    /// Everything that a process starts with under `config`, for which `staged` was made; `last`
    /// says that it is complete.
    pub(super) fn what_to_tell(
        &self,
        who: &Who,
        generation: u64,
        config: &Config,
        staged: &Wiring,
        last: ToChild,
    ) -> io::Result<Vec<ToChild>> {
        let state = self.state.path();
        let (text, given) = match who {
            Who::Control => (config.whole(), self.wiring.for_control(config, state)?),
            Who::Instance(name) => {
                let part = config.part_for(name).unwrap_or_default();
                (part, self.wiring.for_start(staged, config, name)?)
            }
        };
        let name = who.instance().cloned();
        let document = Document::new(&text)?;
        let mut told = vec![
            ToChild::Lock(self.state.share()?),
            ToChild::Config {
                purpose: purpose(config, who.instance()),
                name,
                generation,
                state: state.into(),
                document,
            },
        ];
        told.extend(given);
        told.push(last);
        Ok(told)
    }

    /// A process accepts.
    pub(super) fn greet(&mut self, at: usize, id: ProcessId, now: Moment) {
        let member = &mut self.members[at];
        let Some(child) = member.child_mut().filter(|child| child.id == id) else {
            return;
        };
        if child.ready.is_some() {
            return;
        }
        child.ready = Some(now);
        child.heartbeat = Some(Heartbeat::new(now));
        let (pid, generation) = (child.pid, member.generation);
        member.deserted = None;
        member.refuser = None;
        if let Some(name) = member.who.instance() {
            self.certificates.taken(name);
        }
        self.succeeded(at, now);
        let text = format!("is ready: process {pid}, generation {generation}");
        self.note(at, Weight::Note, &text);
        if self.members[at].who == Who::Control {
            // Before it there was no log.
            self.report_stranded();
            self.store_settings();
        }
    }

    /// A process is gone.
    pub(super) fn bury(
        &mut self,
        at: usize,
        id: ProcessId,
        status: &io::Result<ExitStatus>,
        now: Moment,
    ) {
        self.reload_lost(id);
        let member = &mut self.members[at];
        let how = describe(status);
        if let Some(retired) = member.retiring.iter().position(|child| child.id == id) {
            let child = member.retiring.remove(retired);
            self.note(
                at,
                Weight::Note,
                &format!("process {} retired: it {how}", child.pid),
            );
            return;
        }
        let Presence::FromChild(child) = std::mem::replace(&mut member.presence, Presence::Gone)
        else {
            return;
        };
        let how = match &child.failed {
            Some(why) => format!("{how}: {why}"),
            None => how,
        };
        let text = format!("process {} {how}", child.pid);
        if self.stopping.is_some() || self.members[at].leaving {
            self.members[at].last_exit = Some(how.into());
            self.note(at, Weight::Note, &text);
            self.let_go(at);
        } else if child.may_leave && self.is_leaving(at) && matches!(status, Ok(s) if s.success()) {
            self.has_left(at);
        } else {
            self.members[at].last_exit = Some(how.into());
            self.buried(at, child.ready, &text, now);
        }
    }

    fn is_leaving(&self, at: usize) -> bool {
        let name = self.members[at].who.instance();
        name.is_some_and(|name| self.config.is_leaving(name))
    }

    /// Plans the restart of what died or could not be started.
    fn buried(&mut self, at: usize, ready: Option<Moment>, text: &str, now: Moment) {
        let member = &mut self.members[at];
        let delay = member.backoff.died(ready, now);
        member.restarts += 1;
        member.presence = Presence::ToChild { until: now + delay };
        // Who stays down for long does not keep its clients waiting to learn it.
        let deserted = if delay > DOWN_PATIENCE {
            now - DESERTED_PATIENCE
        } else {
            now
        };
        member.deserted = Some(member.deserted.unwrap_or(deserted).min(deserted));
        let text = format!("{text}; it is started again in {} ms", delay.as_millis());
        self.note(at, Weight::Alarm, &text);
    }

    /// The instance of a place is gone for good: who is behind it must see its edge closed.
    pub(super) fn let_go(&mut self, at: usize) {
        if let Some(name) = self.members[at].who.instance().cloned() {
            self.wiring.forget(&name);
        }
    }

    /// Turns clients away where nobody has served them for a while.
    pub(super) fn refuse_where_nobody_serves(&mut self, now: Moment) -> Option<Moment> {
        let mut due = None;
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let Some(since) = member.deserted else {
                continue;
            };
            let Some(instance) = self.instance_at(at) else {
                continue;
            };
            if member.refuser.is_some() || instance.listen.is_empty() {
                continue;
            }
            if since + DESERTED_PATIENCE > now {
                due = earlier(due, since + DESERTED_PATIENCE);
                continue;
            }
            let listeners = self
                .wiring
                .listeners_of(instance)
                .filter_map(|(listen, bound)| {
                    Some((listen.security, bound.socket.try_clone().ok()?))
                });
            self.members[at].refuser = Some(Refuser::new(listeners.collect()));
        }
        due
    }

    /// Asks every process whether it is alive, and reports those that do not answer.
    pub(super) fn beat(&mut self, now: Moment) -> Option<Moment> {
        let mut due = None;
        for at in 0..self.members.len() {
            // One that was told to stop has other things to do than to answer.
            let child = self.members[at]
                .child_mut()
                .filter(|child| child.kill_at.is_none());
            let Some(child) = child else { continue };
            let mut missed = false;
            if let Some(heartbeat) = &mut child.heartbeat {
                let mut pings = Vec::new();
                while let Some(beat) = heartbeat.beat(now) {
                    match beat {
                        Beat::Missed => missed = true,
                        Beat::Ping(number) => pings.push(ToChild::Ping(number)),
                    }
                }
                due = heartbeat
                    .poll_timeout()
                    .map_or(due, |then| earlier(due, then));
                for ping in pings {
                    // One that is deaf is found by the answer that does not come.
                    let _ = child.tell(ping);
                }
            }
            if missed {
                let text = format!("does not answer: process {} is stopped or busy", child.pid);
                self.note(at, Weight::Alarm, &text);
            }
        }
        due
    }
}

/// What a process is there for under `config`.
pub(super) fn purpose(config: &Config, name: Option<&InstanceName>) -> Purpose {
    match name {
        Some(name) if config.is_leaving(name) => Purpose::Drain,
        Some(_) | None => Purpose::Serve,
    }
}

/// The earlier of two times, where there are two.
pub(super) fn earlier(due: Option<Moment>, then: Moment) -> Option<Moment> {
    Some(due.map_or(then, |due| due.min(then)))
}
