//! The instances as control knows them: their channels, and what their events have counted.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use config::Role;
use events::counters::Counters;
use events::encoding::{Decoded, decode_batch};
use events::sink::DATAGRAM_LEN_MAX;
use mail::{InstanceName, Timestamp};
use net::Clock;
use rustix::net::{RecvFlags, recv};
use supervisor::channel::InstanceChannels;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::asking::Asking;
use super::log::{Gone, Log, Turn};

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
    pub(super) log: Log,
    members: RefCell<Vec<Rc<Member>>>,
    n_readers: Cell<usize>,
    /// Instances whose channel of requests is open: those that have not ended.
    n_open: Cell<usize>,
}

impl Shared {
    /// Without instances yet.
    pub(super) fn new(clock: Clock, log: Log) -> Rc<Self> {
        let (members, n_readers) = (RefCell::default(), Cell::new(0));
        let n_open = Cell::new(0);
        Rc::new(Self {
            clock,
            log,
            members,
            n_readers,
            n_open,
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
        self.n_open.set(self.n_open.get() + 1);
        let shared = Rc::clone(self);
        tokio::task::spawn_local(async move {
            asking.listen().await;
            shared.n_open.set(shared.n_open.get() - 1);
        });
        tokio::task::spawn_local(Rc::clone(self).read_events(member));
        Ok(())
    }

    /// Shows an instance no longer. What it still sends is logged.
    pub(super) fn remove(&self, name: &InstanceName) {
        self.members
            .borrow_mut()
            .retain(|member| member.name != *name);
    }

    /// Whether no event can come any more, because all channels are closed; or all instances have
    /// ended and what they left cannot be written.
    pub(super) fn is_deserted(&self) -> bool {
        let is_over = self.n_open.get() == 0 && self.log.is_stuck(self.now());
        self.n_readers.get() == 0 || is_over
    }

    /// The wall clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    /// Takes all events that have been sent, without waiting for more; waits for the log.
    ///
    /// # Errors
    /// When the log has ended.
    pub(super) async fn drain(&self) -> Result<(), Gone> {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        for member in self.members() {
            // Not through the runtime, which may not have noticed yet that there is something.
            let by_kernel = |buffer: &mut [u8]| peek(&member.events, buffer);
            while self.take_batch(&member, by_kernel, &mut buffer).await? == Taken::Batch {}
        }
        Ok(())
    }

    /// Completes the one batch that an earlier control may have been writing when it was killed;
    /// to be called once, before anything else is written.
    ///
    /// # Errors
    /// When the log has ended.
    pub(super) async fn complete_the_log(&self, turn: Turn<'_>) -> Result<(), Gone> {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        let (mut members, mut batches) = (Vec::new(), Vec::new());
        for member in self.members() {
            let Ok(len @ 1..) = peek(&member.events, &mut buffer) else {
                continue;
            };
            let Ok(batch) = decode_batch(&buffer[..len]) else {
                continue;
            };
            batches.push((member.name.clone(), batch));
            members.push(member);
        }
        let completed = turn.complete(batches).await?;
        if let Some(member) = completed.and_then(|at| members.get(at)) {
            // It is the first of its channel still: nobody takes one out without the turn.
            if let Ok(len @ 1..) = peek(&member.events, &mut buffer)
                && let Ok(batch) = decode_batch(&buffer[..len])
            {
                member.count(&batch, self.clock);
            }
            take(&member.events);
        }
        Ok(())
    }

    async fn read_events(self: Rc<Self>, member: Rc<Member>) {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        // Through the runtime: where there is nothing, it waits for the next one.
        let by_runtime = |buffer: &mut [u8]| {
            let looked = || peek(&member.events, buffer);
            member.events.try_io(Interest::READABLE, looked)
        };
        'open: while member.events.readable().await.is_ok() {
            for _ in 0..N_BATCHES_IN_A_ROW {
                match self.take_batch(&member, by_runtime, &mut buffer).await {
                    Ok(Taken::Batch) => {}
                    Ok(Taken::Nothing) => break,
                    Ok(Taken::End) | Err(Gone) => break 'open,
                }
            }
            tokio::task::yield_now().await;
        }
        self.n_readers.set(self.n_readers.get() - 1);
    }

    /// Writes the next batch of events to the log, and takes it out of its channel then: a control
    /// that is killed in between leaves it there for the next one. `peek` looks for the batch.
    async fn take_batch(
        &self,
        member: &Member,
        peek: impl Fn(&mut [u8]) -> io::Result<usize>,
        buffer: &mut [u8],
    ) -> Result<Taken, Gone> {
        let turn = match self.log.try_turn() {
            Some(turn) => turn,
            None => {
                // The turn is not waited for without a batch: the log may hang.
                match peek(&mut [0]) {
                    Ok(1..) => self.log.turn().await,
                    nothing => return Ok(Taken::none(&nothing)),
                }
            }
        };
        let len = match peek(buffer) {
            Ok(len @ 1..) => len,
            nothing => return Ok(Taken::none(&nothing)),
        };
        match decode_batch(&buffer[..len]) {
            Ok(batch) => {
                member.count(&batch, self.clock);
                turn.write(&member.name, batch).await?;
            }
            Err(error) => {
                let name = &member.name;
                self.log.alarm(
                    self.now(),
                    format!("unreadable events from {name}: {error}"),
                );
            }
        }
        take(&member.events);
        Ok(Taken::Batch)
    }
}

/// What came of reading a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// A batch.
    Batch,
    /// Nothing can come any more.
    End,
    /// There is nothing now.
    Nothing,
}

impl Taken {
    /// What it means that a look at a channel found no batch.
    fn none(looked: &io::Result<usize>) -> Self {
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Nothing,
            Ok(_) | Err(_) => Self::End,
        }
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
