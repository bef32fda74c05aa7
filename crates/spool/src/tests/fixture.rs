//! Messages to try things with.

use std::sync::Arc;
use std::time::Duration;

use mail::{
    BodyType, Disposition, Envelope, HandoffKey, Mailbox, Origin, Provenance, Recipient, Reply,
    ReplyCode, ReversePath, SpoolId, Timestamp, TraceId,
};

use crate::simulated::Random;
use crate::{
    AcceptedKey, Disk, IndexSet, Message, Options, Progress, RecipientState, Recovery, Spool,
    Stored,
};

/// A message from this number to `n_recipients` recipients.
pub(crate) fn message(number: u64, n_recipients: u32) -> Message {
    let address = |text: String| Mailbox::parse(&text).expect("a good address");
    let recipients = (0..n_recipients)
        .map(|i| Recipient::new(address(format!("r{i}@example.org"))))
        .collect();
    Message {
        provenance: Provenance {
            trace: TraceId::new(Timestamp::from_unix_ms(1_795_477_800_000), number.into()),
            origin: Origin::Outside,
            arrived: Timestamp::from_unix_ms(1_795_477_800_000 + number),
            client: None,
            visited: vec!["input".parse().expect("a good name")],
            about: None,
        },
        envelope: Envelope {
            sender: ReversePath::Mailbox(address(format!("s{number}@example.com"))),
            recipients,
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        key: None,
        handoff: None,
        next_due: Timestamp::from_unix_ms(number),
    }
}

/// A key of another spool.
pub(crate) fn key(number: u64) -> HandoffKey {
    HandoffKey {
        sender: SpoolId::from_bytes([7; 16]),
        epoch: 3,
        number,
    }
}

/// A message that came by a handoff and is to be handed on.
pub(crate) fn keyed(number: u64, n_recipients: u32) -> Message {
    Message {
        handoff: Some(key(1_000 + number)),
        key: Some(AcceptedKey {
            key: key(number),
            accepted: IndexSet::all(n_recipients),
        }),
        ..message(number, n_recipients)
    }
}

/// Contents differ in every octet that matters and follow from a number.
pub(crate) fn content(number: u64, len: usize) -> Vec<u8> {
    let mut x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What an attempt for recipient `index` came to, or an operator decided: which one, follows from
/// the number of attempts.
pub(crate) fn deferral(index: u32, attempts: u32) -> Progress {
    let disposition = match attempts % 8 {
        3 => Disposition::Held,
        5 => Disposition::Dropped,
        7 => Disposition::Failed,
        _ => Disposition::Pending,
    };
    let reply = Reply::new(ReplyCode::new(450), None, &"try again ".repeat(20));
    Progress {
        recipients: vec![(
            index,
            RecipientState {
                disposition,
                attempts,
                reply: Some(reply),
                handoff: Some(key(100 + u64::from(attempts))),
            },
        )],
        next_due: Timestamp::from_unix_ms(u64::from(attempts) * 60_000),
    }
}

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let high = usize::try_from(self.next() >> 33).expect("31 bits");
        high % n
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for i in (1..all.len()).rev() {
            all.swap(i, self.below(i + 1));
        }
    }
}

/// Small segments, and no waiting for company.
pub(crate) fn options() -> Options {
    Options {
        segment_len: crate::limits::SEGMENT_LEN_MIN,
        outcome_delay: Duration::ZERO,
        ..Options::new(std::array::from_fn(|i| u8::try_from(i).expect("small")))
    }
}

pub(crate) fn open(disk: &Arc<dyn Disk>) -> (Spool, Recovery) {
    Spool::open(Arc::clone(disk), options()).expect("opens")
}

pub(crate) fn stored(recovery: &Recovery) -> Vec<Stored> {
    let mut all: Vec<Stored> = recovery
        .messages()
        .map(|(_, read)| read.expect("readable"))
        .collect();
    all.sort_unstable_by_key(|stored| stored.id);
    all
}
