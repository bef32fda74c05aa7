//! The phases of a client's session: policy is asked, and its verdicts are carried out.

use std::sync::Arc;

use mail::event::What;
use mail::reply::table;
use mail::{Mailbox, Reply, ReversePath};
use net::{Peer, ServerConnection};
use policy::{
    Checks, ClientAddress, Decision, Fact, FactKey, Facts, Finding, Gathered, Milliseconds, Mode,
    Phase, Reason, RecipientValidity, RelayControl, Scope, Step, Verdict,
};
use smtp::server::{Event, Hello};

use super::Session;
use super::noted::Refusal;
use crate::accept::NextHop;
use crate::checking::{AtHand, EntryChecks, ROUNDS_MAX, next_step};

/// Which list of checks is asked about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckedAs {
    /// That of clients.
    Client,
    /// That of mail transfer agents that the configuration names.
    Peer,
}

impl CheckedAs {
    /// Its list.
    #[must_use]
    pub const fn list(self, of: &EntryChecks) -> &Checks {
        match self {
            Self::Client => &of.clients,
            Self::Peer => &of.peers,
        }
    }
}

/// What checks have come to over a connection.
#[derive(Debug, Default)]
pub(super) struct CheckState {
    /// What they have learned, as long as it holds.
    facts: Facts,
    /// Why messages of this connection are held, where a check wants that.
    hold: Option<Box<str>>,
    /// A check wants messages of this connection accepted and dropped.
    is_discarded: bool,
}

impl Session {
    pub(super) fn asks_in(&self, phase: Phase) -> bool {
        let checks = self.visitor.entry.checked_as.list(&self.intake.checks);
        checks.asks_in(phase)
    }

    fn client_address(&self) -> ClientAddress {
        match self.visitor.peer {
            Peer::Local { .. } => ClientAddress::Local,
            Peer::Tcp(address) => ClientAddress::Network(address.ip().to_canonical()),
        }
    }

    /// Before the greeting.
    pub(super) async fn check_connect(&mut self) -> Result<(), Reply> {
        let intake = Arc::clone(&self.intake);
        let checks = self.visitor.entry.checked_as.list(&intake.checks);
        let at_hand = AtHand {
            client: Some(self.client_address()),
            ..AtHand::default()
        };
        for _ in 0..ROUNDS_MAX {
            let needed = match next_step((checks, Phase::Connect), self.facts(), at_hand) {
                Step::Decided(decision) => {
                    return self
                        .conclude(Phase::Connect, &decision, None)
                        .inspect_err(|reply| self.note_refused(None, Refusal::Connect, reply));
                }
                Step::Need(needed) => needed,
            };
            for key in needed.iter() {
                if let FactKey::EarlyTalk(wait) = key {
                    let early = talks_early(&mut self.connection, wait).await;
                    self.facts().learn(Fact::EarlyTalk(wait, early));
                }
            }
            intake.look_up_sender(None, &needed, self.facts()).await;
        }
        Err(table::NOT_AVAILABLE.reply())
    }

    pub(super) async fn check_hello(&mut self, hello: Hello) -> Result<(), Reply> {
        let before = self.connection.machine_ref().hello();
        let before = before.map(|hello| hello.name.clone());
        let name = |name| Fact::HelloName(Gathered::Known(name));
        self.facts().learn(name(hello.name));
        let decision = self.decide(Phase::Helo).await?;
        self.conclude(Phase::Helo, &decision, None)
            .inspect_err(|reply| {
                // A hello that is refused changes nothing.
                if let Some(before) = before {
                    self.facts().learn(name(before));
                }
                self.note_refused(None, Refusal::Helo, reply);
            })
    }

    /// The sender of the transaction that has just begun.
    pub(super) async fn check_mail(&mut self) -> Result<(), Reply> {
        if let (Some(checked), Some(transaction)) = (&mut self.checked, &mut self.transaction) {
            checked.facts.begin(Scope::Transaction);
            transaction.hold.clone_from(&checked.hold);
            transaction.is_discarded = checked.is_discarded;
        }
        self.check_transaction(Phase::Mail).await
    }

    /// About the open transaction, where any check is asked in `phase`.
    pub(super) async fn check_transaction(&mut self, phase: Phase) -> Result<(), Reply> {
        match self.asks_in(phase) {
            true => Box::pin(self.ask_about_transaction(phase)).await,
            false => Ok(()),
        }
    }

    fn facts(&mut self) -> &mut Facts {
        &mut self.checked.get_or_insert_default().facts
    }

    async fn ask_about_transaction(&mut self, phase: Phase) -> Result<(), Reply> {
        let decision = self.decide(phase).await?;
        let refused = self.conclude(phase, &decision, None);
        let Err(reply) = &refused else {
            return refused;
        };
        if let Some(transaction) = self.transaction.take() {
            let from = transaction.envelope.sender;
            let at = match phase {
                Phase::Mail => Refusal::Mail(from),
                _ => Refusal::Data(from),
            };
            self.note_refused(Some(transaction.provenance.trace), at, reply);
        }
        refused
    }

    async fn decide(&mut self, phase: Phase) -> Result<Decision, Reply> {
        let client = self.client_address();
        let Self {
            connection,
            checked,
            intake,
            transaction,
            visitor,
            ..
        } = self;
        let facts = &mut checked.get_or_insert_default().facts;
        let transaction = transaction.as_deref();
        let at_hand = AtHand {
            client: Some(client),
            helo: connection.machine_ref().hello().map(|hello| &*hello.name),
            origin: transaction.map(|t| &t.provenance.origin),
            envelope: transaction.map(|t| &t.envelope),
            sender: transaction.map(|t| &t.envelope.sender),
            header: transaction
                .and_then(|t| t.body.as_ref())
                .map(|body| body.header()),
        };
        let checks = visitor.entry.checked_as.list(&intake.checks);
        for _ in 0..ROUNDS_MAX {
            match next_step((checks, phase), facts, at_hand) {
                Step::Decided(decision) => return Ok(decision),
                Step::Need(needed) => {
                    intake.look_up_sender(at_hand.sender, &needed, facts).await;
                }
            }
        }
        Err(table::TRY_AGAIN.reply())
    }

    /// A recipient of the open transaction; which instance carries its copy on.
    pub(super) async fn check_recipient(&mut self, address: &Mailbox) -> Result<NextHop, Reply> {
        let client = self.client_address();
        let Self {
            connection,
            checked,
            intake,
            transaction: Some(transaction),
            visitor,
            ..
        } = self
        else {
            return Err(table::BAD_SEQUENCE.reply());
        };
        let at_hand = AtHand {
            client: Some(client),
            helo: connection.machine_ref().hello().map(|hello| &*hello.name),
            origin: Some(&transaction.provenance.origin),
            envelope: Some(&transaction.envelope),
            sender: Some(&transaction.envelope.sender),
            header: None,
        };
        let checks = visitor.entry.checked_as.list(&intake.checks);
        let facts = &mut checked.get_or_insert_default().facts;
        let checked = intake
            .check_recipient(checks, facts, address, at_hand)
            .await?;
        let refused = self.conclude(Phase::Rcpt, &checked.decision, Some(address));
        match (refused, checked.refusal()) {
            (Ok(()), _) => Ok(checked.next_hop),
            (Err(_), Some(own)) => Err(own),
            (Err(reply), None) => Err(reply),
        }
    }

    /// Carries a verdict out, and logs the trail where a check found something.
    fn conclude(
        &mut self,
        phase: Phase,
        decision: &Decision,
        to: Option<&Mailbox>,
    ) -> Result<(), Reply> {
        if decision.is_notable() && !is_plain_refusal(decision) {
            self.log_trail(phase, decision, to);
        }
        let transaction = self.transaction.as_deref_mut();
        let (hold, is_discarded) = match transaction {
            Some(transaction) => (&mut transaction.hold, &mut transaction.is_discarded),
            // Of the connection: for all messages that come over it.
            None => {
                let checked = self.checked.get_or_insert_default();
                (&mut checked.hold, &mut checked.is_discarded)
            }
        };
        match &decision.verdict {
            Verdict::Accept | Verdict::Tag(_) => Ok(()),
            Verdict::Defer(reply) | Verdict::Reject(reply) => Err(reply.clone()),
            Verdict::Discard => {
                *is_discarded = true;
                Ok(())
            }
            Verdict::Hold(why) => {
                hold.get_or_insert_with(|| why.clone());
                Ok(())
            }
        }
    }

    fn log_trail(&self, phase: Phase, decision: &Decision, to: Option<&Mailbox>) {
        let mut checks = String::new();
        let mut facts = String::new();
        let mut shown = policy::FactSet::default();
        for reason in &decision.trail {
            append(&mut checks, "; ", &reason.to_string());
            for key in reason.facts.iter().filter(|key| shown.insert(*key)) {
                let known = self.checked.as_ref();
                if let Some(fact) = known.and_then(|checked| checked.facts.find(key)) {
                    append(&mut facts, " ", &fact.to_string());
                }
            }
        }
        let transaction = self.transaction.as_deref();
        let from = transaction.map(|t| -> ReversePath { t.envelope.sender.clone() });
        let what = What::Checked {
            phase: phase.name(),
            from,
            to: to.cloned(),
            verdict: decision.verdict.name().into(),
            checks: checks.into(),
            facts: facts.into(),
            source: Box::new(self.source()),
        };
        self.emit(transaction.map(|t| t.provenance.trace), what);
    }
}

fn append(list: &mut String, separator: &str, entry: &str) {
    if !list.is_empty() {
        list.push_str(separator);
    }
    list.push_str(entry);
}

/// Whether the client sends something while its greeting waits, which is as long as it may take.
async fn talks_early(connection: &mut ServerConnection, wait: Milliseconds) -> Gathered<bool> {
    let clock = connection.clock();
    let until = clock.now() + std::time::Duration::from_millis(wait.0.into());
    let waits = clock.sleep_until(until);
    tokio::select! {
        biased;
        event = connection.next_event() => match event {
            Some(Event::EarlyTalk) => Gathered::Known(true),
            // It left, which its next event reports as well.
            Some(_) | None => Gathered::CannotTell,
        },
        () = waits => Gathered::Known(false),
    }
}

/// Whether the recipient does not exist or is not to be relayed to, and nothing else was found. The
/// event `refused` says it all, and a client that guesses addresses would fill the log twice.
fn is_plain_refusal(decision: &Decision) -> bool {
    let is_plain = |reason: &Reason| match &reason.finding {
        Finding::Pass => true,
        Finding::Verdict(Verdict::Reject(_), _) if reason.mode == Mode::Enforce => {
            [RelayControl::NAME, RecipientValidity::NAME].contains(&reason.check)
        }
        Finding::Verdict(..) | Finding::CannotTell => false,
    };
    decision.trail.iter().all(is_plain)
}
