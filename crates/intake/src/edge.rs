//! The receiving end of a handoff: sessions of other instances, over an edge.
//!
//! # Guarantees
//! A key that is known is answered from its record and nothing is stored; one whose commit is under
//! way is waited for. In mode *all* either every recipient is stored or none. A key is claimed at
//! MAIL, before any recipient is looked at, and nothing is stored for a sender that has hung up:
//! no answer that was given up can become true later. Whatever a reload may change (routes, limits,
//! what a sender may claim) is checked only for new handoffs.
//!
//! # Standards
//! docs/handoff.md; RFC 2033 §4.2 for the replies after the data.

use std::sync::Arc;

use handoff::{Mode, Parameters, VISITED_MAX};
use mail::event::Source;
use mail::reply::table;
use mail::{HandoffKey, InstanceName, Mailbox, Origin, Reply, SpoolId, Treatment};
use net::ServerConnection;
use policy::{Facts, Gathered, RecipientStatus};
use smtp::server::{Committed, Event, MailCommand, RcptCommand};
use spool::{Claimed, IndexSet, KeyState};
use tokio::sync::watch;

use crate::accept::{Current, Intake};
use crate::body::Body;
use crate::checking::AtHand;
use crate::gate::Connected;
use crate::handed_limits::Measure;
use crate::recipients::parse_question;
use crate::transaction::{Handed, Transaction};

/// The instance at the other end of an edge, as the supervisor says.
#[derive(Clone, Debug)]
pub struct EdgePeer {
    /// Its name.
    pub name: InstanceName,
    /// What origins it may claim.
    pub claims: Claims,
}

/// What origins an instance may claim for its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claims {
    /// Any: it passes on what others have checked.
    Any,
    /// Local programs and authenticated users.
    Ours,
    /// The world and authenticated users.
    World,
}

impl Claims {
    fn allow(self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Any, _)
            | (_, Origin::Authenticated(_) | Origin::Generated)
            | (Self::World, Origin::Outside)
            | (Self::Ours, Origin::Local { .. }) => true,
            (Self::World, Origin::Local { .. }) | (Self::Ours, Origin::Outside) => false,
        }
    }
}

/// The most epochs that one list may name.
const EPOCHS_MAX: usize = 1024;

/// Serves one connection of another instance.
pub async fn serve_edge(
    connection: ServerConnection,
    peer: EdgePeer,
    current: Current,
    mut stopping: watch::Receiver<bool>,
) {
    let mut session = EdgeSession {
        connection,
        peer,
        intake: current(),
        current,
        transaction: None,
        epoch: None,
    };
    loop {
        let event = tokio::select! {
            biased;
            event = session.connection.next_event() => event,
            // Only when the senders are gone or the limit is over does the instance cut edges.
            _ = stopping.wait_for(|asked| *asked) => None,
        };
        let Some(event) = event else { break };
        if !session.handle(event).await {
            break;
        }
    }
    session.connection.close().await;
}

struct EdgeSession {
    connection: ServerConnection,
    peer: EdgePeer,
    current: Current,
    /// As of the last MAIL or question.
    intake: Arc<Intake>,
    transaction: Option<Transaction>,
    /// The sender's spool and its epoch, as named at the beginning.
    epoch: Option<(SpoolId, u64)>,
}

impl EdgeSession {
    /// False when the session is over.
    async fn handle(&mut self, event: Event) -> bool {
        let now = self.connection.clock().now();
        match event {
            Event::Body => self.take_body().await,
            // Neither is offered between instances.
            Event::Closed(_) | Event::Connect(_) | Event::StartTls => return false,
            Event::Commit(question) => {
                let answer = self.commit().await;
                let now = self.connection.clock().now();
                self.connection
                    .machine()
                    .answer_commit(now, question, answer);
            }
            Event::Data(question) => {
                // A content that is here already is read and discarded.
                if let Some(transaction) = &mut self.transaction
                    && transaction.known_key().is_none()
                {
                    // The entry instance added the trace field; between instances none is added.
                    transaction.body = Some(Body::new("", Treatment::Read, transaction.size));
                }
                self.connection.machine().answer_data(now, question, Ok(()));
            }
            Event::EarlyTalk => {}
            Event::Hello(question, _) => {
                self.connection
                    .machine()
                    .answer_hello(now, question, Ok(()));
            }
            Event::Reset(_) => self.transaction = None,
            Event::Mail(question, command) => {
                let answer = self.mail(command);
                self.connection.machine().answer_mail(now, question, answer);
            }
            Event::Rcpt(question, command) => {
                let answer = self.rcpt(command).await;
                let now = self.connection.clock().now();
                self.connection.machine().answer_rcpt(now, question, answer);
            }
            Event::Refused(row) => {
                let text = format!("{} sent what was refused as {}", self.peer.name, row.id);
                self.intake.alarm(&text);
            }
            Event::Verify(question, command) => {
                let reply = self.verify(&command.argument).await;
                let now = self.connection.clock().now();
                self.connection
                    .machine()
                    .answer_verify(now, question, reply);
            }
        }
        true
    }

    fn mail(&mut self, mut command: MailCommand) -> Result<(), Reply> {
        self.intake = (self.current)();
        let Some(text) = command.edge.take() else {
            return self.violation("MAIL without XPOSTERN");
        };
        let parameters = match Parameters::parse(&text.0) {
            Ok(parameters) => parameters,
            Err(e) => return self.violation(&e.to_string()),
        };
        let claim = match &parameters.key {
            None => None,
            Some(key) => {
                let Some((sender, epoch)) = self.epoch else {
                    return self.violation("a key before the list of epochs");
                };
                if key.sender != sender || key.epoch > epoch {
                    return Err(table::TRY_AGAIN.reply());
                }
                let (lowest, Intake { gate, spool, .. }) =
                    (parameters.lowest_unsettled, &*self.intake);
                match gate.claim(&self.peer.name, key, lowest, epoch, spool) {
                    Claimed::Held(claim) => Some(claim),
                    Claimed::Known => None,
                    Claimed::Full | Claimed::Settled => return Err(table::TRY_AGAIN.reply()),
                }
            }
        };
        // What is here already needs no room, and was allowed when it came.
        let is_new = claim.is_some() || parameters.key.is_none();
        if is_new {
            self.check_new(&parameters, command.size)?;
        }
        let measure = Measure::new(self.intake.handoff_limits, command.body);
        let mut transaction = Transaction::new(parameters.provenance.clone(), command);
        transaction.handed = Some(Handed::new(parameters, claim, measure));
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Whether a handoff that is not known here may come.
    fn check_new(&self, parameters: &Parameters, size: Option<u64>) -> Result<(), Reply> {
        let origin = &parameters.provenance.origin;
        if !self.peer.claims.allow(origin) {
            self.intake
                .alarm(&format!("{} claimed the origin {origin:?}", self.peer.name));
            return Err(table::NOT_ALLOWED.reply());
        }
        let visited = &parameters.provenance.visited;
        if visited.contains(&self.intake.name) || visited.len() >= VISITED_MAX {
            return Err(table::LOOP.reply());
        }
        if size.is_some_and(|size| size > self.intake.handoff_limits.content_len_max) {
            return Err(table::TOO_BIG.reply());
        }
        self.intake.room_for(origin).map(|_| ())
    }

    fn violation(&self, what: &str) -> Result<(), Reply> {
        self.intake.alarm(&format!(
            "{} broke the handoff protocol: {what}",
            self.peer.name
        ));
        Err(table::PARAMETER_VALUE.reply())
    }

    async fn rcpt(&mut self, command: RcptCommand) -> Result<(), Reply> {
        let Some(transaction) = &self.transaction else {
            return Err(table::BAD_SEQUENCE.reply());
        };
        let known = transaction.known_key().is_some();
        let n_taken = transaction.envelope.recipients.len();
        let address = command.recipient.clone().at_domain(&self.intake.hostname);
        let address = address.map_err(|_| table::SYNTAX_RECIPIENT.reply())?;
        let origin = transaction.provenance.origin.clone();
        // A repeated handoff is answered from its record, whatever the routes say by now.
        let verdict = match known {
            true => Ok(()),
            // The sender brings the others in another transaction (RFC 5321 §4.5.3.1.10).
            false if n_taken >= self.intake.handoff_limits.recipients_max => {
                Err(table::TOO_MANY_RECIPIENTS.reply())
            }
            false => self.check_recipient(&address, &origin).await,
        };
        let Some(transaction) = &mut self.transaction else {
            return Err(table::BAD_SEQUENCE.reply());
        };
        let handed = transaction
            .handed
            .as_mut()
            .ok_or_else(|| table::BAD_SEQUENCE.reply())?;
        let index = handed.n_named;
        handed.n_named += 1;
        verdict?;
        handed.indexes.push(index);
        transaction.add(address, command);
        Ok(())
    }

    /// Only who may send to whom is checked again: the client was checked where it came in.
    async fn check_recipient(&self, address: &Mailbox, origin: &Origin) -> Result<(), Reply> {
        let mut facts = Facts::default();
        let at_hand = AtHand {
            origin: Some(origin),
            ..AtHand::default()
        };
        let checks = &self.intake.checks.edges;
        let checked = self
            .intake
            .check_recipient(checks, &mut facts, address, at_hand)
            .await?;
        checked.refusal().map_or(Ok(()), Err)
    }

    async fn verify(&mut self, argument: &str) -> Reply {
        self.intake = (self.current)();
        if let Some(list) = argument.strip_prefix("epochs=") {
            return self.connected(list);
        }
        let Some((address, origin)) = parse_question(argument) else {
            return table::SYNTAX_ARGUMENT.reply();
        };
        match self.intake.recipient_status(&address, &origin).await {
            Gathered::CannotTell => table::NEXT_UNAVAILABLE.reply(),
            Gathered::Known(RecipientStatus::External) => table::WILL_FORWARD.reply(),
            Gathered::Known(RecipientStatus::Internal) => table::RECIPIENT_OK.reply(),
            Gathered::Known(RecipientStatus::Refused(reply)) => reply,
        }
    }

    /// The first words of a connection: whose it is, and which of its epochs still matter.
    fn connected(&mut self, list: &str) -> Reply {
        let Some((sender, epochs)) = parse_epochs(list) else {
            return table::SYNTAX_ARGUMENT.reply();
        };
        let (name, Intake { gate, spool, .. }) = (&self.peer.name, &*self.intake);
        match gate.connected(name, sender, &epochs, spool) {
            Connected::Opened(own) => {
                self.epoch = Some((sender, own));
                table::OK.reply()
            }
            Connected::Late => table::TRY_AGAIN.reply(),
            Connected::NotItsOwn => {
                let text = format!("{name} named a spool that is another instance's: {sender}");
                self.intake.alarm(&text);
                table::NOT_ALLOWED.reply()
            }
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
        let Some(mut transaction) = self.transaction.take() else {
            return Committed::All(table::BAD_SEQUENCE.reply());
        };
        let Some(handed) = &mut transaction.handed else {
            return Committed::All(table::BAD_SEQUENCE.reply());
        };
        if let Some(key) = handed.known_key() {
            return self.answer_known(&transaction, &key).await;
        }
        if let Some(row) = handed.refused {
            return Committed::All(row.reply());
        }
        let all_taken = handed.indexes.len() == usize::try_from(handed.n_named).unwrap_or(0);
        // From here on a repetition waits for what comes of this copy.
        if handed.claim.as_mut().is_some_and(|claim| !claim.confirm()) {
            return Committed::All(table::TRY_AGAIN.reply());
        }
        if handed.parameters.mode == Mode::All && !all_taken {
            return Committed::All(table::NEXT_REFUSED_SOME.reply());
        }
        // What was sent to a process that gives up its spool is sent again to the next one.
        let Ok(_lease) = self.intake.spool_lease.enter() else {
            return Committed::All(table::TRY_AGAIN.reply());
        };
        // Its sender has given it up, and may have made something else of it since.
        if self.connection.stream().has_hung_up() {
            return Committed::All(table::TRY_AGAIN.reply());
        }
        let source = Source {
            previous: Some(self.peer.name.as_str().into()),
            ..Source::default()
        };
        let reply = self.intake.keep(transaction, None, &source).await;
        Committed::All(self.intake.load().tell(reply))
    }

    /// Answers a repeated handoff once its first copy is neither on its way in nor unknown.
    async fn answer_known(&self, transaction: &Transaction, key: &HandoffKey) -> Committed {
        loop {
            match self.intake.spool.lookup_key(key) {
                KeyState::Accepted(accepted) => {
                    return Committed::Each(from_record(transaction, &accepted));
                }
                KeyState::Pending(commit) => {
                    // Whatever comes of it shows in the next look.
                    let _ = commit.await;
                }
                // The first copy failed after this one's recipients were taken on its word. Its
                // record may show up in recovery all the same, so the key must stay.
                KeyState::Unknown => return Committed::All(table::TRY_AGAIN.reply()),
            }
        }
    }
}

/// Reads `SPOOL:EPOCH,EPOCH,…`.
fn parse_epochs(list: &str) -> Option<(SpoolId, Vec<u64>)> {
    let (sender, epochs) = list.split_once(':')?;
    let epochs: Vec<_> = epochs
        .split(',')
        .take(EPOCHS_MAX + 1)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    (epochs.len() <= EPOCHS_MAX).then_some((sender.parse().ok()?, epochs))
}

/// The replies to a repeated handoff.
fn from_record(transaction: &Transaction, accepted: &IndexSet) -> Vec<Reply> {
    let Some(handed) = &transaction.handed else {
        return Vec::new();
    };
    let text = format!("accepted before as {}", transaction.provenance.trace);
    let reply = |&index: &u32| match accepted.contains(index) {
        true => table::ACCEPTED.with_text(&text),
        false => table::HANDOFF_PENDING.reply(),
    };
    handed.indexes.iter().map(reply).collect()
}
