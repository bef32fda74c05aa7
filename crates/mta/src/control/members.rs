//! The instances as control knows them: their channels, and what their events have counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use mail::{InstanceName, Timestamp};
use net::Clock;
use rustix::net::{RecvFlags, recv};
use tokio::net::UnixDatagram;

use super::asking::Asking;
use super::log::Log;
use crate::config::Role;
use crate::leash::InstanceChannels;
use crate::observe::counters::Counters;
use crate::observe::encoding::decode_batch;
use crate::observe::sink::DATAGRAM_LEN_MAX;

/// As many batches of one instance are read before the others have their turn.
const N_BATCHES_IN_A_ROW: usize = 16;

/// One instance.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: InstanceName,
    /// Its role.
    pub(super) role: Role,
    /// For asking it.
    pub(super) asking: Asking,
    /// What it did.
    pub(super) counters: RefCell<Counters>,
    events: UnixDatagram,
}

/// What all tasks of control share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The clocks.
    pub(super) clock: Clock,
    /// The log.
    pub(super) log: RefCell<Log>,
    members: RefCell<Vec<Rc<Member>>>,
    n_readers: Cell<usize>,
}

impl Shared {
    /// Without instances yet.
    pub(super) fn new(clock: Clock, log: Log) -> Rc<Self> {
        let (members, n_readers) = (RefCell::default(), Cell::new(0));
        Rc::new(Self {
            clock,
            log: RefCell::new(log),
            members,
            n_readers,
        })
    }

    /// The instances, in the order of the configuration.
    pub(super) fn members(&self) -> Vec<Rc<Member>> {
        self.members.borrow().clone()
    }

    /// Takes an instance in: its events are read and its answers heard from now on. Must be
    /// called within a `LocalSet`.
    ///
    /// # Errors
    /// When the runtime cannot watch its channels.
    pub(super) fn add(self: &Rc<Self>, channels: InstanceChannels) -> io::Result<()> {
        let InstanceChannels {
            name,
            role,
            events,
            requests,
        } = channels;
        let asking = Asking::new(requests, self.clock)?;
        // SEQPACKET ends are read and written as those of datagrams are.
        let events = std::os::unix::net::UnixDatagram::from(events);
        events.set_nonblocking(true)?;
        let events = UnixDatagram::from_std(events)?;
        let counters = RefCell::new(Counters::new());
        let member = Rc::new(Member {
            name,
            role,
            asking: asking.clone(),
            counters,
            events,
        });
        self.members.borrow_mut().push(Rc::clone(&member));
        self.n_readers.set(self.n_readers.get() + 1);
        tokio::task::spawn_local(asking.listen());
        tokio::task::spawn_local(Rc::clone(self).read_events(member));
        Ok(())
    }

    /// Shows an instance no longer. What it still sends is logged.
    pub(super) fn remove(&self, name: &InstanceName) {
        self.members
            .borrow_mut()
            .retain(|member| member.name != *name);
    }

    /// Whether no event can come any more, because all channels are closed.
    pub(super) fn is_deserted(&self) -> bool {
        self.n_readers.get() == 0
    }

    /// The wall clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    /// Takes all events that have been sent, without waiting for more.
    pub(super) fn drain(&self) {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        for member in self.members() {
            // Not through the runtime, which may not have noticed yet that there is something.
            while let Ok((len @ 1.., _)) =
                recv(&member.events, &mut buffer[..], RecvFlags::DONTWAIT)
            {
                self.take_batch(&member, &buffer[..len]);
            }
        }
    }

    async fn read_events(self: Rc<Self>, member: Rc<Member>) {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        'open: while member.events.readable().await.is_ok() {
            for _ in 0..N_BATCHES_IN_A_ROW {
                match member.events.try_recv(&mut buffer) {
                    Ok(0) => break 'open,
                    Ok(len) => self.take_batch(&member, &buffer[..len]),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => break 'open,
                }
            }
            tokio::task::yield_now().await;
        }
        self.n_readers.set(self.n_readers.get() - 1);
    }

    fn take_batch(&self, member: &Member, datagram: &[u8]) {
        let mut log = self.log.borrow_mut();
        let name = member.name.as_str();
        let decoded = match decode_batch(datagram) {
            Ok(decoded) => decoded,
            Err(error) => {
                log.alarm(
                    self.now(),
                    format!("unreadable events from {name}: {error}"),
                );
                return;
            }
        };
        if decoded.n_lost > 0 {
            let text = format!("{} events of {name} were lost before these", decoded.n_lost);
            log.alarm(self.now(), text);
        }
        let now = self.clock.now();
        let mut counters = member.counters.borrow_mut();
        for event in &decoded.events {
            counters.record(now, &event.what);
            log.append(&member.name, event);
        }
    }
}
