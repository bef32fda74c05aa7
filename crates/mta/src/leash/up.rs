//! What a child says to the supervisor.

use super::codec::{Reader, Writer};
use super::socket::{Frame, LeashError};

/// A frame from a child to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// What was prepared is in force here.
    Committed,
    /// It has nothing left to do, and is there to empty its queue.
    Drained,
    /// It cannot start and is about to exit; why.
    Failed(Box<str>),
    /// The answer to a ping.
    Pong(u64),
    /// The reload can be taken: committing it cannot fail any more.
    Prepared,
    /// It accepts.
    Ready,
    /// The reload cannot be taken; why.
    Refused(Box<str>),
    /// From control: a request, as JSON.
    Request(Box<str>),
}

mod kind {
    pub(super) const COMMITTED: u8 = 65;
    pub(super) const FAILED: u8 = 66;
    pub(super) const PONG: u8 = 67;
    pub(super) const PREPARED: u8 = 68;
    pub(super) const READY: u8 = 69;
    pub(super) const REFUSED: u8 = 70;
    pub(super) const REQUEST: u8 = 71;
    pub(super) const DRAINED: u8 = 72;
}

impl Up {
    /// The frame that says it.
    pub(super) fn encode(&self) -> Frame {
        let writer = match self {
            Self::Committed => Writer::new(kind::COMMITTED),
            Self::Drained => Writer::new(kind::DRAINED),
            Self::Failed(why) => Writer::new(kind::FAILED).text(why),
            Self::Pong(number) => Writer::new(kind::PONG).number(*number),
            Self::Prepared => Writer::new(kind::PREPARED),
            Self::Ready => Writer::new(kind::READY),
            Self::Refused(why) => Writer::new(kind::REFUSED).text(why),
            Self::Request(json) => Writer::new(kind::REQUEST).text(json),
        };
        writer.finish()
    }

    /// What a frame says.
    pub(super) fn decode(frame: Frame) -> Result<Self, LeashError> {
        let (kind, mut fields) = Reader::new(frame)?;
        let said = match kind {
            kind::COMMITTED => Self::Committed,
            kind::DRAINED => Self::Drained,
            kind::FAILED => Self::Failed(fields.text()?),
            kind::PONG => Self::Pong(fields.number()?),
            kind::PREPARED => Self::Prepared,
            kind::READY => Self::Ready,
            kind::REFUSED => Self::Refused(fields.text()?),
            kind::REQUEST => Self::Request(fields.text()?),
            _ => return Err(LeashError::Garbled("a kind that is not known")),
        };
        fields.finish(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_reads_back_as_it_was_sent_and_not_with_an_octet_more_or_less() {
        let every_kind = [
            Up::Committed,
            Up::Drained,
            Up::Failed("no spool".into()),
            Up::Pong(u64::MAX),
            Up::Prepared,
            Up::Ready,
            Up::Refused(String::new().into()),
            Up::Request("{}".into()),
        ];
        for up in every_kind {
            let whole = up.encode().bytes;
            let decode = |bytes: &[u8]| {
                Up::decode(Frame {
                    bytes: bytes.into(),
                    fds: Vec::new(),
                })
            };
            assert_eq!(decode(&whole).unwrap(), up);
            assert!(decode(&whole[..whole.len() - 1]).is_err(), "{up:?}");
            assert!(decode(&[&whole[..], b"x"].concat()).is_err(), "{up:?}");
        }
    }
}
