//! What the supervisor tells a child.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use config::{Listen, ListenAddress, ListenSecurity, Role};
use mail::{InstanceName, Timestamp};

use super::codec::{Reader, Writer};
use super::document::Document;
use super::socket::{ChannelError, Frame};

/// A frame from the supervisor to a child.
///
/// Those that carry something ([`Config`](Self::Config) to [`Requests`](Self::Requests)) collect
/// in the child until [`Go`](Self::Go), at its start, or [`Prepare`](Self::Prepare), at a reload or
/// for a start that a reload makes necessary, says that they are complete.
#[derive(Debug)]
pub enum ToChild {
    /// What was prepared is not to be: another instance refused.
    Abandon,
    /// To control: the answer to one of its requests, as JSON.
    Answer(Box<str>),
    /// What was prepared is in force.
    Commit,
    /// Its part of the configuration; to control, the whole.
    Config {
        /// Its own name; `None` for control.
        name: Option<InstanceName>,
        /// What it is there for.
        purpose: Purpose,
        /// Counts up with each new process that a reload makes necessary.
        generation: u64,
        /// The state directory.
        state: PathBuf,
        /// TOML.
        document: Document,
    },
    /// The receiving end of an edge: over it come connections from a front.
    EdgeFrom {
        /// The front.
        front: InstanceName,
        /// Its role: mail's origin follows from who is at the other end.
        role: Role,
        /// The channel.
        fd: OwnedFd,
    },
    /// The sending end of an edge.
    EdgeTo {
        /// The next instance.
        next: InstanceName,
        /// The channel.
        fd: OwnedFd,
    },
    /// The channel for events: to control, the receiving end and whose they are.
    Events {
        /// The instance.
        name: InstanceName,
        /// The channel.
        fd: OwnedFd,
    },
    /// To control, outside of a reload: an instance has ended and is no longer part of the system.
    Forget(InstanceName),
    /// The start is complete.
    Go,
    /// To control: an instance is no longer part of the system.
    Gone(InstanceName),
    /// To an instance that empties its queue: end, where nothing is left to do.
    Leave,
    /// A bound, listening socket.
    Listener {
        /// What it is bound to.
        listen: Listen,
        /// The socket.
        fd: OwnedFd,
    },
    /// The state directory's lock: it is held until the last child is gone.
    Lock(OwnedFd),
    /// Show that you are alive.
    Ping(u64),
    /// The reload is complete: say whether it can be taken.
    Prepare,
    /// The channel for requests: to control, its end and whose it is.
    Requests {
        /// The instance.
        name: InstanceName,
        /// Its role.
        role: Role,
        /// The channel.
        fd: OwnedFd,
    },
    /// Make way for the next generation: give up the spool, finish what clients have begun within
    /// this time, exit.
    Retire {
        /// How long clients may take.
        limit: Duration,
        /// The sending end of the succession: what clients bring after that goes over it.
        successor: OwnedFd,
    },
    /// Stop accepting, finish what is in flight within this time, exit.
    Stop(Duration),
    /// To control: something happened that belongs in the log.
    Tell(LogLine),
}

/// What an instance is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To empty its queue and end: the configuration file no longer names it.
    Drain,
    /// To take mail and deliver it.
    #[default]
    Serve,
}

/// Something that the supervisor wants logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// Which instance it is about; `None`: control or the supervisor itself.
    pub about: Option<InstanceName>,
    /// Whether somebody should look at it.
    pub weight: Weight,
    /// In words.
    pub text: Box<str>,
}

/// Whether somebody should look at something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Somebody should.
    Alarm,
    /// It is in the order of things.
    Note,
}

mod kind {
    pub(crate) const ABANDON: u8 = 1;
    pub(crate) const ANSWER: u8 = 2;
    pub(crate) const COMMIT: u8 = 3;
    pub(crate) const CONFIG: u8 = 4;
    pub(crate) const EDGE_FROM: u8 = 5;
    pub(crate) const EDGE_TO: u8 = 6;
    pub(crate) const EVENTS: u8 = 7;
    pub(crate) const GO: u8 = 8;
    pub(crate) const GONE: u8 = 9;
    pub(crate) const LISTENER: u8 = 10;
    pub(crate) const LOCK: u8 = 11;
    pub(crate) const PING: u8 = 12;
    pub(crate) const PREPARE: u8 = 13;
    pub(crate) const REQUESTS: u8 = 14;
    pub(crate) const RETIRE: u8 = 15;
    pub(crate) const STOP: u8 = 16;
    pub(crate) const TELL: u8 = 17;
    pub(crate) const FORGET: u8 = 18;
    pub(crate) const LEAVE: u8 = 19;
}

impl ToChild {
    /// The frame that says it.
    pub(crate) fn encode(self) -> Frame {
        let writer = match self {
            Self::Abandon => Writer::new(kind::ABANDON),
            Self::Answer(json) => Writer::new(kind::ANSWER).text(&json),
            Self::Commit => Writer::new(kind::COMMIT),
            Self::Config {
                name,
                purpose,
                generation,
                state,
                document,
            } => Writer::new(kind::CONFIG)
                .text(name.as_ref().map_or("", InstanceName::as_str))
                .number(u64::from(purpose == Purpose::Drain))
                .number(generation)
                .path(&state)
                .fd(document.into_fd()),
            Self::EdgeFrom { front, role, fd } => Writer::new(kind::EDGE_FROM)
                .text(front.as_str())
                .text(role.as_str())
                .fd(fd),
            Self::EdgeTo { next, fd } => Writer::new(kind::EDGE_TO).text(next.as_str()).fd(fd),
            Self::Events { name, fd } => Writer::new(kind::EVENTS).text(name.as_str()).fd(fd),
            Self::Forget(name) => Writer::new(kind::FORGET).text(name.as_str()),
            Self::Go => Writer::new(kind::GO),
            Self::Gone(name) => Writer::new(kind::GONE).text(name.as_str()),
            Self::Leave => Writer::new(kind::LEAVE),
            Self::Listener { listen, fd } => {
                write_listen(Writer::new(kind::LISTENER), &listen).fd(fd)
            }
            Self::Lock(fd) => Writer::new(kind::LOCK).fd(fd),
            Self::Ping(number) => Writer::new(kind::PING).number(number),
            Self::Prepare => Writer::new(kind::PREPARE),
            Self::Requests { name, role, fd } => Writer::new(kind::REQUESTS)
                .text(name.as_str())
                .text(role.as_str())
                .fd(fd),
            Self::Retire { limit, successor } => {
                Writer::new(kind::RETIRE).duration(limit).fd(successor)
            }
            Self::Stop(limit) => Writer::new(kind::STOP).duration(limit),
            Self::Tell(told) => Writer::new(kind::TELL)
                .number(told.at.unix_ms())
                .text(told.about.as_ref().map_or("", InstanceName::as_str))
                .number(u64::from(told.weight == Weight::Alarm))
                .text(&told.text),
        };
        writer.finish()
    }

    /// What a frame says.
    pub(crate) fn decode(frame: Frame) -> Result<Self, ChannelError> {
        let (kind, mut fields) = Reader::new(frame)?;
        let said = match kind {
            kind::ABANDON => Self::Abandon,
            kind::ANSWER => Self::Answer(fields.text()?),
            kind::COMMIT => Self::Commit,
            kind::CONFIG => Self::Config {
                name: read_name_or_none(&mut fields)?,
                purpose: match fields.number()? {
                    0 => Purpose::Serve,
                    _ => Purpose::Drain,
                },
                generation: fields.number()?,
                state: fields.path()?,
                document: Document::received(fields.fd()?),
            },
            kind::EDGE_FROM => Self::EdgeFrom {
                front: read_name(&mut fields)?,
                role: read_role(&mut fields)?,
                fd: fields.fd()?,
            },
            kind::EDGE_TO => Self::EdgeTo {
                next: read_name(&mut fields)?,
                fd: fields.fd()?,
            },
            kind::EVENTS => Self::Events {
                name: read_name(&mut fields)?,
                fd: fields.fd()?,
            },
            kind::FORGET => Self::Forget(read_name(&mut fields)?),
            kind::GO => Self::Go,
            kind::GONE => Self::Gone(read_name(&mut fields)?),
            kind::LEAVE => Self::Leave,
            kind::LISTENER => Self::Listener {
                listen: read_listen(&mut fields)?,
                fd: fields.fd()?,
            },
            kind::LOCK => Self::Lock(fields.fd()?),
            kind::PING => Self::Ping(fields.number()?),
            kind::PREPARE => Self::Prepare,
            kind::REQUESTS => Self::Requests {
                name: read_name(&mut fields)?,
                role: read_role(&mut fields)?,
                fd: fields.fd()?,
            },
            kind::RETIRE => Self::Retire {
                limit: fields.duration()?,
                successor: fields.fd()?,
            },
            kind::STOP => Self::Stop(fields.duration()?),
            kind::TELL => Self::Tell(LogLine {
                at: Timestamp::from_unix_ms(fields.number()?),
                about: read_name_or_none(&mut fields)?,
                weight: if fields.number()? == 0 {
                    Weight::Note
                } else {
                    Weight::Alarm
                },
                text: fields.text()?,
            }),
            _ => return Err(ChannelError::Garbled("a kind that is not known")),
        };
        fields.finish(said)
    }
}

fn read_name(fields: &mut Reader) -> Result<InstanceName, ChannelError> {
    fields.parsed("no name of an instance")
}

fn read_name_or_none(fields: &mut Reader) -> Result<Option<InstanceName>, ChannelError> {
    let text = fields.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| ChannelError::Garbled("no name of an instance"))
}

fn read_role(fields: &mut Reader) -> Result<Role, ChannelError> {
    let text = fields.text()?;
    [Role::Input, Role::Output, Role::Submission]
        .into_iter()
        .find(|role| role.as_str() == &*text)
        .ok_or(ChannelError::Garbled("no role"))
}

const TCP: u64 = 0;
const UNIX: u64 = 1;

fn write_listen(writer: Writer, listen: &Listen) -> Writer {
    let writer = writer.number(u64::from(listen.security == ListenSecurity::ImplicitTls));
    match &listen.address {
        ListenAddress::Tcp(address) => writer.number(TCP).text(&address.to_string()),
        ListenAddress::Unix(path) => writer.number(UNIX).path(path),
    }
}

fn read_listen(fields: &mut Reader) -> Result<Listen, ChannelError> {
    let security = match fields.number()? {
        0 => ListenSecurity::Plain,
        _ => ListenSecurity::ImplicitTls,
    };
    let address = match fields.number()? {
        TCP => ListenAddress::Tcp(fields.parsed("no address")?),
        UNIX => ListenAddress::Unix(fields.path()?),
        _ => return Err(ChannelError::Garbled("no kind of listener")),
    };
    Ok(Listen { address, security })
}

#[cfg(test)]
mod tests;
