//! Sites that could not be reached when they were tried last: since when, and why.
//!
//! # Guarantees
//! The outage of a relay is one alarm when it begins and one line when it ends. What else leads out
//! of the instance reports by itself: the next instance by its breaker, a Maildir by its directory.
//!
//! # Limits
//! [`OUTAGES_MAX`] sites; one that goes and comes is reported once in [`REPORT_INTERVAL`].

use std::collections::BTreeMap;
use std::time::Duration;

use mail::{Moment, Reply, Timestamp};
use queue::SiteId;

use crate::attempt::Seen;
use crate::delivery::{Delivery, State};
use crate::transport::{News, SiteSeen};

/// More sites than any configuration has.
const OUTAGES_MAX: usize = 1000;
/// How long a report stands for the outages that follow it.
const REPORT_INTERVAL: Duration = Duration::from_secs(600);

/// A site that could not be reached when it was tried last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What leads there, and where: `relay smtp.example:25`.
    pub destination: Box<str>,
    /// When that began.
    pub since: Timestamp,
    /// What the last attempt came to, for operators.
    pub cause: Box<str>,
    /// How many messages wait for it.
    pub n_waiting: u32,
}

/// All outages, by the names of their sites.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    known: BTreeMap<Box<str>, Known>,
    /// When relays were reported last.
    reported: BTreeMap<Box<str>, Moment>,
}

#[derive(Debug)]
struct Known {
    destination: Box<str>,
    since: Timestamp,
    cause: Box<str>,
    is_reported: bool,
}

impl Outages {
    /// The site was tried in vain; returns whether that is to be reported.
    fn begin(&mut self, site: &str, seen: &Seen, since: Timestamp, now: Moment) -> bool {
        if !self.known.contains_key(site) && self.known.len() >= OUTAGES_MAX {
            return false;
        }
        let known = self.known.entry(site.into()).or_insert_with(|| Known {
            destination: seen.destination.clone(),
            since,
            cause: "".into(),
            is_reported: false,
        });
        known.cause = cause(&seen.reply);
        self.reported
            .retain(|_, at| now.since(*at) < REPORT_INTERVAL);
        let is_due = seen.is_relay && !known.is_reported && !self.reported.contains_key(site);
        if is_due {
            known.is_reported = true;
            self.reported.insert(site.into(), now);
        }
        is_due
    }

    /// The site answered, or nothing waits for it any more; returns what was reported of it.
    fn end(&mut self, site: &str) -> Option<Known> {
        self.known.remove(site).filter(|known| known.is_reported)
    }
}

/// What a reply says, without its codes where it says anything.
fn cause(reply: &Reply) -> Box<str> {
    match reply.cause().unwrap_or_else(|| reply.text()) {
        "" => reply.to_string().into(),
        text => text.into(),
    }
}

impl Delivery {
    /// Takes note of what an attempt showed of its site.
    pub(crate) fn note_attempt(&self, site: SiteId, seen: &Seen) {
        let name: Box<str> = {
            let state = self.state();
            if seen.site == SiteSeen::Answering && state.outages.known.is_empty() {
                return;
            }
            let view = state.queue.site_view(site);
            view.map_or("", |view| view.name).into()
        };
        self.note_site(&name, seen);
    }

    /// Takes note of whether a site, or what resolves a destination, answers, and reports it where
    /// it is new.
    pub(crate) fn note_site(&self, site: &str, seen: &Seen) {
        let (now, moment) = (self.now(), self.clock.now());
        let news = {
            let mut state = self.state();
            match seen.site {
                SiteSeen::Answering => state
                    .outages
                    .end(site)
                    .map(|known| News::Cleared(ended(&known, "takes mail again").into())),
                SiteSeen::Down => state.outages.begin(site, seen, now, moment).then(|| {
                    let n_waiting = state.n_waiting(site);
                    News::Alarm(begun(seen, n_waiting).into())
                }),
            }
        };
        self.tell_news(news);
    }

    /// Forgets the outages of sites for which no mail waits any more.
    pub(crate) fn sweep_outages(&self) {
        let news: Vec<_> = {
            let mut state = self.state();
            let sites: Vec<_> = state.outages.known.keys().cloned().collect();
            let over = sites.iter().filter_map(|site| {
                let is_over = state.n_waiting(site) == 0;
                is_over.then(|| state.outages.end(site)).flatten()
            });
            over.map(|known| {
                News::Cleared(ended(&known, "has no mail that waits for it any more").into())
            })
            .collect()
        };
        self.tell_news(news);
    }

    /// The sites that could not be reached when they were tried last and for which mail waits; up
    /// to `limit` of them.
    #[must_use]
    pub fn outages(&self, limit: usize) -> Vec<Outage> {
        let state = self.state();
        let sites: Vec<_> = state.outages.known.keys().cloned().collect();
        let outages = sites.iter().filter_map(|site| state.outage(site));
        outages
            .filter(|outage| outage.n_waiting > 0)
            .take(limit)
            .collect()
    }
}

impl State {
    /// The outage of this site, if it has one.
    pub(crate) fn outage(&self, site: &str) -> Option<Outage> {
        let n_waiting = self.n_waiting(site);
        let known = self.outages.known.get(site)?;
        Some(Outage {
            destination: known.destination.clone(),
            since: known.since,
            cause: known.cause.clone(),
            n_waiting,
        })
    }

    /// How many messages have recipients that wait for this site, or are on their way there.
    fn n_waiting(&self, site: &str) -> u32 {
        self.queue.counts_of(site).n_all()
    }
}

fn begun(seen: &Seen, n_waiting: u32) -> String {
    let (destination, cause) = (&seen.destination, cause(&seen.reply));
    let messages = if n_waiting == 1 {
        "message waits"
    } else {
        "messages wait"
    };
    format!(
        "mail waits: {destination} takes no mail: {cause}; {n_waiting} {messages}, and `postern \
         status` shows how many, until it takes mail again"
    )
}

fn ended(known: &Known, how: &str) -> String {
    let (destination, since) = (&known.destination, known.since.rfc3339());
    format!("{destination} {how}; it took no mail since {since}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::reply::table;

    fn seen(cause: &str) -> Seen {
        Seen {
            site: SiteSeen::Down,
            destination: "relay h:25".into(),
            is_relay: true,
            reply: table::NO_CONNECTION.reply().with_cause(cause),
        }
    }

    #[test]
    fn a_relay_that_goes_and_comes_is_reported_once_in_a_while() {
        let mut outages = Outages::default();
        let begin = |outages: &mut Outages, seconds| {
            let moment = Moment::START + Duration::from_secs(seconds);
            let now = Timestamp::from_unix_ms(seconds * 1000);
            outages.begin("h:25", &seen("refused"), now, moment)
        };
        assert!(begin(&mut outages, 0));
        assert!(!begin(&mut outages, 1));
        assert!(outages.end("h:25").is_some());
        assert!(!begin(&mut outages, 2));
        assert!(outages.end("h:25").is_none());
        assert!(!begin(&mut outages, 599));
        assert!(begin(&mut outages, 600));
        let known = outages.end("h:25").unwrap();
        assert_eq!(known.since, Timestamp::from_unix_ms(599_000));
    }

    #[test]
    fn only_relays_are_reported_and_no_more_sites_are_kept_than_fit() {
        let mut outages = Outages::default();
        let next = Seen {
            is_relay: false,
            ..seen("away")
        };
        assert!(!outages.begin("output", &next, Timestamp::from_unix_ms(0), Moment::START));
        for n in 0..OUTAGES_MAX {
            let site = format!("h{n}:25");
            outages.begin(&site, &seen("x"), Timestamp::from_unix_ms(0), Moment::START);
        }
        assert_eq!(outages.known.len(), OUTAGES_MAX);
    }
}
