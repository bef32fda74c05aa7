//! The maildrop: where `sendmail` leaves mail that submission does not take now, and where the
//! submission instance picks it up.
//!
//! ```text
//! STATE/maildrop/          0711
//!   new/                   3733  any user may leave a file; others cannot list or remove it
//!   taken/INSTANCE/        0700  a file that is being picked up, named by its key
//!   refused/               0700  what is no message, for the administrator
//! ```
//!
//! A file in `new` is complete when its mode is [`COMPLETE_MODE`], which only its owner can give.
//! Its group is that of the directory, so that the system can read it and other users cannot.
//! It holds the envelope ([`Envelope`]), an empty line and the content. Its owner, as the kernel
//! says, is the sender; nothing in it is believed.
//!
//! # Limits
//! [`PER_USER_MAX`] files and [`PER_USER_LEN_MAX`] octets of each user, kept by `sendmail`.

mod envelope;
mod leave;

use std::path::{Path, PathBuf};

use mail::InstanceName;

pub use envelope::{Envelope, EnvelopeError, HEADER_LEN_MAX, RECIPIENTS_MAX};
pub use leave::{LeaveError, leave};

/// How many messages of one user may lie there.
pub const PER_USER_MAX: u32 = 1000;

/// How many octets of one user may lie there.
pub const PER_USER_LEN_MAX: u64 = 512 * 1024 * 1024;

/// The mode of a file that is complete.
pub const COMPLETE_MODE: u32 = 0o740;

/// Where it lies.
#[derive(Clone, Debug)]
pub struct Maildrop(PathBuf);

impl Maildrop {
    /// That of the system with this state directory.
    pub fn of(state: &Path) -> Self {
        Self(state.join("maildrop"))
    }

    /// Where users leave mail.
    pub fn new_folder(&self) -> PathBuf {
        self.0.join("new")
    }

    /// Where an instance puts what it picks up.
    pub fn taken_folder(&self, instance: &InstanceName) -> PathBuf {
        self.0.join("taken").join(instance.as_str())
    }

    /// Where what is no message is kept.
    pub fn refused_folder(&self) -> PathBuf {
        self.0.join("refused")
    }

    /// The directories, each with the mode that it must have, whatever the umask.
    pub fn folders(&self) -> [(PathBuf, u32); 4] {
        [
            (self.0.clone(), 0o711),
            (self.0.join("taken"), 0o700),
            (self.refused_folder(), 0o700),
            (self.new_folder(), 0o3733),
        ]
    }
}
