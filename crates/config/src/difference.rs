//! What a reload would change, instance by instance.
//!
//! A process that is already confined can take over anything but more authority. What arrives as a
//! descriptor, a listener or an edge, needs none; a new directory or remote port does, and with it
//! a new process.

use std::collections::BTreeSet;
use std::path::PathBuf;

use mail::InstanceName;

use super::Config;
use super::model::{InstanceConfig, Next, Target};

/// What becomes of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// The file no longer names it: the running process empties its queue, and ends.
    Leaves,
    /// A new process must take its place; says what for.
    NeedsGeneration(String),
    /// It is gone: the file no longer names it, and its queue was empty.
    Removed,
    /// The running process can take the new part over.
    Swappable,
    /// Nothing that it is given differs.
    Unchanged,
}

/// Every instance of either configuration: those of `new` in its order, then the removed ones.
pub(super) fn difference(old: &Config, new: &Config) -> Vec<(InstanceName, Change)> {
    let kept = new.instances.iter().map(|after| {
        let change = match old.instance(&after.name) {
            None => Change::Added,
            Some(before) => compare(old, before, new, after),
        };
        (after.name.clone(), change)
    });
    let removed = old
        .instances
        .iter()
        .filter(|before| new.instance(&before.name).is_none());
    kept.chain(removed.map(|before| (before.name.clone(), Change::Removed)))
        .collect()
}

fn compare(old: &Config, before: &InstanceConfig, new: &Config, after: &InstanceConfig) -> Change {
    let was_leaving = old.is_leaving(&before.name);
    if !was_leaving && new.is_leaving(&after.name) {
        return Change::Leaves;
    }
    if before.role != after.role {
        return Change::NeedsGeneration("another role".to_owned());
    }
    if concurrency(before) != concurrency(after) {
        // Attempts under way are counted by the bounds that they began under.
        return Change::NeedsGeneration("other bounds for deliveries at a time".to_owned());
    }
    let had = directories(before);
    if let Some(directory) = directories(after).difference(&had).next() {
        return Change::NeedsGeneration(format!("a new directory, {}", directory.display()));
    }
    let had = ports(before);
    if let Some(port) = ports(after).difference(&had).next() {
        return Change::NeedsGeneration(format!("a new remote port, {port}"));
    }
    // The text says more than the settings of the instance itself: it holds what is common and
    // what the neighbours offer.
    let comes_back = was_leaving && !new.is_leaving(&after.name);
    if !comes_back && old.part_for(&before.name) == new.part_for(&after.name) {
        Change::Unchanged
    } else {
        Change::Swappable
    }
}

/// How many deliveries go on at a time: in all, and to one site.
const fn concurrency(instance: &InstanceConfig) -> (u32, u32) {
    (
        instance.queue.concurrency,
        instance.queue.concurrency_per_site,
    )
}

/// The directories that it delivers below.
fn directories(instance: &InstanceConfig) -> BTreeSet<PathBuf> {
    let targets = instance.routes.iter().map(|route| &route.to);
    targets
        .filter_map(|target| match target {
            Target::Maildir(template) => Some(template.root()),
            Target::Discard { .. }
            | Target::Error { .. }
            | Target::Hold { .. }
            | Target::Mx(_)
            | Target::Relay(_) => None,
        })
        .collect()
}

/// The ports that it connects to.
fn ports(instance: &InstanceConfig) -> BTreeSet<u16> {
    let targets = instance.routes.iter().map(|route| &route.to);
    let relays = targets.filter_map(|target| match target {
        Target::Mx(mx) => Some(mx.port),
        Target::Relay(host) => Some(host.port),
        Target::Discard { .. }
        | Target::Error { .. }
        | Target::Hold { .. }
        | Target::Maildir(_) => None,
    });
    let next = match &instance.next {
        Some(Next::Smtp(host)) => Some(host.port),
        Some(Next::Instance(_)) | None => None,
    };
    relays.chain(next).collect()
}
