//! Instances that the configuration file no longer names: each goes on, without listeners, until
//! its queue is empty and no other instance hands to it; then its process ends.

use config::Config;
use config::whereabouts;
use mail::InstanceName;

use super::child::{Child, ProcessId};
use super::member::{Member, Presence, Who};
use super::watch::Watch;
use crate::channel::{ToChild, Weight};

impl Watch<'_> {
    /// The configuration of the file, and the instances that it no longer names and that are not
    /// empty as far as is known.
    pub(super) fn with_leaving(&self, mut file: Config) -> Config {
        let stays = |member: &&Member| !member.leaving;
        let names = self
            .members
            .iter()
            .filter(stays)
            .filter_map(|member| member.who.instance());
        file.keep_leaving(&self.config, names);
        file.hold_where_next_is_gone();
        file
    }

    /// A process that empties its queue has nothing left to do. It ends where nothing can come any
    /// more; otherwise it will report the same again.
    pub(super) fn hear_drained(&mut self, at: usize, id: ProcessId) {
        let Some(name) = self.members[at].who.instance().cloned() else {
            return;
        };
        let in_change = self.reloading.is_some() || !self.owing.is_empty();
        // What clients of an earlier process still bring is stored by this one.
        let is_succeeding = !self.members[at].retiring.is_empty();
        if self.stopping.is_some() || in_change || is_succeeding || self.is_fed(&name) {
            return;
        }
        let is_leaving = self.config.is_leaving(&name);
        if let Some(child) = self.members[at].child_mut()
            && is_leaving
            && child.id == id
        {
            child.may_leave = true;
            // One that is deaf is found by its heartbeat.
            let _ = child.tell(ToChild::Leave);
        }
    }

    /// Whether an instance, or an earlier process of one, may still hand to `name`.
    fn is_fed(&self, name: &InstanceName) -> bool {
        let fed_by = |child: &Child| child.next.as_ref() == Some(name);
        let of_config = self.config.instances.iter();
        let mut fronts = of_config.filter_map(super::wiring::next_instance);
        let mut children = self.members.iter().flat_map(Member::children);
        fronts.any(|next| next == name) || children.any(fed_by)
    }

    /// The process of a leaving instance has ended with an empty queue.
    pub(super) fn has_left(&mut self, at: usize) {
        let Some(name) = self.members[at].who.instance().cloned() else {
            return;
        };
        self.members[at].presence = Presence::Gone;
        self.config.remove(&name);
        self.let_go(at);
        self.note(at, Weight::Note, "has left the system: its queue is empty");
        if let Err(error) = super::settings::mark_emptied(self.state.path(), &name) {
            let text = format!("cannot be noted as empty, so `check` mentions it: {error}");
            self.note(at, Weight::Note, &text);
        }
        if let Some(control) = self.control() {
            // A control that is started anew does not learn of it at all.
            let _ = control.tell(ToChild::Forget(name));
        }
    }

    /// After a reload: what left while it was under way is in no configuration, and what came back
    /// in that moment has a place.
    pub(super) fn match_members(&mut self, now: mail::Moment) {
        let names: Vec<InstanceName> = self
            .config
            .instances
            .iter()
            .map(|instance| instance.name.clone())
            .collect();
        for name in names {
            if self.place_of(&name).is_some() {
                continue;
            }
            if self.config.is_leaving(&name) {
                self.config.remove(&name);
            } else {
                self.members.push(Member::new(Who::Instance(name), now));
            }
        }
    }

    /// Stores the settings of all instances that serve, and what the system's tools need to know.
    pub(super) fn store_settings(&mut self) {
        if let Err(why) = whereabouts::publish(self.source.file.as_deref(), &self.config) {
            let text = format!(
                "where the system is cannot be written down ({why}): should its configuration \
                 file become unusable, its tools need `--state {}`",
                self.config.state.display()
            );
            self.note_of_all(Weight::Note, &text);
        }
        if let Err(why) = super::settings::store(&self.config, self.state.path()) {
            let text = format!(
                "the settings of instances cannot be stored ({why}): should one leave the \
                 configuration while the system is down, its queue is not emptied"
            );
            self.note_of_all(Weight::Alarm, &text);
        }
    }

    /// Reports the spools that nobody can empty.
    pub(super) fn report_stranded(&mut self) {
        for stranded in self.stranded.clone() {
            let text = format!(
                "{name} is not in the configuration, and its spool is there without settings \
                 ({why}): what is queued in it stays there; `postern spool verify --instance \
                 {name}` shows how much that is, and to deliver it, put the instance back",
                name = stranded.name,
                why = stranded.why,
            );
            self.note_of_all(Weight::Alarm, &text);
        }
    }
}
