//! Which routes may be for a domain, found without asking each: with a thousand routes, a queue of
//! a million is read at the same pace as with three.

use std::collections::HashMap;

use mail::DomainKey;

use super::{Match, Route};

/// Places in the list of routes, by what they match; each list is in the order of the routes.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// For a domain, or an address in it.
    at: HashMap<DomainKey<'static>, Vec<usize>>,
    /// For all below a domain.
    below: HashMap<DomainKey<'static>, Vec<usize>>,
    /// For everybody.
    everywhere: Vec<usize>,
}

impl Index {
    pub(super) fn new(routes: &[Route]) -> Self {
        let mut index = Self::default();
        for (place, route) in routes.iter().enumerate() {
            for matching in &route.matches {
                let places = match matching {
                    Match::Address(address) => {
                        let key = address.domain_key().into_owned();
                        index.at.entry(key).or_default()
                    }
                    Match::Any => &mut index.everywhere,
                    Match::Domain(name) => index.at.entry(name.clone()).or_default(),
                    Match::Subdomains(name) => index.below.entry(name.clone()).or_default(),
                };
                // A route with many addresses in a domain stands there once.
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        index
    }

    /// The first of the routes that may be for this domain and that `takes` it.
    pub(super) fn first(
        &self,
        domain: &DomainKey<'_>,
        takes: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let domain = domain.as_str();
        let first_of = |places: Option<&Vec<usize>>| {
            let mut places = places.into_iter().flatten();
            places.find(|place| takes(**place)).copied()
        };
        let parents = domain
            .match_indices('.')
            .map(|(at, _)| &domain[at + 1..])
            .filter(|_| !self.below.is_empty());
        let found = parents.filter_map(|parent| first_of(self.below.get(parent)));
        found
            .chain(first_of(self.at.get(domain)))
            .chain(first_of(Some(&self.everywhere)))
            .min()
    }
}
