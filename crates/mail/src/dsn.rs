//! Notifications: messages that tell a sender what became of a message.
//!
//! # Guarantees
//! - Never about a message with the null sender; [`wanted`] knows, and knows NOTIFY.
//! - The id of a notification follows from the original's and from what it reports, so that a
//!   repeat after a crash has the same id and is recognised.
//! - Nothing that came from outside (reply texts, addresses, the original's fields) can add a
//!   header field, a line of the report, or a MIME part.
//! - Every host takes it: it is ASCII, in lines of legal length, and shorter than
//!   [`limits::NOTIFICATION_LEN_MAX`]; only its sender's address, where that is not ASCII, needs
//!   SMTPUTF8. One that were refused would be lost, as nobody is notified of a notification.
//!
//! # Limits
//! See [`limits`].
//!
//! # Standards
//! RFC 3461 §5, §6; RFC 6522 (multipart/report); RFC 3464; RFC 3834 §5 for
//! Auto-Submitted; RFC 6533 §3 for addresses that are not ASCII.

mod encoded;
pub mod limits;
mod lines;
mod returned;
mod status;
mod text;

use crate::{
    BodyType, Envelope, Notify, Origin, Provenance, Recipient, Reply, ReversePath, Timestamp,
    TraceId,
};
use lines::{Charset, Lines};

/// What is reported; one notification reports one thing about one or more recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Not delivered yet; being tried on.
    Delayed,
    /// Delivered to the mailbox.
    Delivered,
    /// Given up.
    Failed,
    /// Passed to a host that knows no notifications: the last word there is.
    Relayed,
}

/// What there is to say about one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Fate<'a> {
    /// The recipient, from the original's envelope.
    pub recipient: &'a Recipient,
    /// Why, in our own or a remote host's words.
    pub verdict: &'a Reply,
    /// What a remote host last said, if one was reached.
    pub remote: Option<Remote<'a>>,
    /// When it was last tried.
    pub last_attempt: Timestamp,
}

/// A remote host and its last reply.
#[derive(Clone, Copy, Debug)]
pub struct Remote<'a> {
    /// Its name as it was contacted, or its address.
    pub host: &'a str,
    /// What it replied.
    pub reply: &'a Reply,
}

/// The message that is reported on.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// Its journey.
    pub trace: TraceId,
    /// When it entered this system.
    pub arrived: Timestamp,
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// The beginning of its content: [`limits::RETURNED_LEN_MAX`] octets, or all if it is shorter.
    pub content: &'a [u8],
    /// The length of its content.
    pub content_len: u64,
}

/// All that a notification is made of.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What is reported.
    pub action: Action,
    /// Whose fate it is; at least one.
    pub fates: &'a [Fate<'a>],
    /// The message.
    pub original: Original<'a>,
    /// The name of this host.
    pub hostname: &'a str,
    /// The time of the report.
    pub now: Timestamp,
    /// Of a delay: when delivery will be given up.
    pub expires: Option<Timestamp>,
}

/// A notification, ready to be spooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Generated here, about the original.
    pub provenance: Provenance,
    /// From nobody, for the original's sender.
    pub envelope: Envelope,
    /// The octets.
    pub content: Vec<u8>,
}

/// Whether the sender is to be told that `action` befell `recipient`.
#[must_use]
pub fn wanted(action: Action, envelope: &Envelope, recipient: &Recipient) -> bool {
    // RFC 5321 §4.5.5: who answers a null sender makes two machines write to each other for ever.
    if envelope.sender == ReversePath::Null {
        return false;
    }
    match action {
        Action::Delayed => recipient.notify.on_delay(),
        Action::Delivered | Action::Relayed => recipient.notify.on_success(),
        Action::Failed => recipient.notify.on_failure(),
    }
}

impl Report<'_> {
    /// The id that the notification has: the same for the same report, whenever it is made.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        const FNV_PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
        let original = self.original.trace.to_bytes();
        let mut hash = FNV_OFFSET;
        let mut take = |bytes: &[u8]| {
            for &byte in bytes {
                hash = (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME);
            }
        };
        take(&original);
        take(self.action.keyword().as_bytes());
        for fate in self.fates {
            take(&[0]);
            take(fate.recipient.address.as_str().as_bytes());
        }
        TraceId::new(self.original.trace.made(), hash)
    }

    /// The same report in parts, each about as many recipients as one notification can name, in
    /// their order.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        let (mut begin, mut len) = (0, 0);
        for (at, fate) in self.fates.iter().enumerate() {
            let more = status::fate_len(self, fate);
            if at > begin && len + more > limits::REPORT_LEN_MAX {
                parts.push(self.about(begin..at));
                (begin, len) = (at, 0);
            }
            len += more;
        }
        parts.push(self.about(begin..self.fates.len()));
        parts
    }

    /// The same report about some of its recipients.
    fn about(&self, fates: std::ops::Range<usize>) -> Self {
        Self {
            fates: self.fates.get(fates).unwrap_or_default(),
            ..*self
        }
    }

    /// Writes the notification; `None` where the original has the null sender. One that is about
    /// more recipients than [`Self::parts`] puts together may be too long to travel.
    #[must_use]
    pub fn notification(&self) -> Option<Notification> {
        let sender = self.original.envelope.sender.mailbox()?;
        let trace = self.trace();
        let boundary = format!("=_{trace}");
        let returned = returned::Returned::of(self);
        let utf8 = !sender.is_ascii();
        let charset = if utf8 { Charset::Utf8 } else { Charset::Ascii };
        let mut lines = Lines::new(charset);
        self.write_header(&mut lines, sender.as_str(), trace, &boundary);
        lines.raw(&text::written(self, &boundary, &returned));
        lines.raw(&status::written(self, &boundary));
        returned.write(&mut lines, &boundary);
        lines.close(&boundary);
        // RFC 3461 §6.1: nobody wants to hear of this one's delivery.
        let notify = Notify::NEVER;
        Some(Notification {
            provenance: Provenance {
                trace,
                origin: Origin::Generated,
                arrived: self.now,
                client: None,
                visited: Vec::new(),
                about: Some(self.original.trace),
            },
            envelope: Envelope {
                sender: ReversePath::Null,
                recipients: vec![Recipient {
                    notify,
                    ..Recipient::new(sender.clone())
                }],
                body: if utf8 {
                    BodyType::EightBitMime
                } else {
                    BodyType::SevenBit
                },
                smtputf8: utf8,
                ret: None,
                envid: None,
            },
            content: lines.into_bytes(),
        })
    }

    /// Whether the addresses that it names are ASCII. Its sender has shown that he can read others.
    fn is_about_ascii(&self) -> bool {
        let is_ascii = |fate: &Fate<'_>| fate.recipient.address.is_ascii();
        self.original.envelope.sender.as_str().is_ascii() && self.fates.iter().all(is_ascii)
    }

    fn write_header(&self, lines: &mut Lines, to: &str, trace: TraceId, boundary: &str) {
        let host = crate::name_or_literal(self.hostname);
        lines.field("Date", &self.now.rfc5322().to_string());
        lines.field("From", &format!("Mail delivery <mailer-daemon@{host}>"));
        lines.field("To", &format!("<{to}>"));
        lines.field("Message-ID", &format!("<{trace}@{host}>"));
        if let Some(id) = self.original_message_id() {
            lines.field("In-Reply-To", &id);
            lines.field("References", &id);
        }
        lines.field("Subject", self.action.subject());
        lines.field("Auto-Submitted", "auto-replied");
        lines.field("MIME-Version", "1.0");
        let kind = "multipart/report; report-type=delivery-status";
        let content_type = format!("Content-Type: {kind};\r\n boundary=\"{boundary}\"\r\n");
        lines.raw(content_type.as_bytes());
        lines.empty();
    }

    /// The Message-ID of the original, if it is one that can stand in another field.
    fn original_message_id(&self) -> Option<String> {
        let header = crate::Header::scan(self.original.content);
        let id = header.message_id.text()?.into_owned();
        let inner = id.strip_prefix('<')?.strip_suffix('>')?;
        let plain = |b: u8| b.is_ascii_graphic() && b != b'<' && b != b'>';
        (id.len() <= limits::REFERENCE_LEN_MAX && inner.bytes().all(plain)).then_some(id)
    }
}

impl Action {
    /// The word of RFC 3464 §2.3.3.
    const fn keyword(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Relayed => "relayed",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Delayed => "Your message is delayed",
            Self::Delivered => "Your message was delivered",
            Self::Failed => "Your message could not be delivered",
            Self::Relayed => "Your message was passed on",
        }
    }
}

#[cfg(test)]
mod tests;
