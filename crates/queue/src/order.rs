//! The order of the jobs that wait: by due time, and fairly round the senders of a site.
//!
//! Flat ordered sets serve all destinations and sites, so that a million of them, or of senders,
//! with one job each cost no more than one with a million.
//!
//! A job stands under its destination. Where this leads to a site, each of its senders is *in the
//! round* of that site soon after the sender's earliest job came due. A site's jobs are taken in
//! one of two ways: the earliest that is due, or the earliest of the sender who follows the last
//! one in the round. What is left in the round by a destination that leads elsewhere by now is
//! taken out when its turn comes, so that a destination changes its site at once.

use std::collections::BTreeSet;
use std::ops::Bound;

use mail::MessageId;

use crate::due::Due;
use crate::{DestinationId, SiteId};

/// A fairness key, folded: the order needs it three times a job.
pub(crate) type Sender = u32;

/// How far a destination's senders are in the round of its site: by when their first job is due,
/// and among those with the same due time, up to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Promoted(Option<(Due, Sender)>);

impl Promoted {
    pub(crate) const NOBODY: Self = Self(None);

    const fn to(due: Due, sender: Sender) -> Self {
        Self(Some((due, sender)))
    }
}

/// Whose job is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Of a sender who may have jobs for several destinations.
    NextSender {
        /// Of the sender after this one.
        after: Sender,
        /// For this destination, or the next that there is.
        from: DestinationId,
    },
    /// The one that waits longest.
    Oldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) sender: Sender,
    pub(crate) due: Due,
    pub(crate) id: MessageId,
}

// What each job takes here, besides its share of the other sets.
const _: () = assert!(size_of::<(DestinationId, Sender, Due, MessageId)>() <= 24);

#[derive(Debug, Default)]
pub(crate) struct Order {
    waiting: BTreeSet<(DestinationId, Sender, Due, MessageId)>,
    /// For each sender of each destination, when its earliest job is due.
    heads: BTreeSet<(DestinationId, Due, Sender)>,
    /// The senders in the round of a site, and for which destination.
    round: BTreeSet<(SiteId, Sender, DestinationId)>,
    /// For each destination that leads to a site, when its earliest job is due.
    lanes: BTreeSet<(SiteId, Due, DestinationId)>,
    /// Likewise, when the earliest of its senders is due who is not in the round.
    upcoming: BTreeSet<(SiteId, Due, DestinationId)>,
}

impl Order {
    /// Adds a job; `promoted` is the destination's, as below, and `site` where it leads.
    pub(crate) fn insert(
        &mut self,
        of: DestinationId,
        job: Waiting,
        site: Option<SiteId>,
        promoted: Promoted,
    ) {
        let old = self.head(of, job.sender);
        self.waiting.insert((of, job.sender, job.due, job.id));
        let new = old.map_or(job.due, |old| old.min(job.due));
        self.move_head(of, job.sender, (old, Some(new)), site, promoted);
    }

    /// Adds all jobs to an order that has none, of destinations with nobody in the round.
    pub(crate) fn load(&mut self, jobs: impl Iterator<Item = (DestinationId, Waiting)>) {
        debug_assert!(self.waiting.is_empty(), "an order is loaded once");
        self.waiting = jobs
            .map(|(of, job)| (of, job.sender, job.due, job.id))
            .collect();
        // The first of each sender's.
        let heads = self.waiting.iter().map(|&(of, k, due, _)| (of, due, k));
        let mut heads: Vec<_> = heads.collect();
        heads.dedup_by_key(|&mut (of, _, sender)| (of, sender));
        self.heads = heads.into_iter().collect();
    }

    /// Takes a job out.
    pub(crate) fn remove(
        &mut self,
        of: DestinationId,
        job: Waiting,
        site: Option<SiteId>,
        promoted: Promoted,
    ) {
        let old = self.head(of, job.sender);
        let was_there = self.waiting.remove(&(of, job.sender, job.due, job.id));
        debug_assert!(was_there, "a job that waits is in the order");
        let new = self.head(of, job.sender);
        self.move_head(of, job.sender, (old, new), site, promoted);
    }

    /// When the destination's earliest job is due.
    pub(crate) fn earliest(&self, of: DestinationId) -> Option<Due> {
        let all = (of, Due::MIN, Sender::MIN)..=(of, Due::MAX, Sender::MAX);
        self.heads.range(all).next().map(|&(_, due, _)| due)
    }

    /// That job.
    pub(crate) fn oldest(&self, of: DestinationId) -> Option<(Due, MessageId)> {
        let all = (of, Due::MIN, Sender::MIN)..=(of, Due::MAX, Sender::MAX);
        let &(_, due, sender) = self.heads.range(all).next()?;
        Some((due, self.first_of(of, sender)?.id))
    }

    /// When the earliest of its senders is due who is not in the round.
    pub(crate) fn upcoming(&self, of: DestinationId, promoted: Promoted) -> Option<Due> {
        let rest = (
            after(of, promoted),
            Bound::Included((of, Due::MAX, Sender::MAX)),
        );
        self.heads.range(rest).next().map(|&(_, due, _)| due)
    }

    /// A destination with jobs that wait leads to the site now.
    pub(crate) fn enter_site(
        &mut self,
        site: SiteId,
        of: DestinationId,
        earliest: Due,
        upcoming: Option<Due>,
    ) {
        self.lanes.insert((site, earliest, of));
        self.upcoming.extend(upcoming.map(|due| (site, due, of)));
    }

    /// It does not any more.
    pub(crate) fn leave_site(
        &mut self,
        site: SiteId,
        of: DestinationId,
        earliest: Due,
        upcoming: Option<Due>,
    ) {
        self.lanes.remove(&(site, earliest, of));
        upcoming.map(|due| self.upcoming.remove(&(site, due, of)));
    }

    /// When the site's earliest job is due.
    pub(crate) fn earliest_at(&self, site: SiteId) -> Option<Due> {
        first_at(&self.lanes, site).map(|(due, _)| due)
    }

    /// A destination of the site with senders who are due by `now` and not in the round.
    pub(crate) fn next_upcoming(&self, site: SiteId, now: Due) -> Option<DestinationId> {
        first_at(&self.upcoming, site).and_then(|(due, of)| (due <= now).then_some(of))
    }

    /// Brings into the round who is due by `now`, from `promoted` on, earliest first; a few at a
    /// time, so that a million senders who come due together make no call slow. Returns how far
    /// it came, which is the destination's `promoted` from then on.
    #[must_use]
    pub(crate) fn promote(
        &mut self,
        of: DestinationId,
        site: SiteId,
        promoted: Promoted,
        now: Due,
    ) -> Promoted {
        const AT_ONCE: usize = 64;
        let reached = Promoted::to(now, Sender::MAX);
        if promoted >= reached {
            return promoted;
        }
        let came_due = (after(of, promoted), Bound::Included((of, now, Sender::MAX)));
        for (n, &(_, due, sender)) in self.heads.range(came_due).enumerate() {
            self.round.insert((site, sender, of));
            if n + 1 == AT_ONCE {
                return Promoted::to(due, sender);
            }
        }
        reached
    }

    /// The job of a site whose turn it is; `leads_there` is whether a destination leads to it.
    pub(crate) fn pick(
        &mut self,
        site: SiteId,
        turn: Turn,
        now: Due,
        leads_there: impl Fn(DestinationId) -> bool,
    ) -> Option<(DestinationId, Waiting)> {
        if let Turn::NextSender { after, from } = turn {
            while let Some((sender, of)) = self.next_in_round(site, after, from) {
                let job = self.first_of(of, sender).filter(|job| job.due <= now);
                if let Some(job) = job.filter(|_| leads_there(of)) {
                    return Some((of, job));
                }
                self.round.remove(&(site, sender, of));
            }
        }
        let (_, of) = first_at(&self.lanes, site)?;
        let all = (of, Due::MIN, Sender::MIN)..=(of, Due::MAX, Sender::MAX);
        let &(_, _, sender) = self.heads.range(all).next()?;
        Some((of, self.first_of(of, sender)?))
    }

    fn next_in_round(
        &self,
        site: SiteId,
        last: Sender,
        from: DestinationId,
    ) -> Option<(Sender, DestinationId)> {
        const FIRST: DestinationId = DestinationId(0);
        const LAST: DestinationId = DestinationId(u32::MAX);
        let find = |low: (Sender, DestinationId), high: (Sender, DestinationId)| {
            let range = (site, low.0, low.1)..=(site, high.0, high.1);
            let found = self.round.range(range).next();
            found.map(|&(_, sender, of)| (sender, of))
        };
        let end = (Sender::MAX, LAST);
        let after = last
            .checked_add(1)
            .and_then(|next| find((next, FIRST), end));
        let (sender, first) = after.or_else(|| find((Sender::MIN, FIRST), end))?;
        Some(find((sender, from), (sender, LAST)).unwrap_or((sender, first)))
    }

    fn head(&self, of: DestinationId, sender: Sender) -> Option<Due> {
        self.first_of(of, sender).map(|job| job.due)
    }

    fn first_of(&self, of: DestinationId, sender: Sender) -> Option<Waiting> {
        let all =
            (of, sender, Due::MIN, MessageId(0))..=(of, sender, Due::MAX, MessageId(u64::MAX));
        let &(_, sender, due, id) = self.waiting.range(all).next()?;
        Some(Waiting { sender, due, id })
    }

    /// Follows a change of when a sender's earliest job is due.
    fn move_head(
        &mut self,
        of: DestinationId,
        sender: Sender,
        (old, new): (Option<Due>, Option<Due>),
        site: Option<SiteId>,
        promoted: Promoted,
    ) {
        if old == new {
            return;
        }
        if let Some(due) = old {
            self.heads.remove(&(of, due, sender));
        }
        if let Some(due) = new {
            self.heads.insert((of, due, sender));
        }
        let Some(site) = site else {
            return;
        };
        if new.is_some_and(|due| Promoted::to(due, sender) <= promoted) {
            self.round.insert((site, sender, of));
        } else {
            self.round.remove(&(site, sender, of));
        }
    }
}

/// The first of a site.
fn first_at(
    set: &BTreeSet<(SiteId, Due, DestinationId)>,
    site: SiteId,
) -> Option<(Due, DestinationId)> {
    let all = (site, Due::MIN, DestinationId(0))..=(site, Due::MAX, DestinationId(u32::MAX));
    set.range(all).next().map(|&(_, due, of)| (due, of))
}

/// Where the senders of a destination begin who are not in the round.
fn after(of: DestinationId, Promoted(promoted): Promoted) -> Bound<(DestinationId, Due, Sender)> {
    match promoted {
        Some((due, sender)) => Bound::Excluded((of, due, sender)),
        None => Bound::Included((of, Due::MIN, Sender::MIN)),
    }
}
