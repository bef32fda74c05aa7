//! RCPT: one recipient.
//!
//! # Standards
//! RFC 5321 §4.1.1.3, §4.5.3.1.10; RFC 3461 §4.1, §4.2; RFC 6533 §3 (ORCPT in UTF-8).

use mail::reply::table::{self, Row};
use mail::{ForwardPath, Moment, Notify, Reply};

use super::event::{Event, RcptCommand, RcptQuestion};
use super::mail::parameter_row;
use super::session::Session;
use super::settings::Offer;
use super::state::{Asked, Transaction};
use crate::codec::params::{self, Parameter, ParameterError};

impl Session {
    pub(super) fn rcpt(&mut self, argument: &str) {
        let command = match self.read_rcpt(argument) {
            Ok(command) => command,
            Err(row) => return self.refuse(row),
        };
        if self.n_recipients() >= self.settings.limits.recipients_max {
            return self.postpone_recipient();
        }
        let serial = self.ask(Asked::Rcpt);
        self.events
            .push_back(Event::Rcpt(RcptQuestion(serial), command));
    }

    /// Answers [`Event::Rcpt`].
    pub fn answer_rcpt(&mut self, now: Moment, question: RcptQuestion, answer: Result<(), Reply>) {
        let (Some(Asked::Rcpt), Some(transaction)) =
            (self.answered(question.0), &mut self.transaction)
        else {
            return;
        };
        match answer {
            Ok(()) => {
                transaction.n_recipients += 1;
                self.say(&table::RECIPIENT_OK.reply());
            }
            Err(reply) => self.decline(&reply),
        }
        self.go_on(now);
    }

    /// The client is to send the rest in another transaction: no error of its (RFC 5321
    /// §4.5.3.1.10), but nothing that it may go on with for ever.
    fn postpone_recipient(&mut self) {
        self.say(&table::TOO_MANY_RECIPIENTS.reply());
        self.note_refusal(&table::TOO_MANY_RECIPIENTS);
        self.count_command();
    }

    fn read_rcpt(&self, argument: &str) -> Result<RcptCommand, &'static Row> {
        self.check_ready()?;
        let transaction = self
            .transaction
            .as_ref()
            .filter(|transaction| transaction.content.is_none())
            .ok_or(&table::BAD_SEQUENCE)?;
        let (path, rest) = params::split_path(argument).ok_or(&table::SYNTAX_RECIPIENT)?;
        let mut notify = None;
        let mut orcpt = None;
        for parameter in Parameter::all(rest) {
            parameter
                .and_then(|p| self.rcpt_parameter(transaction, &mut notify, &mut orcpt, &p))
                .map_err(parameter_row)?;
        }
        if !path.is_ascii() && !transaction.smtputf8 {
            return Err(&table::SENDER_NEEDS_UTF8);
        }
        Ok(RcptCommand {
            notify: notify.unwrap_or(Notify::UNSPECIFIED),
            orcpt,
            recipient: self
                .with_domain(path, ForwardPath::parse)
                .map_err(|_| &table::SYNTAX_RECIPIENT)?,
        })
    }

    fn rcpt_parameter(
        &self,
        transaction: &Transaction,
        notify: &mut Option<Notify>,
        orcpt: &mut Option<Box<str>>,
        parameter: &Parameter<'_>,
    ) -> Result<(), ParameterError> {
        if self.settings.extensions.dsn == Offer::No {
            Err(ParameterError::Unknown)
        } else if parameter.is("NOTIFY") {
            parameter.read_once(notify, params::notify)
        } else if parameter.is("ORCPT") {
            let fits = |value: &str| value.is_ascii() || transaction.smtputf8;
            parameter.read_once(orcpt, |v| params::orcpt(v).filter(|o| fits(o)))
        } else {
            Err(ParameterError::Unknown)
        }
    }
}
