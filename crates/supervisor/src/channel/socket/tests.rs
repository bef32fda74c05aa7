//! Frames and descriptors through a real pair of sockets.

use super::*;

fn fds(n: usize) -> Vec<OwnedFd> {
    (0..n)
        .map(|_| std::fs::File::open("/dev/null").unwrap().into())
        .collect()
}

#[test]
fn frames_arrive_whole_and_in_order() {
    let (ours, theirs) = pair().unwrap();
    for len in [1, 2, FRAME_LEN_MAX] {
        let frame = Frame {
            bytes: vec![b'a'; len],
            fds: fds(len % 2),
        };
        send_blocking(ours.as_fd(), &frame).unwrap();
        let arrived = receive_blocking(theirs.as_fd()).unwrap().unwrap();
        assert_eq!((arrived.bytes.len(), arrived.fds.len()), (len, len % 2));
    }
}

#[test]
fn what_is_over_the_limit_is_not_sent() {
    let (ours, _theirs) = pair().unwrap();
    let long = Frame {
        bytes: vec![0; FRAME_LEN_MAX + 1],
        fds: Vec::new(),
    };
    assert!(matches!(
        send_blocking(ours.as_fd(), &long),
        Err(ChannelError::TooLong(_))
    ));
    let many = Frame {
        bytes: vec![0],
        fds: fds(FRAME_FDS_MAX + 1),
    };
    assert!(matches!(
        send_blocking(ours.as_fd(), &many),
        Err(ChannelError::TooLong(_))
    ));
}

#[test]
fn a_hostile_peer_cannot_push_more_than_a_frame_holds() {
    let (ours, theirs) = pair().unwrap();
    rustix::net::send(&theirs, &vec![0; FRAME_LEN_MAX + 1], SendFlags::empty()).unwrap();
    assert!(matches!(
        receive_blocking(ours.as_fd()),
        Err(ChannelError::Garbled(_))
    ));

    let too_many = fds(FRAME_FDS_MAX + 7);
    let borrowed: Vec<_> = too_many.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_FDS_MAX + 7))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    sendmsg(
        &theirs,
        &[IoSlice::new(b"x")],
        &mut control,
        SendFlags::empty(),
    )
    .unwrap();
    assert!(matches!(
        receive_blocking(ours.as_fd()),
        Err(ChannelError::Garbled(_))
    ));
}

#[test]
fn a_closed_end_is_seen_as_the_end_also_with_frames_unread() {
    let (ours, theirs) = pair().unwrap();
    drop(theirs);
    assert!(receive_blocking(ours.as_fd()).unwrap().is_none());
    let frame = Frame {
        bytes: vec![1],
        fds: Vec::new(),
    };
    assert!(send_blocking(ours.as_fd(), &frame).is_err());

    let (ours, theirs) = pair().unwrap();
    send_blocking(ours.as_fd(), &frame).unwrap();
    drop(theirs);
    assert!(receive_blocking(ours.as_fd()).unwrap().is_none());
}
