//! The point of no return of a reload, what is done after it, and what is told of it.

use config::Change;
use mail::{InstanceName, Moment};

use super::{Cause, Outcome, Stage};
use crate::channel::{ToChild, Weight};
use crate::limits::COMMIT_LIMIT;
use crate::member::Member;
use crate::watch::Watch;
use crate::wiring::next_instance;

impl Watch<'_> {
    /// The point of no return: from here on the new configuration is the one.
    pub(super) fn commit_reload(&mut self, now: Moment) {
        let Some(mut reloading) = self.reloading.take() else {
            return;
        };
        let stage = std::mem::replace(&mut reloading.stage, Stage::Committing);
        if let Stage::Preparing {
            config,
            staged,
            certificates,
        } = stage
        {
            self.tell_all(&reloading.told, || ToChild::Commit);
            self.wiring.add(staged);
            self.config = *config;
            self.certificates = certificates;
            for (name, _) in &reloading.changes {
                self.certificates.taken(name);
            }
            self.learn_who_hands_to_whom();
            for (name, change) in &reloading.changes {
                self.change(name, change);
            }
            self.install(std::mem::take(&mut reloading.successors), now);
            self.match_members(now);
            let config = &self.config;
            self.stranded
                .retain(|of| config.instance(&of.name).is_none());
            self.wiring.retain(&self.config, self.state.path());
            self.store_settings();
            let order = |member: &Member| {
                let name = member.who.instance();
                // Control first, those that leave last.
                name.map_or(Some(0), |name| {
                    let at = self.config.instances.iter().position(|of| of.name == *name);
                    at.map(|at| at + 1)
                })
                .unwrap_or(usize::MAX)
            };
            self.members.sort_by_key(order);
        }
        self.owing.extend(&reloading.told);
        reloading.waiting = reloading.told.clone();
        reloading.deadline = now + COMMIT_LIMIT;
        self.reloading = Some(reloading);
    }

    fn change(&mut self, name: &InstanceName, change: &Change) {
        if let Some(at) = self.place_of(name) {
            self.members[at].leaving |= *change == Change::Removed;
            // Its sockets may be others now.
            self.members[at].refuser = None;
        }
    }

    /// The order in which processes stop follows from where each hands to now.
    fn learn_who_hands_to_whom(&mut self) {
        for member in &mut self.members {
            let instance = member
                .who
                .instance()
                .and_then(|of| self.config.instance(of));
            let next = instance.and_then(next_instance).cloned();
            if let (Some(_), Some(child)) = (instance, member.child_mut()) {
                child.next = next;
            }
        }
    }

    pub(super) fn finish_reload(&mut self, silent: &[String]) {
        let Some(reloading) = self.reloading.take() else {
            return;
        };
        let outcomes = reloading.changes.iter().map(|(name, change)| {
            let mut text = match change {
                Change::Added => "a new instance starts".to_owned(),
                Change::NeedsGeneration(why) => format!("a new process takes over ({why})"),
                Change::Leaves => {
                    "leaves the configuration; it delivers what is queued by its last \
                                   settings, then it stops"
                        .to_owned()
                }
                Change::Removed => "removed; it stops".to_owned(),
                Change::Swappable => "changed".to_owned(),
                Change::Unchanged => "unchanged".to_owned(),
            };
            if silent.iter().any(|of| of == name.as_str()) {
                text.push_str(", not confirmed yet");
            }
            let needs_process = matches!(change, Change::Added | Change::NeedsGeneration(_));
            Outcome {
                name: name.clone(),
                needs_process,
                text,
            }
        });
        let outcomes = outcomes.collect();
        self.report_reload(reloading.cause, Ok(outcomes));
    }

    pub(super) fn report_reload(&mut self, cause: Cause, outcome: Result<Vec<Outcome>, String>) {
        let request = match cause {
            Cause::Asked(request) => request,
            Cause::Renewed(name) => return self.report_renewal(&name, outcome.map(|_| ())),
        };
        match &outcome {
            Ok(outcomes) => {
                let each: Vec<String> = outcomes
                    .iter()
                    .map(|of| format!("{}: {}", of.name, of.text))
                    .collect();
                let text = format!("a new configuration is in force: {}", each.join("; "));
                self.note_of_all(Weight::Note, &text);
            }
            Err(why) => {
                let text = format!("the configuration was not reloaded, nothing changed: {why}");
                self.note_of_all(Weight::Alarm, &text);
            }
        }
        match (request, outcome) {
            (Some(id), Ok(outcomes)) => self.owe(id, outcomes, self.clock.now()),
            (Some(id), Err(why)) => self.answer_reload(id, Err(why)),
            (None, _) => {}
        }
    }

    fn report_renewal(&mut self, name: &InstanceName, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                let text = format!("{name}: the renewed certificate is in use");
                self.note_of_all(Weight::Note, &text);
            }
            Err(why) => {
                let text = format!(
                    "a certificate changed and is not in use; the one before stays for as long as \
                     the process of {name} lives: {why}"
                );
                self.note_of_all(Weight::Alarm, &text);
                self.certificates.refused(name, self.clock.now());
            }
        }
    }
}
