//! Events as octets, for their way from an instance to control; and batches of them.
//!
//! A batch is one datagram: a version, the numbers of events and of final outcomes lost before it,
//! and events, each with its length before it. Nothing is ever stored in this form.
//!
//! # Limits
//! An encoded event is at most [`EVENT_LEN_MAX`] octets: its texts are cut to fit when written.
//!
//! # Failure
//! Control does not trust an instance: whatever octets come, decoding gives events or an error.

use mail::event::{About, Event, Source, What};
use mail::{Disposition, Origin};

use super::decoding::decode;
pub use super::wire::DecodeError;
use super::wire::{Reader, TEXT_LEN_MAX, Writer};

/// The longest encoded event, in octets: no kind has more than seven texts.
pub const EVENT_LEN_MAX: usize = 8 * TEXT_LEN_MAX;

/// The first octet of every batch.
const VERSION: u8 = 2;

/// The phases of a transaction that an event can name.
pub const PHASES: [&str; 7] = [
    "connect", "content", "data", "helo", "mail", "other", "rcpt",
];

/// The longest head of a batch: a version and two numbers.
pub const HEAD_LEN_MAX: usize = 21;

/// What a sender had to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Events.
    pub n_events: u64,
    /// Those among them that were [final outcomes](What::is_final).
    pub n_final: u64,
}

impl Lost {
    /// Counts an event.
    pub fn add(&mut self, what: &What) {
        self.n_events += 1;
        self.n_final += u64::from(what.is_final());
    }

    /// Counts what somebody else has counted.
    pub fn join(&mut self, other: Self) {
        self.n_events = self.n_events.saturating_add(other.n_events);
        self.n_final = self.n_final.saturating_add(other.n_final);
    }
}

/// Events in the making of a batch.
#[derive(Debug, Default)]
pub struct Batch {
    octets: Vec<u8>,
    scratch: Vec<u8>,
    n_events: u64,
}

impl Batch {
    /// Appends an event.
    pub fn push(&mut self, event: &Event) {
        self.scratch.clear();
        encode(event, &mut Writer(&mut self.scratch));
        Writer(&mut self.octets).number(self.scratch.len() as u64);
        self.octets.extend_from_slice(&self.scratch);
        self.n_events += 1;
    }

    /// How many octets the events take.
    pub fn n_octets(&self) -> usize {
        self.octets.len()
    }

    /// How many events there are.
    pub fn n_events(&self) -> u64 {
        self.n_events
    }

    /// Ends the batch as a datagram that also says what was lost before it.
    pub fn take(&mut self, lost: Lost) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(self.octets.len() + HEAD_LEN_MAX);
        let mut writer = Writer(&mut datagram);
        writer.byte(VERSION);
        writer.number(lost.n_events);
        writer.number(lost.n_final);
        datagram.append(&mut self.octets);
        self.n_events = 0;
        datagram
    }
}

/// What a batch said.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What the sender had to leave out before these.
    pub lost: Lost,
    /// The events, in the order of the sender.
    pub events: Vec<Event>,
}

impl Decoded {
    /// That events are missing: logged with the events after them, at the time of those.
    pub fn loss(&self) -> Option<Event> {
        let first = self.events.first().filter(|_| self.lost.n_events > 0)?;
        let Lost { n_events, n_final } = self.lost;
        let outcomes = match n_final {
            0 => "no final outcomes among them".to_owned(),
            n => format!(
                "{n} final outcomes among them, which `postern spool dump` prints for as long as \
                 the spool has them"
            ),
        };
        let text = format!("{n_events} events were lost before these: {outcomes}");
        Some(Event {
            at: first.at,
            trace: None,
            what: What::Alarm { text: text.into() },
        })
    }
}

/// Reads a batch.
///
/// # Errors
/// When any octet of it is not as [`Batch`] writes it; then nothing of it is believed.
pub fn decode_batch(datagram: &[u8]) -> Result<Decoded, DecodeError> {
    let mut reader = Reader(datagram);
    if reader.byte()? != VERSION {
        return Err(DecodeError::Version);
    }
    let (n_events, n_final) = (reader.number()?, reader.number()?);
    let lost = Lost { n_events, n_final };
    let mut events = Vec::new();
    while !reader.0.is_empty() {
        let len = reader.small()?;
        let mut one = Reader(reader.bytes(len)?);
        events.push(decode(&mut one)?);
        if !one.0.is_empty() {
            return Err(DecodeError::Trailing);
        }
    }
    Ok(Decoded { lost, events })
}

/// The octet that says what happened.
pub(crate) mod kind {
    pub(crate) const ACCEPTED: u8 = 0;
    pub(crate) const ALARM: u8 = 1;
    pub(crate) const BREAKER: u8 = 2;
    pub(crate) const DEFERRED: u8 = 3;
    pub(crate) const DELIVERED: u8 = 4;
    pub(crate) const DROPPED: u8 = 5;
    pub(crate) const FAILED: u8 = 6;
    pub(crate) const HANDED_OFF: u8 = 7;
    pub(crate) const HELD: u8 = 8;
    pub(crate) const NOTIFIED: u8 = 9;
    pub(crate) const POSSIBLE_DUPLICATE: u8 = 10;
    pub(crate) const REFUSED: u8 = 11;
    pub(crate) const RELEASED: u8 = 12;
    pub(crate) const INSTANCE: u8 = 13;
    pub(crate) const DISCONNECTED: u8 = 14;
    pub(crate) const PROTOCOL_ERROR: u8 = 15;
    pub(crate) const CHECKED: u8 = 16;
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each kind of event, in its order"
)]
fn encode(event: &Event, w: &mut Writer<'_>) {
    w.time(event.at);
    w.optional(event.trace, Writer::trace);
    match &event.what {
        What::Accepted {
            id,
            from,
            n_recipients,
            size_bytes,
            origin,
            message_id,
            source,
        } => {
            w.byte(kind::ACCEPTED);
            w.number(id.0);
            w.sender(from);
            w.number((*n_recipients).into());
            w.number(*size_bytes);
            encode_origin(origin, w);
            w.optional(message_id.as_deref(), Writer::text);
            encode_source(source, w);
        }
        What::Alarm { text } => {
            w.byte(kind::ALARM);
            w.text(text);
        }
        What::Breaker { next, open, reason } => {
            w.byte(kind::BREAKER);
            w.text(next);
            w.byte((*open).into());
            w.text(reason);
        }
        What::Checked {
            phase,
            from,
            to,
            verdict,
            checks,
            facts,
            source,
        } => {
            w.byte(kind::CHECKED);
            w.number(phase_index(phase));
            w.optional(from.as_ref(), Writer::sender);
            w.optional(to.as_ref(), Writer::mailbox);
            w.text(verdict);
            w.text(checks);
            w.text(facts);
            encode_source(source, w);
        }
        What::Deferred {
            about,
            reply,
            next_due,
        } => {
            w.byte(kind::DEFERRED);
            encode_about(about, w);
            w.reply(reply);
            w.time(*next_due);
        }
        What::Delivered { about, reply } => {
            w.byte(kind::DELIVERED);
            encode_about(about, w);
            w.reply(reply);
        }
        What::Disconnected {
            source,
            reason,
            n_messages,
            n_refused,
            duration_ms,
        } => {
            w.byte(kind::DISCONNECTED);
            encode_source(source, w);
            w.text(reason);
            w.number((*n_messages).into());
            w.number((*n_refused).into());
            w.number(*duration_ms);
        }
        What::Dropped { about, by } => {
            w.byte(kind::DROPPED);
            encode_about(about, w);
            w.text(by);
        }
        What::Failed { about, reply } => {
            w.byte(kind::FAILED);
            encode_about(about, w);
            w.reply(reply);
        }
        What::HandedOff {
            next,
            from,
            n_recipients,
            size_bytes,
            spooled,
            message_id,
            source,
        } => {
            w.byte(kind::HANDED_OFF);
            w.text(next);
            w.sender(from);
            w.number((*n_recipients).into());
            w.number(*size_bytes);
            w.byte((*spooled).into());
            w.optional(message_id.as_deref(), Writer::text);
            encode_source(source, w);
        }
        What::Held { about, reason } => {
            w.byte(kind::HELD);
            encode_about(about, w);
            w.text(reason);
        }
        What::Notified { notification, to } => {
            w.byte(kind::NOTIFIED);
            w.trace(*notification);
            w.mailbox(to);
        }
        What::PossibleDuplicate { about } => {
            w.byte(kind::POSSIBLE_DUPLICATE);
            encode_about(about, w);
        }
        What::ProtocolError { source, reply } => {
            w.byte(kind::PROTOCOL_ERROR);
            encode_source(source, w);
            w.reply(reply);
        }
        What::Refused {
            phase,
            from,
            to,
            reply,
            source,
        } => {
            w.byte(kind::REFUSED);
            w.number(phase_index(phase));
            w.optional(from.as_ref(), Writer::sender);
            w.optional(to.as_ref(), Writer::mailbox);
            w.reply(reply);
            encode_source(source, w);
        }
        What::Released { about, by } => {
            w.byte(kind::RELEASED);
            encode_about(about, w);
            w.text(by);
        }
        What::Instance { text } => {
            w.byte(kind::INSTANCE);
            w.text(text);
        }
    }
}

fn phase_index(phase: &str) -> u64 {
    let place = |name| PHASES.iter().position(|known| *known == name);
    place(phase).or_else(|| place("other")).unwrap_or_default() as u64
}

fn encode_origin(origin: &Origin, w: &mut Writer<'_>) {
    match origin {
        Origin::Authenticated(identity) => {
            w.byte(0);
            w.text(identity);
        }
        Origin::Generated => w.byte(1),
        Origin::Local { uid } => {
            w.byte(2);
            w.number((*uid).into());
        }
        Origin::Outside => w.byte(3),
    }
}

fn encode_source(source: &Source, w: &mut Writer<'_>) {
    w.optional(source.client, Writer::address);
    w.optional(source.orig_client, Writer::address);
    w.optional(source.helo.as_deref(), Writer::text);
    w.optional(source.tls, |w, tls| w.byte(tls.into()));
    w.optional(source.uid, |w, uid| w.number(uid.into()));
    w.optional(source.pid, |w, pid| w.number(pid.into()));
    w.optional(source.previous.as_deref(), Writer::text);
}

fn encode_about(about: &About, w: &mut Writer<'_>) {
    w.number(about.id.0);
    w.sender(&about.from);
    w.mailbox(&about.to);
    w.text(&about.transport);
    w.number(about.attempts.into());
    w.number(about.age_ms);
    w.byte(match about.disposition {
        Disposition::Delivered => 0,
        Disposition::Dropped => 1,
        Disposition::Failed => 2,
        Disposition::Held => 3,
        Disposition::Pending => 4,
    });
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn batch(events: &[Event], n_lost: u64) -> Vec<u8> {
        let mut batch = Batch::default();
        for event in events {
            batch.push(event);
        }
        let n_final = n_lost / 2;
        batch.take(Lost {
            n_events: n_lost,
            n_final,
        })
    }

    #[test]
    fn every_kind_of_event_reads_back_as_it_was_written() {
        let events = samples::all();
        let decoded = decode_batch(&batch(&events, 7));
        let lost = Lost {
            n_events: 7,
            n_final: 3,
        };
        assert_eq!(decoded, Ok(Decoded { lost, events }));
    }

    #[test]
    fn a_batch_cut_anywhere_is_an_error_or_whole_events() {
        let events = samples::all();
        let whole = batch(&events, 300);
        for len in 0..whole.len() {
            if let Ok(decoded) = decode_batch(&whole[..len]) {
                assert_eq!(decoded.events, events[..decoded.events.len()]);
            }
        }
    }

    #[test]
    fn no_changed_octet_makes_the_decoder_panic() {
        let whole = batch(&samples::all(), 0);
        for i in 0..whole.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff, whole[i] ^ 1, whole[i] ^ 0x20] {
                let mut changed = whole.clone();
                changed[i] = value;
                let _ = decode_batch(&changed);
            }
        }
    }

    #[test]
    fn numbers_that_overflow_and_unknown_kinds_are_refused() {
        for (octets, error) in [
            (&[][..], DecodeError::Truncated),
            (&[1, 0, 0], DecodeError::Version),
            (
                &[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                DecodeError::Value,
            ),
            (&[2, 0, 0, 0xff, 0xff, 3], DecodeError::Truncated),
            (&[2, 0, 0, 3, 0, 0, 99], DecodeError::Value),
            (&[2, 0, 0, 3, 0, 2, 1], DecodeError::Value),
            (&[2, 0, 0, 5, 0, 0, 1, 0, 0], DecodeError::Trailing),
            (&[2, 0, 0, 5, 0, 0, 1, 1, 0xff], DecodeError::Text),
        ] {
            assert_eq!(decode_batch(octets), Err(error), "{octets:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_the_event_stays_within_its_limit() {
        let text = "é".repeat(100_000).into_boxed_str();
        let event = Event {
            at: mail::Timestamp::default(),
            trace: None,
            what: What::Alarm { text },
        };
        let datagram = batch(&[event], 0);
        assert!(datagram.len() < EVENT_LEN_MAX);
        let decoded = decode_batch(&datagram).expect("whole");
        assert!(matches!(&decoded.events[0].what, What::Alarm { text } if text.len() == 1024));
    }
}
