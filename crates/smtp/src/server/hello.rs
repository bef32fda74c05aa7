//! HELO, EHLO, and the list of extensions.
//!
//! # Standards
//! RFC 5321 §4.1.1.1, §4.1.4; RFC 1870 §4 for SIZE.

use mail::Security;
use mail::reply::table;

use super::event::{Event, Hello, ResetCause};
use super::session::Session;
use super::settings::{Offer, Starttls};
use crate::codec::xforward::XforwardAttributes;
use crate::limits::HELLO_LEN_MAX;

impl Session {
    pub(super) fn helo(&mut self, name: &str) {
        if !is_name(name) {
            return self.refuse(&table::SYNTAX_ARGUMENT);
        }
        self.greet(Hello {
            extended: false,
            name: name.into(),
        });
        let hostname = self.settings.hostname.clone();
        self.say_line(250, b' ', &hostname);
    }

    pub(super) fn ehlo(&mut self, name: &str) {
        if !is_name(name) {
            return self.refuse(&table::SYNTAX_ARGUMENT);
        }
        self.greet(Hello {
            extended: true,
            name: name.into(),
        });
        self.say_extensions();
    }

    /// A hello forgets a transaction as RSET does (RFC 5321 §4.1.4).
    fn greet(&mut self, hello: Hello) {
        self.reset(ResetCause::Hello);
        self.hello = Some(hello.clone());
        self.events.push_back(Event::Hello(hello));
    }

    fn say_extensions(&mut self) {
        let settings = self.settings.clone();
        let offers = settings.extensions;
        let can_start_tls =
            offers.starttls != Starttls::NotOffered && self.security == Security::Plain;
        self.say_line(250, b'-', &settings.hostname);
        self.say_line(250, b'-', "PIPELINING");
        self.say_line(
            250,
            b'-',
            &format!("SIZE {}", settings.limits.content_len_max),
        );
        for (line, is_offered) in [
            ("STARTTLS", can_start_tls),
            ("CHUNKING", offers.chunking == Offer::Yes),
            ("BINARYMIME", self.offers_binary()),
            ("DSN", offers.dsn == Offer::Yes),
            ("SMTPUTF8", offers.smtputf8 == Offer::Yes),
            ("XPOSTERN 1", self.is_edge()),
        ] {
            if is_offered {
                self.say_line(250, b'-', line);
            }
        }
        if offers.xforward == Offer::Yes {
            self.say_line(
                250,
                b'-',
                &format!("XFORWARD {}", XforwardAttributes::NAMES),
            );
        }
        self.say_line(250, b'-', "8BITMIME");
        self.say_line(250, b' ', "ENHANCEDSTATUSCODES");
    }

    /// RFC 3030 §3: BINARYMIME needs CHUNKING.
    pub(super) fn offers_binary(&self) -> bool {
        let offers = &self.settings.extensions;
        offers.binarymime == Offer::Yes && offers.chunking == Offer::Yes
    }
}

/// Whether a name can stand in a Received field and a log line as it is. More than RFC 5321
/// §4.1.1.1 allows: hosts with an underscore in their name are many, and mean no harm.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !b"\"(),;<>@\\".contains(&b);
    !name.is_empty() && name.len() <= HELLO_LEN_MAX && name.bytes().all(fits)
}
