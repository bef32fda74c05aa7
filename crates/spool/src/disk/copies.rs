//! File systems that write nothing in place, and one that can be asked to.
//!
//! There a block that is written again goes elsewhere, so that a file that was allocated as a whole
//! has no room of its own.

use std::os::fd::OwnedFd;

use rustix::fs::{IFlags, fstatfs, ioctl_getflags, ioctl_setflags};

/// What `statfs` calls them (linux/magic.h, and the sources of those that are not in it).
const BTRFS: u64 = 0x9123_683e;
const COPYING: [(u64, &str); 3] = [
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x3434, "nilfs2"),
];

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Btrfs,
    Copying(&'static str),
    /// Or it is not known.
    InPlace,
}

/// Which kind of file system this is, by its type.
fn kind_of(fs_type: u64) -> Kind {
    let known = COPYING.iter().find(|(of, _)| *of == fs_type);
    match known {
        Some((_, name)) => Kind::Copying(name),
        None if fs_type == BTRFS => Kind::Btrfs,
        None => Kind::InPlace,
    }
}

fn kind(directory: &OwnedFd) -> Kind {
    // Some platforms have it as a signed number of 32 bits.
    let fs_type = fstatfs(directory).map(|of| u64::try_from(of.f_type).unwrap_or_default());
    fs_type.map_or(Kind::InPlace, |of| kind_of(of & u64::from(u32::MAX)))
}

/// Where that can be chosen, has the files be written in place that are made in a directory.
pub(super) fn write_in_place(directory: &OwnedFd) {
    if kind(directory) == Kind::Btrfs
        && let Ok(flags) = ioctl_getflags(directory)
        && !flags.contains(IFlags::NOCOW)
    {
        // Where it fails, that is reported as what it is: nothing is written in place.
        let _ = ioctl_setflags(directory, flags | IFlags::NOCOW);
    }
}

/// The name of the file system, if files that are made in a directory are not written in place.
pub(super) fn copies_on_write(directory: &OwnedFd) -> Option<&'static str> {
    match kind(directory) {
        Kind::Copying(name) => Some(name),
        Kind::Btrfs => {
            let flags = ioctl_getflags(directory).unwrap_or(IFlags::empty());
            (!flags.contains(IFlags::NOCOW)).then_some("btrfs")
        }
        Kind::InPlace => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_that_write_nothing_in_place_are_known_by_their_type() {
        assert_eq!(kind_of(0x9123_683e), Kind::Btrfs);
        assert_eq!(kind_of(0x2fc1_2fc1), Kind::Copying("zfs"));
        assert_eq!(kind_of(0xca45_1a4e), Kind::Copying("bcachefs"));
        // ext4, xfs, tmpfs.
        for fs_type in [0xef53, 0x5846_5342, 0x0102_1994] {
            assert_eq!(kind_of(fs_type), Kind::InPlace);
        }
    }
}
