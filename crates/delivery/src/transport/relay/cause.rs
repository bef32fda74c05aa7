//! The causes of deferrals by a host, for operators: which host and address, in which phase, why.

use std::fmt;
use std::net::IpAddr;

use mail::reply::table;
use mail::{Author, Outcome, OutcomeKind, Reply, ReplyClass};
use net::host_and_address;
use smtp::client::{CloseReason, Closed, RecipientReply};

/// The host at the other end of a connection.
pub(in crate::transport) struct Host<'a> {
    pub(in crate::transport) name: &'a str,
    pub(in crate::transport) port: u16,
    pub(in crate::transport) address: IpAddr,
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&host_and_address(self.name, self.port, self.address))
    }
}

/// What the reply for a recipient comes to.
pub(in crate::transport) fn outcome(of: RecipientReply, host: &Host<'_>) -> Outcome {
    let RecipientReply { reply, by, phase } = of;
    let reply = match reply.class() {
        ReplyClass::Transient if by == Author::Peer => {
            let cause = replied(&reply, host, phase);
            reply.with_cause(&cause)
        }
        _ => reply,
    };
    Outcome::from_reply(reply, by)
}

/// What the end of a connection means for a recipient without a reply of its own: it is tried
/// again.
pub(in crate::transport) fn end(closed: &Closed, host: &Host<'_>) -> Outcome {
    let Closed { reason, phase, .. } = closed;
    let reply = reason.reply();
    let cause = match reason {
        CloseReason::Lost | CloseReason::Quit => format!("connection to {host} lost at {phase}"),
        CloseReason::TimedOut => format!("{host} timed out at {phase}"),
        CloseReason::Refused(reply) => replied(reply, host, phase),
        CloseReason::Protocol(e) => format!("{host} sent what is no reply at {phase}: {e}"),
        CloseReason::Unexpected(unexpected) => {
            format!("{host} sent an unexpected reply at {phase}: {unexpected}")
        }
        CloseReason::Abandoned
        | CloseReason::Dialect
        | CloseReason::Injection
        | CloseReason::TlsUnavailable
        | CloseReason::Unsendable(_) => format!("{host} at {phase}: {}", reply.text()),
    };
    Outcome {
        kind: OutcomeKind::Deferred,
        reply: reply.with_cause(&cause),
        by: reason.by(),
    }
}

/// The whole content was sent, and `end` came in place of its reply.
pub(in crate::transport) fn unconfirmed(end: &Reply) -> Outcome {
    let reply = table::DELIVERY_UNCONFIRMED.reply();
    let cause = end.cause().unwrap_or_else(|| end.text());
    let cause = format!("{cause}; the next attempt may deliver it twice");
    Outcome::deferred(reply.with_cause(&cause))
}

/// The host first: its own words may be long, and a cause is cut off at its end.
fn replied(reply: &Reply, host: &Host<'_>, phase: impl fmt::Display) -> String {
    format!("{host} replied at {phase}: {reply}")
}
