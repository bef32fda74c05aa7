//! The part of a configuration that one instance is given.
//!
//! # Guarantees
//! It holds what is common but for the log, which control alone writes, the instance's own table,
//! and of each neighbour (the instance that it hands to, and those that hand to it) its name, role,
//! next and limits: no certificate, no route and no listener of another instance, so a process that
//! is taken over learns none.

use mail::InstanceName;

use super::Config;
use super::model::{InstanceConfig, Next};
use super::tree::{Entry, Table, Value};

/// What an instance may know of its neighbour.
const OF_A_NEIGHBOUR: [&str; 4] = ["role", "next", "limits", "handoff"];

/// The part for the instance, as TOML; `None` where there is no such instance.
pub(super) fn part_for(config: &Config, name: &InstanceName) -> Option<String> {
    let own = config.instance(name)?;
    let mut part = config.tree.clone();
    part.entries.retain(|entry| entry.key != "log");
    for entry in &mut part.entries {
        if let (true, Value::Table(instances)) = (entry.key == "instance", &mut entry.node.value) {
            keep(config, own, instances);
        }
    }
    Some(part.to_toml().to_string())
}

fn keep(config: &Config, own: &InstanceConfig, instances: &mut Table) {
    let neighbours: Vec<&str> = config
        .instances
        .iter()
        .filter(|other| leads_to(own, other) || leads_to(other, own))
        .map(|other| other.name.as_str())
        .collect();
    instances.entries.retain_mut(|Entry { key, node, .. }| {
        if key == own.name.as_str() {
            return true;
        }
        if let Value::Table(table) = &mut node.value {
            table
                .entries
                .retain(|entry| OF_A_NEIGHBOUR.contains(&entry.key.as_str()));
        }
        neighbours.contains(&key.as_str())
    });
}

fn leads_to(from: &InstanceConfig, to: &InstanceConfig) -> bool {
    match &from.next {
        Some(Next::Instance(name)) => *name == to.name,
        Some(Next::Smtp(_)) | None => false,
    }
}
