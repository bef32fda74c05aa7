//! Which way a recipient goes: the first route that matches decides, at every attempt anew.
//!
//! # Guarantees
//! Pure, and never waits. Whether a Maildir exists that nobody listed is found out by who asks
//! about a recipient ([`Routes::standing`]), and by the delivery itself.

mod index;

use std::collections::HashSet;
use std::sync::Arc;

use mail::reply::table;
use mail::{DomainKey, Mailbox, Origin, Reply};

use self::index::Index;
use crate::resolver::{Resolver, Via};
use crate::transport::{Lookup, Maildir, News, Transport};

/// One route.
#[derive(Debug)]
pub struct Route {
    /// Which recipients it is for: those that any of these takes.
    pub matches: Vec<Match>,
    /// The users there are, lower case; `None` when the transport knows.
    pub users: Option<HashSet<Box<str>>>,
    /// Whose mail it takes.
    pub open_to: OpenTo,
    /// What carries the message on, or finds that out.
    pub via: Via,
}

/// Which recipients a route is for. Compared without regard to case and to the form of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This one.
    Address(Mailbox),
    /// Every one.
    Any,
    /// All of a domain.
    Domain(DomainKey<'static>),
    /// All of the domains below this one.
    Subdomains(DomainKey<'static>),
}

/// Whose mail a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTo {
    /// Anybody's.
    Anyone,
    /// Only that of senders of ours: it leads out of the system.
    Ours,
}

/// What is said about a recipient before its message comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A route for senders of ours only.
    Elsewhere,
    /// A route that anybody may use.
    Ours,
    /// No route, no user, or a route that refuses.
    Refused(Reply),
}

/// What is known of a recipient at once.
#[derive(Debug)]
pub enum Asked {
    /// Where it stands.
    Known(Standing),
    /// That, if it has a Maildir.
    InStorage(Maildir, Standing),
}

impl Asked {
    /// Where the recipient stands. Waits for storage, within a bound.
    pub async fn standing(self, recipient: &Mailbox) -> (Standing, Option<News>) {
        match self {
            Self::Known(standing) => (standing, None),
            Self::InStorage(maildir, standing) => match maildir.look(recipient).await {
                Lookup::CannotTell(reply, news) => (Standing::Refused(reply), news),
                Lookup::NotThere => (Standing::Refused(table::NO_SUCH_USER.reply()), None),
                Lookup::There(news) => (standing, news),
            },
        }
    }
}

/// All routes of an instance, in order.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
    index: Index,
    delimiter: Option<char>,
    hostname: DomainKey<'static>,
}

impl Routes {
    /// Routes in the order in which they are tried. `delimiter` begins the extension of a local
    /// part (`+`). Mail for the postmaster of `hostname`, whom every server must know
    /// (RFC 5321 §4.5.1), takes the first route for a postmaster unless it has one of its own.
    #[must_use]
    pub fn new(routes: Vec<Route>, delimiter: Option<char>, hostname: &str) -> Self {
        Self {
            index: Index::new(&routes),
            routes,
            delimiter,
            hostname: hostname.into(),
        }
    }

    /// Whether any route is for this recipient.
    #[must_use]
    pub fn matches(&self, recipient: &Mailbox) -> bool {
        self.first(recipient).is_some()
    }

    /// Where the recipient stands, as far as that is known without a look at storage.
    #[must_use]
    pub fn standing(&self, recipient: &Mailbox) -> Asked {
        let route = match self.find(recipient) {
            Ok(route) => route,
            Err(reply) => return Asked::Known(Standing::Refused(reply)),
        };
        let standing = match route.open_to {
            OpenTo::Anyone => Standing::Ours,
            OpenTo::Ours => Standing::Elsewhere,
        };
        match route.via.transport().map(|t| &**t) {
            Some(Transport::Error(reply)) => Asked::Known(Standing::Refused(reply.clone())),
            Some(Transport::Maildir(maildir)) if maildir.must_look() => {
                Asked::InStorage(maildir.clone(), standing)
            }
            _ => Asked::Known(standing),
        }
    }

    /// What carries this recipient's copy now, or finds that out.
    ///
    /// # Errors
    /// The reply that refuses it: no route, no such user, or no way for mail of this origin.
    pub fn via(&self, recipient: &Mailbox, origin: &Origin) -> Result<&Via, Reply> {
        let route = self.find(recipient)?;
        if route.open_to == OpenTo::Ours && !origin.is_ours() {
            return Err(table::RELAY_DENIED.reply());
        }
        Ok(&route.via)
    }

    /// The way to the next instance, where a route leads there; there is one at most.
    pub(crate) fn handoff(&self) -> Option<&Arc<Transport>> {
        let mut transports = self.routes.iter().filter_map(|route| route.via.transport());
        transports.find(|transport| transport.handoff().is_some())
    }

    /// The resolver of that name.
    pub(crate) fn resolver(&self, name: &str) -> Option<Arc<dyn Resolver>> {
        let resolvers = self.routes.iter().filter_map(|route| match &route.via {
            Via::Resolver(resolver) => Some(resolver),
            Via::Transport(_) => None,
        });
        let mut resolvers = resolvers.filter(|resolver| resolver.to_string() == name);
        resolvers.next().cloned()
    }

    fn find(&self, recipient: &Mailbox) -> Result<&Route, Reply> {
        if let Some(route) = self.postmaster(recipient) {
            return Ok(route);
        }
        let route = self.first(recipient);
        let route = route.ok_or_else(|| table::NO_SUCH_DOMAIN.reply())?;
        let is_listed = route
            .users
            .as_ref()
            .is_none_or(|users| users.contains(self.user(recipient).as_str()));
        if is_listed {
            Ok(route)
        } else {
            Err(table::NO_SUCH_USER.reply())
        }
    }

    fn first(&self, recipient: &Mailbox) -> Option<&Route> {
        let takes = |place: usize| self.routes[place].takes(recipient);
        let place = self.index.first(&recipient.domain_key(), takes)?;
        Some(&self.routes[place])
    }

    fn postmaster(&self, recipient: &Mailbox) -> Option<&Route> {
        let asked = recipient.local_part().eq_ignore_ascii_case("postmaster")
            && recipient.domain_key() == self.hostname;
        let of_any_domain = |route: &&Route| {
            route.matches.iter().any(|m| match m {
                Match::Address(a) => a.local_part().eq_ignore_ascii_case("postmaster"),
                Match::Any | Match::Domain(_) | Match::Subdomains(_) => false,
            })
        };
        let own = |route: &Route| {
            route
                .matches
                .iter()
                .any(|m| *m != Match::Any && m.takes(recipient))
        };
        if !asked || self.routes.iter().any(own) {
            return None;
        }
        self.routes.iter().find(of_any_domain)
    }

    /// The local part without quotes and extension, in lower case.
    fn user(&self, recipient: &Mailbox) -> String {
        let unquoted = recipient.local_part_unquoted();
        let base = match self.delimiter {
            // A leading delimiter begins no extension: there would be no user left.
            Some(delimiter) => match unquoted.split_once(delimiter) {
                Some((base, _)) if !base.is_empty() => base,
                _ => &unquoted,
            },
            None => &unquoted,
        };
        base.to_lowercase()
    }
}

impl Route {
    fn takes(&self, recipient: &Mailbox) -> bool {
        self.matches.iter().any(|m| m.takes(recipient))
    }
}

impl Match {
    fn takes(&self, recipient: &Mailbox) -> bool {
        match self {
            Self::Address(address) => {
                recipient.domain_key() == address.domain_key()
                    && recipient
                        .local_part()
                        .eq_ignore_ascii_case(address.local_part())
            }
            Self::Any => true,
            Self::Domain(name) => recipient.domain_key() == *name,
            Self::Subdomains(name) => recipient.domain_key().is_below(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(matches: Match, users: Option<&[&str]>, open_to: OpenTo) -> Route {
        let users = users.map(|users| users.iter().map(|&u| u.into()).collect());
        let via = Transport::Hold { why: "test".into() }.into();
        Route {
            matches: vec![matches],
            users,
            open_to,
            via,
        }
    }

    fn routes() -> Routes {
        Routes::new(
            vec![
                route(
                    Match::Domain("x.org".into()),
                    Some(&["alice"]),
                    OpenTo::Anyone,
                ),
                route(Match::Subdomains("x.org".into()), None, OpenTo::Anyone),
                route(Match::Address(mailbox("A@y.org")), None, OpenTo::Anyone),
                route(Match::Any, None, OpenTo::Ours),
            ],
            Some('+'),
            "mail.x.org",
        )
    }

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn known(routes: &Routes, recipient: &str) -> Standing {
        match routes.standing(&mailbox(recipient)) {
            Asked::Known(standing) => standing,
            Asked::InStorage(..) => panic!("no Maildir is there"),
        }
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        for (recipient, expected) in [
            ("alice@x.org", Standing::Ours),
            ("ALICE+list@X.Org", Standing::Ours),
            ("\"alice\"@x.org", Standing::Ours),
            ("bob@x.org", Standing::Refused(table::NO_SUCH_USER.reply())),
            (
                "+alice@x.org",
                Standing::Refused(table::NO_SUCH_USER.reply()),
            ),
            ("bob@sub.x.org", Standing::Ours),
            ("bob@notx.org", Standing::Elsewhere),
            ("a@y.org", Standing::Ours),
            ("b@y.org", Standing::Elsewhere),
        ] {
            assert_eq!(known(&routes(), recipient), expected, "{recipient}");
        }
        let none = known(&Routes::default(), "a@b.c");
        assert_eq!(none, Standing::Refused(table::NO_SUCH_DOMAIN.reply()));
    }

    #[test]
    fn of_routes_that_match_in_different_ways_the_first_decides() {
        let matches = [
            Match::Address(mailbox("a@b.c.org")),
            Match::Subdomains("org".into()),
            Match::Domain("B.C.org".into()),
            Match::Any,
            Match::Subdomains("C.org".into()),
        ];
        for first in 0..matches.len() {
            let mut order = matches.to_vec();
            order.rotate_left(first);
            let list = order.iter().map(|m| route(m.clone(), None, OpenTo::Ours));
            let routes = Routes::new(list.collect(), None, "mail.x.org");
            for address in ["a@b.c.org", "A@B.C.ORG", "x@b.c.org", "x@c.org", "x@d.net"] {
                let recipient = mailbox(address);
                let place = order.iter().position(|m| m.takes(&recipient)).unwrap();
                let found = routes.first(&recipient).unwrap();
                assert!(
                    std::ptr::eq(found, &raw const routes.routes[place]),
                    "{address}"
                );
            }
        }
    }

    #[test]
    fn a_domain_is_the_same_in_unicode_and_as_a_label() {
        let (u, a) = ("Bücher.example", "XN--bcher-kva.Example");
        for (routed, asked) in [(u, a), (a, u)] {
            let at = |local: &str, domain: &str| mailbox(&format!("{local}@{domain}"));
            for (matches, recipient) in [
                (Match::Domain(routed.into()), at("x", asked)),
                (
                    Match::Subdomains(routed.into()),
                    at("x", &format!("sub.{asked}")),
                ),
                (Match::Address(at("X", routed)), at("x", asked)),
            ] {
                let text = format!("{matches:?} {recipient}");
                let routes = Routes::new(
                    vec![route(matches, None, OpenTo::Anyone)],
                    None,
                    "mail.x.org",
                );
                assert_eq!(known(&routes, recipient.as_str()), Standing::Ours, "{text}");
            }
            let of_host = vec![route(
                Match::Address(at("postmaster", "z.org")),
                None,
                OpenTo::Anyone,
            )];
            let routes = Routes::new(of_host, None, routed);
            let recipient = at("postmaster", asked);
            assert_eq!(known(&routes, recipient.as_str()), Standing::Ours);
        }
    }

    #[test]
    fn the_postmaster_of_the_host_is_the_first_there_is() {
        let postmaster = route(
            Match::Address(mailbox("postmaster@z.org")),
            None,
            OpenTo::Anyone,
        );
        let routes = |first| {
            Routes::new(
                vec![first, route(Match::Any, None, OpenTo::Ours)],
                None,
                "mx.z.org",
            )
        };
        let bare = "PostMaster@mx.z.org";
        assert_eq!(known(&routes(postmaster), bare), Standing::Ours);
        let none = route(Match::Domain("z.org".into()), None, OpenTo::Anyone);
        assert_eq!(known(&routes(none), bare), Standing::Elsewhere);
    }

    #[test]
    fn a_recipient_that_no_route_takes_matches_none() {
        assert!(routes().matches(&mailbox("bob@x.org")));
        assert!(!Routes::default().matches(&mailbox("bob@x.org")));
        let one = route(Match::Domain("x.org".into()), None, OpenTo::Anyone);
        let one = Routes::new(vec![one], None, "mail.x.org");
        assert!(!one.matches(&mailbox("a@far.example")));
    }

    #[test]
    fn a_route_out_of_the_system_is_not_for_the_world() {
        let routes = routes();
        let far = mailbox("a@far.example");
        assert!(routes.via(&far, &Origin::Local { uid: 1 }).is_ok());
        let refused = routes.via(&far, &Origin::Outside).map(|_| ());
        assert_eq!(refused, Err(table::RELAY_DENIED.reply()));
    }
}
