//! What the supervisor tells: every frame there and back, and what is no frame.

use std::os::fd::AsFd;

use super::*;
use crate::channel::pair;

fn any_fd() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

fn every_kind() -> Vec<ToChild> {
    let listen = |address, security| Listen { address, security };
    let told = |about, weight| LogLine {
        at: Timestamp::from_unix_ms(1_795_477_800_000),
        about,
        weight,
        text: "exited".into(),
    };
    vec![
        ToChild::Abandon,
        ToChild::Answer(r#"{"id":1}"#.into()),
        ToChild::Commit,
        ToChild::Config {
            name: Some(name("input")),
            purpose: Purpose::Drain,
            generation: 3,
            state: "/var/lib/postern".into(),
            document: Document::new("hostname = \"a\"").unwrap(),
        },
        ToChild::EdgeFrom {
            front: name("input"),
            role: Role::Input,
            fd: any_fd(),
        },
        ToChild::EdgeTo {
            next: name("output"),
            fd: any_fd(),
        },
        ToChild::Events {
            name: name("input"),
            fd: any_fd(),
        },
        ToChild::Forget(name("old")),
        ToChild::Go,
        ToChild::Gone(name("old")),
        ToChild::Listener {
            listen: listen(
                ListenAddress::Tcp("[::]:465".parse().unwrap()),
                ListenSecurity::ImplicitTls,
            ),
            fd: any_fd(),
        },
        ToChild::Listener {
            listen: listen(
                ListenAddress::Unix("/run/x.sock".into()),
                ListenSecurity::Plain,
            ),
            fd: any_fd(),
        },
        ToChild::Leave,
        ToChild::Lock(any_fd()),
        ToChild::Ping(7),
        ToChild::Prepare,
        ToChild::Requests {
            name: name("input"),
            role: Role::Submission,
            fd: any_fd(),
        },
        ToChild::Retire {
            limit: Duration::from_secs(30),
            successor: any_fd(),
        },
        ToChild::Stop(Duration::from_millis(1)),
        ToChild::Tell(told(None, Weight::Note)),
        ToChild::Tell(told(Some(name("output")), Weight::Alarm)),
    ]
}

/// The same without descriptor numbers, which differ in the receiving process.
fn shown(down: &ToChild) -> String {
    let text = format!("{down:?}");
    let digits_of_fds = |part: &str| match part.find(" }") {
        Some(end) => part[end..].to_owned(),
        None => part
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .to_owned(),
    };
    text.split("fd: ").map(digits_of_fds).collect()
}

#[test]
fn every_frame_reads_back_as_it_was_sent() {
    for (sent, again) in every_kind().into_iter().zip(every_kind()) {
        let expected = shown(&again);
        let read = ToChild::decode(sent.encode()).unwrap();
        assert_eq!(shown(&read), expected);
    }
}

#[test]
fn a_frame_cut_short_or_with_something_added_is_refused() {
    for (i, whole) in every_kind().into_iter().map(ToChild::encode).enumerate() {
        for len in 0..whole.bytes.len() {
            let cut = Frame {
                bytes: whole.bytes[..len].to_vec(),
                fds: vec![any_fd()],
            };
            assert!(ToChild::decode(cut).is_err(), "frame {i} cut to {len}");
        }
        let longer = Frame {
            bytes: [&whole.bytes[..], b"x"].concat(),
            fds: whole.fds,
        };
        assert!(
            ToChild::decode(longer).is_err(),
            "frame {i} with an octet more"
        );
    }
}

#[test]
fn a_length_beyond_the_frame_is_refused_and_allocates_nothing() {
    let mut bytes = vec![kind::ANSWER];
    bytes.extend_from_slice(&u64::MAX.to_le_bytes());
    assert!(
        ToChild::decode(Frame {
            bytes,
            fds: Vec::new()
        })
        .is_err()
    );
}

#[test]
fn a_descriptor_that_no_field_names_is_refused() {
    let frame = Frame {
        bytes: vec![kind::GO],
        fds: vec![any_fd()],
    };
    assert!(ToChild::decode(frame).is_err());
    let frame = Frame {
        fds: Vec::new(),
        ..ToChild::Lock(any_fd()).encode()
    };
    assert!(ToChild::decode(frame).is_err());
}

#[test]
fn a_descriptor_that_was_sent_is_open_on_arrival_and_not_inherited() {
    let (ours, theirs) = pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let edge = ToChild::EdgeTo {
        next: name("output"),
        fd: writer.into(),
    };
    crate::channel::socket::send_blocking(ours.as_fd(), &edge.encode()).unwrap();
    let frame = crate::channel::socket::receive_blocking(theirs.as_fd())
        .unwrap()
        .unwrap();
    let Ok(ToChild::EdgeTo { fd, .. }) = ToChild::decode(frame) else {
        panic!("another frame")
    };
    let flags = rustix::io::fcntl_getfd(&fd).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    std::io::Write::write_all(&mut std::fs::File::from(fd), b"through").unwrap();
    assert_eq!(std::io::read_to_string(reader).unwrap(), "through");
}

#[test]
fn a_document_reads_back_and_cannot_be_changed() {
    let document = Document::new("text").unwrap();
    let fd = document.into_fd();
    assert!(rustix::io::pwrite(&fd, b"x", 0).is_err());
    assert_eq!(Document::received(fd).read().unwrap(), "text");
}
