//! Listeners, and what each is known by from one configuration to the next.

use config::{InstanceConfig, Listen, ListenAddress};
use mail::InstanceName;

use crate::bind::{BindError, Bound, OpenFor};

/// What a listener is known by from one configuration to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    address: &'a ListenAddress,
    /// A port of the kernel's choice is another one for each listener: whose it is, and how many
    /// of its listeners before it are written the same.
    chosen: Option<(&'a InstanceName, usize)>,
}

/// A listener, and what it is known by.
#[derive(Debug)]
pub(super) struct Listener {
    chosen: Option<(InstanceName, usize)>,
    pub(super) bound: Bound,
}

impl<'a> Place<'a> {
    /// Of an address that says all.
    pub(super) const fn known(address: &'a ListenAddress) -> Self {
        Self {
            address,
            chosen: None,
        }
    }

    pub(super) fn bind(&self, open_for: OpenFor) -> Result<Listener, BindError> {
        Ok(Listener {
            chosen: self.chosen.map(|(name, nth)| (name.clone(), nth)),
            bound: Bound::new(self.address, open_for)?,
        })
    }
}

impl Listener {
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            address: &self.bound.address,
            chosen: self.chosen.as_ref().map(|(name, nth)| (name, *nth)),
        }
    }
}

/// The listeners of an instance, in their order, with what each is known by.
pub(super) fn places(instance: &InstanceConfig) -> impl Iterator<Item = (Place<'_>, &Listen)> {
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
