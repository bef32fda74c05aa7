//! What connects the processes: listeners, edges, and each instance's channels to control.
//!
//! # Guarantees
//! The supervisor keeps both ends of everything, so that a process that is started again finds
//! what its predecessor had, with whatever waits in it. It never reads or writes any of it.

mod given;
mod place;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use config::{Config, InstanceConfig, Listen, ListenAddress, ListenSecurity, Next};
use mail::InstanceName;

use super::bind::{BindError, Bound, OpenFor};
use crate::channel::pair;
use place::{Listener, Place, places};

/// Why the wiring for a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A pair of sockets between two processes.
    #[error("cannot make a channel for {name}: {cause}")]
    Channel {
        /// The instance.
        name: InstanceName,
        /// Why.
        cause: io::Error,
    },
}

/// A pair of connected sockets: one end for each of two processes.
#[derive(Debug)]
struct Pair {
    near: OwnedFd,
    far: OwnedFd,
}

/// From a front to the instance behind it; near is the front's end.
#[derive(Debug)]
struct Edge {
    front: InstanceName,
    next: InstanceName,
    pair: Pair,
}

/// Between an instance and control, near being the instance's end, and between its processes.
#[derive(Debug)]
struct Channels {
    name: InstanceName,
    events: Pair,
    requests: Pair,
    /// From an old process of the instance, near, to the one that takes its place.
    succession: Pair,
}

/// All that connects the processes of one configuration.
#[derive(Debug, Default)]
pub(super) struct Wiring {
    listeners: Vec<Listener>,
    edges: Vec<Edge>,
    channels: Vec<Channels>,
}

impl Wiring {
    /// What `config` needs beyond what is here already.
    ///
    /// # Errors
    /// At the first thing that cannot be had; nothing is changed then.
    pub(super) fn missing(&self, config: &Config, state: &Path) -> Result<Self, WiringError> {
        let mut new = Self::default();
        let control = control_listen(state);
        let place = Place::known(&control.address);
        if self.bound(&place).is_none() {
            new.listeners.push(place.bind(OpenFor::Owner)?);
        }
        for instance in &config.instances {
            for (place, _) in places(instance) {
                if self.bound(&place).is_none() {
                    new.listeners.push(place.bind(OpenFor::Everyone)?);
                }
            }
            let name = &instance.name;
            let channel = |cause| WiringError::Channel {
                name: name.clone(),
                cause,
            };
            if let Some(next) = next_instance(instance)
                && self.edge(name, next).is_none()
            {
                let pair = Pair::new().map_err(channel)?;
                new.edges.push(Edge {
                    front: name.clone(),
                    next: next.clone(),
                    pair,
                });
            }
            if self.channels(name).is_none() {
                let events = Pair::new().map_err(channel)?;
                let requests = Pair::new().map_err(channel)?;
                let succession = Pair::new().map_err(channel)?;
                new.channels.push(Channels {
                    name: name.clone(),
                    events,
                    requests,
                    succession,
                });
            }
        }
        Ok(new)
    }

    /// Takes in what [`Self::missing`] made.
    pub(super) fn add(&mut self, new: Self) {
        self.listeners.extend(new.listeners);
        self.edges.extend(new.edges);
        self.channels.extend(new.channels);
    }

    /// Lets go of listeners and edges that `config` does not name. An instance that holds the
    /// other end of an edge sees it closed when its front has closed it, too.
    pub(super) fn retain(&mut self, config: &Config, state: &Path) {
        let control = control_listen(state).address;
        let control = Place::known(&control);
        self.listeners.retain(|listener| {
            let mut named = config.instances.iter().flat_map(places);
            let place = listener.place();
            place == control || named.any(|(named, _)| named == place)
        });
        self.edges.retain(|edge| {
            let front = config.instance(&edge.front);
            front.and_then(next_instance) == Some(&edge.next)
        });
    }

    /// Lets go of the edges and channels of an instance that is gone for good.
    pub(super) fn forget(&mut self, name: &InstanceName) {
        self.edges
            .retain(|edge| edge.front != *name && edge.next != *name);
        self.channels.retain(|channels| channels.name != *name);
    }

    /// Whether an edge into `name` is among these.
    pub(super) fn leads_to(&self, name: &InstanceName) -> bool {
        self.edges.iter().any(|edge| edge.next == *name)
    }

    /// The sockets of an instance's listeners, as bound.
    pub(super) fn listeners_of<'a>(
        &'a self,
        instance: &'a InstanceConfig,
    ) -> impl Iterator<Item = (Listen, &'a Bound)> {
        places(instance).filter_map(|(place, listen)| {
            let bound = self.bound(&place)?;
            Some((
                Listen {
                    address: bound.actual.clone(),
                    security: listen.security,
                },
                bound,
            ))
        })
    }

    fn channels(&self, name: &InstanceName) -> Option<&Channels> {
        self.channels.iter().find(|of| of.name == *name)
    }

    fn bound(&self, place: &Place<'_>) -> Option<&Bound> {
        let mut listeners = self.listeners.iter();
        let found = listeners.find(|listener| listener.place() == *place);
        found.map(|listener| &listener.bound)
    }

    fn edge(&self, front: &InstanceName, next: &InstanceName) -> Option<&Edge> {
        self.edges
            .iter()
            .find(|edge| edge.front == *front && edge.next == *next)
    }
}

impl Pair {
    fn new() -> io::Result<Self> {
        let (near, far) = pair()?;
        Ok(Self { near, far })
    }
}

/// The instance that `instance` hands to.
pub(super) fn next_instance(instance: &InstanceConfig) -> Option<&InstanceName> {
    match &instance.next {
        Some(Next::Instance(name)) => Some(name),
        Some(Next::Smtp(_)) | None => None,
    }
}

fn control_listen(state: &Path) -> Listen {
    let address = ListenAddress::Unix(state.join("control.sock"));
    Listen {
        address,
        security: ListenSecurity::Plain,
    }
}

#[cfg(test)]
mod tests;
