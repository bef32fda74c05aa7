//! A text in a sealed file in memory: how a configuration travels, whatever its length.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::CONFIG_LEN_MAX;

/// A text that nobody can change any more.
#[derive(Debug)]
pub struct Document(OwnedFd);

impl Document {
    /// Makes one of `text`.
    ///
    /// # Errors
    /// When memory or descriptors run out.
    pub fn new(text: &str) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("postern-config", flags)?);
        file.write_all(text.as_bytes())?;
        let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&file, all)?;
        Ok(Self(file.into()))
    }

    /// One that was received.
    pub(crate) const fn received(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// To be sent.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// The text.
    ///
    /// # Errors
    /// When it is longer than [`CONFIG_LEN_MAX`] or not UTF-8.
    pub fn read(self) -> io::Result<String> {
        let mut file = File::from(self.0);
        file.rewind()?;
        let mut text = String::new();
        Read::by_ref(&mut file)
            .take(CONFIG_LEN_MAX)
            .read_to_string(&mut text)?;
        if file.read(&mut [0])? > 0 {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the configuration is too long",
            ));
        }
        Ok(text)
    }
}
