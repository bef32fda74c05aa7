//! Routes: which recipients, whose mail, what next.

use std::path::Path;

use crate::model::{Literals, MxRoute, OpenTo, Route, RouteMatch, Target};
use crate::section::Section;
use crate::value;

pub(super) fn route(section: &Section<'_>, state: &Path) -> Option<Route> {
    let domains = section.list("domain", value::route_domain);
    let addresses = section.list("address", value::route_address);
    let users = section.list("users", value::user);
    let to = target(&section.section("to"), state);
    let open_to = section.choice("open_to", |word| match word {
        "anyone" => Some(OpenTo::Anyone),
        "ours" => Some(OpenTo::Ours),
        _ => None,
    });
    let matches = match (domains, addresses) {
        (Some(domains), None) => domains,
        (None, Some(addresses)) => addresses,
        (Some(_), Some(_)) => {
            section.note(
                section.at,
                "a route has either `domain` or `address`, not both",
            );
            return None;
        }
        (None, None) => {
            section.note(section.at, "a route needs `domain` or `address`");
            return None;
        }
    };
    for key in ["domain", "address"] {
        if section.is_empty_list(key) {
            section.note(section.position(key), "a route that matches nobody");
        }
    }
    if users.is_some() && section.has("address") {
        section.note(
            section.position("users"),
            "`users` goes with `domain`, not with `address`",
        );
    }
    let to = to?;
    let open_to = open_to.unwrap_or_else(|| open_by_default(&matches, &to));
    Some(Route {
        matches,
        users,
        to,
        open_to,
    })
}

/// What leaves the system, or could be anybody's, is not for the world to use.
fn open_by_default(matches: &[RouteMatch], to: &Target) -> OpenTo {
    let everybody = matches.contains(&RouteMatch::Any);
    match to {
        Target::Mx(_) | Target::Relay(_) => OpenTo::Ours,
        Target::Discard { .. }
        | Target::Error { .. }
        | Target::Hold { .. }
        | Target::Maildir(_) => {
            if everybody {
                OpenTo::Ours
            } else {
                OpenTo::Anyone
            }
        }
    }
}

fn target(section: &Section<'_>, state: &Path) -> Option<Target> {
    match section.variant()? {
        "discard" => section
            .text("discard", value::sentence)
            .map(|why| Target::Discard { why }),
        "error" => section
            .text("error", value::error_status)
            .map(|(status, text)| Target::Error { status, text }),
        "hold" => section
            .text("hold", value::sentence)
            .map(|why| Target::Hold { why }),
        "maildir" => section
            .text("maildir", |text| value::path_template(text, state))
            .map(Target::Maildir),
        "mx" => Some(Target::Mx(mx(&section.section("mx")))),
        "relay" => section.text("relay", value::host_port).map(Target::Relay),
        // Unknown, or known and not built: noted when the section was opened.
        _ => None,
    }
}

fn mx(section: &Section<'_>) -> MxRoute {
    let literals = section.choice("address_literals", |word| match word {
        "deliver" => Some(Literals::Deliver),
        "refuse" => Some(Literals::Refuse),
        _ => None,
    });
    MxRoute {
        // Its range is that of ports.
        port: u16::try_from(section.count("port")).unwrap_or(u16::MAX),
        resolver: section
            .list("resolver", value::resolver)
            .unwrap_or_default(),
        own_addresses: section
            .list("own_addresses", value::address)
            .unwrap_or_default(),
        literals: literals.unwrap_or(Literals::Refuse),
        attempt_timeout: section.duration("attempt_timeout"),
    }
}
