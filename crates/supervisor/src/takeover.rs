//! The answer to a reload: given when the processes that it made necessary are ready, so that who
//! asks the system something next reaches them.
//!
//! # Limits
//! An answer waits [`TAKEOVER_LIMIT`] at most: an old process may have a slow delivery to finish.
//! It then says who is not ready.

use mail::{InstanceName, Moment};
use serde_json::{Value, json};

use super::limits::TAKEOVER_LIMIT;
use super::member::{Member, Presence};
use super::reload::Outcome;
use super::watch::Watch;

/// A reload that is in force, and whose answer waits.
#[derive(Debug)]
pub(super) struct Owed {
    request: u64,
    outcomes: Vec<Outcome>,
    deadline: Moment,
}

impl Watch<'_> {
    /// Takes note of an answer that is to be given.
    pub(super) fn owe(&mut self, request: u64, outcomes: Vec<Outcome>, now: Moment) {
        self.owed.push(Owed {
            request,
            outcomes,
            deadline: now + TAKEOVER_LIMIT,
        });
    }

    /// Gives the answers for which nothing is left to wait; when to look again.
    pub(super) fn give_owed_answers(&mut self, now: Moment) -> Option<Moment> {
        let owed = std::mem::take(&mut self.owed);
        for owed in owed {
            let is_coming = |outcome: &Outcome| {
                outcome.needs_process && self.member(&outcome.name).is_some_and(is_coming)
            };
            if owed.deadline > now && owed.outcomes.iter().any(is_coming) {
                self.owed.push(owed);
                continue;
            }
            let lines = owed.outcomes.iter().map(|outcome| self.line(outcome));
            let lines: Vec<Value> = lines.collect();
            self.answer_reload(owed.request, Ok(lines));
        }
        self.owed.iter().map(|owed| owed.deadline).min()
    }

    fn line(&self, outcome: &Outcome) -> Value {
        let Outcome {
            name,
            needs_process,
            text,
        } = outcome;
        if !needs_process {
            return json!({"instance": name.as_str(), "text": text});
        }
        let member = self.member(name);
        let is_ready = member.is_some_and(Member::is_ready);
        let old = member.and_then(|member| member.retiring.first());
        let state = match (is_ready, old) {
            (true, _) => "is ready".to_owned(),
            (false, Some(old)) => {
                format!(
                    "is not ready yet: process {} has to give up the spool first",
                    old.pid
                )
            }
            (false, None) => "is not ready yet".to_owned(),
        };
        json!({
            "instance": name.as_str(),
            "text": format!("{text}, and {state}"),
            "ready": is_ready,
        })
    }

    fn member(&self, name: &InstanceName) -> Option<&Member> {
        self.place_of(name).map(|at| &self.members[at])
    }
}

/// Whether it is worth while to wait for its process: one that died is not.
fn is_coming(member: &Member) -> bool {
    match &member.presence {
        Presence::ToChild { .. } | Presence::Gone => false,
        Presence::FromChild(child) => child.ready.is_none(),
        Presence::Waiting { .. } => true,
    }
}
