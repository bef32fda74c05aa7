//! The forms that a text in the configuration may have, each read by one function.
//!
//! Every function says in its error what was expected, so that the message needs no manual.
//!
//! # Standards
//! RFC 3986 §3.2.2 for the brackets around IPv6 addresses.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use mail::{DomainKey, EnhancedStatus, InstanceName, Mailbox, Origin, name_or_literal};

use super::model::{
    HostPort, Listen, ListenAddress, ListenSecurity, Network, Next, PathTemplate, RouteMatch,
};

/// What was expected, as the end of a sentence.
pub(super) type Wrong = String;

/// The placeholder for the state directory.
const STATE: &str = "{state}";

/// The port of SMTP between mail transfer agents (RFC 5321 §4.5.4.2).
const SMTP_PORT: u16 = 25;

/// `90s`, `5m`, `4h`, `5d`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || format!("`{text}` is not a time such as `500ms`, `30s`, `5m`, `4h` or `5d`");
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// `512 B`, `64 KiB`, `25 MiB`, `2 GiB`.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = || format!("`{text}` is not a size such as `512 B`, `64 KiB`, `25 MiB` or `2 GiB`");
    let (number, unit) = split_unit(text).ok_or_else(wrong)?;
    let octets = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(octets).ok_or_else(wrong)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

/// A domain name, in lower case.
pub(super) fn domain(text: &str) -> Result<Box<str>, Wrong> {
    let lower = text.to_lowercase();
    match Mailbox::parse(&format!("postmaster@{lower}")) {
        Ok(_) => Ok(lower.into()),
        Err(error) => Err(format!("`{text}` is not a domain name: {error}")),
    }
}

/// The name of a host, in A-labels: so it stands in a greeting (RFC 6531 §3.7.1) and is looked up.
pub(super) fn host_name(text: &str) -> Result<Box<str>, Wrong> {
    let domain = domain(text)?;
    let name = DomainKey::of(&domain);
    if name.as_str().is_ascii() {
        Ok(name.as_str().into())
    } else {
        let why = "it has no form in A-labels, as which it is sent and looked up";
        Err(format!("`{text}` is no name of a host: {why}"))
    }
}

/// The name that this system goes by: that of a host, or its address as a literal.
pub(super) fn own_name(text: &str) -> Result<Box<str>, Wrong> {
    match name_or_literal(text) {
        Cow::Owned(literal) => Ok(literal.into()),
        Cow::Borrowed(name) => host_name(name),
    }
}

/// A domain, `*.domain` or `*`.
pub(super) fn route_domain(text: &str) -> Result<RouteMatch, Wrong> {
    match text.strip_prefix('*') {
        None => domain(text).map(RouteMatch::Domain),
        Some("") => Ok(RouteMatch::Any),
        Some(rest) => match rest.strip_prefix('.') {
            Some(parent) => domain(parent).map(RouteMatch::Subdomains),
            None => Err(format!("`{text}` is not a domain, `*.domain` or `*`")),
        },
    }
}

/// A complete address.
pub(super) fn route_address(text: &str) -> Result<RouteMatch, Wrong> {
    Mailbox::parse(text)
        .map(RouteMatch::Address)
        .map_err(|error| format!("`{text}` is not an address: {error}"))
}

/// A local part, in lower case.
pub(super) fn user(text: &str) -> Result<Box<str>, Wrong> {
    let lower = text.to_lowercase();
    if lower.contains('@') {
        return Err(format!(
            "`{text}` is an address; a user is what stands before its @"
        ));
    }
    match Mailbox::parse(&format!("{lower}@example.org")) {
        Ok(_) => Ok(lower.into()),
        Err(error) => Err(format!("`{text}` is not a user: {error}")),
    }
}

/// A path: absolute, or below the state directory by `{state}`.
pub(super) fn path(text: &str, state: &Path) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(replace_state(text, state)?);
    if path.components().any(|c| matches!(c, Component::ParentDir)) {
        return Err(format!("`{text}` must not contain `..`"));
    }
    if !path.is_absolute() {
        return Err(format!(
            "`{text}` is not an absolute path; begin it with `/` or `{STATE}/`"
        ));
    }
    Ok(path)
}

/// A path with `{local}` and `{domain}` in it.
pub(super) fn path_template(text: &str, state: &Path) -> Result<PathTemplate, Wrong> {
    let path = path(text, state)?;
    let mut rest = text.strip_prefix(STATE).unwrap_or(text);
    while let Some(open) = rest.find('{') {
        let name = rest[open..].split_inclusive('}').next().unwrap_or_default();
        if !matches!(name, "{domain}" | "{local}") {
            let known = "`{state}` at its beginning, `{domain}` and `{local}`";
            return Err(format!("`{name}` is no placeholder; known are {known}"));
        }
        rest = &rest[open + name.len()..];
    }
    match path.to_str() {
        Some(template) => {
            let state = text.starts_with(STATE).then_some(state);
            Ok(PathTemplate::new(template, state))
        }
        None => Err(format!("`{text}` leads to a path that is not UTF-8")),
    }
}

fn replace_state(text: &str, state: &Path) -> Result<String, Wrong> {
    let Some(rest) = text.strip_prefix(STATE) else {
        return Ok(text.to_owned());
    };
    match state.to_str() {
        Some(state) if rest.is_empty() || rest.starts_with('/') => Ok(format!("{state}{rest}")),
        Some(_) => Err(format!("after `{STATE}` in `{text}` a `/` is expected")),
        None => Err(format!(
            "`{STATE}` in `{text}`: the state directory is not UTF-8"
        )),
    }
}

/// `ADDRESS:PORT`, `tls://ADDRESS:PORT` or `unix:PATH`.
pub(super) fn listen(text: &str, state: &Path) -> Result<Listen, Wrong> {
    if let Some(socket) = text.strip_prefix("unix:") {
        let address = ListenAddress::Unix(path(socket, state)?);
        return Ok(Listen {
            address,
            security: ListenSecurity::Plain,
        });
    }
    let (address, security) = match text.strip_prefix("tls://") {
        Some(rest) => (rest, ListenSecurity::ImplicitTls),
        None => (text, ListenSecurity::Plain),
    };
    let address: SocketAddr = address.parse().map_err(|_| {
        format!(
            "`{text}` is not a listener such as `127.0.0.1:587`, `[::]:25`, `tls://[::]:465` or \
             `unix:{STATE}/submission.sock`"
        )
    })?;
    Ok(Listen {
        address: ListenAddress::Tcp(address),
        security,
    })
}

/// The name of an instance, or `smtp://HOST:PORT`.
pub(super) fn next(text: &str) -> Result<Next, Wrong> {
    match text.strip_prefix("smtp://") {
        Some(host) => host_port(host).map(Next::Smtp),
        None => text
            .parse::<InstanceName>()
            .map(Next::Instance)
            .map_err(|error| {
                format!("{error}; another mail transfer agent is written `smtp://HOST:PORT`")
            }),
    }
}

/// `HOST:PORT` or `HOST`, which means port 25; IPv6 addresses in brackets.
pub(super) fn host_port(text: &str) -> Result<HostPort, Wrong> {
    let wrong = || format!("`{text}` is not `HOST:PORT` (an IPv6 address stands in brackets)");
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or_else(wrong)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => SMTP_PORT,
        None => return Err(wrong()),
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(wrong)?,
    };
    let host = if text.starts_with('[') {
        let address: std::net::Ipv6Addr = host.parse().map_err(|_| wrong())?;
        address.to_string().into()
    } else {
        host_name(host).map_err(|_| wrong())?
    };
    Ok(HostPort { host, port })
}

/// A DNS server.
pub(super) fn resolver(text: &str) -> Result<SocketAddr, Wrong> {
    const DNS_PORT: u16 = 53;
    let with_port = text.parse().ok();
    let alone = || text.parse().ok().map(|ip: IpAddr| (ip, DNS_PORT).into());
    with_port
        .or_else(alone)
        .filter(|server: &SocketAddr| server.port() != 0)
        .ok_or_else(|| {
            format!("`{text}` is not the address of a DNS server, such as `127.0.0.1:53`")
        })
}

/// An IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, Wrong> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an IP address"))
}

/// An address, or an address and the number of its bits that count.
pub(super) fn network(text: &str) -> Result<Network, Wrong> {
    let wrong = || format!("`{text}` is not an address or a range such as `192.0.2.0/24`");
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match bits {
        Some(bits) => bits
            .parse()
            .ok()
            .filter(|bits| *bits <= whole)
            .ok_or_else(wrong)?,
        None => whole,
    };
    let network = Network {
        address: first_address(address, prefix),
        prefix,
    };
    if network.address == address {
        Ok(network)
    } else {
        Err(format!(
            "`{text}` has bits set beyond its prefix; the range is `{network}`"
        ))
    }
}

fn first_address(address: IpAddr, prefix: u8) -> IpAddr {
    let kept = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// `outside`, `auth:NAME` or `uid:NUMBER`, as the handoff protocol writes origins.
pub(super) fn origin(text: &str) -> Result<Origin, Wrong> {
    let wrong = || format!("`{text}` is not `outside`, `auth:NAME` or `uid:NUMBER`");
    match text.split_once(':') {
        None if text == "outside" => Ok(Origin::Outside),
        Some(("auth", name)) if !name.is_empty() && !name.contains(char::is_control) => {
            Ok(Origin::Authenticated(name.into()))
        }
        Some(("uid", number)) => number
            .parse()
            .map(|uid| Origin::Local { uid })
            .map_err(|_| wrong()),
        None | Some(_) => Err(wrong()),
    }
}

/// `5.1.1 text`: an enhanced status code of a failure, and what the sender is told.
pub(super) fn error_status(text: &str) -> Result<(EnhancedStatus, Box<str>), Wrong> {
    let wrong = || format!("`{text}` is not a status and a text such as `5.1.1 no such user`");
    let (status, told) = text.split_once(' ').ok_or_else(wrong)?;
    let status = EnhancedStatus::parse(status)
        .filter(|s| s.class() != 2)
        .ok_or_else(wrong)?;
    Ok((status, sentence(told.trim_start_matches(' '))?))
}

/// One line of words for people.
pub(super) fn sentence(text: &str) -> Result<Box<str>, Wrong> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err("one line of text is expected".to_owned());
    }
    Ok(text.into())
}

/// Seconds in the greatest unit that leaves a whole number.
pub(super) fn show_duration(seconds: u64) -> String {
    let (unit, name) = [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit))
        .unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

/// Octets in the greatest unit that leaves a whole number.
pub(super) fn show_size(octets: u64) -> String {
    let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|(unit, _)| octets >= *unit && octets.is_multiple_of(*unit))
        .unwrap_or((1, "B"));
    format!("{} {name}", octets / unit)
}
