//! The session of a client: its questions answered, its messages taken.
//!
//! # Failure
//! A session that breaks, breaks alone: what it had not yet been promised is dropped.

mod checks;
mod noted;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mail::reply::table::{self, Row};
use mail::{Client, Moment, Origin, Provenance, Reply, Security};
use net::tls::TlsAcceptor;
use net::{OwnerError, Peer, ServerConnection};
use policy::Phase;
use smtp::server::{Committed, Event, Hello, MailCommand, RcptCommand, XforwardAttributes};
use tokio::sync::watch;

use checks::CheckState;
pub use checks::CheckedAs;
use noted::Refusal;

use crate::accept::{Current, Intake, NextHop, accepted};
use crate::admission::Place;
use crate::transaction::Transaction;

/// By which door a client came in.
#[derive(Clone)]
pub struct Entry {
    /// The origin of the mail that comes in here, unless the client is a local program.
    pub origin: Origin,
    /// Whether local programs are known by their user id here.
    pub local: LocalPrograms,
    /// For STARTTLS; `None` where it is not offered.
    pub tls: Option<TlsAcceptor>,
    /// Which checks are asked about what comes in here.
    pub checked_as: CheckedAs,
}

/// Whether mail of local programs has their uid for its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPrograms {
    /// It has, over a local socket or loopback; who is no local program brings no mail here.
    ByUid,
    /// It has the origin of the door, as all mail there.
    LikeAll,
}

/// Who is at the other end.
pub struct Visitor {
    /// As the kernel says.
    pub peer: Peer,
    /// The door.
    pub entry: Entry,
    /// Given back when the client has left.
    pub place: Place,
}

/// When clients are to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leave {
    /// When they like.
    Freely,
    /// After one more message, the one under way where there is one: another process takes over.
    /// The next MAIL after it is answered `421`, as RFC 5321 §3.8 has it, and so is silence.
    AfterMessage,
    /// At once, or after the message whose data is under way.
    Now,
}

/// How long a client may take to begin the data of its last message, and after that to say QUIT.
/// Who has just connected needs a moment; a connection that is kept for later is told `421` then.
pub const LAST_MESSAGE_WITHIN: Duration = Duration::from_secs(10);

/// Serves one client until it leaves, or is to.
///
/// The future is what an idle connection costs, so it is kept small: it holds its session once
/// (an `async fn` would keep its arguments beside it), and what is rare and large is boxed.
pub fn serve(
    connection: ServerConnection,
    visitor: Visitor,
    current: Current,
    leave: watch::Receiver<Leave>,
) -> impl Future<Output = ()> + Send + use<> {
    let mut session = Session {
        since: connection.clock().now(),
        n_messages: 0,
        n_refused: 0,
        connection,
        visitor,
        intake: current(),
        current,
        origin: None,
        transaction: None,
        checked: None,
        forwarded: None,
        had_last_message: false,
        last_message_by: None,
    };
    session.look_at_program();
    session.run(leave)
}

struct Session {
    connection: ServerConnection,
    visitor: Visitor,
    current: Current,
    /// As of the last MAIL.
    intake: Arc<Intake>,
    /// Whose mail the client brings, or why it may bring none; known from the first MAIL on.
    origin: Option<Result<Origin, &'static Row>>,
    transaction: Option<Box<Transaction>>,
    /// Of checks; made when one is asked.
    checked: Option<Box<CheckState>>,
    forwarded: Option<Box<XforwardAttributes>>,
    /// The client had its last message.
    had_last_message: bool,
    /// What its end is logged with.
    since: Moment,
    n_messages: u32,
    n_refused: u32,
    /// The client leaves after its next message, or when this time is over.
    last_message_by: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Session {
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would keep the session twice: as it came, and where it is used"
    )]
    fn run(mut self, mut leave: watch::Receiver<Leave>) -> impl Future<Output = ()> + Send {
        async move {
            let mut told = Leave::Freely;
            loop {
                let event = tokio::select! {
                    biased;
                    event = self.connection.next_event() => event,
                    asked = asked_to_leave(&mut leave, told), if told < Leave::Now => {
                        told = asked;
                        self.take_leave(asked);
                        continue;
                    }
                    () = passed(&mut self.last_message_by), if self.last_message_by.is_some() => {
                        self.take_leave(Leave::Now);
                        continue;
                    }
                };
                let Some(event) = event else {
                    self.note_disconnected("connection lost");
                    break;
                };
                if !self.handle(event).await {
                    break;
                }
            }
            self.connection.close().await;
        }
    }

    fn take_leave(&mut self, when: Leave) {
        let (clock, now) = (self.connection.clock(), self.now());
        self.last_message_by = match when {
            Leave::AfterMessage => Some(Box::pin(async move {
                clock.sleep_until(now + LAST_MESSAGE_WITHIN).await;
            })),
            Leave::Freely => None,
            Leave::Now => {
                self.connection.machine().shut_down(now);
                None
            }
        };
    }

    /// False when the session is over.
    async fn handle(&mut self, event: Event) -> bool {
        let now = self.now();
        match event {
            Event::Body => self.take_body().await,
            Event::Closed(reason) => {
                self.note_close(reason);
                return false;
            }
            Event::Commit(question) => {
                let answer = self.commit().await;
                if self.last_message_by.is_some() {
                    self.had_last_message = true;
                    self.take_leave(Leave::AfterMessage);
                }
                let now = self.now();
                self.connection
                    .machine()
                    .answer_commit(now, question, answer);
            }
            Event::Data(question) => {
                let answer = self.check_transaction(Phase::Data).await;
                if answer.is_ok() {
                    self.begin_body();
                }
                let now = self.now();
                self.connection.machine().answer_data(now, question, answer);
            }
            Event::Connect(question) => {
                // Rare, and not a part of each session's future.
                let answer = Box::pin(self.check_connect()).await;
                let now = self.now();
                let machine = self.connection.machine();
                machine.answer_connect(now, question, answer);
            }
            Event::EarlyTalk => {}
            Event::Hello(question, hello) => {
                let answer = match self.asks_in(Phase::Helo) {
                    // As all checks: not a part of each session's future.
                    true => Box::pin(self.check_hello(hello)).await,
                    false => Ok(()),
                };
                let now = self.now();
                let machine = self.connection.machine();
                machine.answer_hello(now, question, answer);
            }
            Event::Reset(_) => self.transaction = None,
            Event::Mail(question, command) => {
                let begun = self.mail(command);
                let answer = self.check_sender(begun).await;
                let now = self.now();
                self.connection.machine().answer_mail(now, question, answer);
            }
            Event::Rcpt(question, command) => {
                let answer = self.rcpt(command).await;
                let now = self.now();
                self.connection.machine().answer_rcpt(now, question, answer);
            }
            Event::Refused(row) => self.note_machine_refused(row),
            Event::StartTls => return self.start_tls().await,
            Event::Verify(question, _) => {
                // Only edges are told who exists; the machine asks nobody else.
                let reply = table::CANNOT_VERIFY.reply();
                self.connection
                    .machine()
                    .answer_verify(now, question, reply);
            }
        }
        true
    }

    fn now(&self) -> Moment {
        self.connection.clock().now()
    }

    async fn start_tls(&mut self) -> bool {
        let Some(acceptor) = self.visitor.entry.tls.clone() else {
            return false;
        };
        if self.connection.accept_tls(&acceptor).await.is_ok() {
            return true;
        }
        self.note_disconnected("TLS handshake failed");
        false
    }

    /// Asks about the sender of the transaction that was begun, and lets its client wait for as
    /// long as it is to.
    async fn check_sender(&mut self, begun: Result<Duration, Reply>) -> Result<(), Reply> {
        let delay = begun?;
        self.check_mail().await?;
        if !delay.is_zero() {
            // Rare, and not a part of each session's future.
            Box::pin(self.connection.clock().sleep(delay)).await;
        }
        Ok(())
    }

    /// Begins a transaction; returns how long the client is to wait for the answer.
    fn mail(&mut self, mut command: MailCommand) -> Result<Duration, Reply> {
        if self.had_last_message {
            return Err(table::SHUTTING_DOWN.reply());
        }
        let arrived = self.connection.clock().timestamp();
        self.intake = (self.current)();
        self.forwarded = command.xforward.take();
        let origin = match self.origin() {
            Ok(origin) => origin,
            Err(row) => {
                let reply = row.reply();
                self.note_refused(None, Refusal::Mail(command.sender), &reply);
                return Err(reply);
            }
        };
        let delay = match self.intake.room_for(&origin) {
            Ok(delay) => delay,
            Err(reply) => {
                self.note_refused(None, Refusal::Mail(command.sender), &reply);
                return Err(reply);
            }
        };
        let provenance = Provenance {
            trace: self.intake.entropy.trace_id(arrived),
            origin,
            arrived,
            client: Some(self.client()),
            visited: Vec::new(),
            about: None,
        };
        self.transaction = Some(Box::new(Transaction::new(provenance, command)));
        Ok(delay)
    }

    fn origin(&mut self) -> Result<Origin, &'static Row> {
        if let Some(known) = &self.origin {
            return known.clone();
        }
        let found = self.find_origin();
        self.origin = Some(found.clone());
        found
    }

    /// Finds out whose program connected while that is there to be seen: one that gives everything
    /// in one write and leaves has no owner any more when its commands are read.
    fn look_at_program(&mut self) {
        let Visitor { entry, peer, .. } = &self.visitor;
        if let (LocalPrograms::ByUid, Peer::Tcp(_)) = (entry.local, peer)
            && let Ok(uid) = net::peer_uid(self.connection.stream())
        {
            self.origin = Some(Ok(Origin::Local { uid }));
        }
    }

    fn find_origin(&self) -> Result<Origin, &'static Row> {
        match (self.visitor.entry.local, self.visitor.peer) {
            (LocalPrograms::LikeAll, _) => Ok(self.visitor.entry.origin.clone()),
            (LocalPrograms::ByUid, Peer::Local { uid, .. }) => Ok(Origin::Local { uid }),
            (LocalPrograms::ByUid, Peer::Tcp(_)) => match net::peer_uid(self.connection.stream()) {
                Ok(uid) => Ok(Origin::Local { uid }),
                Err(OwnerError::NotLoopback) => Err(&table::NOT_ALLOWED),
                Err(e) => {
                    let address = self.client().address.map(|a| a.to_string());
                    let address = address.unwrap_or_default();
                    self.intake.alarm(&format!(
                        "cannot find the user of the program at {address}: {e}"
                    ));
                    Err(&table::TRY_AGAIN)
                }
            },
        }
    }

    /// The client as we see it, or as a peer that may say so says it.
    fn client(&self) -> Client {
        let machine = self.connection.machine_ref();
        let hello = machine.hello();
        let mut client = Client {
            address: None,
            port: 0,
            helo: hello.map_or_else(|| "".into(), |h: &Hello| h.name.clone()),
            name: None,
            security: machine.security(),
            extended: hello.is_some_and(|h| h.extended),
        };
        if let Peer::Tcp(address) = self.visitor.peer {
            client.address = Some(address.ip().to_canonical());
            client.port = address.port();
        }
        if let Some(forwarded) = &self.forwarded {
            apply(forwarded, &mut client);
        }
        client
    }

    async fn rcpt(&mut self, command: RcptCommand) -> Result<(), Reply> {
        let address = command.recipient.clone().at_domain(&self.intake.hostname);
        let address = address.map_err(|_| table::SYNTAX_RECIPIENT.reply())?;
        let checked = Box::pin(self.check_recipient(&address)).await;
        let Some(transaction) = &mut self.transaction else {
            return Err(table::BAD_SEQUENCE.reply());
        };
        match checked {
            Ok(next_hop) => {
                transaction.takes_own_route |= next_hop == NextHop::Own;
                transaction.add_within(address, command, &self.intake.content_memory)
            }
            Err(reply) => {
                let (trace, from) = (
                    transaction.provenance.trace,
                    transaction.envelope.sender.clone(),
                );
                self.note_refused(Some(trace), Refusal::Rcpt(from, address), &reply);
                Err(reply)
            }
        }
    }

    fn begin_body(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.begin_body(&self.intake);
        }
    }

    async fn take_body(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction
                .take_body(&mut self.connection, &self.intake)
                .await;
        }
    }

    async fn commit(&mut self) -> Committed {
        self.take_body().await;
        if let Err(reply) = self.check_transaction(Phase::Content).await {
            return Committed::All(reply);
        }
        let Some(transaction) = self.transaction.take() else {
            return Committed::All(table::BAD_SEQUENCE.reply());
        };
        let (trace, from) = (
            transaction.provenance.trace,
            transaction.envelope.sender.clone(),
        );
        let reply = match transaction.is_discarded {
            true => accepted(&transaction),
            false => self.intake.answer(transaction, self.source()).await,
        };
        if reply.is_positive() {
            self.n_messages = self.n_messages.saturating_add(1);
        } else {
            self.note_refused(Some(trace), Refusal::Data(from), &reply);
        }
        Committed::All(reply)
    }
}

/// What a trusted peer says about the client behind it stands for what we see of the peer.
fn apply(forwarded: &XforwardAttributes, client: &mut Client) {
    if let Some(address) = forwarded.addr {
        client.address = Some(address.to_canonical());
        client.port = forwarded.port.unwrap_or(0);
        client.security = Security::Plain;
    }
    if let Some(helo) = &forwarded.helo {
        client.helo = helo.clone();
    }
    client.name.clone_from(&forwarded.name);
    if let Some(protocol) = &forwarded.proto {
        client.extended = protocol.eq_ignore_ascii_case("ESMTP");
    }
}

async fn passed(time: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    if let Some(time) = time {
        time.await;
    }
}

async fn asked_to_leave(leave: &mut watch::Receiver<Leave>, told: Leave) -> Leave {
    if leave.wait_for(|asked| *asked > told).await.is_err() {
        // A sender that is gone cannot ask any more; the session then ends with its client.
        std::future::pending::<()>().await;
    }
    *leave.borrow()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_len<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_client_that_says_nothing_costs_little() {
        // The machine's buffers, the timer and the runtime's own come on top; see bench/idle.
        assert!(future_len(serve) <= 1664, "{}", future_len(serve));
    }
}
