//! MAIL: the sender, and what it asks for.
//!
//! # Standards
//! RFC 5321 §4.1.1.2; RFC 1870 §6; RFC 6531 §3.4; RFC 3461 §4.3, §4.4.

use mail::reply::table::{self, Row};
use mail::{AddressError, BodyType, Moment, Reply, Return, ReversePath};

use super::event::{EdgeParameters, Event, MailCommand, MailQuestion, ResetCause};
use super::session::Session;
use super::settings::Offer;
use super::state::{Asked, Transaction};
use crate::codec::params::{self, Parameter, ParameterError};
use crate::codec::xtext;

impl Session {
    pub(super) fn mail(&mut self, argument: &str) {
        let command = match self.read_mail(argument) {
            Ok(command) => command,
            Err(row) => {
                self.refuse(row);
                return self.end_broken_handoff();
            }
        };
        let serial = self.ask(Asked::Mail(Transaction {
            body: command.body,
            smtputf8: command.smtputf8,
            n_recipients: 0,
            content: None,
        }));
        self.events
            .push_back(Event::Mail(MailQuestion(serial), command));
    }

    /// Answers [`Event::Mail`]. A reply with code 421 ends the session; this holds for all
    /// answers.
    pub fn answer_mail(&mut self, now: Moment, question: MailQuestion, answer: Result<(), Reply>) {
        let Some(Asked::Mail(transaction)) = self.answered(question.0) else {
            return;
        };
        match answer {
            Ok(()) => {
                self.transaction = Some(transaction);
                self.say(&table::SENDER_OK.reply());
            }
            Err(reply) => self.decline(&reply),
        }
        self.go_on(now);
    }

    /// Reads a path; one without a domain is of this host, as cron and devices mean it
    /// (quirk: local-part-alone).
    pub(super) fn with_domain<T>(
        &self,
        path: &str,
        parse: impl Fn(&str) -> Result<T, AddressError>,
    ) -> Result<T, AddressError> {
        match parse(path) {
            Err(AddressError::NoDomain) if !self.is_edge() => {
                parse(&format!("{path}@{}", self.settings.hostname))
            }
            parsed => parsed,
        }
    }

    /// Between instances a whole handoff comes before any reply, so the recipients of a refused
    /// MAIL follow it; they must not end up in a transaction that was left open before.
    fn end_broken_handoff(&mut self) {
        if self.is_edge() {
            self.reset(ResetCause::Sequence);
        }
    }

    fn read_mail(&self, argument: &str) -> Result<MailCommand, &'static Row> {
        self.check_ready()?;
        if self.transaction.is_some() {
            return Err(&table::BAD_SEQUENCE);
        }
        let (path, rest) = params::split_path(argument).ok_or(&table::SYNTAX_SENDER)?;
        let parameters = self.mail_parameters(rest)?;
        if !path.is_ascii() && parameters.smtputf8.is_none() {
            return Err(&table::SENDER_NEEDS_UTF8);
        }
        let sender = self
            .with_domain(path, ReversePath::parse)
            .map_err(|_| &table::SYNTAX_SENDER)?;
        if parameters
            .size
            .is_some_and(|n| n > self.settings.limits.content_len_max)
        {
            return Err(&table::TOO_BIG);
        }
        // A handoff without its parameters would lose where the message came from.
        if self.is_edge() && parameters.edge.is_none() {
            return Err(&table::PARAMETER_VALUE);
        }
        Ok(MailCommand {
            body: parameters.body.unwrap_or_default(),
            edge: parameters.edge.map(EdgeParameters),
            envid: parameters.envid,
            ret: parameters.ret,
            sender,
            size: parameters.size,
            smtputf8: parameters.smtputf8.is_some(),
            xforward: self.xforward.clone(),
        })
    }

    fn mail_parameters(&self, text: &str) -> Result<MailParameters, &'static Row> {
        let mut read = MailParameters::default();
        for parameter in Parameter::all(text) {
            parameter
                .and_then(|parameter| self.mail_parameter(&mut read, &parameter))
                .map_err(parameter_row)?;
        }
        Ok(read)
    }

    fn mail_parameter(
        &self,
        read: &mut MailParameters,
        parameter: &Parameter<'_>,
    ) -> Result<(), ParameterError> {
        let offers = &self.settings.extensions;
        // Devices give them after HELO, too; what is offered to one client is known to all.
        if parameter.is("SIZE") {
            parameter.read_once(&mut read.size, params::size)
        } else if parameter.is("BODY") {
            let is_offered =
                |body: &BodyType| *body != BodyType::BinaryMime || self.offers_binary();
            parameter.read_once(&mut read.body, |v| params::body(v).filter(is_offered))
        } else if parameter.is("SMTPUTF8") && offers.smtputf8 == Offer::Yes {
            parameter.flag_once(&mut read.smtputf8)
        } else if parameter.is("RET") && offers.dsn == Offer::Yes {
            parameter.read_once(&mut read.ret, params::ret)
        } else if parameter.is("ENVID") && offers.dsn == Offer::Yes {
            parameter.read_once(&mut read.envid, params::envid)
        } else if parameter.is("AUTH") && !self.is_edge() {
            // RFC 4954 §5: what is not authenticated says nothing; programs send `<>` always.
            parameter.ignore_once(&mut read.auth)
        } else if parameter.is("XPOSTERN") && self.is_edge() {
            parameter.read_once(&mut read.edge, xtext::decode)
        } else {
            Err(ParameterError::Unknown)
        }
    }
}

#[derive(Default)]
struct MailParameters {
    auth: Option<()>,
    body: Option<BodyType>,
    edge: Option<Box<str>>,
    envid: Option<Box<str>>,
    ret: Option<Return>,
    size: Option<u64>,
    smtputf8: Option<()>,
}

pub(super) const fn parameter_row(error: ParameterError) -> &'static Row {
    match error {
        ParameterError::Syntax => &table::SYNTAX_ARGUMENT,
        ParameterError::Twice => &table::PARAMETER_TWICE,
        ParameterError::Unknown => &table::PARAMETER_UNKNOWN,
        ParameterError::Value => &table::PARAMETER_VALUE,
    }
}
