//! Octets back to events.
//!
//! # Failure
//! Control does not trust an instance: whatever octets come, decoding gives an event or an error.

use mail::event::{About, Event, Source, What};
use mail::{Disposition, MessageId, Origin};

use super::encoding::{PHASES, kind};
use super::wire::{DecodeError, Reader};

/// Reads an event.
pub(crate) fn decode(r: &mut Reader<'_>) -> Result<Event, DecodeError> {
    let at = r.time()?;
    let trace = r.optional(Reader::trace)?;
    let what = decode_what(r)?;
    Ok(Event { at, trace, what })
}

fn decode_what(r: &mut Reader<'_>) -> Result<What, DecodeError> {
    Ok(match r.byte()? {
        kind::ACCEPTED => What::Accepted {
            id: MessageId(r.number()?),
            from: r.sender()?,
            n_recipients: r.small()?,
            size_bytes: r.number()?,
            origin: decode_origin(r)?,
            message_id: r.optional(Reader::text)?,
            source: decode_source(r)?,
        },
        kind::ALARM => What::Alarm { text: r.text()? },
        kind::BREAKER => What::Breaker {
            next: r.text()?,
            open: r.truth()?,
            reason: r.text()?,
        },
        kind::DEFERRED => What::Deferred {
            about: decode_about(r)?,
            reply: r.reply()?,
            next_due: r.time()?,
        },
        kind::DELIVERED => What::Delivered {
            about: decode_about(r)?,
            reply: r.reply()?,
        },
        kind::DROPPED => What::Dropped {
            about: decode_about(r)?,
            by: r.text()?,
        },
        kind::FAILED => What::Failed {
            about: decode_about(r)?,
            reply: r.reply()?,
        },
        kind::HANDED_OFF => What::HandedOff {
            next: r.text()?,
            from: r.sender()?,
            n_recipients: r.small()?,
            size_bytes: r.number()?,
            spooled: r.truth()?,
            message_id: r.optional(Reader::text)?,
            source: decode_source(r)?,
        },
        kind::HELD => What::Held {
            about: decode_about(r)?,
            reason: r.text()?,
        },
        kind::NOTIFIED => What::Notified {
            notification: r.trace()?,
            to: r.mailbox()?,
        },
        kind::POSSIBLE_DUPLICATE => What::PossibleDuplicate {
            about: decode_about(r)?,
        },
        kind::RELEASED => What::Released {
            about: decode_about(r)?,
            by: r.text()?,
        },
        kind::INSTANCE => What::Instance { text: r.text()? },
        other => decode_of_client(other, r)?,
    })
}

/// What is about a client and no message of it.
fn decode_of_client(kind: u8, r: &mut Reader<'_>) -> Result<What, DecodeError> {
    Ok(match kind {
        kind::CHECKED => What::Checked {
            phase: PHASES.get(r.small::<usize>()?).ok_or(DecodeError::Value)?,
            from: r.optional(Reader::sender)?,
            to: r.optional(Reader::mailbox)?,
            verdict: r.text()?,
            checks: r.text()?,
            facts: r.text()?,
            source: decode_source(r)?,
        },
        kind::DISCONNECTED => What::Disconnected {
            source: decode_source(r)?,
            reason: r.text()?,
            n_messages: r.small()?,
            n_refused: r.small()?,
            duration_ms: r.number()?,
        },
        kind::PROTOCOL_ERROR => What::ProtocolError {
            source: decode_source(r)?,
            reply: r.reply()?,
        },
        kind::REFUSED => What::Refused {
            phase: PHASES.get(r.small::<usize>()?).ok_or(DecodeError::Value)?,
            from: r.optional(Reader::sender)?,
            to: r.optional(Reader::mailbox)?,
            reply: r.reply()?,
            source: decode_source(r)?,
        },
        _ => return Err(DecodeError::Value),
    })
}

fn decode_origin(r: &mut Reader<'_>) -> Result<Origin, DecodeError> {
    Ok(match r.byte()? {
        0 => Origin::Authenticated(r.text()?),
        1 => Origin::Generated,
        2 => Origin::Local { uid: r.small()? },
        3 => Origin::Outside,
        _ => return Err(DecodeError::Value),
    })
}

fn decode_source(r: &mut Reader<'_>) -> Result<Box<Source>, DecodeError> {
    Ok(Box::new(Source {
        client: r.optional(Reader::address)?,
        orig_client: r.optional(Reader::address)?,
        helo: r.optional(Reader::text)?,
        tls: r.optional(Reader::truth)?,
        uid: r.optional(Reader::small)?,
        pid: r.optional(Reader::small)?,
        previous: r.optional(Reader::text)?,
    }))
}

fn decode_about(r: &mut Reader<'_>) -> Result<About, DecodeError> {
    Ok(About {
        id: MessageId(r.number()?),
        from: r.sender()?,
        to: r.mailbox()?,
        transport: r.text()?,
        attempts: r.small()?,
        age_ms: r.number()?,
        disposition: match r.byte()? {
            0 => Disposition::Delivered,
            1 => Disposition::Dropped,
            2 => Disposition::Failed,
            3 => Disposition::Held,
            4 => Disposition::Pending,
            _ => return Err(DecodeError::Value),
        },
    })
}
