//! Certificates that are renewed: noticed by their files, and taken up without being asked.
//!
//! The files are looked at every [`LOOK_INTERVAL`]. What changed, and then stayed as it is for one
//! interval, is taken up as a reload would take it, but with the configuration that is in force:
//! its file may be half edited. A reload that an operator asks for takes up all that changed.
//!
//! # Failure
//! A pair that cannot be used is an alarm, again every [`AGAIN_INTERVAL`] for as long as it lasts;
//! the pair before stays in use for as long as the process lives. Looking blocks for as long as the
//! file system does, so certificates belong on a local disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use config::{Config, Tls};
use mail::{InstanceName, Moment};

use super::member::Who;
use super::watch::Watch;

/// How often the files are looked at. A renewal writes its two files within less.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// When a pair that could not be used is tried again, although it did not change.
const AGAIN_INTERVAL: Duration = Duration::from_secs(3600);

/// What is known of the certificates of all instances.
#[derive(Clone, Debug)]
pub(super) struct Certificates {
    pairs: Vec<Pair>,
    look_at: Moment,
}

/// A certificate and its key, of one instance.
#[derive(Clone, Debug)]
struct Pair {
    of: InstanceName,
    files: Tls,
    /// As they were when the instance read them, or tried to.
    taken: Stamps,
    /// As they were at the last look.
    seen: Stamps,
    /// It could not be used, and is tried again then.
    again_at: Option<Moment>,
}

/// What tells one state of the two files from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps {
    certificate: Option<Stamp>,
    key: Option<Stamp>,
}

/// Of a file, behind all links. The time of its status also tells a change of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    len: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Certificates {
    /// Those of `config`, which the instances are about to read.
    pub(super) fn of(config: &Config, now: Moment) -> Self {
        Self {
            pairs: Vec::new(),
            look_at: now + LOOK_INTERVAL,
        }
        .under(config)
    }

    /// The same under another configuration: what is named there for the first time is about to be
    /// read.
    pub(super) fn under(&self, config: &Config) -> Self {
        let pairs = config.instances.iter().filter_map(|instance| {
            let files = instance.tls.as_ref()?;
            let mut known = self.pairs.iter();
            let known = known.find(|pair| pair.of == instance.name && pair.files == *files);
            Some(known.map_or_else(|| Pair::new(&instance.name, files), Pair::clone))
        });
        Self {
            pairs: pairs.collect(),
            look_at: self.look_at,
        }
    }

    /// Whether the files of an instance are others than it has read.
    pub(super) fn have_changed(&self, of: &InstanceName) -> bool {
        self.pairs
            .iter()
            .any(|pair| pair.of == *of && pair.taken != Stamps::of(&pair.files))
    }

    /// An instance is about to read its files.
    pub(super) fn take(&mut self, of: &InstanceName) {
        if let Some(pair) = self.pair_mut(of) {
            *pair = Pair::new(of, &pair.files);
        }
    }

    /// An instance has what it needs: files that were not there when it began it made itself.
    pub(super) fn taken(&mut self, of: &InstanceName) {
        if self
            .pair_mut(of)
            .is_some_and(|pair| pair.taken.is_missing())
        {
            self.take(of);
        }
    }

    /// An instance could not use what the last look found.
    pub(super) fn refused(&mut self, of: &InstanceName, now: Moment) {
        if let Some(pair) = self.pair_mut(of) {
            pair.taken = pair.seen;
            pair.again_at = Some(now + AGAIN_INTERVAL);
        }
    }

    /// Looks, where it is time to; the first instance whose files are to be read anew.
    fn look(&mut self, now: Moment) -> Option<InstanceName> {
        if self.look_at > now {
            return None;
        }
        self.look_at = now + LOOK_INTERVAL;
        let mut first = None;
        for pair in &mut self.pairs {
            if pair.look(now) && first.is_none() {
                first = Some(pair.of.clone());
            }
        }
        first
    }

    fn pair_mut(&mut self, of: &InstanceName) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.of == *of)
    }
}

impl Pair {
    /// As it is now, about to be read.
    fn new(of: &InstanceName, files: &Tls) -> Self {
        let stamps = Stamps::of(files);
        Self {
            of: of.clone(),
            files: files.clone(),
            taken: stamps,
            seen: stamps,
            again_at: None,
        }
    }

    /// Whether it is to be read anew.
    fn look(&mut self, now: Moment) -> bool {
        let found = Stamps::of(&self.files);
        let is_settled = found == self.seen;
        self.seen = found;
        let is_due = self.again_at.is_some_and(|at| at <= now);
        is_settled && (found != self.taken || is_due)
    }
}

impl Stamps {
    fn of(files: &Tls) -> Self {
        Self {
            certificate: Stamp::of(&files.certificate),
            key: Stamp::of(&files.key),
        }
    }

    const fn is_missing(&self) -> bool {
        self.certificate.is_none() && self.key.is_none()
    }
}

impl Stamp {
    /// `None` where the file cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            place: (found.dev(), found.ino()),
            len: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Watch<'_> {
    /// Has a renewed certificate taken up, where there is one; when to look again.
    pub(super) fn take_up_certificates(&mut self, now: Moment) -> Option<Moment> {
        if self.stopping.is_some() || self.certificates.pairs.is_empty() {
            return None;
        }
        if let Some(name) = self.certificates.look(now)
            && self.reloading.is_none()
            && self.can_be_asked(&Who::Control)
            && self.can_be_asked(&Who::Instance(name.clone()))
        {
            self.renew(name, now);
        }
        Some(self.certificates.look_at)
    }

    /// Whether a process is there and owes no answer; one that is to come reads the files itself.
    fn can_be_asked(&self, who: &Who) -> bool {
        self.members.iter().any(|member| {
            let asked = member
                .child()
                .is_some_and(|of| !self.owing.contains(&of.id));
            member.who == *who && member.is_ready() && asked
        })
    }
}

#[cfg(test)]
mod tests;
