//! In which order instances start and stop, as functions over who hands to whom.
//!
//! # Guarantees
//! An instance stops after all that hand to it, so that what they have in flight is taken. A
//! circle, which a checked configuration cannot hold, stops all at once rather than never.

use std::time::Duration;

use mail::InstanceName;

/// An instance and where it hands messages on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    /// The instance.
    pub(super) name: &'a InstanceName,
    /// The instance behind it.
    pub(super) next: Option<&'a InstanceName>,
}

/// Which of `leaving` may be told to stop now, given everything that runs (`leaving` included).
pub(super) fn may_stop<'a>(
    leaving: &[&'a InstanceName],
    running: &[Link<'_>],
) -> Vec<&'a InstanceName> {
    let free = leaving
        .iter()
        .filter(|name| in_front_of(name, running).next().is_none());
    let free: Vec<_> = free.copied().collect();
    // Fronts that stay keep what is behind them; fronts that leave as well, in a circle, do not.
    let all_leave =
        |name: &&InstanceName| in_front_of(name, running).all(|link| leaving.contains(&link.name));
    let circle = free.is_empty() && leaving.iter().all(all_leave);
    if circle { leaving.to_vec() } else { free }
}

fn in_front_of<'a>(
    name: &InstanceName,
    running: &'a [Link<'a>],
) -> impl Iterator<Item = &'a Link<'a>> {
    running
        .iter()
        .filter(move |link| link.next == Some(name) && link.name != name)
}

/// How many instances follow behind `name`.
pub(super) fn n_behind(name: &InstanceName, links: &[Link<'_>]) -> u32 {
    let mut at = name;
    let mut count = 0;
    // A circle ends the walk after as many steps as there are instances.
    for _ in links {
        let Some(next) = links
            .iter()
            .find(|link| link.name == at)
            .and_then(|link| link.next)
        else {
            break;
        };
        at = next;
        count += 1;
    }
    count
}

/// How much of the `remaining` time of a stop an instance gets that has `n_behind` others behind
/// it: each of those needs a share of the `total` to store and sync what it was handed.
pub(super) fn stop_limit(remaining: Duration, total: Duration, n_behind: u32) -> Duration {
    let reserved = (total / 8).saturating_mul(n_behind).min(total / 2);
    remaining.saturating_sub(reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<InstanceName> {
        text.split_whitespace()
            .map(|name| name.parse().unwrap())
            .collect()
    }

    /// `a>b c` is an instance `a` in front of `b`, and `c` with nothing behind it.
    fn stops(leaving: &str, running: &str) -> String {
        let leaving = names(leaving);
        let leaving: Vec<_> = leaving.iter().collect();
        let pairs: Vec<_> = running
            .split_whitespace()
            .map(|link| names(&link.replace('>', " ")))
            .collect();
        let links: Vec<_> = pairs
            .iter()
            .map(|pair| Link {
                name: &pair[0],
                next: pair.get(1),
            })
            .collect();
        let stopped = may_stop(&leaving, &links);
        stopped
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn fronts_stop_before_what_is_behind_them() {
        for (leaving, running, expected) in [
            ("sub in out", "sub>out in>out out", "sub in"),
            ("in out", "in>out out", "in"),
            ("out", "out", "out"),
            ("a b c", "a>b b>c c", "a"),
            ("a b", "a b", "a b"),
            ("", "a>b b", ""),
            // A front that stays keeps what is behind it alive.
            ("out", "in>out out", ""),
            // Circles.
            ("a b", "a>b b>a", "a b"),
            ("a", "a>a", "a"),
            ("a b", "a>b b>a c>a", ""),
        ] {
            assert_eq!(stops(leaving, running), expected, "{leaving} of {running}");
        }
    }

    #[test]
    fn time_is_left_for_those_behind() {
        let s = Duration::from_secs;
        for (remaining, total, behind, expected) in [
            (32, 32, 0, 32),
            (32, 32, 1, 28),
            (30, 32, 2, 22),
            (1, 32, 1, 0),
            (32, 32, 99, 16),
        ] {
            assert_eq!(stop_limit(s(remaining), s(total), behind), s(expected));
        }
    }

    #[test]
    fn a_circle_does_not_make_the_walk_endless() {
        let all = names("a b c");
        let chain = [
            Link {
                name: &all[0],
                next: Some(&all[1]),
            },
            Link {
                name: &all[1],
                next: Some(&all[2]),
            },
            Link {
                name: &all[2],
                next: None,
            },
        ];
        assert_eq!(n_behind(&all[0], &chain), 2);
        assert_eq!(n_behind(&all[2], &chain), 0);
        let circle = [
            Link {
                name: &all[0],
                next: Some(&all[1]),
            },
            Link {
                name: &all[1],
                next: Some(&all[0]),
            },
        ];
        assert_eq!(n_behind(&all[0], &circle), 2);
    }
}
