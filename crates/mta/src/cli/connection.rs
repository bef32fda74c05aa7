//! The way from a command to control: one request, then lines of an answer.
//!
//! # Limits
//! An answer must go on within [`SILENCE_TIME`], or the time that a caller gives.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use super::exit::{Exit, Failure};
use super::system::System;

/// How long control may be silent.
pub(crate) const SILENCE_TIME: Duration = Duration::from_secs(5);

/// What control answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The lines of instances that say something, in the order in which they came.
    pub(crate) lines: Vec<Value>,
    /// The last line.
    pub(crate) end: Value,
}

/// Asks the control of a system.
///
/// # Errors
/// When nothing runs there, control does not answer, or it refuses.
pub(crate) fn ask(at: &System, request: &Value, silence: Duration) -> Result<Answer, Failure> {
    let socket = at.state.join("control.sock");
    let stream = UnixStream::connect(socket).map_err(|error| at.away("control", &error))?;
    let lost = |error: io::Error| {
        let text = if matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ) {
            "control does not answer".to_owned()
        } else {
            format!("control went away: {error}")
        };
        Failure {
            exit: Exit::Partial,
            text,
        }
    };
    stream.set_read_timeout(Some(silence)).map_err(lost)?;
    stream.set_write_timeout(Some(silence)).map_err(lost)?;
    let mut line = request.to_string();
    line.push('\n');
    (&stream).write_all(line.as_bytes()).map_err(lost)?;
    read_answer(BufReader::new(stream), lost)
}

fn read_answer(
    lines: impl BufRead,
    lost: impl Fn(io::Error) -> Failure,
) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for line in lines.lines() {
        let line = line.map_err(&lost)?;
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| Failure::error(format!("control's answer is not JSON: {error}")))?;
        let is_sign_of_life = value["rows"].as_array().is_some_and(Vec::is_empty);
        if is_sign_of_life {
            continue;
        }
        if value["instance"].is_string() {
            answer.lines.push(value);
        } else if let Some(text) = value["error"].as_str() {
            return Err(Failure::error(text));
        } else {
            answer.end = value;
            return Ok(answer);
        }
    }
    Err(lost(io::ErrorKind::UnexpectedEof.into()))
}
