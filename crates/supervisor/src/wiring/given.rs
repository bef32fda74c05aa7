//! What of the wiring each process is given, at its start and at a reload.
//!
//! # Failure
//! Each descriptor is given as a copy; when descriptors run out, nothing is given.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use config::{Config, InstanceConfig, Role};
use mail::InstanceName;

use super::place::Place;
use super::{Wiring, control_listen, next_instance};
use crate::channel::ToChild;

impl Wiring {
    /// What an instance is given at its start under `config`, for which `staged` was made.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(crate) fn for_start(
        &self,
        staged: &Self,
        config: &Config,
        name: &InstanceName,
    ) -> io::Result<Vec<ToChild>> {
        let mut told = self.for_reload(staged, config, name)?;
        told.extend(self.edges_into(config, name)?);
        let role = config.instance(name).map(|instance| instance.role);
        let channels = self.channels(name).or_else(|| staged.channels(name));
        if let (Some(channels), Some(role)) = (channels, role) {
            told.push(ToChild::Events {
                name: name.clone(),
                fd: channels.events.near.try_clone()?,
            });
            told.push(ToChild::Requests {
                name: name.clone(),
                role,
                fd: channels.requests.near.try_clone()?,
            });
            told.push(ToChild::EdgeFrom {
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
    pub(crate) fn successor_channel(&self, name: &InstanceName) -> io::Result<OwnedFd> {
        let channels = self.channels(name).ok_or(io::ErrorKind::NotFound)?;
        channels.succession.near.try_clone()
    }

    /// What an instance that goes on is given at a reload: all that it listens on and hands on to,
    /// and the edges from fronts that are new to it. `staged` is what [`Self::missing`] made.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(crate) fn for_reload(
        &self,
        staged: &Self,
        config: &Config,
        name: &InstanceName,
    ) -> io::Result<Vec<ToChild>> {
        let mut told = Vec::new();
        if let Some(instance) = config.instance(name) {
            told.extend(self.of_its_own(instance)?);
            told.extend(staged.of_its_own(instance)?);
        }
        told.extend(staged.edges_into(config, name)?);
        Ok(told)
    }

    /// An instance's listeners, and the sending end of its edge.
    fn of_its_own(&self, instance: &InstanceConfig) -> io::Result<Vec<ToChild>> {
        let mut told = Vec::new();
        for (listen, bound) in self.listeners_of(instance) {
            told.push(ToChild::Listener {
                listen,
                fd: bound.socket.try_clone()?,
            });
        }
        let next = next_instance(instance);
        if let Some(edge) = next.and_then(|next| self.edge(&instance.name, next)) {
            told.push(ToChild::EdgeTo {
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
    fn edges_into(&self, config: &Config, name: &InstanceName) -> io::Result<Vec<ToChild>> {
        let mut told = Vec::new();
        for edge in self.edges.iter().filter(|edge| edge.next == *name) {
            let front = edge.front.clone();
            if let Some(role) = config.instance(&front).map(|front| front.role) {
                told.push(ToChild::EdgeFrom {
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
    pub(crate) fn for_control(&self, config: &Config, state: &Path) -> io::Result<Vec<ToChild>> {
        let mut told = Vec::new();
        let listen = control_listen(state);
        if let Some(bound) = self.bound(&Place::known(&listen.address)) {
            told.push(ToChild::Listener {
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
    pub(crate) fn channels_of(&self, config: &Config) -> io::Result<Vec<ToChild>> {
        let mut told = Vec::new();
        for instance in &config.instances {
            let Some(channels) = self.channels(&instance.name) else {
                continue;
            };
            let (name, role): (_, Role) = (instance.name.clone(), instance.role);
            let fd = channels.events.far.try_clone()?;
            told.push(ToChild::Events {
                name: name.clone(),
                fd,
            });
            let fd = channels.requests.far.try_clone()?;
            told.push(ToChild::Requests { name, role, fd });
        }
        Ok(told)
    }
}
