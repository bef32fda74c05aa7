//! HELO: a stranger that gives our own name, or an address that is not its own, hides its name.
//!
//! Programs of this machine may well give its name: they are left alone.

use std::net::IpAddr;

use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{ClientAddress, Gathered};

/// Is the name in HELO or EHLO evidently another's?
#[derive(Clone, Debug)]
pub struct HelloIdentity {
    /// The name of this host.
    pub hostname: Box<str>,
}

impl Check for HelloIdentity {
    fn name(&self) -> &'static str {
        "hello-identity"
    }

    fn phase(&self) -> Phase {
        Phase::Helo
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        let (name, client) = (facts.hello_name(), facts.client_address());
        let (Gathered::Known(name), Gathered::Known(client)) = (name?, client?) else {
            return Ok(Found::CannotTell);
        };
        let ClientAddress::Network(address) = client else {
            return Ok(Found::Nothing);
        };
        if client.is_this_machine() {
            return Ok(Found::Nothing);
        }
        if name
            .trim_end_matches('.')
            .eq_ignore_ascii_case(&self.hostname)
        {
            return Ok(Found::fault(
                &table::HELLO_REFUSED,
                "the name in HELO is this host's own",
            ));
        }
        Ok(match address_literal(name) {
            Some(claimed) if claimed.to_canonical() != address.to_canonical() => Found::fault(
                &table::HELLO_REFUSED,
                "the address in HELO is not the client's",
            ),
            Some(_) | None => Found::Nothing,
        })
    }
}

/// The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
fn address_literal(name: &str) -> Option<IpAddr> {
    let inner = name.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner[5..].parse().ok(),
        _ => inner.parse().ok(),
    }
}
