//! A session of this program: what it accepts is left in the maildrop.
//!
//! # Guarantees
//! `250` to a message comes after it stands in the maildrop and survives a power cut.
//!
//! # Limits
//! Those of [`LIMITS`]; a message is held in memory.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use mail::reply::table;
use mail::{Mailbox, Moment, Reply, ReversePath, Security};
use maildrop::RECIPIENTS_MAX;
use net::Clock;
use smtp::server::{
    BareNewlines, Committed, Dialect, Event, Extensions, Limits, Offer, Session, Settings, Starttls,
};

use super::super::super::letter::{Draft, Ending};
use super::super::super::send;
use super::super::super::submission::Letter;
use super::super::site::Site;
use super::super::{post, sysexits};
use super::newlines::Newlines;
use super::write_out;

/// The largest message where the configuration does not say it.
const MESSAGE_LEN_MAX: u64 = 50 * 1024 * 1024;

/// Who waits is a program of the same user: no limit is there to keep others out.
const LIMITS: Limits = Limits {
    command_len_max: 2048,
    command_timeout: Duration::from_secs(300),
    commands_max: 10_000,
    content_len_max: MESSAGE_LEN_MAX,
    content_line_len_max: 64 * 1024,
    data_rate_min: 0,
    data_timeout: Duration::from_secs(180),
    errors_max: 100,
    recipients_max: RECIPIENTS_MAX,
    tls_timeout: Duration::from_secs(60),
};

/// Serves the client until it leaves.
pub(super) fn serve(site: &Site) -> io::Result<()> {
    let clock = Clock::start();
    let session = Session::new(Arc::new(settings(site)), Security::Plain, clock.now());
    let mut serving = Serving {
        site,
        session,
        clock,
        letter: None,
        content: Vec::new(),
        is_read: true,
    };
    let mut newlines = Newlines::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut waiting = Vec::new();
    let mut is_over = false;
    loop {
        serving.answer_all();
        let session = &mut serving.session;
        if session.is_closed() {
            return Ok(());
        }
        if session.resume(clock.now()) {
            continue;
        }
        if is_over {
            return Ok(());
        }
        if waiting.is_empty() {
            let n = io::stdin().lock().read(&mut buffer)?;
            if n == 0 {
                is_over = true;
                session.handle_eof(clock.now());
                continue;
            }
            waiting = newlines.pass(&buffer[..n]);
        }
        let rest = waiting.split_off(session.input_room().min(waiting.len()));
        session.handle_input(clock.now(), &waiting);
        waiting = rest;
    }
}

struct Serving<'a> {
    site: &'a Site,
    session: Session,
    clock: Clock,
    letter: Option<Letter>,
    content: Vec<u8>,
    /// Whether the client still reads.
    is_read: bool,
}

impl Serving<'_> {
    fn answer_all(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.answer(event);
        }
        let mut out = Vec::new();
        self.session.poll_transmit(&mut out);
        self.is_read = self.is_read && (out.is_empty() || write_out(&out));
    }

    fn answer(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Mail(question, command) => {
                self.begin(command.sender);
                self.session.answer_mail(now, question, Ok(()));
            }
            Event::Rcpt(question, command) => {
                let address = command.recipient.at_domain(&self.site.hostname);
                let answer = address.map_err(|_| table::SYNTAX_RECIPIENT.reply());
                let answer = answer.map(|address| self.add(address));
                self.session.answer_rcpt(now, question, answer);
            }
            Event::Data(question) => {
                self.content.clear();
                self.session.answer_data(now, question, Ok(()));
            }
            Event::Body => self.content.append(&mut self.session.take_body()),
            Event::Commit(question) => {
                self.content.append(&mut self.session.take_body());
                let reply = self.commit();
                let answered: Moment = self.clock.now();
                let answer = Committed::All(reply);
                self.session.answer_commit(answered, question, answer);
            }
            Event::Verify(question, _) => {
                let reply = table::CANNOT_VERIFY.reply();
                self.session.answer_verify(now, question, reply);
            }
            Event::Connect(question) => self.session.answer_connect(now, question, Ok(())),
            Event::Hello(question, _) => self.session.answer_hello(now, question, Ok(())),
            Event::Reset(_) => self.letter = None,
            // Logged, not asked; STARTTLS is not offered.
            Event::Closed(_) | Event::EarlyTalk | Event::Refused(_) | Event::StartTls => {}
        }
    }

    fn begin(&mut self, sender: ReversePath) {
        self.letter = Some(Letter {
            sender,
            recipients: Vec::new(),
            content: Vec::new(),
        });
    }

    fn add(&mut self, recipient: Mailbox) {
        if let Some(letter) = &mut self.letter {
            letter.recipients.push(recipient);
        }
    }

    fn commit(&mut self) -> Reply {
        let Some(mut letter) = self.letter.take() else {
            return table::BAD_SEQUENCE.reply();
        };
        let draft = Draft::read(&std::mem::take(&mut self.content), Ending::AtEnd);
        letter.content = send::finish(draft, &letter.sender, None, &self.site.hostname);
        let recipients = letter.recipients.clone();
        match post::leave(self.site, &letter, recipients) {
            Ok(()) => table::ACCEPTED.with_text("kept in the maildrop until the system runs"),
            Err((sysexits::UNAVAILABLE, _)) => table::TOO_BIG.reply(),
            Err(_) => table::STORAGE_FULL.reply(),
        }
    }
}

fn settings(site: &Site) -> Settings {
    Settings {
        hostname: site.hostname.clone(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::No,
            chunking: Offer::Yes,
            dsn: Offer::No,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            content_len_max: site.message_size.unwrap_or(MESSAGE_LEN_MAX),
            ..LIMITS
        },
        newlines: BareNewlines::Normalize,
    }
}
