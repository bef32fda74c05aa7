//! Where policy is asked: the facts that a decision needs are gathered here, and no others.

use mail::reply::table;
use mail::{Mailbox, Origin, Reply};
use policy::{Fact, FactKey, Facts, Phase, Standing, Step, Verdict, evaluate};

use crate::accept::{Intake, Onward, Way};
use crate::recipients::{Answer, ask_next};

impl Intake {
    /// Whether `recipient` is taken for mail of `origin`, and who carries its copy on.
    ///
    /// # Errors
    /// The reply that refuses it.
    pub(crate) async fn judge(&self, recipient: &Mailbox, origin: &Origin) -> Result<Way, Reply> {
        let mut own = self.own_standing(recipient, origin);
        let way = match own {
            Some(_) => Way::Own,
            None => Way::Next,
        };
        let mut facts = Facts::default();
        let decision = loop {
            match evaluate(&self.checks, &facts, Phase::Rcpt) {
                Step::Decided(decision) => break decision,
                Step::Need(FactKey::Origin) => facts.learn(Fact::Origin(origin.clone())),
                Step::Need(FactKey::RecipientStanding) => {
                    let standing = match own.take() {
                        Some(answer) => answer.standing().await,
                        None => self.next_standing(recipient, origin).await,
                    };
                    facts.learn(Fact::RecipientStanding(standing));
                }
            }
        };
        match decision.verdict {
            Verdict::Accept | Verdict::Tag(_) => Ok(way),
            Verdict::Defer(reply) | Verdict::Reject(reply) => Err(reply),
            // No check of recipients says this; nobody's mail is lost to one that some day does.
            Verdict::Discard | Verdict::Hold(_) => Err(table::TRY_AGAIN.reply()),
        }
    }

    /// Where a recipient stands, for another instance that asks.
    pub(crate) async fn standing(&self, recipient: &Mailbox, origin: &Origin) -> Standing {
        match self.own_standing(recipient, origin) {
            Some(answer) => answer.standing().await,
            None => self.next_standing(recipient, origin).await,
        }
    }

    /// What the routes here say; `None` where the next instance is to say it.
    fn own_standing(&self, recipient: &Mailbox, origin: &Origin) -> Option<Answer> {
        match &self.onward {
            Onward::Here(recipients) => {
                let answer = recipients.standing(recipient, origin);
                let nowhere = || Standing::Refused(table::NO_SUCH_DOMAIN.reply());
                Some(answer.unwrap_or_else(|| Answer::Now(nowhere())))
            }
            Onward::Next { own, .. } => own.as_ref()?.standing(recipient, origin),
        }
    }

    async fn next_standing(&self, recipient: &Mailbox, origin: &Origin) -> Standing {
        match &self.onward {
            Onward::Here(_) => Standing::NoAnswer,
            Onward::Next { next, .. } => ask_next(next, recipient, origin).await,
        }
    }
}
