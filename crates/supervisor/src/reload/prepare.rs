//! Everything of a reload that can fail, up to the question to the processes.

use config::{Change, Config};
use mail::{InstanceName, Moment};

use super::{Cause, Reloading, Stage};
use crate::channel::{Document, ToChild};
use crate::child::ProcessId;
use crate::lifecycle::purpose;
use crate::limits::{PREPARE_LIMIT, PREPARE_STARTS_LIMIT};
use crate::member::Member;
use crate::watch::Watch;
use crate::wiring::Wiring;

impl Watch<'_> {
    /// Everything up to the question to the processes, with the configuration as it stands in its
    /// file now.
    pub(super) fn prepare_asked(
        &mut self,
        cause: &Cause,
        now: Moment,
    ) -> Result<Reloading, String> {
        if self.stopping.is_some() {
            return Err("the system is stopping".to_owned());
        }
        if self.reloading.is_some() {
            return Err("another reload is under way".to_owned());
        }
        let config = self.with_leaving(self.source.read()?);
        if config.state != self.config.state {
            return Err("another state directory needs a stop and a start".to_owned());
        }
        let mut changes = Config::difference(&self.config, &config);
        for (name, change) in &mut changes {
            if *change == Change::Added && self.place_of(name).is_some() {
                return Err(format!("an earlier {name} is still stopping; try again"));
            }
            if *change == Change::Unchanged && self.certificates.have_changed(name) {
                *change = Change::Swappable;
            }
        }
        self.prepare_reload(cause, config, changes, now)
    }

    /// The same for a certificate that was renewed: nothing else changes.
    pub(super) fn prepare_renewed(
        &mut self,
        cause: &Cause,
        now: Moment,
    ) -> Result<Reloading, String> {
        let config = self.config.clone();
        let mut changes = Config::difference(&config, &config);
        for (name, change) in &mut changes {
            if matches!(cause, Cause::Renewed(of) if of == name) {
                *change = Change::Swappable;
            }
        }
        self.prepare_reload(cause, config, changes, now)
    }

    fn prepare_reload(
        &mut self,
        cause: &Cause,
        config: Config,
        changes: Vec<(InstanceName, Change)>,
        now: Moment,
    ) -> Result<Reloading, String> {
        let staged = self.wiring.missing(&config, self.state.path());
        let staged = staged.map_err(|error| error.to_string())?;
        for instance in &config.instances {
            self.state
                .make_spool(&instance.name)
                .map_err(|error| error.to_string())?;
        }
        let mut certificates = self.certificates.under(&config);
        for (name, change) in &changes {
            if *change != Change::Unchanged {
                certificates.take(name);
            }
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
        let stage = Stage::Preparing {
            config: Box::new(config),
            staged,
            certificates,
        };
        Ok(Reloading {
            cause: cause.clone(),
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
    ) -> std::io::Result<Vec<ToChild>> {
        let name = member.who.instance().cloned();
        let (text, given) = match &name {
            None => {
                let mut given = staged.channels_of(config)?;
                let gone = changes
                    .iter()
                    .filter(|(_, change)| *change == Change::Removed);
                given.extend(gone.map(|(name, _)| ToChild::Gone(name.clone())));
                (config.whole(), given)
            }
            Some(name) => {
                let part = config.part_for(name).unwrap_or_default();
                (part, self.wiring.for_reload(staged, config, name)?)
            }
        };
        let (generation, state) = (member.generation, self.state.path().into());
        let document = Document::new(&text)?;
        let mut told = vec![ToChild::Config {
            purpose: purpose(config, name.as_ref()),
            name,
            generation,
            state,
            document,
        }];
        told.extend(given);
        told.push(ToChild::Prepare);
        Ok(told)
    }
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
        Some(Change::Leaves | Change::Swappable) => true,
        Some(Change::Unchanged) => staged.leads_to(name),
        Some(Change::Added | Change::NeedsGeneration(_) | Change::Removed) | None => false,
    }
}
