//! One transaction, from MAIL to the end of its data.

use handoff::Parameters;
use mail::{Additions, Envelope, HandoffKey, Provenance, Recipient, ReversePath, Treatment};
use net::ServerConnection;
use smtp::server::{MailCommand, RcptCommand};
use spool::KeyClaim;

use crate::accept::Intake;
use crate::body::Body;
use crate::trace_field::received;

/// What was gathered so far.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) provenance: Provenance,
    pub(crate) envelope: Envelope,
    pub(crate) body: Option<Body>,
    pub(crate) size: Option<u64>,
    /// Whether a recipient is delivered from here, so that the message must be kept here.
    pub(crate) takes_own_route: bool,
    /// What another instance said, on an edge.
    pub(crate) handed: Option<Handed>,
    /// The key of a message that a local program left.
    pub(crate) left: Option<HandoffKey>,
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
}

impl Handed {
    pub(crate) const fn new(parameters: Parameters, claim: Option<KeyClaim>) -> Self {
        Self {
            parameters,
            indexes: Vec::new(),
            n_named: 0,
            claim,
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
            size: command.size,
            takes_own_route: false,
            handed: None,
            left: None,
        }
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

    /// Takes what has arrived of the content.
    pub(crate) async fn take_body(&mut self, connection: &mut ServerConnection, intake: &Intake) {
        if let Some(body) = &mut self.body {
            body.receive(connection.machine().take_body());
            body.settle(&intake.spool, &intake.content_memory).await;
        }
    }

    pub(crate) fn add(&mut self, address: mail::Mailbox, command: RcptCommand) {
        self.envelope.recipients.push(Recipient {
            address,
            notify: command.notify,
            orcpt: command.orcpt,
        });
    }
}
