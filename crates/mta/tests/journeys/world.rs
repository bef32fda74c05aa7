//! An instance that delivers, and what a test can see of it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::transport::{
    Domains, Mailboxes, Maildir, MaildirSettings, Relay, RelaySettings, Transport,
};
use delivery::{Delivery, Match, OpenTo, Parts, Route, Routes, Settings, Unfinished};
use mail::event::{Event, Sink, What};
use mail::{
    BodyType, Envelope, HandoffKey, Mailbox, MessageId, Origin, Provenance, Recipient, ReversePath,
    Timestamp, TraceId,
};
use net::{Clock, Entropy};
use queue::{Backoff, Lifetime};
use smtp::client;
use spool::simulated::SimulatedDisk;
use spool::{Content, Disk, Fresh, Message, Options, Recovery, Spool, Stored};
use tokio::sync::Notify;

use crate::hanging::HangingDisk;

/// No step of a test takes longer, or it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// Before a recipient is tried again, where a test is to see that.
pub(crate) const SOON: Backoff = Backoff::new(&[Duration::from_millis(20)]);
/// How often what waits is looked at.
const SWEEP: Duration = Duration::from_millis(20);
/// As good as never.
pub(crate) const LATER: Backoff = Backoff::new(&[Duration::from_secs(3600)]);

pub(crate) struct Instance {
    pub(crate) disk: SimulatedDisk,
    pub(crate) spool: Spool,
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) noted: Arc<Noted>,
    /// The handoff keys that recovery found in doubt.
    pub(crate) adopted: Vec<HandoffKey>,
}

/// How an instance is to be.
pub(crate) struct Plan {
    pub(crate) backoff: Backoff,
    /// When a site that is down is asked again.
    pub(crate) probes: Backoff,
    pub(crate) expire_after: Duration,
    /// The segments of the spool.
    pub(crate) segment_len: u32,
}

impl Plan {
    pub(crate) fn settings(&self, routes: Vec<Route>) -> Settings {
        Settings {
            hostname: "mail.x.org".into(),
            routes: Routes::new(routes, None, "mail.x.org"),
            backoff: self.backoff,
            lifetime: Lifetime {
                expire_after: self.expire_after,
            },
        }
    }
}

pub(crate) const PATIENT: Plan = Plan {
    backoff: SOON,
    probes: SOON,
    expire_after: Duration::from_secs(86_400),
    segment_len: SEGMENT_LEN,
};

/// A simulated disk is memory, and each instance has one.
const SEGMENT_LEN: u32 = 256 * 1024;

/// What an instance told.
#[derive(Default)]
pub(crate) struct Noted {
    events: Mutex<Vec<What>>,
    changed: Notify,
}

impl Sink for Noted {
    fn emit(&self, event: Event) {
        self.events
            .lock()
            .expect("no test panics under it")
            .push(event.what);
        self.changed.notify_waiters();
    }
}

impl Noted {
    pub(crate) fn count(&self, wanted: impl Fn(&What) -> bool) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().filter(|what| wanted(what)).count()
    }

    /// Waits until `n` such events were told.
    pub(crate) async fn until(&self, n: usize, wanted: impl Fn(&What) -> bool) {
        let told = self.when(|| self.count(&wanted) >= n);
        if tokio::time::timeout(LIMIT, told).await.is_err() {
            panic!("only told {:#?}", self.events.lock().unwrap());
        }
    }

    /// Waits until an event makes this true.
    async fn when(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }
}

pub(crate) fn delivered(what: &What) -> bool {
    matches!(what, What::Delivered { .. })
}

pub(crate) fn deferred(what: &What) -> bool {
    matches!(what, What::Deferred { .. })
}

pub(crate) fn failed(what: &What) -> bool {
    matches!(what, What::Failed { .. })
}

pub(crate) fn held(what: &What) -> bool {
    matches!(what, What::Held { .. })
}

pub(crate) fn notified(what: &What) -> bool {
    matches!(what, What::Notified { .. })
}

pub(crate) fn alarm(what: &What) -> bool {
    matches!(what, What::Alarm { .. })
}

pub(crate) fn possible_duplicate(what: &What) -> bool {
    matches!(what, What::PossibleDuplicate { .. })
}

/// A spool on this disk, and what it held.
pub(crate) fn open(disk: &SimulatedDisk) -> (Spool, Recovery) {
    open_with(Arc::new(disk.clone()), SEGMENT_LEN)
}

fn open_with(disk: Arc<dyn Disk>, segment_len: u32) -> (Spool, Recovery) {
    let mut options = Options::new([7; 32]);
    options.segment_len = segment_len;
    options.outcome_delay = Duration::ZERO;
    Spool::open(disk, options).unwrap()
}

impl Instance {
    /// On a new disk.
    pub(crate) fn new(routes: Vec<Route>, plan: &Plan) -> Self {
        Self::on(SimulatedDisk::new(), plan, |_, _| routes)
    }

    /// On this disk, with what it held.
    pub(crate) fn on(
        disk: SimulatedDisk,
        plan: &Plan,
        routes: impl FnOnce(&Spool, &Recovery) -> Vec<Route>,
    ) -> Self {
        let opened = open_with(Arc::new(disk.clone()), plan.segment_len);
        Self::made(disk, opened, plan, &[], routes)
    }

    /// On this disk, of which a test can make the reads hang.
    pub(crate) fn on_hanging(
        hanging: &HangingDisk,
        plan: &Plan,
        routes: impl FnOnce(&Spool, &Recovery) -> Vec<Route>,
    ) -> Self {
        let opened = open_with(Arc::new(hanging.clone()), plan.segment_len);
        Self::made(hanging.disk.clone(), opened, plan, &[], routes)
    }

    /// On this disk, after a process that still has attempts under way.
    pub(crate) fn after(
        disk: SimulatedDisk,
        plan: &Plan,
        routes: Vec<Route>,
        unfinished: &[Unfinished],
    ) -> Self {
        let opened = open_with(Arc::new(disk.clone()), plan.segment_len);
        Self::made(disk, opened, plan, unfinished, |_, _| routes)
    }

    fn made(
        disk: SimulatedDisk,
        (spool, recovery): (Spool, Recovery),
        plan: &Plan,
        unfinished: &[Unfinished],
        routes: impl FnOnce(&Spool, &Recovery) -> Vec<Route>,
    ) -> Self {
        let clock = Clock::start();
        let noted = Arc::new(Noted::default());
        let settings = plan.settings(routes(&spool, &recovery));
        let delivery = Delivery::new(Parts {
            name: "output".parse().unwrap(),
            spool: spool.clone(),
            clock,
            entropy: Arc::new(Entropy::new()),
            events: Arc::clone(&noted) as Arc<dyn Sink>,
            settings: Arc::new(settings),
            queue: queue::Settings {
                attempts_max: 10,
                site_attempts_initial: 2,
                site_attempts_max: 4,
                probes: plan.probes,
            },
            sweep_interval: SWEEP,
        });
        let mut adopted = Vec::new();
        delivery.expect_outcomes(unfinished);
        delivery.recover(&recovery, |key| adopted.push(*key));
        tokio::spawn(Arc::clone(&delivery).run());
        Self {
            disk,
            spool,
            delivery,
            noted,
            adopted,
        }
    }

    /// Other routes, from now on.
    pub(crate) fn reload(&self, routes: Vec<Route>) {
        self.delivery
            .reconfigure(Arc::new(PATIENT.settings(routes)));
    }

    /// Other routes and times.
    pub(crate) fn reload_with(&self, routes: Vec<Route>, plan: &Plan) {
        self.delivery.reconfigure(Arc::new(plan.settings(routes)));
    }

    /// Accepts a message, as intake does.
    pub(crate) async fn accept(&self, message: Message, content: &str) -> MessageId {
        self.accept_and_then(message, content, || ()).await
    }

    /// As [`Self::accept`]; does something between the commit and the first attempt.
    pub(crate) async fn accept_and_then(
        &self,
        message: Message,
        content: &str,
        then: impl FnOnce(),
    ) -> MessageId {
        let octets: Arc<Vec<u8>> = Arc::new(content.into());
        let accepting = self
            .spool
            .accept(&message, Content::Bytes(Arc::clone(&octets)));
        let id = accepting.await.unwrap();
        then();
        self.delivery.queued(Fresh {
            id,
            message,
            content_len: content.len() as u64,
            content: Some(octets),
        });
        id
    }

    /// Waits until no attempt is under way: an event is told before its attempt is over.
    pub(crate) async fn idle(&self) {
        while self.delivery.counts().n_under_way > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until the spool has this of a message: an event is told before it is recorded.
    pub(crate) async fn recorded(&self, id: MessageId, is_so: impl Fn(&Stored) -> bool) {
        let recording = async {
            while !self.spool.message(id).is_ok_and(|stored| is_so(&stored)) {
                // The committer is a thread: only time passes here.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, recording).await.unwrap();
    }

    /// Waits until the spool has this message no more.
    pub(crate) async fn recorded_end(&self, id: MessageId) {
        let ending = async {
            while self.spool.message(id).is_ok() {
                // The committer is a thread: only time passes here.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, ending).await.unwrap();
    }

    /// Waits until the spool has `n` messages left.
    pub(crate) async fn keeps(&self, n: u64) {
        let ending = async {
            while self.spool.usage().n_messages > n {
                // The committer is a thread: only time passes here.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, ending).await.unwrap();
    }

    /// How many recipients are held.
    pub(crate) fn n_held(&self) -> u32 {
        let briefs = self.delivery.briefs(None, usize::MAX);
        briefs.iter().map(|brief| brief.n_held).sum()
    }

    /// Waits until nothing is in the spool, and sees that nothing is in the queue then.
    pub(crate) async fn empty(&self) {
        let draining = async {
            while self.spool.usage().n_messages > 0 || self.delivery.counts().n_messages > 0 {
                // The committer is a thread: only time passes here.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let outcome = tokio::time::timeout(LIMIT, draining).await;
        assert!(outcome.is_ok(), "left: {:?}", self.delivery.counts());
    }
}

/// A message to these recipients.
pub(crate) fn message(recipients: &[&str]) -> Message {
    let clock = Clock::start();
    let now = clock.timestamp();
    let to = recipients.iter().map(|to| Recipient::new(address(to)));
    Message {
        provenance: Provenance {
            trace: TraceId::new(now, 1),
            origin: Origin::Local { uid: 7 },
            arrived: now,
            client: None,
            visited: Vec::new(),
            about: None,
        },
        envelope: Envelope {
            sender: ReversePath::Mailbox(address("s@x.org")),
            recipients: to.collect(),
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        },
        key: None,
        handoff: None,
        next_due: Timestamp::from_unix_ms(0),
    }
}

pub(crate) fn address(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

pub(crate) fn route(domain: &str, transport: Transport) -> Route {
    Route {
        matches: vec![Match::Domain(domain.into())],
        users: None,
        open_to: OpenTo::Anyone,
        via: transport.into(),
    }
}

/// A route to Maildirs below this directory: one for each of these users.
pub(crate) fn maildirs(domain: &str, below: &Path, users: &[&str]) -> Route {
    let template = format!("{}/{{domain}}/{{local}}", below.display());
    let maildir = Maildir::new(MaildirSettings {
        template: &template,
        delimiter: None,
        mailboxes: Mailboxes::Made,
        domains: Domains::Named,
        state: None,
    });
    let maildir = Transport::Maildir(maildir.unwrap());
    Route {
        users: Some(users.iter().map(|user| (*user).into()).collect()),
        ..route(domain, maildir)
    }
}

pub(crate) fn hold(domain: &str) -> Route {
    route(domain, Transport::Hold { why: "test".into() })
}

/// A route to a host on this machine.
pub(crate) fn relay(domain: &str, port: u16) -> Route {
    let settings = RelaySettings {
        host: "127.0.0.1".into(),
        port,
        client: Arc::new(client::Settings {
            dialect: client::Dialect::Smtp,
            hello_name: "mail.x.org".into(),
            timeouts: client::Timeouts::LEAST,
            tls: client::TlsWish::Never,
        }),
        connect_timeout: LIMIT,
        connections_max: 4,
        idle_max: LIMIT,
    };
    route(
        domain,
        Transport::Relay(Relay::new(settings, Clock::start())),
    )
}

/// All messages of a spool that is opened after a loss of power.
pub(crate) fn after_power_cut(disk: &SimulatedDisk) -> Vec<Stored> {
    let (_spool, recovery) = open(&disk.after(spool::simulated::PowerCut::Lost));
    recovery.messages().map(|(_, read)| read.unwrap()).collect()
}
