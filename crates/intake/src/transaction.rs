//! One transaction, from MAIL to the end of its data.

use std::sync::Arc;

use handoff::Parameters;
use mail::reply::table::{self, Row};
use mail::{Additions, Envelope, HandoffKey, Provenance, Recipient, Reply, ReversePath, Treatment};
use net::ServerConnection;
use smtp::server::{MailCommand, RcptCommand};
use spool::KeyClaim;

use crate::accept::Intake;
use crate::body::Body;
use crate::handed_limits::Measure;
use crate::memory::{ContentMemory, Purpose, Share};
use crate::trace_field::received;

/// Recipients take so many octets before they are counted; those of nearly all messages are fewer.
pub(crate) const RECIPIENTS_LEN_FREE: usize = 4 * 1024;

/// What was gathered so far.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) provenance: Provenance,
    pub(crate) envelope: Envelope,
    pub(crate) body: Option<Body>,
    pub(crate) taken: RecipientsMemory,
    pub(crate) size: Option<u64>,
    /// Whether a recipient is delivered from here, so that the message must be kept here.
    pub(crate) takes_own_route: bool,
    /// What another instance said, on an edge.
    pub(crate) handed: Option<Handed>,
    /// Why it is to be held for an operator, where a check wants that.
    pub(crate) hold: Option<Box<str>>,
    /// A check wants it accepted and dropped.
    pub(crate) is_discarded: bool,
    /// The key of a message that a local program left.
    pub(crate) left: Option<HandoffKey>,
}

/// What the recipients of a client take of the memory for contents.
#[derive(Debug, Default)]
pub(crate) struct RecipientsMemory {
    len: usize,
    share: Option<Share>,
}

/// What makes a transaction a handoff.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) parameters: Parameters,
    /// For each recipient of the envelope, its index in the sender's transaction.
    pub(crate) indexes: Vec<u32>,
    /// How many recipients the sender named so far.
    pub(crate) n_named: u32,
    /// The claim of its key; `None` where it has none, or the key was known.
    pub(crate) claim: Option<KeyClaim>,
    /// Counts the content, where the handoff is new.
    pub(crate) measure: Measure,
    /// Why the content is not accepted.
    pub(crate) refused: Option<&'static Row>,
}

impl Handed {
    pub(crate) const fn new(
        parameters: Parameters,
        claim: Option<KeyClaim>,
        measure: Measure,
    ) -> Self {
        Self {
            parameters,
            indexes: Vec::new(),
            n_named: 0,
            claim,
            measure,
            refused: None,
        }
    }

    /// The key, where its message was here or on its way in when the handoff began: it is answered
    /// from the record, whatever the routes are by now.
    pub(crate) fn known_key(&self) -> Option<HandoffKey> {
        self.parameters.key.filter(|_| self.claim.is_none())
    }
}

impl Transaction {
    pub(crate) fn new(provenance: Provenance, command: MailCommand) -> Self {
        let envelope = Envelope {
            sender: command.sender,
            recipients: Vec::with_capacity(1),
            body: command.body,
            smtputf8: command.smtputf8,
            ret: command.ret,
            envid: command.envid,
        };
        Self {
            provenance,
            envelope,
            body: None,
            taken: RecipientsMemory::default(),
            size: command.size,
            takes_own_route: false,
            handed: None,
            hold: None,
            is_discarded: false,
            left: None,
        }
    }

    /// The key of a handoff that is repeated.
    pub(crate) fn known_key(&self) -> Option<HandoffKey> {
        self.handed.as_ref().and_then(Handed::known_key)
    }

    /// Begins the content of a client's message: our trace field stands above it, and a message of
    /// our own gets what it lacks.
    pub(crate) fn begin_body(&mut self, intake: &Intake) {
        let hostname = &intake.hostname;
        let name = intake.name.as_str();
        let trace = received(&self.provenance, &self.envelope, hostname, name);
        let treatment = if self.provenance.origin.is_ours() {
            Treatment::Submit(Box::new(self.additions(hostname)))
        } else {
            Treatment::Receive
        };
        self.body = Some(Body::new(&trace, treatment, self.size));
    }

    fn additions(&self, hostname: &str) -> Additions {
        let from = match &self.envelope.sender {
            ReversePath::Mailbox(mailbox) => mailbox.as_str().into(),
            ReversePath::Null => format!("MAILER-DAEMON@{hostname}").into(),
        };
        let Provenance { arrived, trace, .. } = &self.provenance;
        Additions {
            domain: hostname.into(),
            date: arrived.rfc5322().to_string().into(),
            from,
            message_id: format!("<{trace}@{hostname}>").into(),
        }
    }

    /// Takes what has arrived of the content. What is not to be kept is discarded.
    pub(crate) async fn take_body(&mut self, connection: &mut ServerConnection, intake: &Intake) {
        let octets = connection.machine().take_body();
        if self.body.is_some()
            && let Some(handed) = &mut self.handed
            && let Err(row) = handed.measure.pass(&octets)
        {
            handed.refused = Some(row);
            self.body = None;
        }
        if let Some(body) = &mut self.body {
            body.receive(octets);
            body.settle(&intake.spool, &intake.content_memory).await;
        }
    }

    /// Adds a recipient where there is memory for it: the first ones cost little, and a client that
    /// names a thousand takes from what there is for contents.
    ///
    /// # Errors
    /// The reply where there is not as much: the client sends the rest in another transaction.
    pub(crate) fn add_within(
        &mut self,
        address: mail::Mailbox,
        command: RcptCommand,
        memory: &Arc<ContentMemory>,
    ) -> Result<(), Reply> {
        let orcpt_len = command.orcpt.as_ref().map_or(0, |orcpt| orcpt.len());
        // A list that grows has room for twice as many.
        let len = 2 * size_of::<Recipient>() + address.as_str().len() + orcpt_len;
        let taken = &mut self.taken;
        if taken.len + len > RECIPIENTS_LEN_FREE {
            let share = taken.share.get_or_insert_with(|| memory.share());
            if !share.set(taken.len + len, Purpose::Small) {
                return Err(table::TOO_MANY_RECIPIENTS.reply());
            }
        }
        taken.len += len;
        self.add(address, command);
        Ok(())
    }

    pub(crate) fn add(&mut self, address: mail::Mailbox, command: RcptCommand) {
        self.envelope.recipients.push(Recipient {
            address,
            notify: command.notify,
            orcpt: command.orcpt,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{BodyType, Mailbox, Notify, Origin, Timestamp, TraceId};

    fn transaction() -> Transaction {
        let arrived = Timestamp::from_unix_ms(0);
        let provenance = Provenance {
            trace: TraceId::new(arrived, 1),
            origin: Origin::Outside,
            arrived,
            client: None,
            visited: Vec::new(),
            about: None,
        };
        let command = MailCommand {
            body: BodyType::SevenBit,
            edge: None,
            envid: None,
            ret: None,
            sender: ReversePath::Null,
            size: None,
            smtputf8: false,
            xforward: None,
        };
        Transaction::new(provenance, command)
    }

    /// Adds recipients with all that can be said of each, until one is refused.
    fn fill(transaction: &mut Transaction, memory: &Arc<ContentMemory>) -> usize {
        let recipient = Mailbox::parse("alice@x.org").unwrap();
        for n in 0..1000 {
            let command = RcptCommand {
                notify: Notify::NEVER,
                orcpt: Some("o".repeat(500).into()),
                recipient: mail::ForwardPath::Mailbox(recipient.clone()),
            };
            let added = transaction.add_within(recipient.clone(), command, memory);
            if let Err(reply) = added {
                assert_eq!(reply.code.value(), 452);
                return n;
            }
        }
        1000
    }

    #[test]
    fn recipients_beyond_a_few_share_the_memory_of_contents() {
        const ROOM: usize = 100_000;
        let memory = Arc::new(ContentMemory::new(ROOM));
        let (mut one, mut other) = (transaction(), transaction());
        let n_most = fill(&mut one, &memory);
        // Each counts with its place in the list, of which a list that grows has twice as many.
        let len = 2 * size_of::<Recipient>() + "alice@x.org".len() + 500;
        assert_eq!(n_most, ROOM / len);
        let n_least = fill(&mut other, &memory);
        assert!(
            (1..=RECIPIENTS_LEN_FREE / 500).contains(&n_least),
            "{n_least}"
        );
        assert_eq!(other.envelope.recipients.len(), n_least);
        drop(one);
        assert!(fill(&mut other, &memory) > n_most / 2, "it is given back");
    }
}
