//! Starting, restarting and stopping processes.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use mail::{InstanceName, Moment};

use super::Progress;
use super::child::{Child, ProcessId};
use super::heartbeat::{Beat, Heartbeat};
use super::limits::{CONTROL_STOP_LIMIT, DESERTED_PATIENCE, DOWN_PATIENCE, START_PATIENCE};
use super::member::{Member, Presence, Who, describe};
use super::refuse::Refuser;
use super::sequence::{Link, may_stop, n_behind, stop_limit};
use super::watch::{Stopping, Watch};
use super::wiring::{Wiring, next_instance};
use crate::config::Config;
use crate::leash::{Document, Down, Weight};

/// The part of its time that a process is told it has; the rest is for its exit.
const TOLD_PART: (u32, u32) = (9, 10);

impl Watch<'_> {
    /// Starts what waits for nothing any more, and what has been down for long enough.
    pub(super) fn start_what_may_start(&mut self, now: Moment) -> Option<Moment> {
        let mut due = None;
        for at in 0..self.members.len() {
            let start_at = match self.members[at].presence {
                Presence::Down { until } => until,
                Presence::Waiting { since } => {
                    if self.has_what_it_needs(at) {
                        now
                    } else {
                        since + START_PATIENCE
                    }
                }
                Presence::Gone | Presence::Up(_) => continue,
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
        let (config, nothing) = (&self.config, Wiring::default());
        let told = self.what_to_tell(&who, generation, config, &nothing, Down::Go)?;
        let mut child = self.spawn(&who, told)?;
        child.next = self.instance_at(at).and_then(next_instance).cloned();
        self.members[at].presence = Presence::Up(child);
        Ok(())
    }

    /// Starts a process and tells it that.
    pub(super) fn spawn(&mut self, who: &Who, told: Vec<Down>) -> io::Result<Child> {
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
        last: Down,
    ) -> io::Result<Vec<Down>> {
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
            Down::Lock(self.state.share()?),
            Down::Config {
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
        self.succeeded(at, now);
        let text = format!("is ready: process {pid}, generation {generation}");
        self.note(at, Weight::Note, &text);
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
        let Presence::Up(child) = std::mem::replace(&mut member.presence, Presence::Gone) else {
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
        } else {
            self.members[at].last_exit = Some(how.into());
            self.buried(at, child.ready, &text, now);
        }
    }

    /// Plans the restart of what died or could not be started.
    fn buried(&mut self, at: usize, ready: Option<Moment>, text: &str, now: Moment) {
        let member = &mut self.members[at];
        let delay = member.backoff.died(ready, now);
        member.restarts += 1;
        member.presence = Presence::Down { until: now + delay };
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
    fn let_go(&mut self, at: usize) {
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
                        Beat::Ping(number) => pings.push(Down::Ping(number)),
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

    /// Begins to stop everything; the second time, at once.
    pub(super) fn stop(&mut self, now: Moment) {
        if self.stopping.is_some() {
            self.stopping = Some(Stopping { deadline: now });
            for child in self.members.iter_mut().flat_map(Member::children_mut) {
                child.kill_at = child.kill_at.map(|at| at.min(now));
            }
            return;
        }
        self.show(&Progress::Stopping);
        self.note_of_all(Weight::Note, "the system is stopping");
        self.stopping = Some(Stopping {
            deadline: now + self.config.stop_timeout,
        });
        self.abandon_reload("the system is stopping");
        for at in 0..self.members.len() {
            self.members[at].leaving = true;
            self.members[at].refuser = None;
        }
    }

    /// Tells those to stop whose turn it is, and kills those whose time is over.
    pub(super) fn stop_what_may_stop(&mut self, now: Moment) -> Option<Moment> {
        self.give_up_what_does_not_run();
        for at in self.whose_turn_it_is() {
            let limit = self.limit_for(at, now);
            for child in self.members[at].children_mut() {
                if !child.told_to_stop {
                    child.told_to_stop = true;
                    let kill_at = now + limit;
                    child.kill_at = Some(child.kill_at.map_or(kill_at, |at| at.min(kill_at)));
                    // One that is deaf will be killed.
                    let _ = child.tell(Down::Stop(limit * TOLD_PART.0 / TOLD_PART.1));
                }
            }
        }
        self.kill_what_is_late(now)
    }

    /// A place that is to be left and has no process is left.
    fn give_up_what_does_not_run(&mut self) {
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            let idle = matches!(
                member.presence,
                Presence::Down { .. } | Presence::Waiting { .. }
            );
            if member.leaving && idle && member.retiring.is_empty() && !self.is_needed(at) {
                self.members[at].presence = Presence::Gone;
                self.let_go(at);
            }
        }
    }

    /// Control is started again, even during a stop, for as long as there is something to log.
    fn is_needed(&self, at: usize) -> bool {
        let is_control = self.members[at].who == Who::Control;
        is_control
            && self
                .members
                .iter()
                .any(|m| m.who != Who::Control && m.runs())
    }

    fn whose_turn_it_is(&self) -> Vec<usize> {
        let leaving: Vec<&InstanceName> = self
            .members
            .iter()
            .filter(|member| member.leaving && member.runs())
            .filter_map(|member| member.who.instance())
            .collect();
        let links = self.links();
        let mut turn: Vec<usize> = may_stop(&leaving, &links)
            .into_iter()
            .filter_map(|name| self.place_of(name))
            .collect();
        if links.is_empty() && self.stopping.is_some() {
            turn.extend(
                self.members
                    .iter()
                    .position(|member| member.who == Who::Control),
            );
        }
        turn
    }

    /// Every process of an instance, with what it hands to.
    fn links(&self) -> Vec<Link<'_>> {
        let of = |member: &'_ Member| member.who.instance().is_some();
        let members = self.members.iter().filter(|member| of(member));
        members
            .flat_map(|member| {
                let name = member.who.instance();
                member.children().filter_map(move |child| {
                    Some(Link {
                        name: name?,
                        next: child.next.as_ref(),
                    })
                })
            })
            .collect()
    }

    fn limit_for(&self, at: usize, now: Moment) -> Duration {
        let total = self.config.stop_timeout;
        let Some(name) = self.members[at].who.instance() else {
            return CONTROL_STOP_LIMIT;
        };
        match self.stopping {
            Some(Stopping { deadline }) => {
                stop_limit(deadline.since(now), total, n_behind(name, &self.links()))
            }
            None => total,
        }
    }

    fn kill_what_is_late(&mut self, now: Moment) -> Option<Moment> {
        let mut due = None;
        let mut killed = Vec::new();
        for (at, member) in self.members.iter_mut().enumerate() {
            for child in member.children_mut() {
                match child.kill_at {
                    Some(kill_at) if kill_at > now => due = earlier(due, kill_at),
                    Some(_) if !child.killed => {
                        child.kill();
                        child.killed = true;
                        killed.push((at, child.pid));
                    }
                    Some(_) | None => {}
                }
            }
        }
        for child in &mut self.dismissed {
            match child.kill_at {
                Some(kill_at) if kill_at > now => due = earlier(due, kill_at),
                _ => child.kill(),
            }
        }
        for (at, pid) in killed {
            let text = format!("process {pid} did not stop in time and is killed");
            self.note(at, Weight::Alarm, &text);
        }
        due
    }
}

/// The earlier of two times, where there are two.
pub(super) fn earlier(due: Option<Moment>, then: Moment) -> Option<Moment> {
    Some(due.map_or(then, |due| due.min(then)))
}
