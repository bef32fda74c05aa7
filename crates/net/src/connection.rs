//! Drives an SMTP machine over a byte stream.
//!
//! # Guarantees
//! Everything the machine wants to send is written before more is read, and only after the machine
//! has no event left: replies to pipelined commands leave in one write. All methods are
//! cancel-safe: dropping a future loses neither bytes nor events.
//!
//! What a server sends unasked is read before the client's next words are written, so that it
//! cannot pass for the answer to them.
//!
//! A client hears its server also while it writes, and after the server stopped reading: who
//! refuses a content in its middle may read no more of it, or close, and its reply says why.
//!
//! # Limits
//! A connection owns no read buffer: it reads into one that all connections of the thread share,
//! so that an idle connection costs its machine and nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mail::Moment;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::large_reads::{self, Excess};
use crate::{Clock, Machine, Stream};

/// Octets read at once, for all connections of a thread.
const READ_LEN: usize = 64 * 1024;
/// A write buffer that grew beyond this for one large message is given back when it is empty.
const WRITE_KEEP_LEN: usize = 16 * 1024;
/// How long a look that found nothing to read is good for: until the next thing that is done with a
/// connection, and no longer.
const SILENCE_TIME: Duration = Duration::from_millis(1);
/// How long the last words of a closing connection may take.
const CLOSING_TIME: Duration = Duration::from_secs(5);

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_LEN].into());
}

/// A connection on which this end is the server.
pub type ServerConnection = Connection<smtp::server::Session>;
/// A connection on which this end is the client.
pub type ClientConnection = Connection<smtp::client::Client>;

/// A machine and the stream that it speaks over.
#[derive(Debug)]
pub struct Connection<M> {
    stream: Stream,
    machine: M,
    clock: Clock,
    /// What the machine said last; it keeps what else it says until this is written.
    out: Vec<u8>,
    n_written: usize,
    excess: Excess,
    timer: Timer,
    /// The other end takes nothing any more.
    mute: bool,
    ended: bool,
    /// When there was nothing to read, so that an exchange that begins at once need not look again.
    silent_at: Option<Moment>,
}

impl<M: Machine> Connection<M> {
    /// Joins a stream and a machine.
    #[must_use]
    pub const fn new(stream: Stream, machine: M, clock: Clock) -> Self {
        let timer = Timer {
            sleep: None,
            armed_for: Moment::START,
        };
        Self {
            stream,
            machine,
            clock,
            out: Vec::new(),
            n_written: 0,
            excess: Excess::NONE,
            timer,
            mute: false,
            ended: false,
            silent_at: None,
        }
    }

    /// The machine, to answer it.
    pub const fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The machine, to ask it.
    pub const fn machine_ref(&self) -> &M {
        &self.machine
    }

    /// The clock that drives it.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// The stream; closed during a TLS handshake.
    pub const fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The machine's next event; meanwhile reads, writes and keeps its time. `None` when the
    /// connection is over and the machine has nothing more to say. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<M::Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Writes everything that the machine has to say. Where the stream does not take it at once,
    /// the machine hears meanwhile what comes. Cancel-safe.
    ///
    /// # Errors
    /// When the stream fails or ends, does not take it before the machine's own deadline, or the
    /// machine wants no more to be written by what it heard. What it has to say of that is its next
    /// event.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.mute {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            loop {
                match self.poll_unasked(cx) {
                    Poll::Ready(Unasked::Nothing) => {}
                    Poll::Ready(Unasked::Read) if self.ended || self.machine.input_room() == 0 => {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    Poll::Ready(Unasked::Read) => continue,
                    Poll::Pending => break,
                }
                if let Poll::Ready(written) = self.poll_write(cx) {
                    return Poll::Ready(written);
                }
                if self.machine.input_room() == 0 || self.poll_read(cx).is_pending() {
                    break;
                }
                if self.ended || self.machine.input_room() == 0 {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
            }
            let now = self.clock.now();
            if self.machine.poll_timeout().is_some_and(|at| at <= now) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer
                .poll(cx, self.clock, self.machine.poll_timeout())
                .map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    }

    /// Says the machine's last words, within a short time, and closes the stream.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would keep its argument twice: as it came, and where it is used"
    )]
    pub fn close(mut self) -> impl Future<Output = ()> + use<M> {
        async move {
            let clock = self.clock;
            let farewell = async {
                if self.flush().await.is_ok() {
                    let _ = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
                }
            };
            // A peer that does not read has no right to our time: what it loses is the farewell.
            let _ = clock.timeout(CLOSING_TIME, farewell).await;
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<M::Event>> {
        loop {
            if let Some(event) = self.machine.poll_event() {
                return Poll::Ready(Some(event));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            self.excess.set(self.machine.n_waiting());
            // While the peer does not take what we say, nothing more is taken from it, nor is what
            // it sent before looked at: what it can make us keep is bounded.
            let writing = match self.poll_unasked(cx) {
                Poll::Ready(Unasked::Read) => continue,
                Poll::Ready(Unasked::Nothing) => self.poll_write(cx),
                Poll::Pending => Poll::Pending,
            };
            match writing {
                Poll::Ready(Ok(())) => {
                    if self.machine.resume(self.clock.now()) || self.poll_read(cx).is_ready() {
                        continue;
                    }
                }
                Poll::Ready(Err(_)) => {
                    self.mute();
                    continue;
                }
                Poll::Pending => {}
            }
            let deadline = self.machine.poll_timeout();
            ready!(self.timer.poll(cx, self.clock, deadline));
            self.machine.handle_timeout(self.clock.now());
        }
    }

    /// Before the machine says something that no reply was due before: reads what is there, which
    /// answers nothing. To look costs one call of the system, but where the read of the last reply
    /// showed just now that nothing came after it.
    fn poll_unasked(&mut self, cx: &mut Context<'_>) -> Poll<Unasked> {
        if !self.machine.begins_exchange() {
            return Poll::Ready(Unasked::Nothing);
        }
        let silent_at = self.silent_at.take();
        if silent_at.is_some_and(|at| self.clock.now().since(at) < SILENCE_TIME)
            || !self.stream.has_input()
        {
            return Poll::Ready(Unasked::Nothing);
        }
        match self.poll_read(cx) {
            Poll::Ready(()) => Poll::Ready(Unasked::Read),
            // It was TLS's own, or the beginning of a record.
            Poll::Pending if !self.stream.has_input() => Poll::Ready(Unasked::Nothing),
            // The runtime has not heard of it yet, and will wake us.
            Poll::Pending => Poll::Pending,
        }
    }

    /// Reads once, as much as the machine has room for; ready when the machine learned something.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let room = large_reads::readable(self.machine.input_room()).min(READ_LEN);
        if room == 0 {
            return Poll::Pending;
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(&mut buffer[..room]);
            self.silent_at = None;
            let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
            match outcome {
                Ok(()) if !read.filled().is_empty() => {
                    let now = self.clock.now();
                    let took_all = read.remaining() > 0 && self.stream.reads_all();
                    self.silent_at = took_all.then_some(now);
                    self.machine.handle_input(now, read.filled());
                    self.excess.set(self.machine.n_waiting());
                }
                Ok(()) | Err(_) => self.end(),
            }
            Poll::Ready(())
        })
    }

    /// Writes all that the machine says.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.mute {
                self.out.clear();
            }
            if self.out.is_empty() {
                self.machine.poll_transmit(&mut self.out);
                if self.out.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            if !self.mute {
                ready!(self.poll_write_out(cx))?;
            }
        }
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.n_written < self.out.len() {
            let rest = &self.out[self.n_written..];
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.n_written += n;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.n_written = 0;
        self.out.clear();
        if self.out.capacity() > WRITE_KEEP_LEN {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// The other end takes nothing any more. What a server said before that is heard to its end;
    /// what a client said is not obeyed, as it would never learn what came of it.
    fn mute(&mut self) {
        self.mute = true;
        self.n_written = 0;
        if !M::HEARS_LAST_WORDS {
            self.end();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.machine.handle_eof(self.clock.now());
    }

    /// Replaces the stream by what `handshake` makes of it, and tells the machine.
    async fn upgrade<F, H>(&mut self, handshake: F) -> io::Result<()>
    where
        F: FnOnce(Stream) -> H,
        H: Future<Output = io::Result<Stream>>,
    {
        self.flush().await?;
        let upgraded = {
            let mut handshake = pin!(handshake(self.stream.take()));
            let (timer, clock) = (&mut self.timer, self.clock);
            let deadline = self.machine.poll_timeout();
            poll_fn(|cx| match handshake.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                Poll::Pending => timer
                    .poll(cx, clock, deadline)
                    .map(|()| Err(io::ErrorKind::TimedOut.into())),
            })
            .await
        };
        match upgraded {
            Ok(stream) => {
                self.stream = stream;
                self.machine.handle_tls(self.clock.now());
                Ok(())
            }
            Err(e) => {
                self.end();
                Err(e)
            }
        }
    }
}

/// Whether something came that answers nothing.
enum Unasked {
    Nothing,
    Read,
}

impl ServerConnection {
    /// Answers the machine's wish for TLS: writes what is due, then shakes hands.
    ///
    /// # Errors
    /// When the handshake fails or takes too long; the connection is over then.
    pub async fn accept_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        self.upgrade(async |stream| crate::tls::accept(acceptor, stream).await)
            .await
    }
}

impl ClientConnection {
    /// Whether it can carry another transaction: nothing is under way, the server has said nothing
    /// that it was not asked for, and there is nothing to read, not even its end. What would be
    /// read later would pass for the answer to something else. The transaction is to begin at once.
    #[must_use]
    pub fn is_reusable(&mut self) -> bool {
        let is_reusable = self.may_be_kept() && !self.stream.has_input();
        self.silent_at = is_reusable.then(|| self.clock.now());
        is_reusable
    }

    /// As [`Self::is_reusable`], without a look at what can be read: enough to keep a connection
    /// that is looked at before it is used.
    #[must_use]
    pub fn may_be_kept(&self) -> bool {
        !self.ended && !self.mute && self.out.is_empty() && self.machine.is_reusable()
    }

    /// Answers the machine's wish for TLS: writes what is due, then shakes hands with `host`.
    ///
    /// # Errors
    /// When the handshake fails or takes too long; the connection is over then.
    pub async fn connect_tls(
        &mut self,
        connector: &TlsConnector,
        host: rustls_pki_types::ServerName<'static>,
    ) -> io::Result<()> {
        self.upgrade(async |stream| {
            let Stream::Tcp(tcp) = stream else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            Ok(Stream::TlsClient(Box::new(
                connector.connect(host, tcp).await?,
            )))
        })
        .await
    }
}

/// One timer a connection, armed as seldom as can be: a deadline that moves away, as it does with
/// every command, is looked at again only when the old one has passed.
#[derive(Debug)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed_for: Moment,
}

impl Timer {
    /// Ready when `deadline` has passed.
    fn poll(&mut self, cx: &mut Context<'_>, clock: Clock, deadline: Option<Moment>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        loop {
            match &mut self.sleep {
                None => {
                    self.armed_for = deadline;
                    let sleep = tokio::time::sleep_until(clock.deadline(deadline));
                    self.sleep = Some(Box::pin(sleep));
                }
                Some(sleep) if deadline < self.armed_for => {
                    self.armed_for = deadline;
                    sleep.as_mut().reset(clock.deadline(deadline));
                }
                Some(_) => {}
            }
            let Some(sleep) = &mut self.sleep else {
                return Poll::Pending;
            };
            ready!(sleep.as_mut().poll(cx));
            if self.armed_for >= deadline {
                // Fired for this very deadline; the next one arms anew.
                self.sleep = None;
                return Poll::Ready(());
            }
            self.armed_for = deadline;
            sleep.as_mut().reset(clock.deadline(deadline));
        }
    }
}
