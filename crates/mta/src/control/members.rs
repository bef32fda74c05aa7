//! The instances as control knows them: their channels, and what their events have counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use mail::{InstanceName, Timestamp};
use net::Clock;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::asking::Asking;
use super::log::Log;
use crate::config::Role;
use crate::leash::InstanceChannels;
use crate::observe::counters::Counters;
use crate::observe::encoding::{Decoded, decode_batch};
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
            while let Ok(true) = self.take_batch(&member, &mut buffer) {}
        }
    }

    /// Completes the one batch that an earlier control may have been writing when it was killed;
    /// to be called once, before anything else is written.
    pub(super) fn complete_the_log(&self) {
        let mut log = self.log.borrow_mut();
        let tail = log.tail();
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        let mut begun = Vec::new();
        for member in self.members() {
            let Ok(len @ 1..) = peek(&member.events, &mut buffer) else {
                continue;
            };
            let Ok(batch) = decode_batch(&buffer[..len]) else {
                continue;
            };
            let (n_written, rest) = log.rest_of(&tail, &member.name, &batch);
            begun.push((n_written, rest, member, batch));
        }
        // Of a line that was hardly begun nobody can say whose it was: it fits whom it is given to.
        let longest = begun.into_iter().max_by_key(|(n_written, ..)| *n_written);
        if let Some((1.., rest, member, batch)) = longest {
            log.complete(&rest);
            member.count(&batch, self.clock);
            take(&member.events);
        }
    }

    async fn read_events(self: Rc<Self>, member: Rc<Member>) {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        'open: while member.events.readable().await.is_ok() {
            for _ in 0..N_BATCHES_IN_A_ROW {
                let taken = member
                    .events
                    .try_io(Interest::READABLE, || self.take_batch(&member, &mut buffer));
                match taken {
                    Ok(true) => {}
                    Ok(false) => break 'open,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => break 'open,
                }
            }
            tokio::task::yield_now().await;
        }
        self.n_readers.set(self.n_readers.get() - 1);
    }

    /// Writes the next batch of events to the log, and takes it out of its channel then: a control
    /// that is killed in between leaves it there for the next one. False where none can come.
    fn take_batch(&self, member: &Member, buffer: &mut [u8]) -> io::Result<bool> {
        let len = peek(&member.events, buffer)?;
        if len == 0 {
            return Ok(false);
        }
        let mut log = self.log.borrow_mut();
        match decode_batch(&buffer[..len]) {
            Ok(batch) => {
                log.write_batch(&member.name, &batch, self.now());
                member.count(&batch, self.clock);
            }
            Err(error) => {
                let name = &member.name;
                log.alarm(
                    self.now(),
                    format!("unreadable events from {name}: {error}"),
                );
            }
        }
        take(&member.events);
        Ok(true)
    }
}

impl Member {
    fn count(&self, batch: &Decoded, clock: Clock) {
        let now = clock.now();
        let mut counters = self.counters.borrow_mut();
        for event in &batch.events {
            counters.record(now, &event.what);
        }
    }
}

/// Reads the next datagram and leaves it where it is; 0 where the other end is closed.
fn peek(events: &UnixDatagram, buffer: &mut [u8]) -> io::Result<usize> {
    let (len, _) = recv(events, buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(len)
}

/// Takes the next datagram, which was read, out of the channel.
fn take(events: &UnixDatagram) {
    // Of a datagram that does not fit, the rest is thrown away. It is there: nobody else reads.
    let _ = recv(events, &mut [0][..], RecvFlags::DONTWAIT);
}
