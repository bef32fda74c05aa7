//! Who can reach what: submission from elsewhere, an input in the clear.

use super::Findings;
use crate::model::{InstanceConfig, ListenAddress, Role};

pub(super) fn check(findings: &mut Findings<'_>) {
    for instance in &findings.config.instances {
        let Some(index) = beyond_this_machine(instance) else {
            continue;
        };
        let index = index.to_string();
        match instance.role {
            Role::Submission => {
                let text = "submission beyond this machine needs TLS and AUTH, and AUTH is not \
                            built yet: without it anybody could send through here; listen on \
                            127.0.0.1, [::1] or `unix:PATH`";
                findings.error(instance, &["listen", &index], text.to_owned());
            }
            Role::Input if instance.tls.is_none() => {
                let text = format!(
                    "mail from the world arrives in the clear: without [instance.{}.tls] STARTTLS \
                     is not offered",
                    instance.name
                );
                findings.warning(instance, &["listen", &index], text);
            }
            Role::Input | Role::Output => {}
        }
    }
}

/// The first listener that another machine can reach.
fn beyond_this_machine(instance: &InstanceConfig) -> Option<usize> {
    instance
        .listen
        .iter()
        .position(|listen| match &listen.address {
            ListenAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            ListenAddress::Unix(_) => false,
        })
}
