//! Recipients of one message that are the same mailbox: they were accepted one by one, and get one
//! copy together.
//!
//! Each keeps its own NOTIFY and ORCPT, and its own line in log and reports: so nothing is merged
//! before a transport is known. Under a handoff key exactly those go that are bound to it; there
//! the instance that delivers finds the twins.
//!
//! # Standards
//! RFC 5321 §2.4: domains are compared without case, local parts by the host that delivers into
//! them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use mail::{
    Author, Disposition, DomainKey, Envelope, Mailbox, Notify, Outcome, OutcomeKind, Recipient,
};
use spool::Stored;

use super::ways::Way;
use crate::record::{CarriedBy, Tried};
use crate::transport::Transport;

/// What makes two addresses the same mailbox: the local part without quotes, and the domain.
type Identity<'a> = (String, DomainKey<'a>);

/// The recipients of a transport, with those put together that are one.
pub(super) struct Twins {
    /// The first of each.
    recipients: Vec<u32>,
    /// For each recipient of the transport, which of `recipients` stands for it.
    stands_for: Vec<usize>,
    /// Those of `recipients` for which more is asked than it asks for itself.
    asked: Vec<(u32, Notify)>,
}

impl Twins {
    /// Those among `indexes`.
    pub(super) fn among(indexes: &[u32], stored: &Stored, transport: &Transport) -> Self {
        let mut twins = Self {
            recipients: Vec::with_capacity(indexes.len()),
            stands_for: Vec::with_capacity(indexes.len()),
            asked: Vec::new(),
        };
        let mut first = HashMap::new();
        let may_be_twins = indexes.len() > 1 && transport.handoff().is_none();
        for &index in indexes {
            let recipient = recipient(&stored.message.envelope, index);
            let at = twins.recipients.len();
            let known = match recipient {
                Some(recipient) if may_be_twins => {
                    let identity = identity(&recipient.address, transport);
                    *first.entry(identity).or_insert(at)
                }
                Some(_) | None => at,
            };
            if known == at {
                twins.recipients.push(index);
            } else if let Some(recipient) = recipient {
                twins.ask(known, recipient.notify, &stored.message.envelope);
            }
            twins.stands_for.push(known);
        }
        twins
    }

    /// Another recipient is asked about in this way together with `recipients[at]`.
    fn ask(&mut self, at: usize, notify: Notify, envelope: &Envelope) {
        let index = self.recipients[at];
        let own = recipient(envelope, index).map_or(Notify::UNSPECIFIED, |r| r.notify);
        let place = self.asked.iter().position(|(of, _)| *of == index);
        let before = place.map_or(own, |place| self.asked[place].1);
        let both = union(before, notify);
        match place {
            Some(place) => self.asked[place].1 = both,
            None if both != own => self.asked.push((index, both)),
            None => {}
        }
    }

    /// The recipients that are carried, in rising order.
    pub(super) fn recipients(&self) -> &[u32] {
        &self.recipients
    }

    /// The envelope, where one recipient asks for what all of its twins ask for.
    pub(super) fn envelope<'a>(&self, envelope: &'a Envelope) -> Cow<'a, Envelope> {
        let mut envelope = Cow::Borrowed(envelope);
        for (index, notify) in &self.asked {
            let place = usize::try_from(*index).unwrap_or(usize::MAX);
            if let Some(recipient) = envelope.to_mut().recipients.get_mut(place) {
                recipient.notify = *notify;
            }
        }
        envelope
    }

    /// What came of all, where this came of those that were carried.
    pub(super) fn outcomes_of_all(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let of_all = self.stands_for.iter().map_while(|&at| outcomes.get(at));
        of_all.cloned().collect()
    }
}

/// Takes those out of `ways` whose twin was delivered at an earlier attempt: they have their copy.
/// One that is bound to a key stays, as the next instance may have it under that key.
pub(super) fn already_delivered(stored: &Stored, ways: &mut Vec<Way>) -> Vec<Tried> {
    let envelope = &stored.message.envelope;
    let is_delivered = |index: &u32| {
        let place = usize::try_from(*index).unwrap_or(usize::MAX);
        let state = stored.recipients.get(place);
        state.is_some_and(|state| state.disposition == Disposition::Delivered)
    };
    let n = u32::try_from(stored.recipients.len()).unwrap_or(u32::MAX);
    let delivered: Vec<u32> = (0..n).filter(is_delivered).collect();
    let mut tried = Vec::new();
    if delivered.is_empty() {
        return tried;
    }
    for way in ways.iter_mut().filter(|way| way.handoff.is_none()) {
        let of = |index: u32| {
            let recipient = recipient(envelope, index)?;
            Some(identity(&recipient.address, &way.transport))
        };
        let reached: HashMap<Identity<'_>, u32> = delivered
            .iter()
            .filter_map(|&index| Some((of(index)?, index)))
            .collect();
        let mut left = Vec::with_capacity(way.recipients.len());
        for &index in &way.recipients {
            match of(index).and_then(|identity| reached.get(&identity)) {
                Some(&twin) => tried.extend(delivered_with(stored, way, index, twin)),
                None => left.push(index),
            }
        }
        way.recipients = left;
    }
    ways.retain(|way| !way.recipients.is_empty());
    tried
}

fn delivered_with(stored: &Stored, way: &Way, index: u32, twin: u32) -> Option<Tried> {
    let twin = stored.recipients.get(usize::try_from(twin).ok()?)?;
    let reply = twin.reply.clone();
    let reply = reply.unwrap_or_else(|| mail::reply::table::DELIVERED_LOCALLY.reply());
    // What a host has, that host took; all else is delivered here.
    let by = match &*way.transport {
        Transport::Handoff(_) | Transport::Mx(_) | Transport::Relay(_) => Author::Peer,
        _ => Author::Us,
    };
    Some(Tried {
        index,
        outcome: Outcome {
            kind: OutcomeKind::Delivered,
            reply,
            by,
        },
        by: CarriedBy::Here(Arc::clone(&way.transport)),
        handoff: None,
        success: None,
    })
}

fn recipient(envelope: &Envelope, index: u32) -> Option<&Recipient> {
    envelope.recipients.get(usize::try_from(index).ok()?)
}

fn identity<'a>(address: &'a Mailbox, transport: &Transport) -> Identity<'a> {
    let local = address.local_part_unquoted();
    let local = match transport {
        // Its template names the same directory for both.
        Transport::Maildir(_) => local.to_lowercase(),
        Transport::Discard { .. }
        | Transport::Error(_)
        | Transport::Handoff(_)
        | Transport::Hold { .. }
        | Transport::Mx(_)
        | Transport::Relay(_)
        | Transport::Unresolved { .. } => local.into_owned(),
    };
    (local, address.domain_key())
}

/// What is asked for where both are asked for: something that either wants to know.
fn union(one: Notify, other: Notify) -> Notify {
    match (one, other) {
        (one, other) if one == other => one,
        (Notify::NEVER, wanted) | (wanted, Notify::NEVER) => wanted,
        (Notify::UNSPECIFIED, wanted) | (wanted, Notify::UNSPECIFIED) => {
            // RFC 3461 §4.1: without a word failures are notified, and delays may be.
            wanted.and(Notify::FAILURE).and(Notify::DELAY)
        }
        (one, other) => one.and(other),
    }
}
