//! One instance that makes more connections than it may.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff::{EdgeReceiver, EdgeSender};
use intake::{EdgeDoor, receive_edge};
use net::Stream;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// What is noted of an edge that has two places.
#[derive(Clone, Default)]
struct Door {
    n_served: Arc<AtomicUsize>,
    alarms: Arc<Mutex<Vec<String>>>,
}

impl EdgeDoor for Door {
    fn places(&self) -> usize {
        2
    }

    fn serve(&self, mut stream: Stream) -> impl Future<Output = ()> + Send + 'static {
        self.n_served.fetch_add(1, Ordering::SeqCst);
        async move {
            // Until the other end has closed.
            let _ = stream.read_u8().await;
        }
    }

    fn alarm(&self, text: &str) {
        self.alarms.lock().unwrap().push(text.to_owned());
    }
}

impl Door {
    /// An edge that is served, and the end from which connections are made.
    fn open() -> (Self, OwnedFd, watch::Sender<bool>) {
        let flags = SocketFlags::CLOEXEC;
        let (near, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let (door, stop) = (Self::default(), watch::Sender::new(false));
        let receiver = EdgeReceiver::new(far).unwrap();
        tokio::spawn(receive_edge(receiver, door.clone(), stop.subscribe()));
        (door, near, stop)
    }

    async fn n_served(&self) -> usize {
        settle().await;
        self.n_served.load(Ordering::SeqCst)
    }

    fn alarms(&self) -> Vec<String> {
        self.alarms.lock().unwrap().clone()
    }
}

/// Lets everything that was sent arrive; time stands still meanwhile.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_has_all_its_places_waits_until_it_closes_a_connection() {
    let (door, near, _stop) = Door::open();
    let sender = EdgeSender::new(near);
    let mut made: Vec<_> = (0..4).map(|_| sender.connect().unwrap()).collect();
    assert_eq!(door.n_served().await, 2);
    made.remove(0);
    assert_eq!(door.n_served().await, 3);
    assert!(door.alarms().is_empty(), "it has closed one");
    made.clear();
    assert_eq!(door.n_served().await, 4);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_keeps_all_its_places_is_an_alarm() {
    let (door, near, _stop) = Door::open();
    let sender = EdgeSender::new(near);
    let _made = [(); 2].map(|()| sender.connect().unwrap());
    settle().await;
    tokio::time::advance(Duration::from_secs(60)).await;
    settle().await;
    let [alarm] = &door.alarms()[..] else {
        panic!("one alarm: {:?}", door.alarms());
    };
    assert!(alarm.contains("all 2 connections"), "{alarm}");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_comes_over_an_edge_closes_it_but_its_end() {
    let (door, near, _stop) = Door::open();
    for packet in [&b""[..], b"garbage", b""] {
        let mut nothing = SendAncillaryBuffer::new(&mut []);
        let parts = [IoSlice::new(packet)];
        sendmsg(&near, &parts, &mut nothing, SendFlags::empty()).unwrap();
    }
    let sender = EdgeSender::new(near);
    let _made = sender.connect().unwrap();
    assert_eq!(door.n_served().await, 1);
}
