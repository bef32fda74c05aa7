//! A child's end: what is collected, answered and refused.

use super::*;
use crate::channel::document::Document;
use crate::channel::pair;
use crate::channel::socket::Frame;

/// The supervisor's end, and the child's.
fn channel() -> (OwnedFd, ControlChannel) {
    let (ours, theirs) = pair().unwrap();
    (ours, ControlChannel::new(theirs))
}

fn tell(supervisor: &OwnedFd, down: ToChild) {
    send_blocking(supervisor.as_fd(), &down.encode()).unwrap();
}

fn config(text: &str) -> ToChild {
    let document = Document::new(text).unwrap();
    let (name, state) = ("input".parse().ok(), "/state".into());
    ToChild::Config {
        name,
        purpose: Purpose::Serve,
        generation: 2,
        state,
        document,
    }
}

fn any_fd() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

#[test]
fn what_is_told_before_go_is_one_bundle() {
    let (supervisor, child) = channel();
    tell(&supervisor, config("hostname = \"a\""));
    tell(
        &supervisor,
        ToChild::EdgeTo {
            next: "output".parse().unwrap(),
            fd: any_fd(),
        },
    );
    tell(&supervisor, ToChild::Lock(any_fd()));
    tell(&supervisor, ToChild::Ping(9));
    tell(&supervisor, ToChild::Go);
    let (setup, beginning) = child.receive_setup().unwrap().unwrap();
    assert_eq!(beginning, Beginning::AtOnce);
    assert_eq!(
        (setup.config.as_str(), setup.generation),
        ("hostname = \"a\"", 2)
    );
    assert_eq!((setup.edges_to.len(), setup.lock.is_some()), (1, true));
    let answer = receive_blocking(supervisor.as_fd()).unwrap().unwrap();
    assert_eq!(FromChild::decode(answer).unwrap(), FromChild::Pong(9));
}

#[test]
fn a_stop_or_a_lost_supervisor_before_go_ends_the_start_quietly() {
    for down in [
        Some(ToChild::Stop(Duration::ZERO)),
        Some(ToChild::Retire {
            limit: Duration::ZERO,
            successor: any_fd(),
        }),
        None,
    ] {
        let (supervisor, child) = channel();
        tell(&supervisor, config(""));
        if let Some(down) = down {
            tell(&supervisor, down);
        }
        drop(supervisor);
        assert!(child.receive_setup().unwrap().is_none());
    }
}

#[test]
fn a_process_that_a_reload_makes_necessary_waits_for_the_word() {
    for (word, is_to_begin) in [
        (Some(ToChild::Commit), true),
        (Some(ToChild::Abandon), false),
        (Some(ToChild::Stop(Duration::ZERO)), false),
        (None, false),
    ] {
        let (supervisor, child) = channel();
        tell(&supervisor, config("new"));
        tell(&supervisor, ToChild::Prepare);
        if let Some(word) = word {
            tell(&supervisor, ToChild::Ping(3));
            tell(&supervisor, word);
        } else {
            rustix::net::shutdown(&supervisor, rustix::net::Shutdown::Write).unwrap();
        }
        let (setup, beginning) = child.receive_setup().unwrap().unwrap();
        assert_eq!(
            (setup.config.as_str(), beginning),
            ("new", Beginning::OnCommit)
        );
        assert_eq!(child.wait_for_commit().unwrap(), is_to_begin);
        let said = receive_blocking(supervisor.as_fd()).unwrap().unwrap();
        assert_eq!(FromChild::decode(said).unwrap(), FromChild::Prepared);
    }
}

#[test]
fn an_order_before_go_and_a_bundle_without_end_are_refused() {
    let (supervisor, child) = channel();
    tell(&supervisor, ToChild::Commit);
    assert!(child.receive_setup().is_err());

    let mut collector = Collector::default();
    let gone = || ToChild::Gone("old".parse().unwrap());
    for _ in 0..SETUP_LEN_MAX {
        assert!(collector.take(gone()).unwrap().is_none());
    }
    assert!(collector.take(gone()).is_err());
}

#[test]
fn within_a_runtime_pings_are_answered_and_orders_arrive_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let (supervisor, child) = channel();
    tell(&supervisor, ToChild::Ping(1));
    tell(&supervisor, config("new"));
    tell(&supervisor, ToChild::Prepare);
    tell(&supervisor, ToChild::Commit);
    tell(&supervisor, ToChild::Stop(Duration::from_secs(3)));
    runtime.block_on(async {
        let mut child = child.into_async().unwrap();
        let prepare = child.next().await.unwrap();
        assert!(matches!(prepare, Some(ChildCommand::Prepare(setup)) if setup.config == "new"));
        assert!(matches!(
            child.next().await.unwrap(),
            Some(ChildCommand::Commit)
        ));
        let stop = child.next().await.unwrap();
        assert!(matches!(stop, Some(ChildCommand::Stop(limit)) if limit == Duration::from_secs(3)));
        child.say(&FromChild::Ready).await.unwrap();
        let heard = || {
            receive_blocking(supervisor.as_fd())
                .unwrap()
                .map(FromChild::decode)
        };
        assert_eq!(heard().unwrap().unwrap(), FromChild::Pong(1));
        assert_eq!(heard().unwrap().unwrap(), FromChild::Ready);
        drop(supervisor);
        assert!(child.next().await.unwrap().is_none());
    });
}

#[test]
fn what_no_supervisor_sends_ends_the_channel() {
    let (supervisor, child) = channel();
    send_blocking(
        supervisor.as_fd(),
        &Frame {
            bytes: vec![255],
            fds: Vec::new(),
        },
    )
    .unwrap();
    assert!(child.receive_setup().is_err());
}
