//! Which user runs the program at the other end of a TCP connection over loopback.
//!
//! TCP has no credentials as local sockets have, but the kernel knows the owner of every socket of
//! this machine: it is asked for the one socket that is the other end of a connection.
//!
//! # Guarantees
//! The uid of a socket that a program holds, or an error; never a guess. A socket that was closed
//! has no owner, whatever is still to be read from the connection: the kernel shows root for it.
//!
//! # Limits
//! Over loopback only, in the own network namespace. A program that passes on what others say, as
//! a port forwarder does, is the owner of what it passes on.
//!
//! # Standards
//! sock_diag(7), `inet_diag`.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use crate::Stream;

/// How long the kernel may take: it answers before the question's system call returns.
const ANSWER_TIME: Duration = Duration::from_secs(1);

thread_local! {
    /// Kept from one question to the next: to make one costs more than to ask.
    static KERNEL: Cell<Option<OwnedFd>> = const { Cell::new(None) };
}

/// Why the owner is not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The kernel was not asked, or did not answer.
    #[error("cannot ask the kernel for the owner of a connection: {0}")]
    Io(#[from] io::Error),
    /// The other end is closed, or is not on this machine.
    #[error("no program holds the other end of the connection")]
    NoOwner,
    /// The stream is no TCP connection over loopback.
    #[error("the connection is not one over loopback")]
    NotLoopback,
    /// The kernel's answer is not one to this question.
    #[error("the kernel's answer cannot be understood")]
    Strange,
}

/// The uid of the program that holds the other end of `stream`, as this process's user namespace
/// shows it. Does not wait: one question to the kernel, which is answered at once.
///
/// # Errors
/// When it cannot be known for certain.
pub fn peer_uid(stream: &Stream) -> Result<u32, OwnerError> {
    let tcp = match stream {
        Stream::Tcp(tcp) => tcp,
        Stream::TlsServer(tls) => tls.get_ref().0.tcp(),
        Stream::TlsClient(tls) => tls.get_ref().0,
        Stream::Closed | Stream::Unix(_) => return Err(OwnerError::NotLoopback),
    };
    // What is our peer's address is its socket's own one.
    let question = Question::new(tcp.peer_addr()?, tcp.local_addr()?)?;
    question.ask()
}

// Numbers and layouts of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h. Addresses and
// ports are in network order, everything else is the machine's.
const NETLINK_HEADER_LEN: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const REQUEST_LEN: usize = NETLINK_HEADER_LEN + 56;
/// Where a socket's identity begins, in a request and in an answer.
const REQUEST_ID_AT: usize = NETLINK_HEADER_LEN + 8;
const ANSWER_ID_AT: usize = NETLINK_HEADER_LEN + 4;
/// Ports and addresses of an identity; the interface and a cookie follow.
const ENDS_LEN: usize = 36;
const ANSWER_STATE_AT: usize = NETLINK_HEADER_LEN + 1;
const ANSWER_UID_AT: usize = NETLINK_HEADER_LEN + 64;
const ANSWER_INODE_AT: usize = NETLINK_HEADER_LEN + 68;
const ANSWER_LEN_MAX: usize = 4096;
/// The states of a connection that exists: ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK,
/// CLOSING. Another user's program may try the same ports again (SYN_SENT), or listen there.
const CONNECTED: [u8; 6] = [1, 4, 5, 8, 9, 11];

/// A question for the socket that has these ends.
struct Question {
    family: u8,
    ends: [u8; ENDS_LEN],
}

impl Question {
    fn new(own: SocketAddr, other: SocketAddr) -> Result<Self, OwnerError> {
        // IPv4 spoken through an IPv6 socket is found as IPv4, whatever the peer's socket is.
        let (own_ip, other_ip) = (own.ip().to_canonical(), other.ip().to_canonical());
        if !own_ip.is_loopback() {
            return Err(OwnerError::NotLoopback);
        }
        let mut ends = [0; ENDS_LEN];
        ends[..2].copy_from_slice(&own.port().to_be_bytes());
        ends[2..4].copy_from_slice(&other.port().to_be_bytes());
        put_address(&mut ends[4..20], own_ip);
        put_address(&mut ends[20..36], other_ip);
        let family = if own_ip.is_ipv4() { AF_INET } else { AF_INET6 };
        Ok(Self { family, ends })
    }

    fn ask(&self) -> Result<u32, OwnerError> {
        let socket = match KERNEL.take() {
            Some(kept) => kept,
            None => open()?,
        };
        send(&socket, &self.encode(), SendFlags::empty()).map_err(io::Error::from)?;
        let mut answer = [0; ANSWER_LEN_MAX];
        let (n, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).map_err(io::Error::from)?;
        // A question has one answer, which was read: nothing of it can be taken for the next one's.
        KERNEL.set(Some(socket));
        self.read(&answer[..n.min(ANSWER_LEN_MAX)])
    }

    fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut request = [0; REQUEST_LEN];
        let mut put = |at: usize, bytes: &[u8]| {
            request[at..at + bytes.len()].copy_from_slice(bytes);
        };
        let len = u32::try_from(REQUEST_LEN).expect("invariant: a constant below 100");
        put(0, &len.to_ne_bytes());
        put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        put(6, &NLM_F_REQUEST.to_ne_bytes());
        put(NETLINK_HEADER_LEN, &[self.family, IPPROTO_TCP]);
        // Sockets in any state.
        put(NETLINK_HEADER_LEN + 4, &u32::MAX.to_ne_bytes());
        put(REQUEST_ID_AT, &self.ends);
        // Any interface, and no cookie of an earlier answer.
        put(REQUEST_ID_AT + ENDS_LEN + 4, &[0xff; 8]);
        request
    }

    fn read(&self, answer: &[u8]) -> Result<u32, OwnerError> {
        let kind = answer.get(4..6).ok_or(OwnerError::Strange)?;
        match u16::from_ne_bytes([kind[0], kind[1]]) {
            SOCK_DIAG_BY_FAMILY => {}
            NLMSG_ERROR => {
                let errno = u32_at(answer, NETLINK_HEADER_LEN)?
                    .cast_signed()
                    .wrapping_neg();
                let error = io::Error::from_raw_os_error(errno);
                return Err(match error.kind() {
                    io::ErrorKind::NotFound => OwnerError::NoOwner,
                    _ => OwnerError::Io(error),
                });
            }
            _ => return Err(OwnerError::Strange),
        }
        let ends = answer.get(ANSWER_ID_AT..ANSWER_ID_AT + ENDS_LEN);
        let state = answer.get(ANSWER_STATE_AT).copied();
        let (ends, state) = ends.zip(state).ok_or(OwnerError::Strange)?;
        let (uid, inode) = (
            u32_at(answer, ANSWER_UID_AT)?,
            u32_at(answer, ANSWER_INODE_AT)?,
        );
        // Where there is no such connection, the kernel answers with a socket that listens there.
        if ends != self.ends || !CONNECTED.contains(&state) || inode == 0 {
            return Err(OwnerError::NoOwner);
        }
        Ok(uid)
    }
}

/// A socket to ask the kernel over.
fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let family = AddressFamily::NETLINK;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
    // Once connected to the kernel, the socket takes nothing from anybody else.
    connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME))?;
    Ok(socket)
}

fn put_address(place: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(v4) => place[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => place.copy_from_slice(&v6.octets()),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, OwnerError> {
    let octets = bytes
        .get(at..at + 4)
        .and_then(|octets| octets.try_into().ok());
    octets.map(u32::from_ne_bytes).ok_or(OwnerError::Strange)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A connection from `to`, as a client names it, to a listener on `listen`.
    fn connected(listen: &str, to: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((listen, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((to, port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        (client, server)
    }

    fn ask(server: &TcpStream) -> Result<u32, OwnerError> {
        Question::new(server.peer_addr().unwrap(), server.local_addr().unwrap())?.ask()
    }

    fn uid() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn a_connection_to_oneself_is_ones_own() {
        for (listen, to) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("::", "127.0.0.1"),
        ] {
            let (_client, server) = connected(listen, to);
            assert_eq!(ask(&server).unwrap(), uid(), "{listen} {to}");
        }
    }

    #[test]
    fn a_client_that_only_stopped_talking_is_still_known() {
        let (client, server) = connected("127.0.0.1", "127.0.0.1");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(ask(&server).unwrap(), uid());
    }

    #[test]
    fn a_socket_that_was_closed_belongs_to_nobody_and_not_to_root() {
        let (client, server) = connected("127.0.0.1", "127.0.0.1");
        drop(client);
        assert!(matches!(ask(&server), Err(OwnerError::NoOwner)));
    }

    #[test]
    fn no_question_is_given_the_answer_to_the_one_before() {
        let (gone, nobody_s) = connected("127.0.0.1", "127.0.0.1");
        let (_client, server) = connected("127.0.0.1", "127.0.0.1");
        drop(gone);
        for _ in 0..3 {
            assert!(matches!(ask(&nobody_s), Err(OwnerError::NoOwner)));
            assert_eq!(ask(&server).unwrap(), uid());
        }
    }

    #[test]
    fn a_socket_that_listens_does_not_answer_for_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let other = "127.0.0.1:9".parse().unwrap();
        let found = Question::new(own, other).unwrap().ask();
        assert!(matches!(found, Err(OwnerError::NoOwner)));
    }

    #[test]
    fn only_this_machine_is_asked_about() {
        let (own, other) = (
            "192.0.2.1:5".parse().unwrap(),
            "192.0.2.2:25".parse().unwrap(),
        );
        assert!(matches!(
            Question::new(own, other),
            Err(OwnerError::NotLoopback)
        ));
    }

    #[test]
    fn an_answer_that_is_cut_short_is_no_owner() {
        let address = "127.0.0.1:1".parse().unwrap();
        let question = Question::new(address, address).unwrap();
        let mut answer = question.encode();
        for len in 0..answer.len() {
            assert!(question.read(&answer[..len]).is_err());
        }
        answer[4..6].copy_from_slice(&3_u16.to_ne_bytes());
        assert!(matches!(question.read(&answer), Err(OwnerError::Strange)));
    }
}
