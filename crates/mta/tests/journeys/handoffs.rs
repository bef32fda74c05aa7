//! Handoffs from the spool to the next instance.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::transport::{Handoff, Transport};
use delivery::{Match, OpenTo, Route};
use handoff::{EdgeReceiver, EdgeSender, Ledger, Lifetimes, Next, Settings};
use intake::{Claims, EdgePeer, Gate, Intake, Onward, Queued, Recipients, Standing, serve_edge};
use mail::event::{Sink, What};
use mail::reply::table;
use mail::{Mailbox, Origin, Security};
use net::{Clock, Connection, Entropy, Stream};
use policy::Checks;
use smtp::server::{self, BareNewlines, Dialect, Extensions, Limits, Offer, Session, Starttls};
use spool::simulated::SimulatedDisk;
use spool::{Fresh, Message, Spool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::world::{
    Instance, LIMIT, Noted, PATIENT, deferred, failed, hold, message, notified, open,
};

fn handed_off(what: &What) -> bool {
    matches!(what, What::HandedOff { spooled: true, .. })
}

/// The next instance: takes what it is handed, and delivers nothing.
struct Output {
    intake: Arc<Intake>,
    stored: Arc<Stored>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Stored(Mutex<Vec<Message>>);

impl Queued for Stored {
    fn queued(&self, fresh: Fresh) {
        self.0.lock().unwrap().push(fresh.message);
    }
}

/// Everybody is known but `nobody`.
struct AllButNobody;

impl Recipients for AllButNobody {
    fn standing(&self, recipient: &Mailbox, _: &Origin) -> Option<Standing> {
        Some(match recipient.local_part() {
            "nobody" => Standing::Refused(table::NO_SUCH_USER.reply()),
            _ => Standing::Ours,
        })
    }
}

impl Output {
    fn new() -> Self {
        let (spool, _) = open(&SimulatedDisk::new());
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
            checks: Checks::default(),
            events: Arc::new(Noted::default()) as Arc<dyn Sink>,
            queued: Arc::clone(&stored) as Arc<dyn Queued>,
            gate: Arc::new(Gate::default()),
            refused: Arc::new(Mutex::new(HashMap::new())),
        };
        Self {
            intake: Arc::new(intake),
            stored,
            stop,
        }
    }

    fn n_stored(&self) -> usize {
        self.stored.0.lock().unwrap().len()
    }

    /// Serves what comes over an edge; of the first `n_cut` connections nobody hears that a
    /// message was accepted.
    fn serve(&self, end: OwnedFd, n_cut: usize) {
        let receiver = EdgeReceiver::new(end).unwrap();
        let intake = Arc::clone(&self.intake);
        let stopping = self.stop.subscribe();
        tokio::spawn(async move {
            let mut n = 0;
            while let Ok(Some(stream)) = receiver.accept().await {
                n += 1;
                let stream = if n > n_cut {
                    stream
                } else {
                    cut_at_acceptance(stream)
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

/// What is said over the stream goes through, until a message is accepted: then it breaks.
fn cut_at_acceptance(mut outer: Stream) -> Stream {
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
                    _ => return,
                },
            }
        }
    });
    Stream::Unix(served)
}

fn says_accepted(answer: &[u8]) -> bool {
    String::from_utf8_lossy(answer).contains("accepted as")
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

/// An instance on this disk that hands everything but its notifications on, and the other end of
/// its edge.
fn front(disk: SimulatedDisk) -> (Instance, Arc<Next>, OwnedFd) {
    let (own_end, other_end) = Pair::pair().unwrap();
    let mut made = None;
    let instance = Instance::on(disk, &PATIENT, |spool, recovery| {
        let next = next(spool, own_end.into());
        for stored in recovery.messages() {
            stored
                .unwrap()
                .message
                .handoff
                .iter()
                .for_each(|key| next.adopt(key));
        }
        let handoff = Handoff::new(Arc::clone(&next), "input".parse().unwrap());
        made = Some(next);
        vec![
            hold("x.org"),
            Route {
                matches: vec![Match::Any],
                users: None,
                open_to: OpenTo::Anyone,
                transport: Arc::new(Transport::Handoff(handoff)),
            },
        ]
    });
    (instance, made.unwrap(), other_end.into())
}

fn next(spool: &Spool, edge: OwnedFd) -> Arc<Next> {
    let settings = Settings {
        own_name: "input".parse().unwrap(),
        next_name: "output".parse().unwrap(),
        patience: Duration::from_millis(500),
        connections_max: 2,
        lifetimes: Lifetimes {
            fresh: LIMIT,
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
async fn keep(front: &Instance, next: &Next, to: &[&str]) {
    let mut kept = message(to);
    kept.handoff = Some(next.draw_key());
    front.accept(kept, "\r\n").await;
}

#[tokio::test]
async fn what_the_next_instance_has_without_our_knowing_is_not_stored_again() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::new();
    // The kept connection and the fresh one of the first try both break after the commit.
    output.serve(end, 2);
    keep(&front, &next, &["a@y.org", "b@y.org"]).await;
    front.noted.until(1, deferred).await;
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
    let output = Output::new();
    output.serve(end, 0);
    front.noted.until(1, handed_off).await;
    front.empty().await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn a_key_in_doubt_is_the_same_after_a_crash_of_its_sender() {
    let (first, next, end) = front(SimulatedDisk::new());
    let output = Output::new();
    output.serve(end, 100);
    keep(&first, &next, &["a@y.org"]).await;
    first.noted.until(1, deferred).await;
    first.delivery.stop().await;
    first.spool.close();
    let disk = first.disk.after(spool::simulated::PowerCut::Lost);
    let (again, _next, end) = front(disk);
    output.serve(end, 0);
    again.noted.until(1, handed_off).await;
    again.empty().await;
    assert_eq!(output.n_stored(), 1);
}

#[tokio::test]
async fn a_recipient_that_the_next_instance_refuses_is_notified_about_and_the_others_go_on() {
    let (front, next, end) = front(SimulatedDisk::new());
    let output = Output::new();
    output.serve(end, 0);
    keep(&front, &next, &["nobody@y.org", "a@y.org"]).await;
    front.noted.until(1, notified).await;
    assert_eq!(front.noted.count(failed), 1);
    let stored = output.stored.0.lock().unwrap();
    let [message] = &stored[..] else {
        panic!("one message")
    };
    assert_eq!(message.envelope.recipients.len(), 1);
}
