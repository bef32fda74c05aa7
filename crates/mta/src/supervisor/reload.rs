//! A new configuration in place of the old one, taken by all processes or by none.
//!
//! First everything that can fail is done: the configuration is read and checked, new listeners
//! and channels are made, new processes are started where they are needed, and every process, old
//! or new, says that it can take its part. Only then is anything changed.
//!
//! # Failure
//! Until the last process has said yes, any error leaves everything as it was. A process that is
//! down takes the new configuration when it starts.

use mail::{InstanceName, Moment};

use super::child::ProcessId;
use super::limits::{COMMIT_LIMIT, PREPARE_LIMIT, PREPARE_STARTS_LIMIT};
use super::member::Member;
use super::successor::Successor;
use super::watch::Watch;
use super::wiring::{Wiring, next_instance};
use crate::config::{Change, Config};
use crate::leash::{Document, Down, Weight};

/// A reload under way.
#[derive(Debug)]
pub(super) struct Reloading {
    /// The request to answer; `None` where a signal asked.
    request: Option<u64>,
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
    /// Begins a reload.
    pub(super) fn reload(&mut self, request: Option<u64>, now: Moment) {
        match self.prepare_reload(request, now) {
            Ok(reloading) => {
                self.owing.extend(&reloading.told);
                self.reloading = Some(reloading);
            }
            Err(why) => self.report_reload(request, Err(why)),
        }
    }

    /// Everything up to the question to the processes.
    fn prepare_reload(&mut self, request: Option<u64>, now: Moment) -> Result<Reloading, String> {
        if self.stopping.is_some() {
            return Err("the system is stopping".to_owned());
        }
        if self.reloading.is_some() {
            return Err("another reload is under way".to_owned());
        }
        let config = Box::new(self.source.read()?);
        if config.state != self.config.state {
            return Err("another state directory needs a stop and a start".to_owned());
        }
        let changes = Config::difference(&self.config, &config);
        for (name, change) in &changes {
            if *change == Change::Added && self.place_of(name).is_some() {
                return Err(format!("an earlier {name} is still stopping; try again"));
            }
        }
        let staged = self.wiring.missing(&config, self.state.path());
        let staged = staged.map_err(|error| error.to_string())?;
        for instance in &config.instances {
            self.state
                .make_spool(&instance.name)
                .map_err(|error| error.to_string())?;
        }
        self.check_that_all_answer(&staged, &changes, now)?;
        let successors = self.start_successors(&config, &staged, &changes, now)?;
        let told = match self.tell_to_prepare(&config, &staged, &changes) {
            Ok(told) => told,
            Err(why) => {
                self.dismiss(successors, now);
                return Err(why);
            }
        };
        let mut waiting = told.clone();
        waiting.extend(successors.iter().map(|successor| successor.child.id));
        let limit = if successors.is_empty() {
            PREPARE_LIMIT
        } else {
            PREPARE_STARTS_LIMIT
        };
        let deadline = now + limit;
        let stage = Stage::Preparing { config, staged };
        Ok(Reloading {
            request,
            stage,
            changes,
            told,
            waiting,
            successors,
            deadline,
        })
    }

    /// Whoever has to answer, or to make way, must be able to.
    fn check_that_all_answer(
        &self,
        staged: &Wiring,
        changes: &[(InstanceName, Change)],
        now: Moment,
    ) -> Result<(), String> {
        let makes_way = |member: &Member| {
            changes.iter().any(|(name, change)| {
                member.who.instance() == Some(name) && matches!(change, Change::NeedsGeneration(_))
            })
        };
        for member in &self.members {
            let Some(child) = member.child() else {
                continue;
            };
            if !goes_on(member, staged, changes) && !makes_way(member) {
                continue;
            }
            if child.ready.is_none() {
                return Err(format!("{} is still starting; try again", member.who));
            }
            if self.owing.contains(&child.id) {
                return Err(format!("{} has not answered an earlier reload", member.who));
            }
            if child
                .heartbeat
                .is_some_and(|beat| beat.silent_for(now).is_some())
            {
                return Err(format!("{} does not answer", member.who));
            }
        }
        Ok(())
    }

    /// Asks those that are to go on whether they can; who was asked.
    fn tell_to_prepare(
        &self,
        config: &Config,
        staged: &Wiring,
        changes: &[(InstanceName, Change)],
    ) -> Result<Vec<ProcessId>, String> {
        let mut frames = Vec::new();
        let going_on = |member: &&Member| goes_on(member, staged, changes);
        for member in self.members.iter().filter(going_on) {
            let Some(child) = member.child() else {
                continue;
            };
            let frame = self.what_to_prepare(member, config, staged, changes);
            frames.push((member, child, frame.map_err(|error| error.to_string())?));
        }
        // Nothing is told before everything is there to be told.
        let mut told = Vec::new();
        for (member, child, frame) in frames {
            for down in frame {
                child
                    .tell(down)
                    .map_err(|error| format!("{}: {error}", member.who))?;
            }
            told.push(child.id);
        }
        Ok(told)
    }

    fn what_to_prepare(
        &self,
        member: &Member,
        config: &Config,
        staged: &Wiring,
        changes: &[(InstanceName, Change)],
    ) -> std::io::Result<Vec<Down>> {
        let name = member.who.instance().cloned();
        let (text, given) = match &name {
            None => {
                let mut given = staged.channels_of(config)?;
                let gone = changes
                    .iter()
                    .filter(|(_, change)| *change == Change::Removed);
                given.extend(gone.map(|(name, _)| Down::Gone(name.clone())));
                (config.whole(), given)
            }
            Some(name) => {
                let part = config.part_for(name).unwrap_or_default();
                (part, self.wiring.for_reload(staged, config, name)?)
            }
        };
        let (generation, state) = (member.generation, self.state.path().into());
        let document = Document::new(&text)?;
        let mut told = vec![Down::Config {
            name,
            generation,
            state,
            document,
        }];
        told.extend(given);
        told.push(Down::Prepare);
        Ok(told)
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
                request,
                told,
                successors,
                ..
            }) => {
                self.dismiss(successors, self.clock.now());
                self.tell_all(&told, || Down::Abandon);
                self.report_reload(request, Err(why.to_owned()));
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

    /// The point of no return: from here on the new configuration is the one.
    fn commit_reload(&mut self, now: Moment) {
        let Some(mut reloading) = self.reloading.take() else {
            return;
        };
        let stage = std::mem::replace(&mut reloading.stage, Stage::Committing);
        if let Stage::Preparing { config, staged } = stage {
            self.tell_all(&reloading.told, || Down::Commit);
            self.wiring.add(staged);
            self.config = *config;
            self.learn_who_hands_to_whom();
            for (name, change) in &reloading.changes {
                self.change(name, change);
            }
            self.install(std::mem::take(&mut reloading.successors), now);
            self.wiring.retain(&self.config, self.state.path());
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

    fn finish_reload(&mut self, silent: &[String]) {
        let Some(reloading) = self.reloading.take() else {
            return;
        };
        let outcomes = reloading.changes.iter().map(|(name, change)| {
            let mut text = match change {
                Change::Added => "a new instance starts".to_owned(),
                Change::NeedsGeneration(why) => format!("a new process takes over ({why})"),
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
        self.report_reload(reloading.request, Ok(outcomes));
    }

    fn report_reload(&mut self, request: Option<u64>, outcome: Result<Vec<Outcome>, String>) {
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

    fn tell_all(&self, ids: &[ProcessId], down: impl Fn() -> Down) {
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

/// Whether the process of a place goes on and has something to take over.
fn goes_on(member: &Member, staged: &Wiring, changes: &[(InstanceName, Change)]) -> bool {
    let Some(name) = member.who.instance() else {
        return true;
    };
    let change = changes
        .iter()
        .find(|(of, _)| of == name)
        .map(|(_, change)| change);
    match change {
        Some(Change::Swappable) => true,
        Some(Change::Unchanged) => staged.leads_to(name),
        Some(Change::Added | Change::NeedsGeneration(_) | Change::Removed) | None => false,
    }
}
