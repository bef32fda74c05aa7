//! Stopping processes: in order, each with its part of the time, and killing what does not stop.
//!
//! # Limits
//! `stop_timeout` of the configuration for all instances together; a second request for a stop
//! takes the rest of it away.

use std::time::Duration;

use mail::{InstanceName, Moment};

use super::Progress;
use super::lifecycle::earlier;
use super::limits::CONTROL_STOP_LIMIT;
use super::member::{Member, Presence, Who};
use super::sequence::{Link, may_stop, n_behind, stop_limit};
use super::watch::{Stopping, Watch};
use crate::channel::{ToChild, Weight};

/// The part of its time that a process is told it has; the rest is for its exit.
const TOLD_PART: (u32, u32) = (9, 10);

impl Watch<'_> {
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
                    let _ = child.tell(ToChild::Stop(limit * TOLD_PART.0 / TOLD_PART.1));
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
                Presence::ToChild { .. } | Presence::Waiting { .. }
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
