//! What can happen to a message, as a closed list: log, counters and `trace` are views of it.
//!
//! An instance sends its events to control, which alone writes the log. Text in them may come from
//! the world: it is shown only through a renderer that neutralises it.

use std::net::IpAddr;

use crate::{Disposition, Mailbox, MessageId, Origin, Reply, ReversePath, Timestamp, TraceId};

/// One event, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// The journey that it belongs to; `None` for what belongs to none.
    pub trace: Option<TraceId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message is on stable storage in this instance's spool.
    Accepted {
        /// Its id there.
        id: MessageId,
        /// The envelope sender.
        from: ReversePath,
        /// How many recipients.
        n_recipients: u32,
        /// Octets of content, with the fields added here.
        size_bytes: u64,
        /// Where it entered the system.
        origin: Origin,
        /// The Message-ID field, where there is one.
        message_id: Option<Box<str>>,
        /// Who brought it.
        source: Box<Source>,
    },
    /// Something that an operator should look at, and what to do.
    Alarm {
        /// In words.
        text: Box<str>,
    },
    /// The circuit breaker towards the next instance changed.
    Breaker {
        /// The next instance.
        next: Box<str>,
        /// True: mail goes to the own spool; false: handoff works again.
        open: bool,
        /// Why.
        reason: Box<str>,
    },
    /// Checks found something, or could not tell: in effect, or only observed.
    Checked {
        /// The phase: `connect`, `helo`, `mail`, `rcpt`, `data`, `content`.
        phase: &'static str,
        /// The envelope sender, where known.
        from: Option<ReversePath>,
        /// The recipient, where the checks were about one.
        to: Option<Mailbox>,
        /// What became of it: `accept`, `defer`, `discard`, `hold`, `reject`.
        verdict: Box<str>,
        /// The checks that were asked, in their order, and what each came to.
        checks: Box<str>,
        /// The facts that they read.
        facts: Box<str>,
        /// The client.
        source: Box<Source>,
    },
    /// A recipient waits for another attempt.
    Deferred {
        /// Message and recipient.
        about: About,
        /// What the attempt came to.
        reply: Reply,
        /// When the next attempt is due.
        next_due: Timestamp,
    },
    /// A recipient's copy reached its mailbox or the next host outside of this system.
    Delivered {
        /// Message and recipient.
        about: About,
        /// The final reply.
        reply: Reply,
    },
    /// A client has left, or was told to.
    Disconnected {
        /// The client.
        source: Box<Source>,
        /// Why the connection ended.
        reason: Box<str>,
        /// How many messages were accepted from it.
        n_messages: u32,
        /// How often it was refused something: commands, senders, recipients, messages.
        n_refused: u32,
        /// How long it was connected, in milliseconds.
        duration_ms: u64,
    },
    /// A recipient was taken out by an operator.
    Dropped {
        /// Message and recipient.
        about: About,
        /// Who did it: `uid 0`.
        by: Box<str>,
    },
    /// A recipient failed for good.
    Failed {
        /// Message and recipient.
        about: About,
        /// Why.
        reply: Reply,
    },
    /// The next instance has the message. Never counted as a delivery.
    HandedOff {
        /// The next instance.
        next: Box<str>,
        /// The envelope sender.
        from: ReversePath,
        /// How many recipients it took.
        n_recipients: u32,
        /// Octets of content.
        size_bytes: u64,
        /// Whether it had been in this instance's spool; if not, nothing was written here.
        spooled: bool,
        /// The Message-ID field, where there is one.
        message_id: Option<Box<str>>,
        /// Who brought it.
        source: Box<Source>,
    },
    /// A recipient is held.
    Held {
        /// Message and recipient.
        about: About,
        /// Why, or by whom.
        reason: Box<str>,
    },
    /// A notification was made about this message.
    Notified {
        /// The journey of the notification.
        notification: TraceId,
        /// To whom it goes.
        to: Mailbox,
    },
    /// A delivery may have been made twice, because a crash hid its outcome.
    PossibleDuplicate {
        /// Message and recipient.
        about: About,
    },
    /// A command that is none, is misplaced, or breaks the grammar: a scan, garbage, or a mistake.
    ProtocolError {
        /// The client.
        source: Box<Source>,
        /// The reply that was sent.
        reply: Reply,
    },
    /// A connection, a transaction or a recipient was refused, and the client told so.
    Refused {
        /// The phase: `connect`, `mail`, `rcpt`, `data`.
        phase: &'static str,
        /// The envelope sender, where known.
        from: Option<ReversePath>,
        /// The recipient, where one was refused.
        to: Option<Mailbox>,
        /// The reply that was sent.
        reply: Reply,
        /// The client.
        source: Box<Source>,
    },
    /// An operator released a held recipient.
    Released {
        /// Message and recipient.
        about: About,
        /// Who did it.
        by: Box<str>,
    },
    /// Something about the instance itself: started, stopping, recovered its spool.
    Instance {
        /// In words.
        text: Box<str>,
    },
}

impl What {
    /// Whether it is the last that happens to a recipient: what nobody may miss.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Delivered { .. } | Self::Dropped { .. } | Self::Failed { .. }
        )
    }
}

/// Who brought a message or gave a command. What the kernel says and what the client says of itself
/// are kept apart, so that no name that a client gives can pass for an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The address at the other end of the connection; `None` where there is none.
    pub client: Option<IpAddr>,
    /// The address of the client behind it, from a peer that may use XFORWARD.
    pub orig_client: Option<IpAddr>,
    /// What the client, or the one behind it, gave as its name in HELO or EHLO.
    pub helo: Option<Box<str>>,
    /// Whether the connection was protected by TLS; `None` where there is no network.
    pub tls: Option<bool>,
    /// The user of a local program.
    pub uid: Option<u32>,
    /// The process of a local program.
    pub pid: Option<u32>,
    /// The instance that handed the message over, or `maildrop`.
    pub previous: Option<Box<str>>,
}

/// Which recipient of which message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The message in this instance's spool.
    pub id: MessageId,
    /// The envelope sender.
    pub from: ReversePath,
    /// The recipient.
    pub to: Mailbox,
    /// The transport and where it led: `relay 192.0.2.1:25`, `maildir`.
    pub transport: Box<str>,
    /// Attempts so far, with this one.
    pub attempts: u32,
    /// How long after its arrival, in milliseconds.
    pub age_ms: u64,
    /// Where the recipient stands now.
    pub disposition: Disposition,
}

/// Where events go. Never blocks and never fails: an event that cannot be kept is counted.
pub trait Sink: Send + Sync {
    /// Takes note of an event.
    fn emit(&self, event: Event);
}
