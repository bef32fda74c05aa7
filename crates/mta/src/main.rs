//! Postern: a mail transfer agent made of independent instances.
//!
//! One executable is everything: what it does follows from the name it is called by (`mailq`,
//! `newaliases` and `sendmail` are links to it) and from its first argument. `control` and
//! `instance NAME` are for the supervisor alone; without its socket as standard input they end at
//! once.

mod cli;
mod control;
mod errors;
mod instance;
mod role;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    match Path::new(&called).file_name().and_then(OsStr::to_str) {
        Some("mailq") => cli::mailq(arguments),
        Some("newaliases") => cli::newaliases(),
        Some("sendmail") => cli::sendmail(arguments),
        Some(_) | None => {
            let arguments: Vec<OsString> = arguments.collect();
            let words: Vec<Option<&str>> = arguments.iter().map(|word| word.to_str()).collect();
            match words[..] {
                [Some("control")] => control::main(),
                [Some("instance"), Some(_)] => instance::main(),
                _ => cli::run(arguments.into_iter()),
            }
        }
    }
}
