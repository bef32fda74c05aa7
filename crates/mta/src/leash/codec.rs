//! The fields of a frame: a kind, then texts with their length and numbers of eight octets.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::socket::{Frame, LeashError};

/// Puts a frame together.
pub(super) struct Writer(Frame);

impl Writer {
    /// A frame of this kind, without fields yet.
    pub(super) fn new(kind: u8) -> Self {
        Self(Frame {
            bytes: vec![kind],
            fds: Vec::new(),
        })
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn duration(self, duration: Duration) -> Self {
        self.number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.octets(text.as_bytes())
    }

    pub(super) fn path(self, path: &Path) -> Self {
        self.octets(path.as_os_str().as_bytes())
    }

    pub(super) fn fd(mut self, fd: OwnedFd) -> Self {
        self.0.fds.push(fd);
        self
    }

    pub(super) fn finish(self) -> Frame {
        self.0
    }

    fn octets(self, octets: &[u8]) -> Self {
        let mut this = self.number(octets.len() as u64);
        this.0.bytes.extend_from_slice(octets);
        this
    }
}

/// Takes a frame apart.
pub(super) struct Reader {
    bytes: std::vec::IntoIter<u8>,
    fds: std::vec::IntoIter<OwnedFd>,
}

impl Reader {
    /// The fields of `frame` behind its kind.
    pub(super) fn new(frame: Frame) -> Result<(u8, Self), LeashError> {
        let mut bytes = frame.bytes.into_iter();
        let kind = bytes.next().ok_or(LeashError::Garbled("an empty frame"))?;
        Ok((
            kind,
            Self {
                bytes,
                fds: frame.fds.into_iter(),
            },
        ))
    }

    pub(super) fn number(&mut self) -> Result<u64, LeashError> {
        let octets = self.bytes.as_slice().first_chunk::<8>().copied();
        let octets = octets.ok_or(LeashError::Garbled("a number is missing"))?;
        self.skip(octets.len());
        Ok(u64::from_le_bytes(octets))
    }

    pub(super) fn duration(&mut self) -> Result<Duration, LeashError> {
        self.number().map(Duration::from_millis)
    }

    pub(super) fn text(&mut self) -> Result<Box<str>, LeashError> {
        let octets = self.octets()?;
        let text = String::from_utf8(octets).map_err(|_| LeashError::Garbled("not UTF-8"))?;
        Ok(text.into())
    }

    pub(super) fn path(&mut self) -> Result<PathBuf, LeashError> {
        self.octets()
            .map(|octets| OsStr::from_bytes(&octets).into())
    }

    /// A text that is the name of something.
    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        missing: &'static str,
    ) -> Result<T, LeashError> {
        self.text()?
            .parse()
            .map_err(|_| LeashError::Garbled(missing))
    }

    pub(super) fn fd(&mut self) -> Result<OwnedFd, LeashError> {
        self.fds
            .next()
            .ok_or(LeashError::Garbled("a descriptor is missing"))
    }

    /// Nothing may be left over.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, LeashError> {
        if self.bytes.next().is_some() {
            return Err(LeashError::Garbled("octets behind the last field"));
        }
        if self.fds.next().is_some() {
            return Err(LeashError::Garbled("more descriptors than the fields name"));
        }
        Ok(value)
    }

    fn octets(&mut self) -> Result<Vec<u8>, LeashError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let octets = self.bytes.as_slice().get(..len);
        let octets = octets
            .ok_or(LeashError::Garbled("a text is cut off"))?
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
