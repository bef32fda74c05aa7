//! What programs of this machine need to know of a system: published by the running one, so that no
//! tool and no local mail depends on the configuration file.

use super::Config;
use super::model::Role;
use super::tree::{Table, Value};

/// What is common to all instances and no secret.
const OF_THE_SYSTEM: [&str; 4] = ["hostname", "log", "state", "stop_timeout"];

impl Config {
    /// The host name, where the log and the state lie, how long a stop takes, which instances there
    /// are, and where submission listens; as a text that [`Self::parse`] reads. Anybody may read
    /// it: it holds no route, no peer and no certificate.
    pub fn published(&self) -> String {
        let mut common = self.tree.clone();
        common
            .entries
            .retain(|entry| OF_THE_SYSTEM.contains(&entry.key.as_str()));
        let mut text = common.to_toml().to_string();
        // One by one, in their order: the first submission is the one that is used.
        for instance in &self.instances {
            let Some(mut own) = self.own_table(&instance.name) else {
                continue;
            };
            if self.is_leaving(&instance.name) {
                continue;
            }
            let has_door = instance.role == Role::Submission;
            own.entries
                .retain(|entry| entry.key == "role" || (has_door && entry.key == "listen"));
            let named = Table::of_one(instance.name.as_str(), Value::Table(own));
            let section = Table::of_one("instance", Value::Table(named));
            text.push_str(&section.to_toml().to_string());
        }
        text
    }
}
