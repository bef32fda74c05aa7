//! The instances and where mail goes from each, for people to read.

use std::fmt::{self, Display, Write};

use super::Config;
use super::model::{
    Listen, ListenAddress, ListenSecurity, Next, OpenTo, Route, RouteMatch, Target,
};

/// Users that are named; of more only their number is shown.
const USERS_SHOWN: usize = 5;

/// The graph as text, each line ended.
pub(super) fn graph(config: &Config) -> String {
    let mut text = String::new();
    for instance in &config.instances {
        let listeners: Vec<String> = instance.listen.iter().map(ToString::to_string).collect();
        let listeners = match listeners.as_slice() {
            [] => "no listener of its own".to_owned(),
            some => format!("listens on {}", some.join(", ")),
        };
        let name = &instance.name;
        line(
            &mut text,
            format_args!("{name} ({}): {listeners}", instance.role.as_str()),
        );
        let mut steps: Vec<String> = instance.routes.iter().map(step).collect();
        steps.extend(instance.next.as_ref().map(|next| match next {
            Next::Instance(name) => format!("everything else --> {name}"),
            // Another server cannot be asked whom it takes mail for: only ours goes there.
            Next::Smtp(host) => format!("everything else from ours --> smtp://{host}"),
        }));
        let n_steps = steps.len();
        for (i, step) in steps.iter().enumerate() {
            let branch = if i + 1 == n_steps { "`--" } else { "|--" };
            line(&mut text, format_args!("  {branch} {step}"));
        }
    }
    text
}

fn line(text: &mut String, content: fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{content}");
}

fn step(route: &Route) -> String {
    let matches: Vec<String> = route.matches.iter().map(ToString::to_string).collect();
    let users = match route.users.as_deref() {
        None => String::new(),
        Some(users) if users.len() <= USERS_SHOWN => format!(" ({})", users.join(", ")),
        Some(users) => format!(" ({} users)", users.len()),
    };
    let open_to = match route.open_to {
        OpenTo::Anyone => "",
        OpenTo::Ours => " from ours",
    };
    format!("{}{users}{open_to} --> {}", matches.join(", "), route.to)
}

impl Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            ListenSecurity::ImplicitTls => "tls://",
            ListenSecurity::Plain => "",
        };
        write!(f, "{scheme}{}", self.address)
    }
}

impl Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Display for RouteMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Any => f.write_str("*"),
            Self::Domain(domain) => f.write_str(domain),
            Self::Subdomains(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard { why } => write!(f, "discard: {why}"),
            Self::Error { status, text } => write!(f, "error: {status} {text}"),
            Self::Hold { why } => write!(f, "hold: {why}"),
            Self::Maildir(template) => write!(f, "maildir {}", template.as_str()),
            Self::Mx(_) => f.write_str("mx"),
            Self::Relay(host) => write!(f, "relay {host}"),
        }
    }
}
