//! HELO, EHLO, and the list of extensions.
//!
//! # Standards
//! RFC 5321 §4.1.1.1, §4.1.4; RFC 1870 §4 for SIZE.

use mail::{Moment, Reply, Security};

use super::event::{Event, Hello, HelloQuestion, ResetCause};
use super::session::Session;
use super::settings::{Offer, Starttls};
use super::state::Asked;
use crate::codec::xforward::XforwardAttributes;
use crate::limits::HELLO_LEN_MAX;

impl Session {
    pub(super) fn helo(&mut self, name: &[u8]) {
        self.ask_hello(Hello {
            extended: false,
            name: shown(name),
        });
    }

    pub(super) fn ehlo(&mut self, name: &[u8]) {
        self.ask_hello(Hello {
            extended: true,
            name: shown(name),
        });
    }

    fn ask_hello(&mut self, hello: Hello) {
        let serial = self.ask(Asked::Hello(hello.clone()));
        self.events
            .push_back(Event::Hello(HelloQuestion(serial), hello));
    }

    /// Answers [`Event::Hello`]. A hello forgets a transaction as RSET does; one that is refused
    /// changes nothing (RFC 5321 §4.1.4).
    pub fn answer_hello(
        &mut self,
        now: Moment,
        question: HelloQuestion,
        answer: Result<(), Reply>,
    ) {
        let Some(Asked::Hello(hello)) = self.answered(question.0) else {
            return;
        };
        match answer {
            Ok(()) => {
                self.reset(ResetCause::Hello);
                let is_extended = hello.extended;
                self.hello = Some(hello);
                if is_extended {
                    self.say_extensions();
                } else {
                    let hostname = self.settings.hostname.clone();
                    self.say_line(250, b' ', &hostname);
                }
            }
            Err(reply) => self.decline(&reply),
        }
        self.go_on(now);
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

/// A name as it can stand in a Received field and a log line. RFC 5321 §4.1.1.1 wants the name of a
/// host; devices send names with spaces or umlauts, and some none at all, and mean no harm
/// (quirk: any-hello-name).
fn shown(name: &[u8]) -> Box<str> {
    let fits = |c: char| c.is_ascii_graphic() && !"\"(),;<>@\\".contains(c);
    let text = String::from_utf8_lossy(name);
    let shown: String = text
        .chars()
        .take(HELLO_LEN_MAX)
        .map(|c| if fits(c) { c } else { '?' })
        .collect();
    if shown.is_empty() {
        return "unknown".into();
    }
    shown.into()
}
