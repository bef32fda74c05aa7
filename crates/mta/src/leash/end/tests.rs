//! A child's end: what is collected, answered and refused.

use super::*;
use crate::leash::document::Document;
use crate::leash::pair;
use crate::leash::socket::Frame;

/// The supervisor's end, and the child's.
fn leash() -> (OwnedFd, Leash) {
    let (ours, theirs) = pair().unwrap();
    (ours, Leash::new(theirs))
}

fn tell(supervisor: &OwnedFd, down: Down) {
    send_blocking(supervisor.as_fd(), &down.encode()).unwrap();
}

fn config(text: &str) -> Down {
    let document = Document::new(text).unwrap();
    let (name, state) = ("input".parse().ok(), "/state".into());
    Down::Config {
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
    let (supervisor, child) = leash();
    tell(&supervisor, config("hostname = \"a\""));
    tell(
        &supervisor,
        Down::EdgeTo {
            next: "output".parse().unwrap(),
            fd: any_fd(),
        },
    );
    tell(&supervisor, Down::Lock(any_fd()));
    tell(&supervisor, Down::Ping(9));
    tell(&supervisor, Down::Go);
    let (bundle, beginning) = child.receive_bundle().unwrap().unwrap();
    assert_eq!(beginning, Beginning::AtOnce);
    assert_eq!(
        (bundle.config.as_str(), bundle.generation),
        ("hostname = \"a\"", 2)
    );
    assert_eq!((bundle.edges_to.len(), bundle.lock.is_some()), (1, true));
    let answer = receive_blocking(supervisor.as_fd()).unwrap().unwrap();
    assert_eq!(Up::decode(answer).unwrap(), Up::Pong(9));
}

#[test]
fn a_stop_or_a_lost_supervisor_before_go_ends_the_start_quietly() {
    for down in [
        Some(Down::Stop(Duration::ZERO)),
        Some(Down::Retire {
            limit: Duration::ZERO,
            heir: any_fd(),
        }),
        None,
    ] {
        let (supervisor, child) = leash();
        tell(&supervisor, config(""));
        if let Some(down) = down {
            tell(&supervisor, down);
        }
        drop(supervisor);
        assert!(child.receive_bundle().unwrap().is_none());
    }
}

#[test]
fn a_process_that_a_reload_makes_necessary_waits_for_the_word() {
    for (word, is_to_begin) in [
        (Some(Down::Commit), true),
        (Some(Down::Abandon), false),
        (Some(Down::Stop(Duration::ZERO)), false),
        (None, false),
    ] {
        let (supervisor, child) = leash();
        tell(&supervisor, config("new"));
        tell(&supervisor, Down::Prepare);
        if let Some(word) = word {
            tell(&supervisor, Down::Ping(3));
            tell(&supervisor, word);
        } else {
            rustix::net::shutdown(&supervisor, rustix::net::Shutdown::Write).unwrap();
        }
        let (bundle, beginning) = child.receive_bundle().unwrap().unwrap();
        assert_eq!(
            (bundle.config.as_str(), beginning),
            ("new", Beginning::OnCommit)
        );
        assert_eq!(child.wait_for_commit().unwrap(), is_to_begin);
        let said = receive_blocking(supervisor.as_fd()).unwrap().unwrap();
        assert_eq!(Up::decode(said).unwrap(), Up::Prepared);
    }
}

#[test]
fn an_order_before_go_and_a_bundle_without_end_are_refused() {
    let (supervisor, child) = leash();
    tell(&supervisor, Down::Commit);
    assert!(child.receive_bundle().is_err());

    let mut collector = Collector::default();
    let gone = || Down::Gone("old".parse().unwrap());
    for _ in 0..BUNDLE_LEN_MAX {
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
    let (supervisor, child) = leash();
    tell(&supervisor, Down::Ping(1));
    tell(&supervisor, config("new"));
    tell(&supervisor, Down::Prepare);
    tell(&supervisor, Down::Commit);
    tell(&supervisor, Down::Stop(Duration::from_secs(3)));
    runtime.block_on(async {
        let mut child = child.into_async().unwrap();
        let prepare = child.next().await.unwrap();
        assert!(matches!(prepare, Some(Rest::Prepare(bundle)) if bundle.config == "new"));
        assert!(matches!(child.next().await.unwrap(), Some(Rest::Commit)));
        let stop = child.next().await.unwrap();
        assert!(matches!(stop, Some(Rest::Stop(limit)) if limit == Duration::from_secs(3)));
        child.say(&Up::Ready).await.unwrap();
        let heard = || {
            receive_blocking(supervisor.as_fd())
                .unwrap()
                .map(Up::decode)
        };
        assert_eq!(heard().unwrap().unwrap(), Up::Pong(1));
        assert_eq!(heard().unwrap().unwrap(), Up::Ready);
        drop(supervisor);
        assert!(child.next().await.unwrap().is_none());
    });
}

#[test]
fn what_no_supervisor_sends_ends_the_leash() {
    let (supervisor, child) = leash();
    send_blocking(
        supervisor.as_fd(),
        &Frame {
            bytes: vec![255],
            fds: Vec::new(),
        },
    )
    .unwrap();
    assert!(child.receive_bundle().is_err());
}
