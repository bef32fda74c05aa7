//! The content of one message on its way to a host.

use std::mem;
use std::sync::Arc;

use mail::BodyType;
use net::ClientConnection;
use smtp::client::{Capabilities, Capability};
use spool::ReadError;

use super::super::{Octets, PIECE_LEN};

/// A content, as a whole or to be read in pieces.
pub(in crate::transport) enum Body<C> {
    Whole(Arc<Vec<u8>>),
    Large {
        /// Away only while a piece is read.
        source: Option<C>,
        len: u64,
        /// Whether an octet over 127 was found; `None` where nobody looked.
        eight_bit: Option<bool>,
    },
}

impl<C: Octets> Body<C> {
    /// Takes a content that is in memory as a whole; any other is read in pieces.
    pub(in crate::transport) fn open(content: C) -> Self {
        if let Some(bytes) = content.in_memory() {
            return Self::Whole(bytes);
        }
        Self::Large {
            len: content.content_len(),
            source: Some(content),
            eight_bit: None,
        }
    }

    pub(super) fn content_len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Large { len, .. } => *len,
        }
    }

    /// What to declare to a host that can do this much. What the sender declared is not believed,
    /// where it matters: 8-bit content that was declared 7-bit would be mutilated by a host that
    /// takes no other, and 7-bit content that was declared 8-bit can go there.
    pub(super) async fn body_type(
        &mut self,
        declared: BodyType,
        can: &Capabilities,
    ) -> Result<BodyType, ReadError> {
        if declared == BodyType::BinaryMime {
            return Ok(declared);
        }
        let eight_bit = match self {
            Self::Whole(bytes) => !bytes.is_ascii(),
            // Nobody is harmed by the wider declaration, and a look would cost a whole reading.
            Self::Large { .. } if can.has(Capability::EightBitMime) => true,
            Self::Large { .. } => self.look_for_eight_bit().await?,
        };
        Ok(if eight_bit {
            BodyType::EightBitMime
        } else {
            BodyType::SevenBit
        })
    }

    /// Whether the header section is ASCII.
    pub(super) async fn header_is_ascii(&mut self) -> Result<bool, ReadError> {
        if let Self::Whole(bytes) = self {
            let end = EndOfHeader::default().find(bytes);
            return Ok(bytes[..end.unwrap_or(bytes.len())].is_ascii());
        }
        let (mut offset, mut piece) = (0, Vec::new());
        let mut end = EndOfHeader::default();
        while offset < self.content_len() {
            piece = self.read_piece(offset, piece).await?;
            offset += piece.len() as u64;
            let at = end.find(&piece);
            if !piece[..at.unwrap_or(piece.len())].is_ascii() {
                return Ok(false);
            }
            if at.is_some() {
                break;
            }
        }
        Ok(true)
    }

    /// Gives the content to the machine, and writes it as it goes. Whatever fails on the way shows
    /// in the machine's next event.
    pub(super) async fn send(&mut self, connection: &mut ClientConnection) {
        if let Self::Whole(bytes) = self {
            for piece in bytes.chunks(PIECE_LEN) {
                let now = connection.clock().now();
                connection.machine().content(now, piece);
                if bytes.len() > PIECE_LEN && connection.flush().await.is_err() {
                    return;
                }
            }
        } else {
            let mut offset = 0;
            let mut piece = Vec::new();
            while offset < self.content_len() && connection.machine_ref().wants_content() {
                piece = match self.read_piece(offset, piece).await {
                    Ok(piece) => piece,
                    Err(_) => return connection.machine().abandon(),
                };
                offset += piece.len() as u64;
                let now = connection.clock().now();
                connection.machine().content(now, &piece);
                if connection.flush().await.is_err() {
                    // The host may have said why before it closed: the next event tells.
                    return;
                }
            }
        }
        let now = connection.clock().now();
        connection.machine().end_content(now);
    }

    async fn look_for_eight_bit(&mut self) -> Result<bool, ReadError> {
        if let Self::Large {
            eight_bit: Some(known),
            ..
        } = self
        {
            return Ok(*known);
        }
        let mut offset = 0;
        let mut piece = Vec::new();
        let mut found = false;
        while offset < self.content_len() && !found {
            piece = self.read_piece(offset, piece).await?;
            offset += piece.len() as u64;
            found = !piece.is_ascii();
        }
        if let Self::Large { eight_bit, .. } = self {
            *eight_bit = Some(found);
        }
        Ok(found)
    }

    /// Reads the next piece away from this thread, into a buffer that is used again.
    async fn read_piece(&mut self, offset: u64, mut piece: Vec<u8>) -> Result<Vec<u8>, ReadError> {
        let Self::Large { source, .. } = self else {
            return Err(ended_early());
        };
        // It is away only if a reading before this one was cancelled; nothing can be read then.
        let mut reader = mem::take(source).ok_or_else(ended_early)?;
        piece.resize(PIECE_LEN, 0);
        let reading = tokio::task::spawn_blocking(move || {
            let read = reader.read_at(offset, &mut piece);
            (reader, piece, read)
        });
        let (reader, mut piece, read) = reading.await.map_err(|_| ended_early())?;
        *source = Some(reader);
        match read? {
            0 => Err(ended_early()),
            n => {
                piece.truncate(n);
                Ok(piece)
            }
        }
    }
}

/// Finds the empty line that ends a header section, over the bounds of pieces.
struct EndOfHeader {
    /// Octets of `\r\n\r\n` that were seen last; a content may begin with the empty line.
    n_matched: usize,
}

impl Default for EndOfHeader {
    fn default() -> Self {
        Self { n_matched: 2 }
    }
}

impl EndOfHeader {
    /// Where the header section ends in the next piece.
    fn find(&mut self, piece: &[u8]) -> Option<usize> {
        const END: &[u8; 4] = b"\r\n\r\n";
        for (at, &byte) in piece.iter().enumerate() {
            self.n_matched = match byte {
                _ if byte == END[self.n_matched] => self.n_matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.n_matched == END.len() {
                return Some(at + 1);
            }
        }
        None
    }
}

fn ended_early() -> ReadError {
    ReadError::Io(std::io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_header_section_decides_whether_it_is_ascii() {
        let long = "X: y\r\n".repeat(100_000);
        for (header, expected) in [
            ("Subject: x\r\n", true),
            ("", true),
            ("Subject: grüße\r\n", false),
            (&long, true),
            (&format!("{long}Subject: grüße\r\n"), false),
        ] {
            // In memory, and read piece by piece.
            for body_len in [10, 300 * 1024] {
                let content = format!("{header}\r\n{}", "ü".repeat(body_len));
                let mut body = Body::open(content.into_bytes());
                let found = body.header_is_ascii().await.unwrap();
                assert_eq!(found, expected, "{} + {body_len}", header.len());
            }
        }
    }

    #[test]
    fn the_end_of_a_header_is_found_wherever_pieces_meet() {
        let header = b"A: b\r\n\r\r\nC: d\r\n\r\nbody";
        for at in 0..header.len() {
            let mut end = EndOfHeader::default();
            let (first, second) = header.split_at(at);
            let found = end.find(first);
            let found = found.or_else(|| end.find(second).map(|n| at + n));
            assert_eq!(found, Some(header.len() - b"body".len()), "{at}");
        }
        assert_eq!(EndOfHeader::default().find(b"\r\nbody"), Some(2));
        assert_eq!(EndOfHeader::default().find(b"A: b\r\n"), None);
    }
}
