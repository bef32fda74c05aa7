//! `sendmail -bs`: SMTP on standard input and output.
//!
//! Where submission takes the client, it is the one that answers: octets are only passed on. Where
//! it does not, a session of this program takes messages for the maildrop.
//!
//! # Failure
//! A client that has left without reading its replies gets its messages delivered all the same.

mod newlines;
mod session;

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::Shutdown;

use super::super::exit::{Exit, Failure};
use super::super::submission::{Late, Wire, connect};
use super::site::Site;
use super::{failure, sysexits};
use newlines::Newlines;

/// Serves the client.
///
/// # Errors
/// When standard input cannot be read, or the connection breaks.
pub(super) fn run(site: &Site) -> Result<Exit, Failure> {
    let door = site.door.as_ref().ok();
    let wire = door.and_then(|door| connect(door, || Late::GiveUp).ok());
    let served = match wire.and_then(greeted) {
        Some((wire, greeting)) => pass_on(wire, &greeting),
        None => session::serve(site),
    };
    match served {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(failure(
            sysexits::TEMPFAIL,
            format!("the session broke: {error}"),
        )),
    }
}

/// The connection and the beginning of its greeting, unless that says that submission takes nobody
/// now.
fn greeted(mut wire: Box<dyn Wire>) -> Option<(Box<dyn Wire>, Vec<u8>)> {
    let mut greeting = vec![0; 512];
    let n = wire.read(&mut greeting).ok()?;
    greeting.truncate(n);
    greeting.starts_with(b"2").then_some((wire, greeting))
}

/// Passes octets on in both directions until submission has closed the connection.
fn pass_on(mut wire: Box<dyn Wire>, greeting: &[u8]) -> io::Result<()> {
    let (stdin, mut newlines) = (io::stdin(), Newlines::default());
    let (mut is_open, mut is_read) = (true, write_out(greeting));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let mut ready = vec![PollFd::from_borrowed_fd(wire.as_fd(), PollFlags::IN)];
        if is_open {
            ready.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        let is_ready = |at: usize| {
            ready
                .get(at)
                .is_some_and(|fd: &PollFd<'_>| !fd.revents().is_empty())
        };
        let (from_server, from_client) = (is_ready(0), is_ready(1));
        drop(ready);
        if from_server {
            let n = rustix::io::retry_on_intr(|| rustix::io::read(wire.as_fd(), &mut buffer[..]))?;
            if n == 0 {
                return Ok(());
            }
            is_read = is_read && write_out(&buffer[..n]);
        }
        if from_client {
            let n = stdin.lock().read(&mut buffer)?;
            if n == 0 {
                is_open = false;
                rustix::net::shutdown(wire.as_fd(), Shutdown::Write)?;
            } else {
                wire.write_all(&newlines.pass(&buffer[..n]))?;
            }
        }
    }
}

/// Whether there is still somebody who reads.
fn write_out(octets: &[u8]) -> bool {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(octets)
        .and_then(|()| stdout.flush())
        .is_ok()
}
