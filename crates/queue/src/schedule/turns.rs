//! Whose turn it is: of the sites that may begin an attempt, or of the destinations that are to be
//! resolved. In what follows both are called sites.
//!
//! # Guarantees
//! Of the sites that may begin an attempt, each has one turn before another has two. Those that are
//! down, and those of which nothing is known, may all be silent and keep what they begin for
//! minutes; so they have only a part of the attempts, and what is left is for who answers.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::job::SiteState;
use crate::limits::{ANSWERING_PART, PROBES_PART};

/// The sites that have a job which may begin, by what is known of them.
#[derive(Debug)]
pub(super) struct Turns<I> {
    down: BTreeSet<I>,
    new: BTreeSet<I>,
    up: BTreeSet<I>,
    /// Attempts under way that began while their site was down.
    n_down: u32,
    /// Attempts under way that began while nothing was known of their site.
    n_new: u32,
    /// How many of these there may be.
    down_max: u32,
    /// How many of both together.
    unsure_max: u32,
    /// The site that had the last turn.
    last: Option<I>,
    /// The site that had the last of the turns that are only for who answers.
    last_spare: Option<I>,
}

/// A site's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn<I> {
    /// In the round of all sites.
    Regular(I),
    /// In the round of those that answer, while others are not let in.
    Spare(I),
}

impl<I: Copy> Turn<I> {
    pub(super) const fn of(self) -> I {
        match self {
            Self::Regular(site) | Self::Spare(site) => site,
        }
    }
}

impl<I: Copy + Ord> Turns<I> {
    /// No site, where so many attempts may be under way in all.
    pub(super) fn new(attempts_max: u32) -> Self {
        let attempts_max = attempts_max.max(1);
        Self {
            down: BTreeSet::new(),
            new: BTreeSet::new(),
            up: BTreeSet::new(),
            n_down: 0,
            n_new: 0,
            down_max: (attempts_max / PROBES_PART).max(1),
            unsure_max: attempts_max - attempts_max / ANSWERING_PART,
            last: None,
            last_spare: None,
        }
    }

    pub(super) fn insert(&mut self, state: SiteState, site: I) {
        self.of(state).insert(site);
    }

    pub(super) fn remove(&mut self, state: SiteState, site: I) {
        self.of(state).remove(&site);
    }

    /// Whose turn it is, of those who leave room.
    pub(super) fn next(&self, leaves_room: impl Fn(I) -> bool) -> Option<Turn<I>> {
        let probes = (self.n_down < self.down_max).then_some(&self.down);
        let all = [Some(&self.up), Some(&self.new), probes];
        let site = after(self.last, all.into_iter().flatten(), &leaves_room)?;
        if self.up.contains(&site) || self.n_unsure_left() > 0 {
            return Some(Turn::Regular(site));
        }
        // It keeps its turn; what is kept for who answers is for these meanwhile.
        after(self.last_spare, [&self.up], &leaves_room).map(Turn::Spare)
    }

    /// How many more attempts there may be at sites that are down or of which nothing is known.
    pub(super) const fn n_unsure_left(&self) -> u32 {
        self.unsure_max.saturating_sub(self.n_down + self.n_new)
    }

    /// A site had its turn.
    pub(super) const fn took(&mut self, turn: Turn<I>) {
        match turn {
            Turn::Regular(site) => self.last = Some(site),
            Turn::Spare(site) => self.last_spare = Some(site),
        }
    }

    /// An attempt began at a site that stood so.
    pub(super) fn began(&mut self, state: SiteState) {
        if let Some(n) = self.n_under_way(state) {
            *n += 1;
        }
    }

    /// An attempt ended that had begun so.
    pub(super) fn ended(&mut self, state: SiteState) {
        if let Some(n) = self.n_under_way(state) {
            *n -= 1;
        }
    }

    const fn n_under_way(&mut self, state: SiteState) -> Option<&mut u32> {
        match state {
            SiteState::Down => Some(&mut self.n_down),
            SiteState::New => Some(&mut self.n_new),
            SiteState::Up => None,
        }
    }

    const fn of(&mut self, state: SiteState) -> &mut BTreeSet<I> {
        match state {
            SiteState::Down => &mut self.down,
            SiteState::New => &mut self.new,
            SiteState::Up => &mut self.up,
        }
    }
}

/// The first site after `last`, in a circle, of those who leave room.
fn after<'a, I: Copy + Ord + 'a>(
    last: Option<I>,
    ready: impl IntoIterator<Item = &'a BTreeSet<I>> + Clone,
    leaves_room: impl Fn(I) -> bool,
) -> Option<I> {
    let above = (
        last.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    );
    let up_to = last.map(|last| (Bound::Unbounded, Bound::Included(last)));
    [Some(above), up_to]
        .into_iter()
        .flatten()
        .find_map(|range| {
            // Who is passed over here has an attempt under way: they are few.
            let first = |sites: &BTreeSet<I>| {
                let mut sites = sites.range(range).copied();
                sites.find(|site| leaves_room(*site))
            };
            ready.clone().into_iter().filter_map(first).min()
        })
}
