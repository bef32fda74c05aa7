//! What stands above the content of a file in the maildrop.
//!
//! # Guarantees
//! What is read is valid, whoever wrote it: addresses are parsed as if from a stranger.
//!
//! # Limits
//! [`HEADER_LEN_MAX`] octets; [`RECIPIENTS_MAX`] recipients.

use mail::{Mailbox, ReversePath};

/// The first line.
const MAGIC: &str = "postern maildrop 1";

/// How many recipients a file may name: as many as a transaction has by default.
pub const RECIPIENTS_MAX: usize = 1000;

/// The longest envelope: each recipient with the longest address of RFC 5321.
pub const HEADER_LEN_MAX: usize = 512 * 1024;

/// From whom, for whom, and how much follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The envelope sender.
    pub sender: ReversePath,
    /// For whom.
    pub recipients: Vec<Mailbox>,
    /// Octets of content.
    pub content_len: u64,
}

/// Why a file is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It does not begin with the first line, or has no empty line in reach.
    #[error("it is no file of the maildrop")]
    Format,
    /// A line is none of those that there are.
    #[error("a line of its envelope cannot be read")]
    Line,
    /// Nobody is named, or too many are.
    #[error("it has no recipients, or over {RECIPIENTS_MAX}")]
    Recipients,
}

impl Envelope {
    /// As it stands in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{MAGIC}\nlength {}\n", self.content_len);
        text.push_str(&format!("from {}\n", self.sender.as_str()));
        for recipient in &self.recipients {
            text.push_str(&format!("to {recipient}\n"));
        }
        text.push('\n');
        text.into_bytes()
    }

    /// Reads it from what a file begins with; also says where the content begins.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(beginning: &[u8]) -> Result<(Self, usize), EnvelopeError> {
        let mut lines = beginning.split_inclusive(|b| *b == b'\n').map(|line| {
            let text = line.strip_suffix(b"\n").map(str::from_utf8);
            text.and_then(Result::ok).map(|text| (text, line.len()))
        });
        let mut next = || lines.next().flatten().ok_or(EnvelopeError::Format);
        let (magic, mut content_at) = next()?;
        if magic != MAGIC {
            return Err(EnvelopeError::Format);
        }
        let (mut content_len, mut sender, mut recipients) = (None, None, Vec::new());
        loop {
            let (line, len) = next()?;
            content_at += len;
            match line.split_once(' ') {
                None if line.is_empty() => break,
                Some(("length", n)) if content_len.is_none() => {
                    content_len = Some(n.parse().map_err(|_| EnvelopeError::Line)?);
                }
                Some(("from", path)) if sender.is_none() => {
                    sender = Some(ReversePath::parse(path).map_err(|_| EnvelopeError::Line)?);
                }
                Some(("to", address)) => {
                    recipients.push(Mailbox::parse(address).map_err(|_| EnvelopeError::Line)?);
                }
                Some(_) | None => return Err(EnvelopeError::Line),
            }
        }
        if !(1..=RECIPIENTS_MAX).contains(&recipients.len()) {
            return Err(EnvelopeError::Recipients);
        }
        let envelope = Self {
            sender: sender.ok_or(EnvelopeError::Line)?,
            recipients,
            content_len: content_len.ok_or(EnvelopeError::Line)?,
        };
        Ok((envelope, content_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(sender: &str) -> Envelope {
        let mailbox = |text| Mailbox::parse(text).expect("an address");
        Envelope {
            sender: ReversePath::parse(sender).expect("an address"),
            recipients: vec![mailbox("b@x"), mailbox("\"c d\"@[IPv6:::1]")],
            content_len: 7,
        }
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        for sender in ["", "a@x", "käthe@bücher.example"] {
            let written = envelope(sender).to_bytes();
            let octets = [&written[..], b"Subject: x\n\nto e@x\n"].concat();
            let read = Envelope::read(&octets).expect("an envelope");
            assert_eq!(read, (envelope(sender), written.len()));
        }
    }

    #[test]
    fn what_is_no_envelope_is_refused_wherever_it_is_cut() {
        let whole = envelope("a@x").to_bytes();
        for len in 0..whole.len() {
            assert!(Envelope::read(&whole[..len]).is_err(), "{len}");
        }
        let text = String::from_utf8(whole).expect("UTF-8");
        for (from, to) in [
            ("length 7", "length -7"),
            ("length 7\n", ""),
            ("from a@x\n", ""),
            ("from a@x\n", "from a@x\nfrom a@x\n"),
            ("to b@x", "to b"),
            ("to b@x", "to b@x\r"),
            ("to b@x", "cc b@x"),
            ("drop 1", "drop 2"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            assert!(Envelope::read(changed.as_bytes()).is_err(), "{changed}");
        }
        let nobody = Envelope {
            recipients: Vec::new(),
            ..envelope("")
        };
        assert_eq!(
            Envelope::read(&nobody.to_bytes()),
            Err(EnvelopeError::Recipients)
        );
    }
}
