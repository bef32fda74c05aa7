//! The state of a message: what changes after it was accepted.

use mail::{Disposition, EnhancedStatus, HandoffKey, Reply, ReplyCode, Timestamp};

use super::codec::{Decoder, Encoder};
use super::keys::{put_key, put_set, take_key, take_set};
use crate::{IndexSet, Progress, RecipientState};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Recipients of whom an attempt began that has no outcome.
    pub(crate) under_way: IndexSet,
    /// How many attempts in a row were cut short: another began for a recipient of theirs.
    pub(crate) cut_short: u32,
    /// When it is due; `None`: still as it was accepted.
    pub(crate) next_due: Option<Timestamp>,
    /// Recipients that are still bound to the key with which the message was accepted, where it has
    /// one; that key stands in the message, and not here.
    pub(crate) bound_as_accepted: IndexSet,
    pub(crate) recipients: Vec<RecipientState>,
}

impl State {
    /// As a message begins: its acceptance stands for the record of a first attempt.
    pub(crate) fn new(n_recipients: u32) -> Self {
        Self {
            under_way: IndexSet::all(n_recipients),
            cut_short: 0,
            next_due: None,
            bound_as_accepted: IndexSet::all(n_recipients),
            recipients: vec![RecipientState::NEW; n_recipients as usize],
        }
    }

    /// What `bytes` say; where they are empty, how a message begins.
    pub(crate) fn decode_or_new(bytes: &[u8], n_recipients: u32) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::new(n_recipients));
        }
        Self::decode(bytes).filter(|state| state.recipients.len() == n_recipients as usize)
    }

    /// An attempt begins for these.
    pub(crate) fn begin(&mut self, recipients: &IndexSet) {
        if self.under_way.intersects(recipients) {
            self.cut_short = self.cut_short.saturating_add(1);
        }
        self.under_way.extend(recipients);
    }

    /// Takes in what an attempt came to. Indexes beyond the recipients are left out.
    pub(crate) fn apply(&mut self, progress: Progress) {
        self.next_due = Some(progress.next_due);
        for (index, state) in progress.recipients {
            let Some(recipient) = self.recipients.get_mut(index as usize) else {
                continue;
            };
            // An operator's change, or a new key, is no outcome: what was in doubt stays so.
            if state.attempts > recipient.attempts {
                self.under_way.remove(index);
            }
            self.bound_as_accepted.remove(index);
            *recipient = state;
        }
        if self.under_way.is_empty() {
            self.cut_short = 0;
        }
    }

    /// Leaves the texts of replies out, and their causes.
    pub(crate) fn drop_texts(&mut self) {
        for reply in self.recipients.iter_mut().filter_map(|r| r.reply.as_mut()) {
            *reply = reply.with_text("");
        }
    }

    /// Where the recipients stand, of a message that was accepted with this key or without one.
    pub(crate) fn into_recipients(mut self, accepted: Option<HandoffKey>) -> Vec<RecipientState> {
        for (index, recipient) in (0..).zip(&mut self.recipients) {
            if self.bound_as_accepted.contains(index) {
                recipient.handoff = accepted;
            }
        }
        self.recipients
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        put_set(&mut e, &self.under_way);
        e.number(u64::from(self.cut_short));
        e.option(self.next_due, |e, due| e.number(due.unix_ms()));
        put_set(&mut e, &self.bound_as_accepted);
        let keys = self.recipients.iter().map(|r| r.handoff.as_ref());
        let (keys, key_numbers) = numbered(keys, PartialEq::eq);
        e.number(keys.len() as u64);
        keys.into_iter().for_each(|key| put_key(&mut e, key));
        let replies = self.recipients.iter().map(|r| r.reply.as_ref());
        let same = |a: &Reply, b: &Reply| a == b && a.cause() == b.cause();
        let (replies, reply_numbers) = numbered(replies, same);
        e.number(replies.len() as u64);
        for reply in replies {
            e.number(u64::from(reply.code.value()));
            e.option(reply.enhanced, |e, s| {
                e.byte(s.class());
                e.number(u64::from(s.subject()));
                e.number(u64::from(s.detail()));
            });
            e.text(reply.text());
            e.option(reply.cause(), |e, cause| e.text(cause));
        }
        e.number(self.recipients.len() as u64);
        let numbers = reply_numbers.into_iter().zip(key_numbers);
        for (recipient, (reply, key)) in self.recipients.iter().zip(numbers) {
            e.byte(disposition_code(recipient.disposition));
            e.number(u64::from(recipient.attempts));
            e.number(reply);
            e.number(key);
        }
        e.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        let under_way = take_set(&mut d)?;
        let cut_short = d.small()?;
        let next_due = d.option(|d| d.number().map(Timestamp::from_unix_ms))?;
        let bound_as_accepted = take_set(&mut d)?;
        let keys = d.list(take_key)?;
        let replies = d.list(take_reply)?;
        let recipients = d.list(|d| {
            let disposition = disposition_of(d.byte()?)?;
            let attempts = d.small()?;
            let reply = take_numbered(d, &replies)?;
            let handoff = take_numbered(d, &keys)?;
            Some(RecipientState {
                disposition,
                attempts,
                reply,
                handoff,
            })
        })?;
        d.end()?;
        Some(Self {
            under_way,
            cut_short,
            next_due,
            bound_as_accepted,
            recipients,
        })
    }
}

/// What recipients have in common is written once: each different value, and for every recipient
/// its number from 1, or 0 where it has none.
fn numbered<'a, T>(
    values: impl Iterator<Item = Option<&'a T>>,
    same: impl Fn(&T, &T) -> bool,
) -> (Vec<&'a T>, Vec<u64>) {
    let mut different: Vec<&T> = Vec::new();
    let numbers = values.map(|value| {
        let Some(value) = value else { return 0 };
        // From the end, as neighbours are alike, and bounded, so that a thousand different replies
        // do not cost a million comparisons.
        let near = different.iter().rev().take(8).position(|d| same(d, value));
        if near.is_none() {
            different.push(value);
        }
        (different.len() - near.unwrap_or(0)) as u64
    });
    let numbers = numbers.collect();
    (different, numbers)
}

fn take_numbered<T: Clone>(d: &mut Decoder<'_>, values: &[T]) -> Option<Option<T>> {
    match usize::try_from(d.number()?).ok()? {
        0 => Some(None),
        n => values.get(n - 1).cloned().map(Some),
    }
}

fn take_reply(d: &mut Decoder<'_>) -> Option<Reply> {
    let code = ReplyCode::from_peer(d.small()?.try_into().ok()?)?;
    let enhanced = d.option(|d| {
        let (class, subject, detail) = (d.byte()?, d.small()?, d.small()?);
        let valid = matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999;
        let (subject, detail) = (subject.try_into().ok()?, detail.try_into().ok()?);
        valid.then(|| EnhancedStatus::new(class, subject, detail))
    })?;
    let reply = Reply::new(code, enhanced, d.text()?);
    Some(match d.option(Decoder::text)? {
        Some(cause) => reply.with_cause(cause),
        None => reply,
    })
}

const fn disposition_code(disposition: Disposition) -> u8 {
    match disposition {
        Disposition::Delivered => 1,
        Disposition::Dropped => 2,
        Disposition::Failed => 3,
        Disposition::Held => 4,
        Disposition::Pending => 5,
    }
}

const fn disposition_of(code: u8) -> Option<Disposition> {
    Some(match code {
        1 => Disposition::Delivered,
        2 => Disposition::Dropped,
        3 => Disposition::Failed,
        4 => Disposition::Held,
        5 => Disposition::Pending,
        _ => return None,
    })
}
