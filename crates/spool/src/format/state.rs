//! The state of a message: what changes after it was accepted.

use mail::{Disposition, EnhancedStatus, HandoffKey, Reply, ReplyCode, Timestamp};

use super::codec::{Decoder, Encoder};
use super::keys::{put_key, take_key};
use crate::{Progress, RecipientState};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Attempts that began and have no outcome.
    pub(crate) unfinished: u32,
    /// When it is due and how it is handed on; `None`: still as it was accepted.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) recipients: Vec<RecipientState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) next_due: Timestamp,
    pub(crate) handoff: Option<HandoffKey>,
}

impl State {
    /// As a message begins: its acceptance stands for the record of a first attempt.
    pub(crate) fn new(n_recipients: u32) -> Self {
        Self {
            unfinished: 1,
            schedule: None,
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

    /// Takes in what an attempt came to. Indexes beyond the recipients are left out.
    pub(crate) fn apply(&mut self, progress: Progress) {
        self.unfinished = 0;
        self.schedule = Some(Schedule {
            next_due: progress.next_due,
            handoff: progress.handoff,
        });
        for (index, state) in progress.recipients {
            if let Some(recipient) = self.recipients.get_mut(index as usize) {
                *recipient = state;
            }
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.number(u64::from(self.unfinished));
        e.option(self.schedule, |e, schedule| {
            e.number(schedule.next_due.unix_ms());
            e.option(schedule.handoff.as_ref(), put_key);
        });
        // Recipients at one site mostly have the same reply: it is written once.
        let mut replies: Vec<&Reply> = Vec::new();
        let mut numbers = Vec::with_capacity(self.recipients.len());
        for recipient in &self.recipients {
            let Some(reply) = &recipient.reply else {
                numbers.push(0);
                continue;
            };
            // From the end, as neighbours are alike, and bounded, so that a thousand different
            // replies do not cost a million comparisons.
            let near = replies.iter().rev().take(8).position(|r| *r == reply);
            if near.is_none() {
                replies.push(reply);
            }
            numbers.push(replies.len() - near.unwrap_or(0));
        }
        e.number(replies.len() as u64);
        for reply in replies {
            e.number(u64::from(reply.code.value()));
            e.option(reply.enhanced, |e, s| {
                e.byte(s.class());
                e.number(u64::from(s.subject()));
                e.number(u64::from(s.detail()));
            });
            e.text(reply.text());
        }
        e.number(self.recipients.len() as u64);
        for (recipient, number) in self.recipients.iter().zip(numbers) {
            e.byte(disposition_code(recipient.disposition));
            e.number(u64::from(recipient.attempts));
            e.number(number as u64);
        }
        e.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        let unfinished = d.small()?;
        let schedule = d.option(|d| {
            Some(Schedule {
                next_due: Timestamp::from_unix_ms(d.number()?),
                handoff: d.option(take_key)?,
            })
        })?;
        let replies = d.list(take_reply)?;
        let recipients = d.list(|d| {
            let disposition = disposition_of(d.byte()?)?;
            let attempts = d.small()?;
            let reply = match usize::try_from(d.number()?).ok()? {
                0 => None,
                n => Some(replies.get(n - 1)?.clone()),
            };
            Some(RecipientState {
                disposition,
                attempts,
                reply,
            })
        })?;
        d.end()?;
        Some(Self {
            unfinished,
            schedule,
            recipients,
        })
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
    Some(Reply::new(code, enhanced, d.text()?))
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
