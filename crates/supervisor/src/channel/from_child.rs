//! What a child says to the supervisor.

use super::codec::{Reader, Writer};
use super::socket::{ChannelError, Frame};

/// A frame from a child to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromChild {
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
    pub(crate) const COMMITTED: u8 = 65;
    pub(crate) const FAILED: u8 = 66;
    pub(crate) const PONG: u8 = 67;
    pub(crate) const PREPARED: u8 = 68;
    pub(crate) const READY: u8 = 69;
    pub(crate) const REFUSED: u8 = 70;
    pub(crate) const REQUEST: u8 = 71;
    pub(crate) const DRAINED: u8 = 72;
}

impl FromChild {
    /// The frame that says it.
    pub(crate) fn encode(&self) -> Frame {
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
    pub(crate) fn decode(frame: Frame) -> Result<Self, ChannelError> {
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
            _ => return Err(ChannelError::Garbled("a kind that is not known")),
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
            FromChild::Committed,
            FromChild::Drained,
            FromChild::Failed("no spool".into()),
            FromChild::Pong(u64::MAX),
            FromChild::Prepared,
            FromChild::Ready,
            FromChild::Refused(String::new().into()),
            FromChild::Request("{}".into()),
        ];
        for up in every_kind {
            let whole = up.encode().bytes;
            let decode = |bytes: &[u8]| {
                FromChild::decode(Frame {
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
