//! Instances without processes: their sessions over socket pairs, their spools on simulated disks.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff::{EdgeReceiver, EdgeSender, Ledger, Lifetimes, Next};
use intake::{
    Admission, Answer, Bounds, Caller, Capacity, CheckedAs, Claims, Current, EdgePeer, Entry,
    EntryChecks, Gate, HandoffLimits, Intake, Leave, LocalPrograms, Onward, Queued,
    RecipientStatus, Recipients, Visitor, serve, serve_edge,
};
use mail::event::{Event, Sink, What};
use mail::reply::table;
use mail::{InstanceName, Mailbox, MessageId, Origin, Reply, Security};
use net::{Clock, Connection, Entropy, Peer, Stream};
use policy::{Checks, Phase};
use smtp::server::{BareNewlines, Dialect, Extensions, Limits, Offer, Session, Settings, Starttls};
use spool::simulated::{Fault, SimulatedDisk};
use spool::{CommitError, Content, Fresh, KeyState, Message, Options, Spool};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::held::{HeldDisk, Holding};

/// What an instance takes of another one.
const LIMITS: HandoffLimits = HandoffLimits {
    content_len_max: 16 * 1024 * 1024,
    line_len_max: 998,
    recipients_max: 100,
};

/// No step of a test takes longer, or it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How many messages may wait at an instance.
pub(crate) const MESSAGES_MAX: u64 = 1000;

/// An instance.
pub(crate) struct Instance {
    pub(crate) intake: Arc<Intake>,
    disk: SimulatedDisk,
    pub(crate) holding: Arc<Holding>,
    noted: Arc<Noted>,
    n_edge_connections: AtomicUsize,
    /// As the last reload made it, where there was one.
    reloaded: Arc<Mutex<Option<Arc<Intake>>>>,
    leave: watch::Sender<Leave>,
    stop: Mutex<watch::Sender<bool>>,
}

/// What an instance told and stored.
#[derive(Default)]
struct Noted {
    n_ours: AtomicU64,
    n_outside: AtomicU64,
    events: Mutex<Vec<Event>>,
    stored: Mutex<Vec<Message>>,
    held: Mutex<Vec<(MessageId, String)>>,
    /// Those of its messages that were in memory.
    contents: Mutex<Vec<Arc<Vec<u8>>>>,
}

impl Noted {
    fn waiting(&self, origin: &Origin) -> &AtomicU64 {
        match origin.is_ours() {
            true => &self.n_ours,
            false => &self.n_outside,
        }
    }
}

impl Sink for Noted {
    fn emit(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Queued for Noted {
    fn n_waiting(&self, origin: &Origin) -> u64 {
        self.waiting(origin).load(Ordering::SeqCst)
    }

    fn queued(&self, fresh: Fresh) {
        self.stored.lock().unwrap().push(fresh.message);
        self.contents.lock().unwrap().extend(fresh.content);
    }

    fn held(&self, fresh: Fresh, reply: &Reply) {
        let why = reply.text().to_owned();
        self.held.lock().unwrap().push((fresh.id, why));
    }
}

/// Recipients whose standing is in their names, as long as they are there.
#[derive(Default)]
pub(crate) struct ByName {
    gone: Mutex<HashSet<String>>,
}

impl ByName {
    /// This recipient is no longer known.
    pub(crate) fn remove(&self, recipient: &str) {
        self.gone.lock().unwrap().insert(recipient.to_owned());
    }
}

impl Recipients for ByName {
    fn status(&self, recipient: &Mailbox, _: &Origin) -> Option<Answer> {
        let recipient = recipient.to_string();
        if self.gone.lock().unwrap().contains(&recipient) {
            return Some(Answer::Now(RecipientStatus::Refused(
                table::NO_SUCH_USER.reply(),
            )));
        }
        let standing = match recipient.as_str() {
            "alice@x.org" | "bob@x.org" | "postmaster@x.org" => Some(RecipientStatus::Internal),
            "far@y.org" => Some(RecipientStatus::External),
            "mute@x.org" => return Some(Answer::CannotTell),
            "nobody@x.org" => Some(RecipientStatus::Refused(table::NO_SUCH_USER.reply())),
            _ => None,
        };
        standing.map(Answer::Now)
    }
}

/// What is at the other end of an edge, as `name` sees it, and how long its answers are fresh.
fn towards(
    (name, next): (&str, &str),
    fresh: Duration,
    own_end: Pair,
    spool: &Spool,
    clock: Clock,
) -> Arc<Next> {
    let settings = handoff::Settings {
        own_name: name.parse().unwrap(),
        next_name: next.parse().unwrap(),
        patience: Duration::from_millis(500),
        connections_max: 4,
        lifetimes: Lifetimes {
            answers_max: 100,
            accepted: fresh,
            refused: fresh,
            stale: Duration::from_secs(60),
        },
        client: Arc::new(smtp::client::Settings {
            dialect: smtp::client::Dialect::Edge,
            hello_name: name.into(),
            timeouts: smtp::client::Timeouts::LEAST,
            tls: smtp::client::TlsWish::Never,
        }),
    };
    let edge = EdgeSender::new(own_end.into());
    let ledger = Arc::new(Mutex::new(Ledger::new(spool.id(), spool.epoch())));
    Next::new(edge, settings, ledger, clock, Box::new(|_, _| ()))
}

/// A test that fails while the disk is held ends: the runtime waits for the thread that syncs.
impl Drop for Instance {
    fn drop(&mut self) {
        self.holding.release();
    }
}

impl Instance {
    /// One that delivers.
    pub(crate) fn last(name: &str) -> Self {
        Self::last_with(name, Arc::new(ByName::default()))
    }

    /// One that delivers to these.
    pub(crate) fn last_with(name: &str, recipients: Arc<ByName>) -> Self {
        Self::new(name, |_, _| Onward::Here(recipients))
    }

    /// One that delivers, and asks its clients these checks.
    pub(crate) fn checking(clients: Checks) -> Self {
        let mut instance = Self::last("output");
        let intake = Arc::get_mut(&mut instance.intake).expect("nothing else has it yet");
        intake.checks.clients = clients;
        instance
    }

    /// The messages that it held, and why.
    pub(crate) fn held(&self) -> Vec<(MessageId, String)> {
        self.noted.held.lock().unwrap().clone()
    }

    /// One that hands on to `next`, and the end of the edge that `next` is to serve.
    pub(crate) fn front(name: &str, next: &str) -> (Self, OwnedFd) {
        Self::front_that_remembers(name, next, Duration::from_secs(60))
    }

    /// A front whose answers about recipients are fresh for that long, and serve for a minute when
    /// nobody can be asked.
    pub(crate) fn front_that_remembers(name: &str, next: &str, fresh: Duration) -> (Self, OwnedFd) {
        let (own_end, other_end) = Pair::pair().unwrap();
        let front = Self::new(name, |spool, clock| {
            let next = towards((name, next), fresh, own_end, spool, clock);
            Onward::Next { next, own: None }
        });
        (front, other_end.into())
    }

    /// Gives up the spool to another process of this instance, which is to serve the end returned.
    pub(crate) async fn give_up_the_spool(&self) -> OwnedFd {
        let (own_end, other_end) = Pair::pair().unwrap();
        let (name, spool) = (self.intake.name.as_str(), &self.intake.spool);
        let successor = towards((name, name), LIMIT, own_end, spool, self.intake.clock);
        self.leave.send_replace(Leave::AfterMessage);
        self.intake.spool_lease.end(successor).await;
        spool.close();
        other_end.into()
    }

    /// Whether it has begun to give up the spool.
    pub(crate) fn is_leaving(&self) -> bool {
        *self.leave.borrow() > Leave::Freely
    }

    /// Clients are to leave.
    pub(crate) fn stop(&self) {
        self.leave.send_replace(Leave::Now);
    }

    fn new(name: &str, onward: impl FnOnce(&Spool, Clock) -> Onward) -> Self {
        let clock = Clock::start();
        let entropy = Arc::new(Entropy::new());
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&entropy.u128().to_ne_bytes());
        let disk = SimulatedDisk::new();
        let mut options = Options::new(seed);
        // A simulated disk is memory, and each instance has one.
        options.segment_len = 1024 * 1024;
        let holding = Arc::<Holding>::default();
        let held = HeldDisk {
            disk: disk.clone(),
            holding: Arc::clone(&holding),
        };
        let (spool, _) = Spool::open(Arc::new(held), options).unwrap();
        let noted = Arc::new(Noted::default());
        let intake = Intake {
            name: name.parse().unwrap(),
            hostname: "mail.x.org".into(),
            clock,
            answer_timeout: Duration::from_secs(60),
            entropy,
            onward: onward(&spool, clock),
            spool,
            checks: EntryChecks::default(),
            events: Arc::clone(&noted) as Arc<dyn Sink>,
            queued: Arc::clone(&noted) as Arc<dyn Queued>,
            capacity: Capacity {
                messages_max: MESSAGES_MAX,
            },
            handoff_limits: LIMITS,
            spool_lease: Arc::default(),
            content_memory: Arc::default(),
            gate: Arc::new(Gate::default()),
            refused: Arc::new(Mutex::new(HashMap::new())),
        };
        Self {
            intake: Arc::new(intake),
            reloaded: Arc::default(),
            disk,
            holding,
            noted,
            n_edge_connections: AtomicUsize::new(0),
            leave: watch::Sender::new(Leave::Freely),
            stop: Mutex::new(watch::Sender::new(false)),
        }
    }

    /// Puts messages like this one into its spool until its disk has no room for another.
    pub(crate) async fn fill_disk(&self, like: &Message) {
        self.disk.set_fault(Fault::FullFrom(1));
        loop {
            let octets = Arc::new(vec![b'x'; 60_000]);
            let taken = self.intake.spool.accept(like, Content::Bytes(octets));
            if let Err(full) = taken.await {
                return assert_eq!(full, CommitError::Full);
            }
        }
    }

    /// So many messages of this kind of origin wait at it from now on.
    pub(crate) fn let_wait(&self, origin: &Origin, n: u64) {
        self.noted.waiting(origin).store(n, Ordering::SeqCst);
    }

    /// The messages that its spool took.
    pub(crate) fn stored(&self) -> Vec<Message> {
        self.noted.stored.lock().unwrap().clone()
    }

    /// The content of the message that its spool took last.
    pub(crate) fn last_content(&self) -> String {
        let contents = self.noted.contents.lock().unwrap();
        let last = contents.last().expect("a content in memory");
        String::from_utf8_lossy(last).into_owned()
    }

    /// Whether the message of the handoff with this number is there, or its commit under way.
    pub(crate) fn key_is_known(&self, number: u64) -> bool {
        let key = mail::HandoffKey {
            sender: crate::handoffs::SENDER,
            epoch: 1,
            number,
        };
        !matches!(self.intake.spool.lookup_key(&key), KeyState::Unknown)
    }

    /// What it told.
    pub(crate) fn told(&self) -> Vec<What> {
        let events = self.noted.events.lock().unwrap();
        events.iter().map(|event| event.what.clone()).collect()
    }

    /// Whether it raised an alarm with these words.
    pub(crate) fn alarmed(&self, words: &str) -> bool {
        let about = |what: &What| matches!(what, What::Alarm { text } if text.contains(words));
        self.told().iter().any(about)
    }

    /// A client of a door whose mail is all of `origin`.
    pub(crate) async fn client(&self, origin: Origin) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        self.visit(Stream::Unix(ours), peer, origin, LocalPrograms::LikeAll);
        Client::greeted(theirs).await
    }

    /// A client over loopback of a door that knows local programs by their uid.
    pub(crate) async fn local_client(&self) -> Client<TcpStream> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, theirs) = tokio::join!(listener.accept(), connecting);
        let (ours, address) = accepted.unwrap();
        let by_uid = LocalPrograms::ByUid;
        self.visit(
            Stream::Tcp(ours),
            Peer::Tcp(address),
            Origin::Outside,
            by_uid,
        );
        Client::greeted(theirs.unwrap()).await
    }

    /// A client of that door which is not on this machine.
    pub(crate) async fn remote_client(&self) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        self.visit(
            Stream::Unix(ours),
            peer,
            Origin::Outside,
            LocalPrograms::ByUid,
        );
        Client::greeted(theirs).await
    }

    /// A client of the world that has not heard its greeting.
    pub(crate) fn silent_client(&self) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        self.visit(
            Stream::Unix(ours),
            peer,
            Origin::Outside,
            LocalPrograms::LikeAll,
        );
        Client::silent(theirs)
    }

    fn visit(&self, stream: Stream, peer: Peer, origin: Origin, local: LocalPrograms) {
        let connection = self.connection(stream, Dialect::Smtp);
        self.serve(connection, peer, origin, local);
    }

    fn serve(
        &self,
        connection: net::ServerConnection,
        peer: Peer,
        origin: Origin,
        local: LocalPrograms,
    ) {
        let entry = Entry {
            origin,
            local,
            tls: None,
            checked_as: CheckedAs::Client,
        };
        let bounds = Bounds {
            connections_max: 1,
            operators_reserve: 0,
            per_client_max: 1,
            per_user_max: 1,
        };
        let admission = Arc::new(Admission::default());
        let place = admission.admit(Caller::User(0), bounds).unwrap();
        let visitor = Visitor { peer, entry, place };
        tokio::spawn(serve(
            connection,
            visitor,
            self.current(),
            self.leave.subscribe(),
        ));
    }

    /// A reload changes what it takes of other instances.
    pub(crate) fn limit(&self, handoff_limits: HandoffLimits) {
        let reloaded = Intake {
            handoff_limits,
            ..Intake::clone(&self.intake)
        };
        *self.reloaded.lock().unwrap() = Some(Arc::new(reloaded));
    }

    fn current(&self) -> Current {
        let (first, reloaded) = (Arc::clone(&self.intake), Arc::clone(&self.reloaded));
        Arc::new(move || {
            let reloaded = reloaded.lock().unwrap();
            Arc::clone(reloaded.as_ref().unwrap_or(&first))
        })
    }

    /// Another instance, played by the test.
    pub(crate) async fn instance(&self, claims: Claims) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.receive(Stream::Unix(ours), claims);
        Client::greeted(theirs).await
    }

    fn receive(&self, stream: Stream, claims: Claims) {
        let name: InstanceName = "front".parse().unwrap();
        let connection = self.connection(stream, Dialect::Edge);
        tokio::spawn(serve_edge(
            connection,
            EdgePeer { name, claims },
            self.current(),
            self.stop.lock().unwrap().subscribe(),
        ));
    }

    /// Serves what comes over an edge, for as long as the test runs.
    pub(crate) fn serve_edge(self: Arc<Self>, end: OwnedFd) {
        let receiver = EdgeReceiver::new(end).unwrap();
        tokio::spawn(async move {
            while let Ok(Some(stream)) = receiver.accept().await {
                self.n_edge_connections.fetch_add(1, Ordering::SeqCst);
                self.receive(stream, Claims::Any);
            }
        });
    }

    /// Ends its sessions with other instances, as a process does that ends; connections that come
    /// later are served.
    pub(crate) fn hang_up(&self) {
        let before = std::mem::take(&mut *self.stop.lock().unwrap());
        before.send_replace(true);
    }

    /// How many connections other instances made.
    pub(crate) fn n_edge_connections(&self) -> usize {
        self.n_edge_connections.load(Ordering::SeqCst)
    }

    /// A client that may forward what it knows of its own clients.
    pub(crate) async fn forwarder(&self) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let connection = self.connection_with(Stream::Unix(ours), Dialect::Smtp, Offer::Yes);
        let peer = Peer::Tcp("192.0.2.7:4711".parse().unwrap());
        self.serve(connection, peer, Origin::Outside, LocalPrograms::LikeAll);
        Client::greeted(theirs).await
    }

    fn connection(&self, stream: Stream, dialect: Dialect) -> net::ServerConnection {
        self.connection_with(stream, dialect, Offer::No)
    }

    fn connection_with(
        &self,
        stream: Stream,
        dialect: Dialect,
        xforward: Offer,
    ) -> net::ServerConnection {
        let limits = Limits {
            command_len_max: 16 * 1024,
            command_timeout: LIMIT,
            commands_max: 100,
            content_len_max: 16 * 1024 * 1024,
            content_line_len_max: 998,
            data_rate_min: 1,
            data_timeout: LIMIT,
            errors_max: 20,
            recipients_max: 100,
            tls_timeout: LIMIT,
        };
        let settings = Settings {
            hostname: "mail.x.org".into(),
            dialect,
            extensions: Extensions {
                binarymime: Offer::Yes,
                chunking: Offer::Yes,
                dsn: Offer::Yes,
                smtputf8: Offer::Yes,
                starttls: Starttls::NotOffered,
                xforward,
            },
            limits,
            newlines: BareNewlines::Refuse,
        };
        let clock = self.intake.clock;
        let begin = match self.intake.checks.clients.asks_in(Phase::Connect) {
            true if dialect == Dialect::Smtp => Session::with_connect_question,
            _ => Session::new,
        };
        let session = begin(Arc::new(settings), Security::Plain, clock.now());
        Connection::new(stream, session, clock)
    }
}

/// The other end of a session.
pub(crate) struct Client<S>(BufReader<S>);

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    /// One that hears nothing yet.
    fn silent(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    async fn greeted(stream: S) -> Self {
        let mut client = Self(BufReader::new(stream));
        client.hears("220").await;
        client.say("EHLO client.example", "250").await;
        client
    }

    /// Says `line` and hears a reply that begins with `expected`.
    pub(crate) async fn say(&mut self, line: &str, expected: &str) {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.hears(expected).await;
    }

    /// Plays lines of `what is said => how the reply begins`.
    pub(crate) async fn play(&mut self, script: &str) {
        for line in script
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (said, expected) = line.split_once(" => ").unwrap();
            self.say(said, expected).await;
        }
    }

    /// Sends a content after DATA, and hears what becomes of it.
    pub(crate) async fn data(&mut self, content: &str, expected: &str) {
        self.say("DATA", "354").await;
        self.send(content.as_bytes()).await;
        self.say(".", expected).await;
    }

    /// Sends everything in one write, and leaves without a look at the replies.
    pub(crate) async fn send_and_leave(mut self, text: &str) {
        self.send(text.as_bytes()).await;
    }

    /// Sends a content in one last chunk.
    pub(crate) async fn chunk(&mut self, content: &str) {
        let command = format!("BDAT {} LAST\r\n{content}", content.len());
        self.send(command.as_bytes()).await;
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) {
        let sending = self.0.get_mut().write_all(octets);
        tokio::time::timeout(LIMIT, sending).await.unwrap().unwrap();
    }

    /// Waits until the other end has closed the connection.
    pub(crate) async fn is_left(&mut self) {
        let mut rest = String::new();
        let reading = self.0.read_line(&mut rest);
        let n = tokio::time::timeout(LIMIT, reading).await.unwrap().unwrap();
        assert_eq!(n, 0, "said {rest:?}");
    }

    /// Hears a whole reply.
    pub(crate) async fn next_reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let begins_at = reply.len();
            let reading = self.0.read_line(&mut reply);
            let n = tokio::time::timeout(LIMIT, reading).await.unwrap().unwrap();
            assert_ne!(n, 0, "closed; so far {reply:?}");
            if reply.as_bytes().get(begins_at + 3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Says `line`, and returns the whole reply.
    pub(crate) async fn reply_to(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.next_reply().await
    }

    /// Hears a whole reply that begins with `expected`.
    pub(crate) async fn hears(&mut self, expected: &str) {
        let reply = self.next_reply().await;
        assert!(
            reply.starts_with(expected),
            "{reply:?} instead of {expected:?}"
        );
    }
}

/// A next instance that takes every recipient, counts what it is asked, and keeps silent after the
/// content.
pub(crate) struct Silent {
    questions: Arc<Mutex<Vec<String>>>,
}

impl Silent {
    pub(crate) fn serve(end: OwnedFd) -> Self {
        let receiver = EdgeReceiver::new(end).unwrap();
        let questions = Arc::<Mutex<Vec<String>>>::default();
        let silent = Self {
            questions: Arc::clone(&questions),
        };
        tokio::spawn(async move {
            while let Ok(Some(stream)) = receiver.accept().await {
                tokio::spawn(keep_silent(stream, Arc::clone(&questions)));
            }
        });
        silent
    }

    /// The recipients that it was asked about.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap().clone()
    }
}

async fn keep_silent(stream: Stream, questions: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let hello = "250-output\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 XPOSTERN 1\r\n";
    stream.write_all(b"220 output\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let reply = match line.get(..4)? {
            "EHLO" => hello,
            "VRFY" => {
                if let Some((recipient, _)) = line[5..].split_once(';') {
                    questions.lock().unwrap().push(recipient.to_owned());
                }
                "250 ok\r\n"
            }
            "MAIL" | "RCPT" => "250 ok\r\n",
            // The content, and all that comes after it.
            _ => {
                tokio::io::copy(&mut stream, &mut tokio::io::sink())
                    .await
                    .ok()?;
                return None;
            }
        };
        stream.write_all(reply.as_bytes()).await.ok()?;
    }
}
