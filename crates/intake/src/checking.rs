//! Where policy is asked: the facts that a decision needs are gathered here, and no others.
//!
//! # Limits
//! A fact that has to be looked up may take [`FACT_TIMEOUT`]; then it is one that cannot be had.

use std::time::Duration;

use mail::reply::table;
use mail::{Envelope, Found, Mailbox, Origin, Reply, ReversePath};
use policy::{
    Checks, ClientAddress, Decision, DomainStatus, Fact, FactKey, FactSet, Facts, Gathered,
    HeaderField, Phase, RecipientStatus, Scope, Step, Verdict, evaluate,
};

use crate::accept::{Intake, NextHop, Onward};
use crate::recipients::{Answer, ask_next};

/// How long a fact may be looked up. A lookup has a shorter limit of its own; this one holds where
/// that one does not.
pub const FACT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a phase may ask for more facts: each check may need facts of three kinds, one after
/// the other.
pub(crate) const ROUNDS_MAX: usize = 16;

/// The checks of an instance, by the entry that a connection came in by.
#[derive(Clone, Debug, Default)]
pub struct EntryChecks {
    /// Of clients.
    pub clients: Checks,
    /// Of mail transfer agents that the configuration names, which have checked their own clients.
    pub peers: Checks,
    /// Of other instances of ours, whose clients were checked where they came in.
    pub edges: Checks,
}

/// What a session has at hand, without looking it up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AtHand<'a> {
    pub(crate) client: Option<ClientAddress>,
    pub(crate) helo: Option<&'a str>,
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) envelope: Option<&'a Envelope>,
    pub(crate) sender: Option<&'a ReversePath>,
    pub(crate) header: Option<&'a Found>,
}

impl AtHand<'_> {
    /// The fact of this name; `None` where it is one to look up.
    fn fact(&self, key: FactKey) -> Option<Fact> {
        fn known<T>(value: Option<T>) -> Gathered<T> {
            value.map_or(Gathered::CannotTell, Gathered::Known)
        }
        Some(match key {
            FactKey::EarlyTalk(_) | FactKey::RecipientStatus | FactKey::SenderDomain => {
                return None;
            }
            FactKey::ClientAddress => Fact::ClientAddress(known(self.client)),
            FactKey::HelloName => Fact::HelloName(known(self.helo.map(Into::into))),
            FactKey::Origin => Fact::Origin(known(self.origin.cloned())),
            FactKey::Sender => Fact::Sender(known(self.sender.cloned())),
            FactKey::RecipientCount => {
                Fact::RecipientCount(known(self.envelope.map(|envelope| {
                    u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX)
                })))
            }
            FactKey::FieldCount(field) => Fact::FieldCount(
                field,
                known(self.header.map(|found| match field {
                    HeaderField::Date => found.n_date,
                    HeaderField::From => found.n_from,
                })),
            ),
        })
    }

    /// Learns those of `needed` that are at hand. Whether that was all.
    pub(crate) fn teach(&self, needed: &FactSet, facts: &mut Facts) -> bool {
        let mut is_all = true;
        for key in needed.iter() {
            match self.fact(key) {
                Some(fact) => facts.learn(fact),
                None => is_all = false,
            }
        }
        is_all
    }
}

/// Asks the checks of a phase until they decide, or need what is not at hand: the caller learns
/// that, and asks again, [`ROUNDS_MAX`] times at most.
pub(crate) fn next_step(
    (checks, phase): (&Checks, Phase),
    facts: &mut Facts,
    at_hand: AtHand<'_>,
) -> Step {
    loop {
        match evaluate(checks, facts, phase) {
            Step::Need(needed) if at_hand.teach(&needed, facts) => {}
            step => return step,
        }
    }
}

/// What became of a recipient.
pub(crate) struct Checked {
    pub(crate) next_hop: NextHop,
    pub(crate) decision: Decision,
    /// The refusal with what only operators are to read, where the recipient's own is it.
    own_reply: Option<Reply>,
}

impl Checked {
    /// The reply that refuses it, where one does.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let (Verdict::Defer(reply) | Verdict::Reject(reply)) = &self.decision.verdict else {
            return None;
        };
        let own = self.own_reply.as_ref().filter(|own| *own == reply);
        Some(own.unwrap_or(reply).clone())
    }
}

impl Intake {
    /// Whether `recipient` is taken for mail of `origin`, and which instance carries its copy on.
    pub(crate) async fn check_recipient(
        &self,
        checks: &Checks,
        facts: &mut Facts,
        recipient: &Mailbox,
        at_hand: AtHand<'_>,
    ) -> Result<Checked, Reply> {
        facts.begin(Scope::Recipient);
        let origin = at_hand.origin.unwrap_or(&Origin::Outside);
        let mut own = self.own_status(recipient, origin);
        let next_hop = match own {
            Some(_) => NextHop::Own,
            None => NextHop::Next,
        };
        let mut own_reply = None;
        for _ in 0..ROUNDS_MAX {
            let needed = match next_step((checks, Phase::Rcpt), facts, at_hand) {
                Step::Decided(decision) => {
                    return Ok(Checked {
                        next_hop,
                        decision,
                        own_reply,
                    });
                }
                Step::Need(needed) => needed,
            };
            let status = async {
                match own.take() {
                    _ if !needed.contains(FactKey::RecipientStatus) => None,
                    Some(answer) => Some(answer.status().await),
                    None => Some(self.next_status(recipient, origin).await),
                }
            };
            let domain = async {
                match (needed.contains(FactKey::SenderDomain), at_hand.sender) {
                    (true, Some(sender)) => Some(self.sender_domain(sender).await),
                    _ => None,
                }
            };
            let (status, domain) = tokio::join!(self.within(status), self.within(domain));
            if needed.contains(FactKey::RecipientStatus) {
                let status = status.unwrap_or(Gathered::CannotTell);
                if let Gathered::Known(RecipientStatus::Refused(reply)) = &status {
                    own_reply = Some(reply.clone());
                }
                facts.learn(Fact::RecipientStatus(public(status)));
            }
            if needed.contains(FactKey::SenderDomain) {
                facts.learn(Fact::SenderDomain(domain.unwrap_or(Gathered::CannotTell)));
            }
        }
        Err(table::TRY_AGAIN.reply())
    }

    /// Looks up what a phase other than RCPT needs about the sender.
    pub(crate) async fn look_up_sender(
        &self,
        sender: Option<&ReversePath>,
        needed: &FactSet,
        facts: &mut Facts,
    ) {
        for key in needed.iter() {
            let fact = match key {
                FactKey::SenderDomain => Fact::SenderDomain(match sender {
                    Some(sender) => {
                        let found = self.within(async { Some(self.sender_domain(sender).await) });
                        found.await.unwrap_or(Gathered::CannotTell)
                    }
                    None => Gathered::CannotTell,
                }),
                FactKey::EarlyTalk(wait) => Fact::EarlyTalk(wait, Gathered::CannotTell),
                FactKey::RecipientStatus => Fact::RecipientStatus(Gathered::CannotTell),
                // At hand.
                _ => continue,
            };
            // What another lookup has learned stays.
            if facts.find(key).is_none() {
                facts.learn(fact);
            }
        }
    }

    /// A lookup within its limit; `None` after it.
    async fn within<T>(&self, lookup: impl Future<Output = Option<T>>) -> Option<T> {
        self.clock.timeout(FACT_TIMEOUT, lookup).await.ok()?
    }

    /// Whether the sender's domain is ours. The answer about its postmaster, whom every domain has,
    /// is one for all senders of the domain.
    async fn sender_domain(&self, sender: &ReversePath) -> Gathered<DomainStatus> {
        let ReversePath::Mailbox(sender) = sender else {
            return Gathered::Known(DomainStatus::External);
        };
        let Ok(postmaster) = Mailbox::parse(&format!("postmaster@{}", sender.domain())) else {
            return Gathered::CannotTell;
        };
        match self.recipient_status(&postmaster, &Origin::Outside).await {
            Gathered::Known(RecipientStatus::External) => Gathered::Known(DomainStatus::External),
            Gathered::Known(RecipientStatus::Internal) => Gathered::Known(DomainStatus::Internal),
            Gathered::Known(RecipientStatus::Refused(reply)) => {
                let is = |row: &table::Row| reply.enhanced == row.reply().enhanced;
                if is(&table::NO_SUCH_DOMAIN) {
                    Gathered::Known(DomainStatus::External)
                } else if is(&table::NO_SUCH_USER) {
                    Gathered::Known(DomainStatus::Internal)
                } else {
                    Gathered::CannotTell
                }
            }
            Gathered::CannotTell => Gathered::CannotTell,
        }
    }

    /// What is known of a recipient, also for another instance that asks.
    pub(crate) async fn recipient_status(
        &self,
        recipient: &Mailbox,
        origin: &Origin,
    ) -> Gathered<RecipientStatus> {
        match self.own_status(recipient, origin) {
            Some(answer) => answer.status().await,
            None => self.next_status(recipient, origin).await,
        }
    }

    /// What the routes here know; `None` where the next instance is to be asked.
    fn own_status(&self, recipient: &Mailbox, origin: &Origin) -> Option<Answer> {
        match &self.onward {
            Onward::Here(recipients) => {
                let answer = recipients.status(recipient, origin);
                let nowhere = || RecipientStatus::Refused(table::NO_SUCH_DOMAIN.reply());
                Some(answer.unwrap_or_else(|| Answer::Now(nowhere())))
            }
            Onward::Next { own, .. } => own.as_ref()?.status(recipient, origin),
        }
    }

    async fn next_status(&self, recipient: &Mailbox, origin: &Origin) -> Gathered<RecipientStatus> {
        match &self.onward {
            Onward::Here(_) => Gathered::CannotTell,
            Onward::Next { next, .. } => ask_next(next, recipient, origin).await,
        }
    }
}

/// Facts may be kept: they hold nothing that only operators are to read.
fn public(status: Gathered<RecipientStatus>) -> Gathered<RecipientStatus> {
    match status {
        Gathered::Known(RecipientStatus::Refused(reply)) if reply.cause().is_some() => {
            let reply = reply.with_text(reply.text());
            Gathered::Known(RecipientStatus::Refused(reply))
        }
        other => other,
    }
}
