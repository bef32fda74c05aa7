//! Where an instance puts its events: collected for a moment, then sent to control together.
//!
//! # Guarantees
//! [`EventSink::record`] never blocks and never fails. Events arrive in the order in which they
//! were recorded; where some are missing, the batch after the gap says how many.
//!
//! # Limits
//! A batch goes when [`BATCH_LEN`] octets wait, or [`BATCH_TIME`] after its first event. While
//! control does not read, up to [`BACKLOG_LEN_MAX`] octets wait here; beyond that, new events are
//! lost and counted, but for final outcomes, which have room up to [`FINAL_BACKLOG_LEN_MAX`].
//!
//! # Failure
//! Control dead: the socket, whose other end the supervisor also holds, fills up, then the backlog;
//! a restarted control finds both. Mail goes on all the while.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::event::{Event, Sink};
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::sync::Notify;

use super::encoding::{Batch, EVENT_LEN_MAX, HEAD_LEN_MAX, Lost};

/// As many octets of events as are sent without waiting for more.
pub const BATCH_LEN: usize = 32 * 1024;
/// How long an event waits for others.
pub const BATCH_TIME: Duration = Duration::from_millis(10);
/// How many octets wait for a control that does not read: about 5,000 events.
pub const BACKLOG_LEN_MAX: usize = 1024 * 1024;
/// How many octets wait before final outcomes are lost as well: about 40,000 of these.
pub const FINAL_BACKLOG_LEN_MAX: usize = 8 * 1024 * 1024;
/// The longest datagram that a sink makes; what control reads into is as large.
pub const DATAGRAM_LEN_MAX: usize = BATCH_LEN + EVENT_LEN_MAX + HEAD_LEN_MAX + 10;

/// How long to wait before another try when the socket was full.
const FULL_TIME: Duration = Duration::from_millis(50);

/// How long an instance at its end waits for a control that does not read.
const LAST_EVENTS_TIME: Duration = Duration::from_secs(1);

/// Takes the events of one instance; its copies share one backlog.
#[derive(Clone, Debug)]
pub struct EventSink {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: OwnedFd,
    backlog: Mutex<Backlog>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Backlog {
    batch: Batch,
    waiting: VecDeque<Datagram>,
    waiting_len: usize,
    n_final: u64,
    lost: Lost,
}

#[derive(Debug)]
struct Datagram {
    octets: Vec<u8>,
    /// What is lost with it.
    lost: Lost,
}

impl EventSink {
    /// A sink that sends over `socket`, a SEQPACKET end whose other end control reads.
    ///
    /// Someone must run [`Self::drive`], else events wait until a batch is full.
    pub fn new(socket: OwnedFd) -> Self {
        let shared = Shared {
            socket,
            backlog: Mutex::default(),
            wake: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes an event. From any thread.
    pub fn record(&self, event: &Event) {
        let mut backlog = self.lock();
        let limit = if event.what.is_final() {
            FINAL_BACKLOG_LEN_MAX
        } else {
            BACKLOG_LEN_MAX
        };
        if backlog.waiting_len + backlog.batch.n_octets() > limit {
            backlog.lost.add(&event.what);
            return;
        }
        let is_first = backlog.batch.n_events() == 0;
        backlog.batch.push(event);
        backlog.n_final += u64::from(event.what.is_final());
        if backlog.batch.n_octets() >= BATCH_LEN {
            backlog.send(&self.shared.socket);
        } else if is_first {
            self.shared.wake.notify_one();
        }
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&self) {
        self.lock().send(&self.shared.socket);
    }

    /// Sends what waits, for the end of an instance: a control that does not read has
    /// [`LAST_EVENTS_TIME`] to begin with it.
    pub async fn finish(&self) {
        let all = async {
            self.flush();
            while !self.is_empty() {
                tokio::time::sleep(FULL_TIME).await;
                self.flush();
            }
        };
        // What is left then is lost with the instance.
        let _ = tokio::time::timeout(LAST_EVENTS_TIME, all).await;
    }

    /// Whether control has, or will find in the socket, everything that was recorded.
    pub fn is_empty(&self) -> bool {
        let backlog = self.lock();
        !backlog.is_stuck() && backlog.batch.n_events() == 0
    }

    /// Sends batches when their time has come, for ever. Cancel-safe; run once for each sink.
    pub async fn drive(self) {
        loop {
            self.shared.wake.notified().await;
            tokio::time::sleep(BATCH_TIME).await;
            self.flush();
            while self.lock().is_stuck() {
                tokio::time::sleep(FULL_TIME).await;
                self.flush();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.shared
            .backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for EventSink {
    fn emit(&self, event: Event) {
        self.record(&event);
    }
}

impl Backlog {
    fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn send(&mut self, socket: &OwnedFd) {
        self.send_waiting(socket);
        // While the socket is full, the batch grows on: fewer and larger datagrams.
        if !self.is_stuck() || self.batch.n_octets() >= BATCH_LEN {
            self.close_batch();
            self.send_waiting(socket);
        }
    }

    fn close_batch(&mut self) {
        let n_events = self.batch.n_events();
        if n_events > 0 {
            let n_final = std::mem::take(&mut self.n_final);
            let mut lost = std::mem::take(&mut self.lost);
            let octets = self.batch.take(lost);
            lost.join(Lost { n_events, n_final });
            self.waiting_len += octets.len();
            self.waiting.push_back(Datagram { octets, lost });
        }
    }

    fn send_waiting(&mut self, socket: &OwnedFd) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        while let Some(first) = self.waiting.front() {
            let sent = rustix::net::send(socket, &first.octets, flags);
            if sent == Err(Errno::AGAIN) || sent == Err(Errno::INTR) {
                return;
            }
            if sent.is_err() {
                // The channel itself is broken: no later try will do better.
                self.lost.join(first.lost);
            }
            self.waiting_len -= first.octets.len();
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use mail::event::What;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

    use super::super::encoding::{Decoded, decode_batch};
    use super::super::samples;
    use super::*;

    fn pair() -> (EventSink, OwnedFd) {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )
        .expect("a socket pair");
        (EventSink::new(ours), theirs)
    }

    fn receive(socket: &OwnedFd) -> Option<Decoded> {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        let (len, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
        Some(decode_batch(&buffer[..len]).expect("a batch"))
    }

    #[test]
    fn a_full_batch_goes_without_waiting() {
        let (sink, control) = pair();
        let event = &samples::all()[0];
        sink.record(event);
        assert_eq!(receive(&control), None);
        let mut n_sent = 1;
        let batch = loop {
            if let Some(batch) = receive(&control) {
                break batch;
            }
            sink.record(event);
            n_sent += 1;
        };
        assert_eq!(batch.events.len(), n_sent);
    }

    #[tokio::test]
    async fn a_single_event_goes_when_its_time_has_come() {
        let (sink, control) = pair();
        // SEQPACKET ends are read and written as those of datagrams are.
        let control = std::os::unix::net::UnixDatagram::from(control);
        let control = tokio::net::UnixDatagram::from_std(control).expect("a pollable socket");
        sink.record(&samples::all()[0]);
        tokio::select! {
            () = sink.drive() => unreachable!("it drives for ever"),
            ready = control.readable() => ready.expect("readable"),
        }
        let control = control.into_std().expect("a socket").into();
        assert_eq!(receive(&control).map(|batch| batch.events.len()), Some(1));
    }

    #[test]
    fn what_is_lost_while_control_does_not_read_is_counted() {
        let (sink, control) = pair();
        let event = &samples::all()[0];
        let n_recorded = 60_000;
        for _ in 0..n_recorded {
            sink.record(event);
        }
        let (mut n_received, mut n_lost) = (0, 0);
        for _ in 0..2 {
            loop {
                sink.flush();
                let Some(batch) = receive(&control) else {
                    break;
                };
                n_received += batch.events.len() as u64;
                n_lost += batch.lost.n_events;
            }
            // One more event carries the count of what was lost at the end.
            sink.record(event);
        }
        assert!(n_lost > 0);
        assert_eq!(n_received + n_lost, n_recorded + 1);
    }

    #[test]
    fn final_outcomes_are_kept_where_other_events_are_lost() {
        let (sink, control) = pair();
        let event_of = |is_kind: fn(&What) -> bool| {
            let mut events = samples::all().into_iter();
            events.find(|event| is_kind(&event.what)).expect("a sample")
        };
        let accepted = event_of(|what| matches!(what, What::Accepted { .. }));
        let delivered = event_of(|what| matches!(what, What::Delivered { .. }));
        while sink.lock().lost.n_events == 0 {
            sink.record(&accepted);
        }
        for _ in 0..20_000 {
            sink.record(&delivered);
        }
        assert_eq!(sink.lock().lost.n_final, 0);
        let mut n_delivered = 0;
        loop {
            sink.flush();
            let Some(batch) = receive(&control) else {
                break;
            };
            let is_final = |event: &&Event| event.what.is_final();
            n_delivered += batch.events.iter().filter(is_final).count();
            assert_eq!(batch.lost.n_final, 0);
        }
        assert_eq!(n_delivered, 20_000);
        while sink.lock().lost.n_final == 0 {
            sink.record(&delivered);
        }
    }

    #[test]
    fn a_broken_channel_does_not_stop_the_instance() {
        let (sink, control) = pair();
        drop(control);
        for _ in 0..1000 {
            sink.record(&samples::all()[0]);
        }
        sink.flush();
        assert_eq!(sink.lock().lost.n_events, 1000);
    }
}
