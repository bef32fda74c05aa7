//! The commands of an operator, and the names that people's fingers know.
//!
//! # Guarantees
//! Every command covers all instances unless told otherwise; an answer that is partial says what
//! is missing and gives an exit status of its own. Nothing that came from outside reaches a
//! terminal raw.

mod address_list;
mod arguments;
mod check;
mod connection;
mod exit;
mod letter;
mod lifecycle;
mod output;
mod queue;
#[cfg(test)]
mod reference;
mod send;
mod sendmail;
mod spool;
mod status;
mod submission;
mod system;
mod trace;
mod welcome;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, QueueArguments, QueueVerb, SystemArguments, Verb};
use exit::{Exit, Failure};
use output::complain;
use system::System;

/// Runs the command that `arguments` (without the program's name) ask for.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let own_name = std::iter::once(OsString::from("postern"));
    let arguments = match Arguments::try_parse_from(own_name.chain(arguments)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let is_asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // A reader that went away is no error.
            let _ = error.print();
            return if is_asked { Exit::Done } else { Exit::Usage }.into();
        }
    };
    let Arguments { system, verb } = arguments;
    finish(carry_out(&system, verb))
}

/// `mailq`: the queues of all instances.
pub(crate) fn mailq(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run(std::iter::once(OsString::from("mailq")).chain(arguments))
}

/// `newaliases`: there is nothing to be made.
pub(crate) fn newaliases() -> ExitCode {
    finish(Ok(sendmail::initialise()))
}

/// `sendmail`: its arguments are its own.
pub(crate) fn sendmail(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let system = SystemArguments {
        config: None,
        state: None,
        json: false,
        instance: None,
    };
    finish(sendmail::run(&system, arguments.collect()))
}

fn finish(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(Failure { exit, text }) => {
            complain(&text);
            exit.into()
        }
    }
}

fn carry_out(arguments: &SystemArguments, verb: Verb) -> Result<Exit, Failure> {
    let source = system::source(arguments);
    let at = || System::find(&source);
    match verb {
        Verb::Check => check::run(arguments, &source),
        Verb::Mailq(list) => queue::run(arguments, &at()?, QueueVerb::List(list)),
        Verb::Queue(QueueArguments { verb, list }) => {
            queue::run(arguments, &at()?, verb.unwrap_or(QueueVerb::List(list)))
        }
        Verb::Reload => lifecycle::reload(arguments, &at()?),
        Verb::Run(run) if run.detached => lifecycle::run_detached(source),
        Verb::Run(_) => lifecycle::run(source),
        Verb::Send(send) => send::run(arguments, &source, &send),
        Verb::Sendmail(sendmail) => sendmail::run(arguments, sendmail.arguments),
        Verb::Spool(spool) => spool::run(arguments, &source, &spool.verb),
        Verb::Start => lifecycle::start(&source),
        Verb::Status => status::run(arguments, &at()?),
        Verb::Stop => lifecycle::stop(&source),
        Verb::Trace(what) => {
            let config = system::config(&source)?;
            let at = System::of(&source, &config);
            trace::run(arguments, &what, &at, config.log.file.as_deref())
        }
    }
}
