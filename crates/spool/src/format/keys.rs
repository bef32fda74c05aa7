//! A snapshot of all keys, and the key in front of a message.

use mail::{HandoffKey, SpoolId};

use super::codec::{Decoder, Encoder};
use crate::{AcceptedKey, IndexSet};

/// The keys of one sender and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyGroup {
    pub(crate) sender: SpoolId,
    pub(crate) epoch: u64,
    /// What is below is settled.
    pub(crate) lowest: u64,
    pub(crate) accepted: Vec<(u64, IndexSet)>,
}

pub(crate) fn put_set(e: &mut Encoder, set: &IndexSet) {
    e.number(set.words().count() as u64);
    set.words().for_each(|word| e.number(word));
}

pub(crate) fn take_set(d: &mut Decoder<'_>) -> Option<IndexSet> {
    d.list(Decoder::number).map(|w| IndexSet::from_words(&w))
}

pub(crate) fn put_key(e: &mut Encoder, key: &HandoffKey) {
    e.fixed(&key.sender.to_bytes());
    e.number(key.epoch);
    e.number(key.number);
}

pub(crate) fn take_key(d: &mut Decoder<'_>) -> Option<HandoffKey> {
    Some(HandoffKey {
        sender: SpoolId::from_bytes(d.array()?),
        epoch: d.number()?,
        number: d.number()?,
    })
}

/// A key as an accepted record has it: with the lowest number not known to be settled.
pub(crate) fn put_accepted(e: &mut Encoder, key: &AcceptedKey, lowest: u64) {
    put_key(e, &key.key);
    e.number(lowest);
    put_set(e, &key.accepted);
}

pub(crate) fn take_accepted(d: &mut Decoder<'_>) -> Option<(AcceptedKey, u64)> {
    let key = take_key(d)?;
    let lowest = d.number()?;
    let accepted = take_set(d)?;
    Some((AcceptedKey { key, accepted }, lowest))
}

pub(crate) fn encode_snapshot(groups: &[KeyGroup]) -> Vec<u8> {
    let mut e = Encoder::default();
    e.number(groups.len() as u64);
    for group in groups {
        e.fixed(&group.sender.to_bytes());
        e.number(group.epoch);
        e.number(group.lowest);
        e.number(group.accepted.len() as u64);
        for (number, set) in &group.accepted {
            e.number(*number);
            put_set(&mut e, set);
        }
    }
    e.0
}

pub(crate) fn decode_snapshot(bytes: &[u8]) -> Option<Vec<KeyGroup>> {
    let mut d = Decoder(bytes);
    let groups = d.list(|d| {
        Some(KeyGroup {
            sender: SpoolId::from_bytes(d.array()?),
            epoch: d.number()?,
            lowest: d.number()?,
            accepted: d.list(|d| Some((d.number()?, take_set(d)?)))?,
        })
    })?;
    d.end()?;
    Some(groups)
}
