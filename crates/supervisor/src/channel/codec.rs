//! The fields of a frame: a kind, then texts with their length and numbers of eight octets.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::socket::{ChannelError, Frame};

/// Puts a frame together.
pub(crate) struct Writer(Frame);

impl Writer {
    /// A frame of this kind, without fields yet.
    pub(crate) fn new(kind: u8) -> Self {
        Self(Frame {
            bytes: vec![kind],
            fds: Vec::new(),
        })
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn duration(self, duration: Duration) -> Self {
        self.number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.octets(text.as_bytes())
    }

    pub(crate) fn path(self, path: &Path) -> Self {
        self.octets(path.as_os_str().as_bytes())
    }

    pub(crate) fn fd(mut self, fd: OwnedFd) -> Self {
        self.0.fds.push(fd);
        self
    }

    pub(crate) fn finish(self) -> Frame {
        self.0
    }

    fn octets(self, octets: &[u8]) -> Self {
        let mut this = self.number(octets.len() as u64);
        this.0.bytes.extend_from_slice(octets);
        this
    }
}

/// Takes a frame apart.
pub(crate) struct Reader {
    bytes: std::vec::IntoIter<u8>,
    fds: std::vec::IntoIter<OwnedFd>,
}

impl Reader {
    /// The fields of `frame` behind its kind.
    pub(crate) fn new(frame: Frame) -> Result<(u8, Self), ChannelError> {
        let mut bytes = frame.bytes.into_iter();
        let kind = bytes
            .next()
            .ok_or(ChannelError::Garbled("an empty frame"))?;
        Ok((
            kind,
            Self {
                bytes,
                fds: frame.fds.into_iter(),
            },
        ))
    }

    pub(crate) fn number(&mut self) -> Result<u64, ChannelError> {
        let octets = self.bytes.as_slice().first_chunk::<8>().copied();
        let octets = octets.ok_or(ChannelError::Garbled("a number is missing"))?;
        self.skip(octets.len());
        Ok(u64::from_le_bytes(octets))
    }

    pub(crate) fn duration(&mut self) -> Result<Duration, ChannelError> {
        self.number().map(Duration::from_millis)
    }

    pub(crate) fn text(&mut self) -> Result<Box<str>, ChannelError> {
        let octets = self.octets()?;
        let text = String::from_utf8(octets).map_err(|_| ChannelError::Garbled("not UTF-8"))?;
        Ok(text.into())
    }

    pub(crate) fn path(&mut self) -> Result<PathBuf, ChannelError> {
        self.octets()
            .map(|octets| OsStr::from_bytes(&octets).into())
    }

    /// A text that is the name of something.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &mut self,
        missing: &'static str,
    ) -> Result<T, ChannelError> {
        self.text()?
            .parse()
            .map_err(|_| ChannelError::Garbled(missing))
    }

    pub(crate) fn fd(&mut self) -> Result<OwnedFd, ChannelError> {
        self.fds
            .next()
            .ok_or(ChannelError::Garbled("a descriptor is missing"))
    }

    /// Nothing may be left over.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<T, ChannelError> {
        if self.bytes.next().is_some() {
            return Err(ChannelError::Garbled("octets behind the last field"));
        }
        if self.fds.next().is_some() {
            return Err(ChannelError::Garbled(
                "more descriptors than the fields name",
            ));
        }
        Ok(value)
    }

    fn octets(&mut self) -> Result<Vec<u8>, ChannelError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let octets = self.bytes.as_slice().get(..len);
        let octets = octets
            .ok_or(ChannelError::Garbled("a text is cut off"))?
            .to_vec();
        self.skip(len);
        Ok(octets)
    }

    fn skip(&mut self, len: usize) {
        if let Some(last) = len.checked_sub(1) {
            self.bytes.nth(last);
        }
    }
}
