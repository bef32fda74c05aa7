//! The order of the jobs that wait: by due time, and fairly round the senders of a site.
//!
//! Three flat ordered sets serve all sites, so that a million sites or senders with one job each
//! cost no more than one with a million.
//!
//! A sender is *in the round* of its site soon after its earliest job came due. A site's jobs are
//! taken in one of two ways: the earliest that is due, or the earliest of the sender who follows
//! the last one in the round.

use std::collections::BTreeSet;
use std::ops::Bound;

use mail::MessageId;

use crate::SiteId;
use crate::due::Due;

/// A fairness key, folded: the order needs it three times a job.
pub(crate) type Sender = u32;

/// How far a site has brought its senders into its round: by when their first job is due, and
/// among those with the same due time, up to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Promoted(Due, Sender);

impl Promoted {
    pub(crate) const NOBODY: Self = Self(Due::MIN, Sender::MIN);
}

/// Whose job is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Of the sender after this one.
    NextSender(Sender),
    /// Of whom waits longest.
    Oldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) sender: Sender,
    pub(crate) due: Due,
    pub(crate) id: MessageId,
}

// What each job takes here, besides its share of the other two sets.
const _: () = assert!(size_of::<(SiteId, Sender, Due, MessageId)>() <= 24);

#[derive(Debug, Default)]
pub(crate) struct Order {
    waiting: BTreeSet<(SiteId, Sender, Due, MessageId)>,
    /// For each sender of each site, when its earliest job is due.
    heads: BTreeSet<(SiteId, Due, Sender)>,
    /// The senders in the round of their site.
    round: BTreeSet<(SiteId, Sender)>,
}

impl Order {
    /// Adds a job; `promoted` is the site's, as below.
    pub(crate) fn insert(&mut self, site: SiteId, job: Waiting, promoted: Promoted) {
        let old = self.head(site, job.sender);
        self.waiting.insert((site, job.sender, job.due, job.id));
        let new = old.map_or(job.due, |old| old.min(job.due));
        self.move_head(site, job.sender, old, Some(new), promoted);
    }

    /// Adds all jobs to an order that has none; `promoted` is that of a site.
    pub(crate) fn load(
        &mut self,
        jobs: impl Iterator<Item = (SiteId, Waiting)>,
        promoted: impl Fn(SiteId) -> Promoted,
    ) {
        debug_assert!(self.waiting.is_empty(), "an order is loaded once");
        self.waiting = jobs
            .map(|(site, job)| (site, job.sender, job.due, job.id))
            .collect();
        // The first of each sender's.
        let mut heads: Vec<_> = self
            .waiting
            .iter()
            .map(|&(s, k, due, _)| (s, due, k))
            .collect();
        heads.dedup_by_key(|&mut (site, _, sender)| (site, sender));
        self.heads = heads.into_iter().collect();
        self.round = self
            .heads
            .iter()
            .filter(|&&(site, due, sender)| Promoted(due, sender) <= promoted(site))
            .map(|&(site, _, sender)| (site, sender))
            .collect();
    }

    /// Takes a job out.
    pub(crate) fn remove(&mut self, site: SiteId, job: Waiting, promoted: Promoted) {
        let old = self.head(site, job.sender);
        let was_there = self.waiting.remove(&(site, job.sender, job.due, job.id));
        debug_assert!(was_there, "a job that waits is in the order");
        let new = self.head(site, job.sender);
        self.move_head(site, job.sender, old, new, promoted);
    }

    /// When the site's earliest job is due.
    pub(crate) fn earliest(&self, site: SiteId) -> Option<Due> {
        let all = (site, Due::MIN, Sender::MIN)..=(site, Due::MAX, Sender::MAX);
        self.heads.range(all).next().map(|&(_, due, _)| due)
    }

    /// Brings into the round who is due by `now`, from `promoted` on, earliest first; a few at a
    /// time, so that a million senders who come due together make no call slow. Returns how far
    /// it came, which is the site's `promoted` from then on.
    #[must_use]
    pub(crate) fn promote(&mut self, site: SiteId, promoted: Promoted, now: Due) -> Promoted {
        const AT_ONCE: usize = 64;
        let Promoted(due, sender) = promoted;
        if due > now {
            return promoted;
        }
        let came_due = (
            Bound::Excluded((site, due, sender)),
            Bound::Included((site, now, Sender::MAX)),
        );
        let mut reached = Promoted(now, Sender::MAX);
        for (n, &(_, due, sender)) in self.heads.range(came_due).enumerate() {
            self.round.insert((site, sender));
            if n + 1 == AT_ONCE {
                reached = Promoted(due, sender);
                break;
            }
        }
        reached
    }

    /// The job whose turn it is, of those in the round.
    pub(crate) fn pick(&self, site: SiteId, turn: Turn) -> Option<Waiting> {
        let sender = match turn {
            Turn::NextSender(last) => self.next_in_round(site, last)?,
            Turn::Oldest => {
                let all = (site, Due::MIN, Sender::MIN)..=(site, Due::MAX, Sender::MAX);
                self.heads.range(all).next()?.2
            }
        };
        self.first_of(site, sender)
    }

    fn next_in_round(&self, site: SiteId, last: Sender) -> Option<Sender> {
        let after = last.checked_add(1).and_then(|from| {
            let rest = (site, from)..=(site, Sender::MAX);
            self.round.range(rest).next()
        });
        let found = after.or_else(|| {
            let all = (site, Sender::MIN)..=(site, Sender::MAX);
            self.round.range(all).next()
        });
        found.map(|&(_, sender)| sender)
    }

    fn head(&self, site: SiteId, sender: Sender) -> Option<Due> {
        self.first_of(site, sender).map(|job| job.due)
    }

    fn first_of(&self, site: SiteId, sender: Sender) -> Option<Waiting> {
        let all =
            (site, sender, Due::MIN, MessageId(0))..=(site, sender, Due::MAX, MessageId(u64::MAX));
        let &(_, sender, due, id) = self.waiting.range(all).next()?;
        Some(Waiting { sender, due, id })
    }

    /// Follows a change of when a sender's earliest job is due.
    fn move_head(
        &mut self,
        site: SiteId,
        sender: Sender,
        old: Option<Due>,
        new: Option<Due>,
        promoted: Promoted,
    ) {
        if old == new {
            return;
        }
        if let Some(due) = old {
            self.heads.remove(&(site, due, sender));
        }
        if let Some(due) = new {
            self.heads.insert((site, due, sender));
        }
        if new.is_some_and(|due| Promoted(due, sender) <= promoted) {
            self.round.insert((site, sender));
        } else {
            self.round.remove(&(site, sender));
        }
    }
}
