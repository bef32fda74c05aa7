//! Listeners: missing ones, and two on one port.
//!
//! Two sockets can share a port without an error from the kernel where both ask for it, and
//! then each connection reaches either: such a clash has to be found here.

use std::net::{IpAddr, SocketAddr};

use super::Findings;
use crate::model::{InstanceConfig, Listen, ListenAddress, ListenSecurity, Role};

/// The port of submission with implicit TLS (RFC 8314 §3.3).
const SUBMISSIONS_PORT: u16 = 465;
/// The room for a path in the address of a unix socket, without the NUL that ends it.
const UNIX_PATH_LEN_MAX: usize = 107;
/// The port between servers, which only speaks in the clear and by STARTTLS.
const SMTP_PORT: u16 = 25;

pub(super) fn check(findings: &mut Findings<'_>) {
    let config = findings.config;
    let mut seen: Vec<(&InstanceConfig, &Listen)> = Vec::new();
    for instance in &config.instances {
        if instance.listen.is_empty() && instance.role.is_front() {
            let example = match instance.role {
                Role::Submission => "[\"127.0.0.1:587\", \"unix:{state}/submission.sock\"]",
                Role::Input | Role::Output => "[\"[::]:25\"]",
            };
            let text = format!(
                "`{}` listens nowhere; it needs `listen`, such as `listen = {example}`",
                instance.name
            );
            findings.error(instance, &[], text);
        }
        for (i, listen) in instance.listen.iter().enumerate() {
            let index = i.to_string();
            let path = ["listen", index.as_str()];
            if let Some((other, taken)) = seen
                .iter()
                .find(|(_, taken)| clash(&taken.address, &listen.address))
            {
                let whose = if other.name == instance.name {
                    format!("`{taken}` of the same instance")
                } else {
                    format!("`{taken}` of `{}`", other.name)
                };
                findings.error(instance, &path, format!("`{listen}` clashes with {whose}"));
            }
            security(findings, instance, listen, &path);
            length(findings, instance, listen, &path);
            seen.push((instance, listen));
        }
    }
}

fn length(findings: &mut Findings<'_>, on: &InstanceConfig, listen: &Listen, path: &[&str]) {
    let ListenAddress::Unix(socket) = &listen.address else {
        return;
    };
    if socket.as_os_str().len() > UNIX_PATH_LEN_MAX {
        let text = format!(
            "`{}` is longer than the {UNIX_PATH_LEN_MAX} octets that a socket's path may have",
            socket.display()
        );
        findings.error(on, path, text);
    }
}

fn security(findings: &mut Findings<'_>, on: &InstanceConfig, listen: &Listen, path: &[&str]) {
    let port = match &listen.address {
        ListenAddress::Tcp(address) => address.port(),
        ListenAddress::Unix(_) => return,
    };
    match listen.security {
        ListenSecurity::ImplicitTls if on.tls.is_none() => {
            let text = format!("`{listen}` needs a certificate, such as");
            findings.error(on, path, text);
            findings.add_example(format!(
                "[instance.{}.tls]\n\
                 certificate = \"/etc/postern/tls/fullchain.pem\"\n\
                 key         = \"/etc/postern/tls/privkey.pem\"",
                on.name
            ));
        }
        ListenSecurity::ImplicitTls if port == SMTP_PORT => {
            let text = "mail servers speak in the clear on port 25, then use STARTTLS; without \
                        `tls://` they will be understood";
            findings.warning(on, path, text.to_owned());
        }
        ListenSecurity::Plain if port == SUBMISSIONS_PORT => {
            let text = format!("clients begin with TLS on port 465; write `tls://{listen}`");
            findings.warning(on, path, text);
        }
        ListenSecurity::ImplicitTls | ListenSecurity::Plain => {}
    }
}

/// Whether a connection could reach either.
pub(super) fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => tcp_clash(*one, *other),
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Tcp(_), ListenAddress::Unix(_))
        | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => false,
    }
}

fn tcp_clash(one: SocketAddr, other: SocketAddr) -> bool {
    // Port zero is any free port.
    if one.port() != other.port() || one.port() == 0 {
        return false;
    }
    covers(one.ip(), other.ip()) || covers(other.ip(), one.ip())
}

/// Whether a listener on `one` takes what comes to `other`. The wildcard of IPv6 takes IPv4 too.
pub(super) fn covers(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    match one {
        IpAddr::V4(v4) => one == other || v4.is_unspecified() && other.is_ipv4(),
        IpAddr::V6(v6) => one == other || v6.is_unspecified(),
    }
}
