//! A DNS server that answers as a test wants. It builds its messages by itself, byte by byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Types of records.
pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const MX: u16 = 15;
pub(crate) const AAAA: u16 = 28;

/// A question.
pub(crate) struct Query {
    pub(crate) id: u16,
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) by_tcp: bool,
    /// As it came.
    question: Vec<u8>,
}

/// An answer that is being made.
#[derive(Clone)]
pub(crate) struct Message {
    id: u16,
    flags: u16,
    question: Vec<u8>,
    sections: [Vec<Vec<u8>>; 3],
}

impl Query {
    /// An answer with this code and no records.
    pub(crate) fn answer(&self, code: u16) -> Message {
        Message {
            id: self.id,
            // A response, recursion wanted and there.
            flags: 0x8180 | code,
            question: self.question.clone(),
            sections: Default::default(),
        }
    }
}

impl Message {
    pub(crate) fn with_id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn truncated(mut self) -> Self {
        self.flags |= 0x0200;
        self
    }

    /// Adds to the answers.
    pub(crate) fn record(self, owner: &str, kind: u16, data: &[u8]) -> Self {
        self.record_in(0, owner, kind, data)
    }

    /// Adds to answers, authorities or additionals.
    pub(crate) fn record_in(mut self, section: usize, owner: &str, kind: u16, data: &[u8]) -> Self {
        let mut record = name(owner);
        record.extend(kind.to_be_bytes());
        record.extend(1_u16.to_be_bytes());
        record.extend(60_u32.to_be_bytes());
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        self.sections[section].push(record);
        self
    }

    /// Adds the start of authority that makes it a denial.
    pub(crate) fn denial(self) -> Self {
        let mut data = [name("ns.test"), name("hostmaster.test")].concat();
        data.extend([1_u32, 60, 60, 60, 60].map(u32::to_be_bytes).concat());
        self.record_in(1, "test", SOA, &data)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let counts = self
            .sections
            .each_ref()
            .map(|s| u16::try_from(s.len()).unwrap());
        let header = [self.id, self.flags, 1, counts[0], counts[1], counts[2]];
        let mut bytes: Vec<u8> = header.map(u16::to_be_bytes).concat();
        bytes.extend(&self.question);
        bytes.extend(self.sections.iter().flatten().flatten());
        bytes
    }
}

/// The data of an MX record.
pub(crate) fn mx(preference: u16, host: &str) -> Vec<u8> {
    let mut data = preference.to_be_bytes().to_vec();
    data.extend(name(host));
    data
}

pub(crate) fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// Serves until the process ends; each message that `answer` returns is sent, in order.
pub(crate) fn serve(answer: impl Fn(&Query) -> Vec<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let listener = testkit::port::listener();
    let address = listener.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    let answer = Arc::new(answer);
    let by_udp = Arc::clone(&answer);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((n, from)) = udp.recv_from(&mut buffer) {
            for bytes in by_udp(&parse(&buffer[..n], false)) {
                // What is too long for a datagram cannot be sent.
                let _ = udp.send_to(&bytes, from);
            }
        }
    });
    std::thread::spawn(move || serve_tcp(&listener, &*answer));
    address
}

fn serve_tcp(listener: &TcpListener, answer: &dyn Fn(&Query) -> Vec<Vec<u8>>) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            return;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        let mut len = [0; 2];
        while stream.read_exact(&mut len).is_ok() {
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            if stream.read_exact(&mut query).is_err() {
                break;
            }
            for bytes in answer(&parse(&query, true)) {
                let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                let _ = stream.write_all(&len.to_be_bytes());
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

fn parse(bytes: &[u8], by_tcp: bool) -> Query {
    let mut labels = Vec::new();
    let mut at = 12;
    while bytes[at] != 0 {
        let len = usize::from(bytes[at]);
        labels.push(String::from_utf8_lossy(&bytes[at + 1..=at + len]).to_lowercase());
        at += len + 1;
    }
    Query {
        id: u16::from_be_bytes([bytes[0], bytes[1]]),
        name: labels.join("."),
        kind: u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]),
        by_tcp,
        question: bytes[12..at + 5].to_vec(),
    }
}
