//! Handoffs from the spool to the next instance.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::transport::{Handoff, Transport};
use delivery::{Match, OpenTo, Route};
use handoff::{EdgeReceiver, EdgeSender, Ledger, Lifetimes, Next, Settings};
use intake::{
    Answer, Capacity, Claims, EdgePeer, EntryChecks, Gate, HandoffLimits, Intake, Onward, Queued,
    RecipientStatus, Recipients, serve_edge,
};
use mail::event::{Sink, What};
use mail::reply::table;
use mail::{Mailbox, MessageId, Origin, Reply, Security};
use net::{Clock, Connection, Entropy, Stream};
use smtp::server::{self, BareNewlines, Dialect, Extensions, Limits, Offer, Session, Starttls};
use spool::simulated::{Fault, PowerCut, SimulatedDisk};
use spool::{CommitError, Content, Fresh, Message, Spool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::host::Host;
use crate::world::{
    Instance, LATER, LIMIT, Noted, PATIENT, Plan, deferred, failed, held, hold, message, notified,
    open, possible_duplicate, relay,
};

pub(crate) fn handed_off(what: &What) -> bool {
    matches!(what, What::HandedOff { spooled: true, .. })
}

/// The next instance: takes what it is handed, and delivers nothing.
pub(crate) struct Output {
    disk: SimulatedDisk,
    intake: Arc<Intake>,
    stored: Arc<Stored>,
    /// Whether connections break when a message is accepted, before anybody hears of it.
    cuts: Arc<AtomicBool>,
    /// Whether it is said then that the message could not be stored, as by a process whose commit
    /// failed and that finds the record when it starts again.
    denies: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Stored(Mutex<Vec<Message>>);

impl Queued for Stored {
    fn n_waiting(&self, _: &Origin) -> u64 {
        0
    }

    fn queued(&self, fresh: Fresh) {
        self.0.lock().unwrap().push(fresh.message);
    }

    fn held(&self, _: Fresh, _: &Reply) {
        panic!("nothing is held between instances");
    }
}

/// Everybody is known but `nobody`; `later` is to be tried again.
struct AllButNobody;

impl Recipients for AllButNobody {
    fn status(&self, recipient: &Mailbox, _: &Origin) -> Option<Answer> {
        Some(Answer::Now(match recipient.local_part() {
            "nobody" => RecipientStatus::Refused(table::NO_SUCH_USER.reply()),
            "later" => RecipientStatus::Refused(table::MAILBOX_FULL.reply()),
            _ => RecipientStatus::Internal,
        }))
    }
}

impl Output {
    /// At the other end of an edge.
    pub(crate) fn at(end: OwnedFd) -> Self {
        let output = Self::new();
        output.serve(end);
        output
    }

    /// At the other end of an edge whose connections break when a message is accepted.
    fn that_is_cut_off(end: OwnedFd) -> Self {
        let output = Self::new();
        output.cut(true);
        output.serve(end);
        output
    }

    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let (spool, _) = open(&disk);
        let stored = Arc::new(Stored::default());
        let stop = watch::Sender::new(false);
        let intake = Intake {
            name: "output".parse().unwrap(),
            hostname: "mail.x.org".into(),
            clock: Clock::start(),
            answer_timeout: LIMIT,
            entropy: Arc::new(Entropy::new()),
            spool,
            onward: Onward::Here(Arc::new(AllButNobody)),
            checks: EntryChecks::default(),
            events: Arc::new(Noted::default()) as Arc<dyn Sink>,
            queued: Arc::clone(&stored) as Arc<dyn Queued>,
            capacity: Capacity { messages_max: 1000 },
            handoff_limits: HandoffLimits {
                content_len_max: 1024 * 1024,
                line_len_max: 998,
                recipients_max: 100,
            },
            spool_lease: Arc::default(),
            content_memory: Arc::default(),
            gate: Arc::new(Gate::default()),
            refused: Arc::new(Mutex::new(HashMap::new())),
        };
        Self {
            disk,
            intake: Arc::new(intake),
            stored,
            cuts: Arc::default(),
            denies: Arc::default(),
            stop,
        }
    }

    /// Takes such mail until its disk is full.
    async fn fill(&self, content: &str) {
        self.disk.set_fault(Fault::FullFrom(1));
        while self.takes(content).await {}
    }

    /// Has a disk again that is not full, and has found out.
    async fn find_room(&self, content: &str) {
        self.disk.set_fault(Fault::None);
        while !self.takes(content).await {
            // The committer looks for room now and then, in its own time.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn takes(&self, content: &str) -> bool {
        let octets = Content::Bytes(Arc::new(content.into()));
        let taken = self.intake.spool.accept(&message(&["a@y.org"]), octets);
        match taken.await {
            Ok(_) => true,
            Err(full) => {
                assert_eq!(full, CommitError::Full);
                false
            }
        }
    }

    pub(crate) fn n_stored(&self) -> usize {
        self.stored.0.lock().unwrap().len()
    }

    /// For each message, the local parts of its recipients.
    fn recipients(&self) -> Vec<Vec<String>> {
        let stored = self.stored.0.lock().unwrap();
        let of = |message: &Message| {
            let recipients = message.envelope.recipients.iter();
            recipients
                .map(|r| r.address.local_part().to_owned())
                .collect()
        };
        let mut all: Vec<_> = stored.iter().map(of).collect();
        all.sort_unstable();
        all
    }

    /// Whether connections made from now on break when a message is accepted.
    fn cut(&self, cuts: bool) {
        self.cuts.store(cuts, Ordering::SeqCst);
    }

    /// Serves what comes over an edge.
    fn serve(&self, end: OwnedFd) {
        let receiver = EdgeReceiver::new(end).unwrap();
        let intake = Arc::clone(&self.intake);
        let stopping = self.stop.subscribe();
        let (cuts, denies) = (Arc::clone(&self.cuts), Arc::clone(&self.denies));
        tokio::spawn(async move {
            while let Ok(Some(stream)) = receiver.accept().await {
                let stream = if cuts.load(Ordering::SeqCst) {
                    cut_at_acceptance(stream, None)
                } else if denies.load(Ordering::SeqCst) {
                    cut_at_acceptance(stream, Some(table::STORAGE_FAILED.reply()))
                } else {
                    stream
                };
                let peer = EdgePeer {
                    name: "input".parse().unwrap(),
                    claims: Claims::Any,
                };
                let current = Arc::clone(&intake);
                tokio::spawn(serve_edge(
                    connection(stream, intake.clock),
                    peer,
                    Arc::new(move || Arc::clone(&current)),
                    stopping.clone(),
                ));
            }
        });
    }
}

/// What is said over the stream goes through, until a message is accepted: then it breaks, when
/// this was said instead.
fn cut_at_acceptance(mut outer: Stream, instead: Option<Reply>) -> Stream {
    let (mut inner, served) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let (mut question, mut answer) = (vec![0; 4096], vec![0; 4096]);
        loop {
            tokio::select! {
                n = outer.read(&mut question) => match n {
                    Ok(n) if n > 0 => inner.write_all(&question[..n]).await.unwrap(),
                    _ => return,
                },
                n = inner.read(&mut answer) => match n {
                    Ok(n) if n > 0 && !says_accepted(&answer[..n]) => {
                        outer.write_all(&answer[..n]).await.unwrap();
                    }
                    Ok(n) if n > 0 && instead.is_some() => {
                        let denied = deny(&answer[..n], instead.as_ref());
                        outer.write_all(denied.as_bytes()).await.unwrap();
                        return;
                    }
                    _ => return,
                },
            }
        }
    });
    Stream::Unix(served)
}

/// The same answers, with another in the place of those that accept a message.
fn deny(answers: &[u8], instead: Option<&Reply>) -> String {
    let answers = String::from_utf8_lossy(answers);
    let lines = answers.split_inclusive('\n').map(|line| match instead {
        Some(reply) if says_accepted(line.as_bytes()) => format!("{reply}\r\n"),
        Some(_) | None => line.to_owned(),
    });
    lines.collect()
}

fn says_accepted(answer: &[u8]) -> bool {
    // Now, or at an earlier try whose answer was lost.
    let answer = String::from_utf8_lossy(answer);
    answer.contains("accepted as") || answer.contains("accepted before as")
}

fn connection(stream: Stream, clock: Clock) -> net::ServerConnection {
    let settings = server::Settings {
        hostname: "output".into(),
        dialect: Dialect::Edge,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 16 * 1024,
            command_timeout: LIMIT,
            commands_max: 100,
            content_len_max: 1024 * 1024,
            content_line_len_max: 998,
            data_rate_min: 1,
            data_timeout: LIMIT,
            errors_max: 20,
            recipients_max: 100,
            tls_timeout: LIMIT,
        },
        newlines: BareNewlines::Refuse,
    };
    let session = Session::new(Arc::new(settings), Security::Plain, clock.now());
    Connection::new(stream, session, clock)
}

/// The routes of a front: these, and everything else to the next instance.
fn routes(own: Vec<Route>, next: &Arc<Next>) -> Vec<Route> {
    let handoff = Handoff::new(Arc::clone(next), "input".parse().unwrap());
    let mut routes = own;
    routes.push(Route {
        matches: vec![Match::Any],
        users: None,
        open_to: OpenTo::Anyone,
        via: Transport::Handoff(handoff).into(),
    });
    routes
}

/// An instance on this disk that hands everything but its notifications on, and the other end of
/// its edge.
pub(crate) fn front(disk: SimulatedDisk) -> (Instance, Arc<Next>, OwnedFd) {
    front_with(disk, vec![hold("x.org")])
}

/// A front that has these routes of its own.
fn front_with(disk: SimulatedDisk, own: Vec<Route>) -> (Instance, Arc<Next>, OwnedFd) {
    front_by(&PATIENT, disk, own)
}

fn front_by(plan: &Plan, disk: SimulatedDisk, own: Vec<Route>) -> (Instance, Arc<Next>, OwnedFd) {
    let (own_end, other_end) = Pair::pair().unwrap();
    let mut made = None;
    let instance = Instance::on(disk, plan, |spool, recovery| {
        let next = next(spool, own_end.into());
        for (_, stored) in recovery.messages() {
            let recipients = stored.unwrap().recipients;
            let keys = recipients.iter().filter_map(|r| r.handoff.as_ref());
            keys.for_each(|key| next.adopt(key));
        }
        let routes = routes(own, &next);
        made = Some(next);
        routes
    });
    (instance, made.unwrap(), other_end.into())
}

pub(crate) fn next(spool: &Spool, edge: OwnedFd) -> Arc<Next> {
    let settings = Settings {
        own_name: "input".parse().unwrap(),
        next_name: "output".parse().unwrap(),
        patience: Duration::from_millis(500),
        connections_max: 2,
        lifetimes: Lifetimes {
            answers_max: 100,
            accepted: LIMIT,
            refused: LIMIT,
            stale: LIMIT,
        },
        client: Arc::new(smtp::client::Settings {
            dialect: smtp::client::Dialect::Edge,
            hello_name: "input".into(),
            timeouts: smtp::client::Timeouts::LEAST,
            tls: smtp::client::TlsWish::Never,
        }),
    };
    let ledger = Arc::new(Mutex::new(Ledger::new(spool.id(), spool.epoch())));
    let on_change = Box::new(|_, _: &str| ());
    Next::new(
        EdgeSender::new(edge),
        settings,
        ledger,
        Clock::start(),
        on_change,
    )
}

/// Keeps a message as a front does whose next instance is slow.
async fn keep(front: &Instance, next: &Next, to: &[&str]) -> MessageId {
    let mut kept = message(to);
    kept.handoff = Some(next.draw_key());
    front.accept(kept, "\r\n").await
}

#[tokio::test]
async fn what_the_next_instance_has_without_our_knowing_is_not_stored_again() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::that_is_cut_off(end);
    keep(&front, &next, &["a@y.org", "b@y.org"]).await;
    front.noted.until(1, deferred).await;
    output.cut(false);
    assert_eq!(
        output.n_stored(),
        1,
        "the reply was lost, and not the message"
    );
    front.noted.until(1, handed_off).await;
    front.empty().await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn what_was_kept_while_the_next_instance_was_away_is_handed_on_once() {
    let (front, next, end) = front(SimulatedDisk::new());
    keep(&front, &next, &["a@y.org"]).await;
    front.noted.until(2, deferred).await;
    assert!(next.is_away());
    let output = Output::at(end);
    front.noted.until(1, handed_off).await;
    front.empty().await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn a_message_whose_handoff_is_in_doubt_does_not_expire_before_that_is_known() {
    let plan = Plan {
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let (front, next, end) = front_by(&plan, SimulatedDisk::new(), vec![hold("x.org")]);
    let output = Output::that_is_cut_off(end);
    keep(&front, &next, &["a@y.org", "b@y.org"]).await;
    front.noted.until(2, deferred).await;
    assert_eq!(output.n_stored(), 1, "it is there, and the reply was lost");
    output.cut(false);
    front.noted.until(1, handed_off).await;
    front.empty().await;
    assert_eq!(output.n_stored(), 1);
    assert_eq!(front.noted.count(notified) + front.noted.count(failed), 0);
}

#[tokio::test]
async fn a_message_that_the_next_instance_did_not_take_for_now_expires_with_a_notification() {
    let plan = Plan {
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let (front, next, end) = front_by(&plan, SimulatedDisk::new(), vec![hold("x.org")]);
    let output = Output::at(end);
    keep(&front, &next, &["later@y.org"]).await;
    front.noted.until(1, notified).await;
    assert_eq!(output.n_stored(), 0);
}

#[tokio::test]
async fn a_key_in_doubt_is_the_same_after_a_crash_of_its_sender() {
    let (first, next, end) = front(SimulatedDisk::new());
    let output = Output::that_is_cut_off(end);
    keep(&first, &next, &["a@y.org"]).await;
    first.noted.until(1, deferred).await;
    first.delivery.stop().await;
    first.spool.close();
    let disk = first.disk.after(PowerCut::Lost);
    let (again, _next, end) = front(disk);
    output.cut(false);
    output.serve(end);
    again.noted.until(1, handed_off).await;
    again.empty().await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn a_recipient_that_the_next_instance_refuses_is_notified_about_and_the_others_go_on() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::at(end);
    keep(&front, &next, &["nobody@y.org", "a@y.org"]).await;
    front.noted.until(1, notified).await;
    assert_eq!(front.noted.count(failed), 1);
    let stored = output.stored.0.lock().unwrap();
    let [message] = &stored[..] else {
        panic!("one message")
    };
    assert_eq!(message.envelope.recipients.len(), 1);
}

#[tokio::test]
async fn who_is_refused_beside_others_whose_storing_is_in_doubt_waits_until_that_is_known() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::new();
    output.denies.store(true, Ordering::SeqCst);
    output.serve(end);
    keep(&front, &next, &["nobody@y.org", "a@y.org"]).await;
    front.noted.until(2, deferred).await;
    assert_eq!(output.recipients(), [["a"]], "it is there all the same");
    assert_eq!(front.noted.count(notified), 0);
    output.denies.store(false, Ordering::SeqCst);
    front.noted.until(1, notified).await;
    assert_eq!(front.noted.count(failed), 1);
    assert_eq!(output.recipients(), [["a"]], "and not stored again");
    settled(&next).await;
}

#[tokio::test]
async fn a_content_that_cannot_be_read_makes_nobody_think_that_the_next_instance_is_away() {
    let (front, next, end) = front_by(&SLOW, SimulatedDisk::new(), vec![hold("x.org")]);
    let output = Output::at(end);
    // So large that it is read while it is sent.
    let mut file = front.spool.content_file().unwrap();
    file.write("x\r\n".repeat(200_000).as_bytes()).unwrap();
    let content = Content::File(file.commit().unwrap());
    let names = front.disk.names();
    let name = names.iter().find(|name| name.starts_with("content/"));
    let message_to_a = message(&["a@y.org"]);
    let id = front.spool.accept(&message_to_a, content).await.unwrap();
    let mut octets = front.disk.contents(name.unwrap()).unwrap();
    octets[400_000] ^= 1;
    front.disk.put(name.unwrap(), octets);
    front.delivery.queued(Fresh {
        id,
        message: message_to_a,
        content_len: 600_000,
        content: None,
    });
    front.noted.until(1, deferred).await;
    front.idle().await;
    assert!(!next.is_away());
    front.accept(message(&["b@y.org"]), "\r\n").await;
    front.noted.until(1, handed_off).await;
    assert_eq!(output.recipients(), [["b"]]);
}

#[tokio::test]
async fn a_reload_while_a_key_is_in_doubt_changes_nothing_for_the_recipients_under_it() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::that_is_cut_off(end);
    keep(&front, &next, &["a@z.org", "b@y.org"]).await;
    front.noted.until(2, deferred).await;
    front.reload(routes(vec![hold("x.org"), hold("z.org")], &next));
    output.cut(false);
    front.noted.until(1, handed_off).await;
    front.empty().await;
    assert_eq!(output.recipients(), [["a", "b"]]);
    assert_eq!(front.noted.count(held), 0, "the next instance had it");
}

#[tokio::test]
async fn a_reload_while_a_key_is_in_doubt_gives_nobody_the_answer_that_is_anothers() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::that_is_cut_off(end);
    keep(&front, &next, &["a@z.org", "nobody@y.org"]).await;
    front.noted.until(2, deferred).await;
    // Handed on alone under that key, the second would be taken for the first.
    front.reload(routes(vec![hold("x.org"), hold("z.org")], &next));
    output.cut(false);
    front.noted.until(1, notified).await;
    assert_eq!(front.noted.count(failed), 1);
    assert_eq!(output.recipients(), [["a"]]);
}

#[tokio::test]
async fn a_restart_with_other_routes_changes_nothing_for_the_recipients_of_a_key_in_doubt() {
    let (first, next, end) = front(SimulatedDisk::new());
    let output = Output::that_is_cut_off(end);
    keep(&first, &next, &["a@z.org", "nobody@y.org"]).await;
    first.noted.until(2, deferred).await;
    first.delivery.stop().await;
    first.spool.close();
    let disk = first.disk.after(PowerCut::Lost);
    output.cut(false);
    let (again, _next, end) = front_with(disk, vec![hold("x.org"), hold("z.org")]);
    output.serve(end);
    again.noted.until(1, notified).await;
    assert_eq!(output.recipients(), [["a"]]);
    assert_eq!(again.noted.count(possible_duplicate), 0);
}

#[tokio::test]
async fn who_comes_to_the_next_instance_by_a_reload_goes_under_another_key_than_those_in_doubt() {
    let host = Host::new(&[("b@z.org", &["450 4.2.0 later"; 100])]).await;
    let own = vec![hold("x.org"), relay("z.org", host.port)];
    let (front, next, end) = front_with(SimulatedDisk::new(), own);
    let output = Output::that_is_cut_off(end);
    // As a front keeps mail that goes two ways: without a key.
    let kept = message(&["a@y.org", "b@z.org"]);
    front.accept(kept, "\r\n").await;
    let of = |domain: &'static str| move |what: &What| matches!(what, What::Deferred { about, .. } if about.to.domain() == domain);
    front.noted.until(1, of("y.org")).await;
    front.noted.until(1, of("z.org")).await;
    assert_eq!(output.n_stored(), 1, "and nobody knows");
    front.reload(routes(vec![hold("x.org")], &next));
    output.cut(false);
    front.empty().await;
    assert_eq!(output.recipients(), [["a"], ["b"]]);
}

#[tokio::test]
async fn without_the_next_instance_what_is_in_doubt_there_is_said_to_be_a_possible_duplicate() {
    let (first, next, end) = front(SimulatedDisk::new());
    let _output = Output::that_is_cut_off(end);
    keep(&first, &next, &["a@y.org"]).await;
    first.noted.until(1, deferred).await;
    first.delivery.stop().await;
    first.spool.close();
    let disk = first.disk.after(PowerCut::Lost);
    let again = Instance::on(disk, &PATIENT, |_, _| vec![hold("y.org")]);
    again.noted.until(1, held).await;
    assert_eq!(again.noted.count(possible_duplicate), 1);
}

const SLOW: Plan = Plan {
    backoff: LATER,
    ..PATIENT
};

#[tokio::test]
async fn a_next_instance_without_room_is_asked_for_all_by_one_and_gets_all_when_it_has_some() {
    let plan = Plan {
        probes: LATER,
        ..SLOW
    };
    let (front, next, end) = front_by(&plan, SimulatedDisk::new(), vec![hold("x.org")]);
    let output = Output::new();
    let content = ("x".repeat(900) + "\r\n").repeat(60);
    output.fill(&content).await;
    output.serve(end);
    const N: usize = 10;
    let mut ids = Vec::new();
    for _ in 0..N {
        ids.push(front.accept(message(&["a@y.org"]), &content).await);
    }
    front.noted.until(1, deferred).await;
    front.idle().await;
    let n_tried = front.noted.count(deferred);
    assert!(
        n_tried <= 2,
        "as many as begin at once, and none when it is known"
    );
    output.find_room(&content).await;
    front
        .delivery
        .retry(ids[N - 1], None, "uid 0")
        .await
        .unwrap();
    // Those that were tried wait for their time; the others need not.
    front.noted.until(N - n_tried, handed_off).await;
    assert!(output.n_stored() >= N - n_tried);
    assert!(!next.is_away());
}

/// Waits until nothing is in doubt: a key is settled after the record that settles it.
async fn settled(next: &Next) {
    let settling = async {
        while next.lag() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, settling).await.unwrap();
}

#[tokio::test]
async fn what_is_in_doubt_for_too_many_handoffs_is_tried_out_of_turn() {
    let (front, next, end) = front_by(&SLOW, SimulatedDisk::new(), vec![hold("x.org")]);
    let output = Output::that_is_cut_off(end);
    keep(&front, &next, &["a@y.org"]).await;
    front.noted.until(1, deferred).await;
    output.cut(false);
    for _ in 0..delivery::LAG_MAX {
        next.settle(&next.draw_key());
    }
    front.noted.until(1, handed_off).await;
    front.empty().await;
    settled(&next).await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn what_stays_in_doubt_because_it_is_held_is_told_to_operators_before_memory_ends() {
    let (front, next, end) = front_by(&SLOW, SimulatedDisk::new(), vec![hold("x.org")]);
    let _output = Output::that_is_cut_off(end);
    let id = keep(&front, &next, &["a@y.org", "b@y.org"]).await;
    front.noted.until(2, deferred).await;
    front.idle().await;
    let one = front.delivery.hold(id, Some(&[0]), "uid 0").await;
    assert!(one.unwrap_err().contains("together with others"));
    front.delivery.hold(id, None, "uid 0").await.unwrap();
    for _ in 0..2 * delivery::LAG_MAX {
        next.settle(&next.draw_key());
    }
    let told =
        |what: &What| matches!(what, What::Alarm { text } if text.contains("release or drop"));
    front.noted.until(1, told).await;
    front.delivery.discard(id, None, "uid 0").await.unwrap();
    front.empty().await;
    settled(&next).await;
    assert_eq!(front.noted.count(told), 1);
}
