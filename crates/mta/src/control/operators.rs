//! `control.sock`: where commands of an operator come in and answers go out, a line of JSON each.
//!
//! # Guarantees
//! Only root and the user that runs this system are heard: the kernel says who is there. Who did
//! something is taken from there too, never from what the client says.
//!
//! # Limits
//! [`N_OPERATORS_MAX`] connections; a request of [`REQUEST_LEN_MAX`] octets within
//! [`REQUEST_TIME`]; a client that does not read for [`WRITE_TIME`] is dropped.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::members::Shared;
use super::supervisor_end::SupervisorEnd;
use super::verbs::Asker;

const N_OPERATORS_MAX: usize = 32;
const REQUEST_LEN_MAX: u64 = 64 * 1024;
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long the request of one who may not ask is waited for.
const REFUSED_REQUEST_TIME: Duration = Duration::from_millis(500);
const WRITE_TIME: Duration = Duration::from_secs(10);
/// How long control waits at its end for those who are being answered.
const LAST_WORDS_TIME: Duration = Duration::from_millis(200);
/// How many answers wait while an operator's program reads.
const N_ANSWERS_MAX: usize = 16;
/// How long to wait after a connection could not be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// As many places as there are for operators.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(N_OPERATORS_MAX))
}

/// Waits until no operator is being answered, [`LAST_WORDS_TIME`] at most.
pub(super) async fn last_words(places: &Semaphore) {
    let n_places = u32::try_from(N_OPERATORS_MAX).unwrap_or(u32::MAX);
    // Who is not done by then is not told any more.
    let _ = timeout(LAST_WORDS_TIME, places.acquire_many(n_places)).await;
}

/// Serves the socket for ever. Must be run within a `LocalSet`.
///
/// # Errors
/// When the runtime cannot watch it.
pub(super) async fn serve(
    socket: OwnedFd,
    shared: Rc<Shared>,
    supervisor: SupervisorEnd,
    places: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Nobody waits for a place: those who hold one may be stuck.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (shared, supervisor) = (Rc::clone(&shared), supervisor.clone());
        tokio::task::spawn_local(async move {
            // What goes wrong with a client's connection is the client's matter.
            let _ = serve_one(stream, shared, supervisor).await;
            drop(place);
        });
    }
}

async fn serve_one(
    stream: UnixStream,
    shared: Rc<Shared>,
    supervisor: SupervisorEnd,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (input, mut output) = stream.into_split();
    let mut lines = BufReader::new(input.take(REQUEST_LEN_MAX));
    let mut line = String::new();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        // A request that nobody has read when the connection is closed resets it, and takes the
        // refusal with it.
        let _ = timeout(REFUSED_REQUEST_TIME, lines.read_line(&mut line)).await;
        let refusal = json!({"error": "only root and the user that runs this system may ask"});
        return write_line(&mut output, &refusal).await;
    }
    timeout(REQUEST_TIME, lines.read_line(&mut line)).await??;
    let request: Value = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            let refusal = json!({"error": format!("not a request: {error}")});
            return write_line(&mut output, &refusal).await;
        }
    };
    let (answers, mut to_write) = mpsc::channel(N_ANSWERS_MAX);
    let asker = Asker {
        shared,
        supervisor,
        by: format!("uid {uid}"),
        answers,
    };
    let answering = tokio::task::spawn_local(asker.answer(request));
    while let Some(answer) = to_write.recv().await {
        if let Err(error) = write_line(&mut output, &answer).await {
            answering.abort();
            return Err(error);
        }
    }
    Ok(())
}

async fn write_line(
    output: &mut tokio::net::unix::OwnedWriteHalf,
    value: &Value,
) -> io::Result<()> {
    let mut line = value.to_string();
    line.push('\n');
    timeout(WRITE_TIME, output.write_all(line.as_bytes())).await?
}
