//! Instances that the configuration file no longer names and that still have mail: each stays in
//! the configuration that is in force, by its last settings, until its queue is empty.
//!
//! # Guarantees
//! Such an instance has no listener, no certificate and no peer: nobody new is served. Its routes,
//! its `next` and its queue settings are the last that the file had.
//!
//! # Failure
//! Where the `next` of such an instance is gone as well and nothing is known of it, its mail is
//! held with that reason: it can be listed, and goes on when the instance is put back.

use std::path::Path;

use mail::InstanceName;

use super::Config;
use super::tree::{Node, Table, Value};

/// What only an instance that serves needs. A certificate may be gone together with its instance.
const OF_SERVING: [&str; 3] = ["listen", "peer", "tls"];

impl Config {
    /// The settings by which an instance empties its queue should it leave the configuration, as a
    /// text that [`Self::parse`] reads; `None` where there is no such instance.
    pub fn last_settings(&self, name: &InstanceName) -> Option<String> {
        let table = self.own_table(name)?;
        Some(self.of_one(name, &table).to_toml().to_string())
    }

    /// Takes in, as leaving, every instance of `names` that `from` has and this one lacks.
    pub fn keep_leaving<'a>(&mut self, from: &Self, names: impl Iterator<Item = &'a InstanceName>) {
        for name in names {
            if self.instance(name).is_some() {
                continue;
            }
            let left = from.own_table(name).and_then(|mut table| {
                table
                    .entries
                    .retain(|entry| !OF_SERVING.contains(&entry.key.as_str()));
                self.read_one(name, table)
            });
            if let Some(left) = left {
                self.take_in(left, name);
            }
        }
    }

    /// Holds the mail of leaving instances whose `next` is in no configuration.
    pub fn hold_where_next_is_gone(&mut self) {
        for name in self.leaving.clone() {
            let Some(super::Next::Instance(next)) =
                self.instance(&name).and_then(|of| of.next.clone())
            else {
                continue;
            };
            if self.instance(&next).is_some() {
                continue;
            }
            let Some(mut table) = self.own_table(&name) else {
                continue;
            };
            let why = format!("its next instance `{next}` is no longer in the configuration");
            table.entries.retain(|entry| entry.key != "next");
            add_route_that_holds(&mut table, &why);
            if let Some(left) = self.read_one(&name, table) {
                self.remove(&name);
                self.take_in(left, &name);
            }
        }
    }

    /// Whether the file no longer names that instance.
    pub fn is_leaving(&self, name: &InstanceName) -> bool {
        self.leaving.contains(name)
    }

    /// Takes an instance out.
    pub fn remove(&mut self, name: &InstanceName) {
        self.instances.retain(|instance| instance.name != *name);
        self.leaving.retain(|of| of != name);
        if let Some(instances) = self.tree.table_mut("instance") {
            instances.entries.retain(|entry| entry.key != name.as_str());
        }
    }

    pub(super) fn own_table(&self, name: &InstanceName) -> Option<Table> {
        match &self.tree.find("instance")?.value {
            Value::Table(instances) => match &instances.find(name.as_str())?.value {
                Value::Table(own) => Some(own.clone()),
                Value::Integer(_) | Value::List(_) | Value::Other(_) | Value::Text(_) => None,
            },
            Value::Integer(_) | Value::List(_) | Value::Other(_) | Value::Text(_) => None,
        }
    }

    /// A tree with what is common and one instance.
    fn of_one(&self, name: &InstanceName, own: &Table) -> Table {
        let mut tree = self.tree.clone();
        tree.entries.retain(|entry| entry.key != "log");
        if let Some(instances) = tree.table_mut("instance") {
            *instances = Table::of_one(name.as_str(), Value::Table(own.clone()));
        }
        tree
    }

    fn read_one(&self, name: &InstanceName, own: Table) -> Option<Self> {
        let text = self.of_one(name, &own).to_toml().to_string();
        Self::parse(&text, &self.file, Some(Path::new(&self.state))).ok()
    }

    fn take_in(&mut self, left: Self, name: &InstanceName) {
        let Some(table) = left.own_table(name) else {
            return;
        };
        let Some(instances) = self.tree.table_mut("instance") else {
            return;
        };
        let own = Table::of_one(name.as_str(), Value::Table(table));
        instances.entries.extend(own.entries);
        self.instances.extend(left.instances);
        self.leaving.push(name.clone());
    }
}

/// Adds a route for everything that no other route takes.
fn add_route_that_holds(instance: &mut Table, why: &str) {
    let text = |key, text: &str| Table::of_one(key, Value::Text(text.to_owned()));
    let mut route = text("domain", "*");
    let to = Table::of_one("to", Value::Table(text("hold", why)));
    route.entries.extend(to.entries);
    let route = Node {
        at: Table::START,
        value: Value::Table(route),
    };
    let routes = instance.entries.iter_mut().find(|of| of.key == "route");
    match routes.map(|of| &mut of.node.value) {
        Some(Value::List(routes)) => routes.push(route),
        Some(_) | None => {
            let routes = Table::of_one("route", Value::List(vec![route]));
            instance.entries.extend(routes.entries);
        }
    }
}
