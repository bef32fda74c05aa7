//! The doors of an instance: its listeners and the edges on which it is handed messages.
//!
//! # Guarantees
//! Whoever connected before a listener was removed is served, for as long as the client stays.
//!
//! # Limits
//! Connections in all and for each client are the configuration's; whoever comes on top is told
//! `421` and closed. Another instance waits for a place when it has as many connections as it may.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use config::{Listen, ListenAddress, ListenSecurity, Peer as NamedPeer, Xforward};
use handoff::EdgeReceiver;
use intake::{
    Admission, Bounds, Caller, CheckedAs, Current, EdgeDoor, EdgePeer, Entry, Intake, Leave,
    LocalPrograms, Visitor, receive_edge, serve, serve_edge,
};
use mail::event::{Event, What};
use mail::reply::table;
use mail::{InstanceName, Security};
use net::tls::{TlsAcceptor, Validity};
use net::{Clock, Connection, Listener, Peer, Stream};
use smtp::server::{Session, Settings};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use supervisor::channel::Purpose;

/// The fewest connections that another instance may have: a process that makes way for this one is
/// in no configuration.
pub(crate) const EDGE_PLACES_MIN: usize = 64;

/// As many connections are taken in when a listener is closed: more than its backlog holds.
const WAITING_MAX: usize = 4096;

/// How sessions are made now; replaced by a reload.
#[derive(Clone)]
pub(crate) struct Sessions {
    /// What accepted messages go to.
    pub(crate) intake: Arc<Intake>,
    /// How the machine speaks to the world.
    pub(crate) world: Arc<Settings>,
    /// The same, with XFORWARD, for peers that may use it.
    pub(crate) trusted: Arc<Settings>,
    /// How it speaks to other instances.
    pub(crate) edge: Arc<Settings>,
    /// By which door unnamed clients come in.
    pub(crate) entry: Entry,
    /// Clients with a stated origin.
    pub(crate) peers: Arc<[NamedPeer]>,
    /// How many connections there may be.
    pub(crate) bounds: Bounds,
    /// How many connections each other instance may have over its edge.
    pub(crate) edge_places: Arc<HashMap<InstanceName, usize>>,
    /// The certificate; for implicit TLS and STARTTLS.
    pub(crate) tls: Option<TlsAcceptor>,
    /// When that certificate is valid.
    pub(crate) validity: Option<Validity>,
    /// What the instance is there for.
    pub(crate) purpose: Purpose,
}

/// What all doors share.
#[derive(Clone)]
pub(crate) struct Hall {
    /// How sessions are made now.
    pub(crate) sessions: watch::Receiver<Sessions>,
    /// The clock.
    pub(crate) clock: Clock,
    /// Who is in.
    pub(crate) admission: Arc<Admission>,
    /// Open connections of other instances.
    pub(crate) n_edges: Arc<AtomicUsize>,
    /// When clients are to leave.
    pub(crate) leave: watch::Receiver<Leave>,
    /// Other instances are to leave: later than clients.
    pub(crate) cutting: watch::Receiver<bool>,
}

/// A listener on which nothing is accepted yet.
pub(crate) struct Door {
    listen: Listen,
    listener: Listener,
}

impl Door {
    /// Of a bound, listening socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor is not what it should be.
    pub(crate) fn new(listen: Listen, fd: OwnedFd) -> io::Result<Self> {
        let listener = match listen.address {
            ListenAddress::Tcp(_) => Listener::tcp(fd)?,
            ListenAddress::Unix(_) => Listener::unix(fd)?,
        };
        Ok(Self { listen, listener })
    }
}

/// The doors that are open, each with a task of its own.
pub(crate) struct Doors {
    hall: Hall,
    /// The listeners among them; each closes when its sender is dropped.
    listening: Vec<(Listen, oneshot::Sender<()>)>,
    tasks: JoinSet<()>,
}

impl Doors {
    /// None yet.
    pub(crate) fn new(hall: Hall) -> Self {
        Self {
            hall,
            listening: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Makes `doors` the listeners: opens those that are new, and closes those that are not among
    /// them. Who came in by one that is closed stays.
    pub(crate) fn set_listeners(&mut self, doors: Vec<Door>) {
        self.listening
            .retain(|(open, _)| doors.iter().any(|door| door.listen == *open));
        for door in doors {
            if self.listening.iter().any(|(open, _)| door.listen == *open) {
                continue;
            }
            let (open, closed) = oneshot::channel();
            self.listening.push((door.listen.clone(), open));
            self.tasks.spawn(self.hall.clone().listen(door, closed));
        }
    }

    /// Serves another instance.
    pub(crate) fn open_edge(&mut self, peer: EdgePeer, receiver: EdgeReceiver) {
        self.tasks.spawn(self.hall.clone().receive(peer, receiver));
    }

    /// Waits until nobody is accepted any more, and who came in by a listener has left.
    pub(crate) async fn closed(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Hall {
    /// Accepts on a listener until it is closed or clients are to leave, and then waits for those
    /// that are in.
    async fn listen(self, door: Door, mut closed: oneshot::Receiver<()>) {
        let Door { listen, listener } = door;
        let mut leave = self.leave.clone();
        let mut clients = JoinSet::new();
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = clients.join_next() => continue,
                _ = leave.wait_for(|asked| *asked > Leave::Freely) => break,
                _ = &mut closed => break,
            };
            self.admit(stream, peer, listen.security, &mut clients);
        }
        self.admit_who_waits(&listener, listen.security, &mut clients)
            .await;
        drop(listener);
        while clients.join_next().await.is_some() {}
    }

    /// Lets those in who connected already: closing the listener would reset them.
    async fn admit_who_waits(
        &self,
        listener: &Listener,
        security: ListenSecurity,
        in_: &mut JoinSet<()>,
    ) {
        // The runtime learns in between who waits.
        tokio::task::yield_now().await;
        for _ in 0..WAITING_MAX {
            let Ok((stream, peer)) = timeout(Duration::ZERO, listener.accept()).await else {
                return;
            };
            self.admit(stream, peer, security, in_);
        }
    }

    fn admit(&self, stream: Stream, peer: Peer, security: ListenSecurity, in_: &mut JoinSet<()>) {
        let sessions = self.sessions.borrow().clone();
        let address = match peer {
            Peer::Local { .. } => None,
            Peer::Tcp(address) => Some(address.ip()),
        };
        let (settings, entry) = sessions.for_peer(address);
        let now = self.clock.now();
        let caller = caller(&stream, peer, entry.local);
        let place = self.admission.admit(caller, sessions.bounds);
        let Some(place) = place else {
            let reply = table::TOO_MANY_CONNECTIONS.reply();
            sessions.intake.note_turned_away(peer, &reply);
            // Whoever expects a handshake cannot read a reply: closing says it.
            if security == ListenSecurity::Plain {
                let session = Session::refusing(settings, reply, now);
                in_.spawn(Connection::new(stream, session, self.clock).close());
            }
            return;
        };
        let (clock, leave, current) = (self.clock, self.leave.clone(), self.current());
        let checks = entry.checked_as.list(&sessions.intake.checks);
        // Where nothing is checked before it, the greeting goes out at once.
        let begin = match checks.asks_in(policy::Phase::Connect) {
            true => Session::with_connect_question,
            false => Session::new,
        };
        let visitor = Visitor { peer, entry, place };
        match (security, sessions.tls) {
            (ListenSecurity::Plain, _) => {
                let session = begin(settings, Security::Plain, now);
                let connection = Connection::new(stream, session, clock);
                in_.spawn(serve(connection, visitor, current, leave));
            }
            (ListenSecurity::ImplicitTls, Some(tls)) => {
                in_.spawn(async move {
                    let limit = settings.limits.tls_timeout;
                    let shaking = timeout(limit, net::tls::accept(&tls, stream));
                    let why = match shaking.await {
                        Ok(Ok(stream)) => Ok(stream),
                        Ok(Err(error)) => Err(format!("TLS handshake failed: {error}")),
                        Err(_) => Err("TLS handshake timed out".to_owned()),
                    };
                    let stream = match why {
                        Ok(stream) => stream,
                        Err(why) => {
                            let lasted = clock.now().since(now);
                            return sessions.intake.note_no_handshake(peer, lasted, &why);
                        }
                    };
                    let session = begin(settings, Security::Tls, clock.now());
                    let connection = Connection::new(stream, session, clock);
                    serve(connection, visitor, current, leave).await;
                });
            }
            (ListenSecurity::ImplicitTls, None) => {}
        }
    }

    /// What is in force, whenever it is asked for.
    fn current(&self) -> Current {
        let sessions = self.sessions.clone();
        Arc::new(move || Arc::clone(&sessions.borrow().intake))
    }

    /// Serves the connections of one other instance until it is to leave, or has gone.
    async fn receive(self, peer: EdgePeer, receiver: EdgeReceiver) {
        let gate = Arc::clone(&self.sessions.borrow().intake.gate);
        let _open = gate.open(&peer.name);
        let cutting = self.cutting.clone();
        receive_edge(receiver, Edge { hall: self, peer }, cutting).await;
    }
}

/// Where another instance brings its handoffs.
struct Edge {
    hall: Hall,
    peer: EdgePeer,
}

impl EdgeDoor for Edge {
    fn places(&self) -> usize {
        let sessions = self.hall.sessions.borrow();
        let places = sessions.edge_places.get(&self.peer.name);
        places.copied().unwrap_or(EDGE_PLACES_MIN)
    }

    fn serve(&self, stream: Stream) -> impl Future<Output = ()> + Send + 'static {
        let Hall { clock, .. } = self.hall;
        let settings = Arc::clone(&self.hall.sessions.borrow().edge);
        let session = Session::new(settings, Security::Plain, clock.now());
        let connection = Connection::new(stream, session, clock);
        let (peer, current) = (self.peer.clone(), self.hall.current());
        let cutting = self.hall.cutting.clone();
        let counted = Counted::new(&self.hall.n_edges);
        async move {
            let _counted = counted;
            serve_edge(connection, peer, current, cutting).await;
        }
    }

    fn alarm(&self, text: &str) {
        let intake = Arc::clone(&self.hall.sessions.borrow().intake);
        let (at, peer) = (self.hall.clock.timestamp(), &self.peer.name);
        let text = format!("the edge from {peer}: {text}").into();
        let (trace, what) = (None, What::Alarm { text });
        intake.events.emit(Event { at, trace, what });
    }
}

/// Whose connection it is: programs that are known by their users are so over TCP, too.
fn caller(stream: &Stream, peer: Peer, local: LocalPrograms) -> Caller {
    let of_uid = |uid: u32| {
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            Caller::Operator(uid)
        } else {
            Caller::User(uid)
        }
    };
    match (peer, local) {
        (Peer::Local { uid, .. }, _) => of_uid(uid),
        (Peer::Tcp(address), LocalPrograms::ByUid) => match net::peer_uid(stream) {
            Ok(uid) => of_uid(uid),
            // Closed already, or not of this machine.
            Err(_) => Caller::Client(address.ip()),
        },
        (Peer::Tcp(address), LocalPrograms::LikeAll) => Caller::Client(address.ip()),
    }
}

impl Sessions {
    /// How a client is spoken to, and whose mail it brings.
    fn for_peer(&self, address: Option<std::net::IpAddr>) -> (Arc<Settings>, Entry) {
        let named = address.and_then(|a| self.peers.iter().find(|peer| peer.network.contains(a)));
        let Some(peer) = named else {
            return (Arc::clone(&self.world), self.entry.clone());
        };
        let settings = match peer.xforward {
            Xforward::Allowed => &self.trusted,
            Xforward::Refused => &self.world,
        };
        let entry = Entry {
            origin: peer.origin.clone(),
            local: LocalPrograms::LikeAll,
            tls: self.entry.tls.clone(),
            checked_as: CheckedAs::Peer,
        };
        (Arc::clone(settings), entry)
    }
}

/// Counts while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
