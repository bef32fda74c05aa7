//! The header section of a content while it arrives: read to its end, however long it is, and
//! changed where it must be.
//!
//! # Guarantees
//! How the octets are split changes nothing. What is no field never becomes part of a field that
//! stands above it. Under [`Treatment::Submit`] the message that leaves has Date, From and
//! Message-ID, and neither Bcc nor Return-Path.
//!
//! # Limits
//! Memory is at most [`ADDRESSES_LEN_MAX`] octets and a few more, whatever comes: a longer address
//! field passes as it is.
//!
//! # Standards
//! RFC 5322 §2.2, §3.6; RFC 6409 §8 for what a submission server adds; RFC 5322 §3.6.3 for Bcc.

use super::{FIELD_NAME_LEN_MAX, Header, Seen, addresses, colon, continues};

/// The longest address field that domains are added to.
pub const ADDRESSES_LEN_MAX: usize = 64 * 1024;

/// What becomes of a mailbox file's separator line at the beginning, as Postfix has it.
const SEPARATOR_FIELD: &[u8] = b"X-Mailbox-Line: ";

/// Not for the recipients, or a word of the carrier that delivers: what Postfix drops.
const DROPPED: [&[u8]; 4] = [b"bcc", b"content-length", b"resent-bcc", b"return-path"];

/// Fields of addresses.
const ADDRESSES: [&[u8]; 13] = [
    b"cc",
    b"disposition-notification-to",
    b"errors-to",
    b"from",
    b"reply-to",
    b"resent-cc",
    b"resent-from",
    b"resent-reply-to",
    b"resent-sender",
    b"resent-to",
    b"return-receipt-to",
    b"sender",
    b"to",
];

/// What is done to a header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Nothing: it is only read.
    Read,
    /// It stands below our trace field, and must not become part of that.
    Receive,
    /// It also gets what a message of our own lacks.
    Submit(Box<Additions>),
}

/// What a message of our own gets where it lacks it. The texts must be fit for a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Additions {
    /// For addresses without one.
    pub domain: Box<str>,
    /// The value of Date.
    pub date: Box<str>,
    /// The value of From.
    pub from: Box<str>,
    /// The value of Message-ID.
    pub message_id: Box<str>,
}

/// A header section that arrives piece by piece.
#[derive(Debug)]
pub struct HeaderStream {
    treatment: Treatment,
    place: Place,
    /// The beginning of a line of which is not yet known what it is.
    held: Vec<u8>,
    /// An address field that may be changed, up to here.
    gathered: Vec<u8>,
    is_after_cr: bool,
    is_at_beginning: bool,
    found: Found,
}

/// What a header section showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many Received fields there are.
    pub n_received: u32,
    /// How many Date fields there are.
    pub n_date: u32,
    /// How many From fields there are.
    pub n_from: u32,
    /// The value of the first Message-ID, with its folding, up to a limit.
    message_id: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the body: nothing is looked at any more.
    Body,
    /// Within a field.
    Field(Fate),
    /// At the beginning of a line, behind a field with this fate, or in its name.
    Name(Fate),
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is dropped.
    Drop,
    /// It is gathered until its end.
    Gather,
    /// It passes.
    Pass,
    /// It passes, and its value is kept in mind.
    PassMessageId,
}

impl Found {
    /// The Message-ID, for a log.
    #[must_use]
    pub fn message_id(&self) -> Option<Box<str>> {
        let value = self.message_id.as_deref()?.trim_ascii();
        Seen { n: 1, value }.text().map(Into::into)
    }
}

impl HeaderStream {
    /// A header section of which nothing has arrived.
    #[must_use]
    pub fn new(treatment: Treatment) -> Self {
        Self {
            treatment,
            place: Place::Name(Fate::Pass),
            held: Vec::new(),
            gathered: Vec::new(),
            is_after_cr: false,
            is_at_beginning: true,
            found: Found::default(),
        }
    }

    /// Whether what arrives now is the body, and need not be given here.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.place == Place::Body
    }

    /// Octets of memory that it takes for what has not gone through yet.
    #[must_use]
    pub const fn held_len(&self) -> usize {
        self.held.capacity() + self.gathered.capacity()
    }

    /// What was seen so far.
    #[must_use]
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// Takes what has arrived, and writes what is to be kept of it.
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while !octets.is_empty() {
            let n = match self.place {
                Place::Body => {
                    out.extend_from_slice(octets);
                    return;
                }
                Place::Field(fate) => self.push_field(fate, octets, out),
                Place::Name(fate) => self.push_name(fate, octets, out),
            };
            octets = &octets[n..];
        }
    }

    /// The content has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let is_ours = matches!(self.treatment, Treatment::Submit(_));
        let end: &[u8] = if is_ours { b"\r\n" } else { b"" };
        match self.place {
            Place::Body => {}
            Place::Field(fate) => {
                // What follows must not become part of a field that lacks its line end.
                let fate = self.put(fate, end, out);
                self.end_field(fate, out);
                self.end_header(out, end);
            }
            Place::Name(fate) => {
                self.end_field(fate, out);
                if self.held.is_empty() {
                    self.end_header(out, end);
                } else {
                    self.begin_body(out);
                }
            }
        }
    }

    /// Takes octets of a field, to its line's end at most.
    fn push_field(&mut self, fate: Fate, octets: &[u8], out: &mut Vec<u8>) -> usize {
        let end = self.line_end(octets);
        let n = end.unwrap_or(octets.len());
        let fate = self.put(fate, &octets[..n], out);
        self.place = match end {
            Some(_) => Place::Name(fate),
            None => Place::Field(fate),
        };
        n
    }

    /// Takes octets until it is known what the line is. `before` is the fate of the field above.
    fn push_name(&mut self, before: Fate, octets: &[u8], out: &mut Vec<u8>) -> usize {
        if self.held.is_empty() && continues(octets) && !self.is_at_beginning {
            self.place = Place::Field(before);
            return 0;
        }
        if self.held.is_empty() && continues(octets) {
            self.begin_body(out);
            return 0;
        }
        let room = FIELD_NAME_LEN_MAX + 1 - self.held.len();
        let looked_at = &octets[..octets.len().min(room)];
        let at = memchr::memchr2(b':', b'\n', looked_at);
        let n = at.map_or(looked_at.len(), |at| at + 1);
        self.held.extend_from_slice(&octets[..n]);
        let is_line = self.held.ends_with(b"\r\n");
        let is_known = is_line || self.held.ends_with(b":");
        if !is_known && self.held.len() <= FIELD_NAME_LEN_MAX {
            return n;
        }
        self.is_after_cr = false;
        if let Some(colon) = colon(&self.held) {
            self.end_field(before, out);
            self.begin_field(colon, out);
        } else if self.held == b"\r\n" {
            self.end_field(before, out);
            self.held.clear();
            self.end_header(out, b"\r\n");
        } else if self.is_at_beginning && self.is_separator() {
            self.begin_separator(is_line, out);
        } else {
            self.end_field(before, out);
            self.begin_body(out);
        }
        n
    }

    /// A field begins with what is held.
    fn begin_field(&mut self, colon: usize, out: &mut Vec<u8>) {
        self.is_at_beginning = false;
        // Given back below: one allocation is for the names of all fields.
        let mut field = std::mem::take(&mut self.held);
        let fate = self.fate_of(field[..colon].trim_ascii_end());
        match fate {
            Fate::Drop => {}
            Fate::Gather => self.gathered.extend_from_slice(&field),
            Fate::Pass | Fate::PassMessageId => out.extend_from_slice(&field),
        }
        field.clear();
        self.held = field;
        self.place = Place::Field(fate);
    }

    fn fate_of(&mut self, name: &[u8]) -> Fate {
        let is_ours = matches!(self.treatment, Treatment::Submit(_));
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let found = &mut self.found;
        if is(b"received") {
            found.n_received = found.n_received.saturating_add(1);
        } else if is(b"date") {
            found.n_date = found.n_date.saturating_add(1);
        } else if is(b"from") {
            found.n_from = found.n_from.saturating_add(1);
        } else if is(b"message-id") && found.message_id.is_none() {
            found.message_id = Some(Vec::new());
            return Fate::PassMessageId;
        }
        if is_ours && DROPPED.iter().any(|known| is(known)) {
            Fate::Drop
        } else if is_ours && ADDRESSES.iter().any(|known| is(known)) {
            Fate::Gather
        } else {
            Fate::Pass
        }
    }

    /// Writes or keeps octets of a field; returns its fate from there on.
    fn put(&mut self, fate: Fate, octets: &[u8], out: &mut Vec<u8>) -> Fate {
        match fate {
            Fate::Drop => fate,
            Fate::Gather => {
                self.gathered.extend_from_slice(octets);
                if self.gathered.len() <= ADDRESSES_LEN_MAX {
                    return fate;
                }
                out.append(&mut self.gathered);
                self.gathered = Vec::new();
                Fate::Pass
            }
            Fate::Pass => {
                out.extend_from_slice(octets);
                fate
            }
            Fate::PassMessageId => {
                out.extend_from_slice(octets);
                if let Some(value) = &mut self.found.message_id {
                    let room = Header::VALUE_LEN_MAX - value.len();
                    value.extend_from_slice(&octets[..octets.len().min(room)]);
                }
                fate
            }
        }
    }

    /// A field is complete.
    fn end_field(&mut self, fate: Fate, out: &mut Vec<u8>) {
        let Treatment::Submit(additions) = &self.treatment else {
            return;
        };
        if fate != Fate::Gather {
            return;
        }
        let field = std::mem::take(&mut self.gathered);
        let value_at = colon(&field).map_or(field.len(), |colon| colon + 1);
        let (name, value) = field.split_at(value_at);
        out.extend_from_slice(name);
        match addresses::complete(value, &additions.domain) {
            Some(completed) => out.extend_from_slice(&completed),
            None => out.extend_from_slice(value),
        }
    }

    /// Whether what is held begins a line as it stands before each message of a mailbox file.
    fn is_separator(&self) -> bool {
        let quotes = self.held.iter().take_while(|b| **b == b'>').count();
        self.held[quotes..].starts_with(b"From ")
    }

    fn begin_separator(&mut self, is_line: bool, out: &mut Vec<u8>) {
        if self.treatment != Treatment::Read {
            out.extend_from_slice(SEPARATOR_FIELD);
        }
        out.append(&mut self.held);
        self.place = if is_line {
            Place::Name(Fate::Pass)
        } else {
            Place::Field(Fate::Pass)
        };
    }

    /// The body begins with what is held and what follows, without the empty line that should be
    /// there.
    fn begin_body(&mut self, out: &mut Vec<u8>) {
        let lacks_line = match self.treatment {
            Treatment::Read => false,
            Treatment::Receive => self.is_at_beginning,
            Treatment::Submit(_) => true,
        };
        self.end_header(out, if lacks_line { b"\r\n" } else { b"" });
        out.append(&mut self.held);
    }

    /// Writes what is missing, and the end of the header section.
    fn end_header(&mut self, out: &mut Vec<u8>, end: &[u8]) {
        if let Treatment::Submit(additions) = &self.treatment {
            let found = &mut self.found;
            let mut add = |is_there: bool, name: &str, value: &str| {
                if !is_there {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
            };
            add(found.n_from > 0, "From", &additions.from);
            add(found.n_date > 0, "Date", &additions.date);
            let message_id = &*additions.message_id;
            add(found.message_id.is_some(), "Message-ID", message_id);
            found
                .message_id
                .get_or_insert_with(|| message_id.as_bytes().to_vec());
        }
        out.extend_from_slice(end);
        self.place = Place::Body;
    }

    /// Where the first line of `octets` ends: behind its CR LF.
    fn line_end(&mut self, octets: &[u8]) -> Option<usize> {
        let was_after_cr = std::mem::replace(&mut self.is_after_cr, octets.ends_with(b"\r"));
        let is_end = |lf: &usize| match lf.checked_sub(1) {
            None => was_after_cr,
            Some(cr) => octets[cr] == b'\r',
        };
        let end = memchr::memchr_iter(b'\n', octets).find(is_end)? + 1;
        self.is_after_cr = false;
        Some(end)
    }
}

#[cfg(test)]
mod tests;
