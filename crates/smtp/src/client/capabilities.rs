//! What a server said it can do, in its answer to EHLO.
//!
//! # Standards
//! RFC 5321 §4.1.1.1; RFC 1870 for SIZE. XFORWARD as Postfix documents it; XPOSTERN is specified in
//! docs/handoff.md.

/// An extension that makes a difference to a client. In the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Capability {
    /// RFC 3030.
    BinaryMime,
    /// RFC 3030.
    Chunking,
    /// RFC 3461.
    Dsn,
    /// RFC 6152.
    EightBitMime,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 6531.
    Smtputf8,
    /// RFC 3207.
    Starttls,
    /// Postfix; see [`Capabilities::xforward`].
    Xforward,
    /// docs/handoff.md; see [`Capabilities::xpostern`].
    Xpostern,
}

/// An attribute of XFORWARD that a server takes. In the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum XforwardAttribute {
    /// The client's name.
    Name,
    /// The client's address.
    Addr,
    /// The client's port.
    Port,
    /// The protocol that it spoke.
    Proto,
    /// The name that it gave.
    Helo,
    /// Our own name for the message.
    Ident,
    /// Whether it came from our own network.
    Source,
}

impl XforwardAttribute {
    /// All, in the order in which they are sent.
    pub const ALL: [Self; 7] = [
        Self::Name,
        Self::Addr,
        Self::Port,
        Self::Proto,
        Self::Helo,
        Self::Ident,
        Self::Source,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Addr => "ADDR",
            Self::Port => "PORT",
            Self::Proto => "PROTO",
            Self::Helo => "HELO",
            Self::Ident => "IDENT",
            Self::Source => "SOURCE",
        }
    }
}

/// What a server can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    offered: u16,
    size_max: Option<u64>,
    xforward: u8,
    xpostern: u32,
}

impl Capabilities {
    /// Reads the lines of an answer to EHLO, the first of which is a greeting. What is not known,
    /// or not understood, is as if it were not there.
    pub fn from_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut capabilities = Self::default();
        for line in lines.skip(1) {
            let mut words = line.split_ascii_whitespace();
            if let Some(keyword) = words.next() {
                capabilities.add(keyword, words);
            }
        }
        capabilities
    }

    /// Whether the server offers this.
    #[must_use]
    pub const fn has(&self, capability: Capability) -> bool {
        self.offered & 1 << capability as u8 != 0
    }

    /// The biggest message that the server takes, in octets, where it said one.
    #[must_use]
    pub const fn size_max(&self) -> Option<u64> {
        self.size_max
    }

    /// Whether the server takes this attribute of XFORWARD.
    #[must_use]
    pub const fn xforward(&self, attribute: XforwardAttribute) -> bool {
        self.xforward & 1 << attribute as u8 != 0
    }

    /// The highest version of the handoff protocol that the server speaks; zero for none.
    #[must_use]
    pub const fn xpostern(&self) -> u32 {
        self.xpostern
    }

    fn add<'a>(&mut self, keyword: &str, mut parameters: impl Iterator<Item = &'a str>) {
        const KNOWN: [(&str, Capability); 11] = [
            ("8BITMIME", Capability::EightBitMime),
            ("BINARYMIME", Capability::BinaryMime),
            ("CHUNKING", Capability::Chunking),
            ("DSN", Capability::Dsn),
            ("ENHANCEDSTATUSCODES", Capability::EnhancedStatusCodes),
            ("PIPELINING", Capability::Pipelining),
            ("SIZE", Capability::Size),
            ("SMTPUTF8", Capability::Smtputf8),
            ("STARTTLS", Capability::Starttls),
            ("XFORWARD", Capability::Xforward),
            ("XPOSTERN", Capability::Xpostern),
        ];
        let known = KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(keyword));
        let Some(&(_, capability)) = known else {
            return;
        };
        self.offered |= 1 << capability as u8;
        match capability {
            Capability::Size => {
                // RFC 1870 §4: zero means that there is no limit that is known.
                let size = parameters.next().and_then(|size| size.parse().ok());
                self.size_max = size.filter(|&size| size != 0);
            }
            Capability::Xforward => {
                for name in parameters {
                    let is_it = |a: &XforwardAttribute| a.keyword().eq_ignore_ascii_case(name);
                    if let Some(attribute) = XforwardAttribute::ALL.into_iter().find(is_it) {
                        self.xforward |= 1 << attribute as u8;
                    }
                }
            }
            Capability::Xpostern => {
                self.xpostern = parameters.next().and_then(|v| v.parse().ok()).unwrap_or(0);
            }
            Capability::BinaryMime
            | Capability::Chunking
            | Capability::Dsn
            | Capability::EightBitMime
            | Capability::EnhancedStatusCodes
            | Capability::Pipelining
            | Capability::Smtputf8
            | Capability::Starttls => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Capabilities {
        Capabilities::from_lines(text.split('\n'))
    }

    #[test]
    fn what_is_offered_is_found_whatever_its_case() {
        let capabilities = read("mx.example\nsize 1000\nPipelining\n8BITMIME\nAUTH PLAIN");
        assert!(capabilities.has(Capability::Pipelining));
        assert!(capabilities.has(Capability::EightBitMime));
        assert!(!capabilities.has(Capability::Chunking));
        assert_eq!(capabilities.size_max(), Some(1000));
    }

    #[test]
    fn the_greeting_line_offers_nothing() {
        assert_eq!(read("PIPELINING"), Capabilities::default());
        assert_eq!(read("CHUNKING hello\n"), Capabilities::default());
    }

    #[test]
    fn a_size_that_is_missing_zero_or_no_number_is_no_limit() {
        for line in [
            "SIZE",
            "SIZE 0",
            "SIZE many",
            "SIZE -1",
            "SIZE 99999999999999999999999",
        ] {
            let capabilities = read(&format!("x\n{line}"));
            assert!(capabilities.has(Capability::Size));
            assert_eq!(capabilities.size_max(), None, "{line}");
        }
    }

    #[test]
    fn attributes_and_versions_are_read() {
        let capabilities = read("x\nXFORWARD NAME addr FUTURE\nXPOSTERN 2 more");
        assert!(capabilities.xforward(XforwardAttribute::Addr));
        assert!(!capabilities.xforward(XforwardAttribute::Helo));
        assert_eq!(capabilities.xpostern(), 2);
    }
}
