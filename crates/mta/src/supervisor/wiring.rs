//! What connects the processes: listeners, edges, and each instance's channels to control.
//!
//! # Guarantees
//! The supervisor keeps both ends of everything, so that a process that is started again finds
//! what its predecessor had, with whatever waits in it. It never reads or writes any of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use mail::InstanceName;

use super::bind::{BindError, Bound, OpenFor};
use crate::config::{Config, InstanceConfig, Listen, ListenAddress, ListenSecurity, Next, Role};
use crate::leash::{Down, pair};

/// Why the wiring for a configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WiringError {
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

/// What a listener is known by from one configuration to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place<'a> {
    address: &'a ListenAddress,
    /// A port of the kernel's choice is another one for each listener: whose it is, and how many
    /// of its listeners before it are written the same.
    chosen: Option<(&'a InstanceName, usize)>,
}

/// A listener, and what it is known by.
#[derive(Debug)]
struct Listener {
    chosen: Option<(InstanceName, usize)>,
    bound: Bound,
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

    /// What an instance is given at its start under `config`, for which `staged` was made.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(super) fn for_start(
        &self,
        staged: &Self,
        config: &Config,
        name: &InstanceName,
    ) -> io::Result<Vec<Down>> {
        let mut told = self.for_reload(staged, config, name)?;
        told.extend(self.edges_into(config, name)?);
        let role = config.instance(name).map(|instance| instance.role);
        let channels = self.channels(name).or_else(|| staged.channels(name));
        if let (Some(channels), Some(role)) = (channels, role) {
            told.push(Down::Events {
                name: name.clone(),
                fd: channels.events.near.try_clone()?,
            });
            told.push(Down::Requests {
                name: name.clone(),
                role,
                fd: channels.requests.near.try_clone()?,
            });
            told.push(Down::EdgeFrom {
                front: name.clone(),
                role,
                fd: channels.succession.far.try_clone()?,
            });
        }
        Ok(told)
    }

    /// For an old process of `name`: its end of the way to the new one.
    ///
    /// # Errors
    /// When descriptors run out, or there is no such instance.
    pub(super) fn heir_of(&self, name: &InstanceName) -> io::Result<OwnedFd> {
        let channels = self.channels(name).ok_or(io::ErrorKind::NotFound)?;
        channels.succession.near.try_clone()
    }

    /// What an instance that goes on is given at a reload: all that it listens on and hands on to,
    /// and the edges from fronts that are new to it. `staged` is what [`Self::missing`] made.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(super) fn for_reload(
        &self,
        staged: &Self,
        config: &Config,
        name: &InstanceName,
    ) -> io::Result<Vec<Down>> {
        let mut told = Vec::new();
        if let Some(instance) = config.instance(name) {
            told.extend(self.of_its_own(instance)?);
            told.extend(staged.of_its_own(instance)?);
        }
        told.extend(staged.edges_into(config, name)?);
        Ok(told)
    }

    /// An instance's listeners, and the sending end of its edge.
    fn of_its_own(&self, instance: &InstanceConfig) -> io::Result<Vec<Down>> {
        let mut told = Vec::new();
        for (listen, bound) in self.listeners_of(instance) {
            told.push(Down::Listener {
                listen,
                fd: bound.socket.try_clone()?,
            });
        }
        let next = next_instance(instance);
        if let Some(edge) = next.and_then(|next| self.edge(&instance.name, next)) {
            told.push(Down::EdgeTo {
                next: edge.next.clone(),
                fd: edge.pair.near.try_clone()?,
            });
        }
        Ok(told)
    }

    /// The receiving ends of the edges into `name`.
    ///
    /// # Errors
    /// When descriptors run out.
    fn edges_into(&self, config: &Config, name: &InstanceName) -> io::Result<Vec<Down>> {
        let mut told = Vec::new();
        for edge in self.edges.iter().filter(|edge| edge.next == *name) {
            let front = edge.front.clone();
            if let Some(role) = config.instance(&front).map(|front| front.role) {
                told.push(Down::EdgeFrom {
                    front,
                    role,
                    fd: edge.pair.far.try_clone()?,
                });
            }
        }
        Ok(told)
    }

    /// What control is given at its start.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(super) fn for_control(&self, config: &Config, state: &Path) -> io::Result<Vec<Down>> {
        let mut told = Vec::new();
        let listen = control_listen(state);
        if let Some(bound) = self.bound(&Place::known(&listen.address)) {
            told.push(Down::Listener {
                listen,
                fd: bound.socket.try_clone()?,
            });
        }
        told.extend(self.channels_of(config)?);
        Ok(told)
    }

    /// Control's ends of the channels of all instances that `config` names.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(super) fn channels_of(&self, config: &Config) -> io::Result<Vec<Down>> {
        let mut told = Vec::new();
        for instance in &config.instances {
            let Some(channels) = self.channels(&instance.name) else {
                continue;
            };
            let (name, role): (_, Role) = (instance.name.clone(), instance.role);
            let fd = channels.events.far.try_clone()?;
            told.push(Down::Events {
                name: name.clone(),
                fd,
            });
            let fd = channels.requests.far.try_clone()?;
            told.push(Down::Requests { name, role, fd });
        }
        Ok(told)
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

impl<'a> Place<'a> {
    /// Of an address that says all.
    const fn known(address: &'a ListenAddress) -> Self {
        Self {
            address,
            chosen: None,
        }
    }

    fn bind(&self, open_for: OpenFor) -> Result<Listener, BindError> {
        Ok(Listener {
            chosen: self.chosen.map(|(name, nth)| (name.clone(), nth)),
            bound: Bound::new(self.address, open_for)?,
        })
    }
}

impl Listener {
    fn place(&self) -> Place<'_> {
        Place {
            address: &self.bound.address,
            chosen: self.chosen.as_ref().map(|(name, nth)| (name, *nth)),
        }
    }
}

/// The listeners of an instance, in their order, with what each is known by.
fn places(instance: &InstanceConfig) -> impl Iterator<Item = (Place<'_>, &Listen)> {
    instance.listen.iter().enumerate().map(|(i, listen)| {
        let address = &listen.address;
        let same = |other: &&Listen| other.address == *address;
        let chosen = match address {
            ListenAddress::Tcp(tcp) if tcp.port() == 0 => Some((
                &instance.name,
                instance.listen[..i].iter().filter(same).count(),
            )),
            ListenAddress::Tcp(_) | ListenAddress::Unix(_) => None,
        };
        (Place { address, chosen }, listen)
    })
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
