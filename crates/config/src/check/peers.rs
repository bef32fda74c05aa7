//! Peers: whose word is taken, and for how much.

use mail::Origin;

use super::Findings;
use crate::model::{InstanceConfig, Network, Peer, Role, Xforward};

pub(super) fn check(findings: &mut Findings<'_>) {
    for instance in &findings.config.instances {
        for (i, peer) in instance.peers.iter().enumerate() {
            let index = i.to_string();
            let path = ["peer", index.as_str()];
            let earlier = instance.peers[..i].iter();
            if let Some(first) = earlier
                .map(|p| p.network)
                .find(|net| covers(*net, peer.network))
            {
                let text = format!(
                    "this peer never counts: `{first}` above contains `{}`",
                    peer.network
                );
                findings.warning(instance, &path, text);
            }
            if let Some(text) = claim(instance.role, &peer.origin) {
                findings.error(instance, &["peer", &index, "origin"], text.to_owned());
            }
            range(findings, instance, peer, &path);
        }
    }
}

fn range(findings: &mut Findings<'_>, on: &InstanceConfig, peer: &Peer, path: &[&str]) {
    if peer.origin.is_ours() && !peer.network.is_host() {
        let text = format!(
            "everybody in `{}` could relay through here; mail that is not `outside` needs a peer \
             with a single address",
            peer.network
        );
        findings.error(on, path, text);
    } else if peer.xforward == Xforward::Allowed && peer.network.prefix == 0 {
        let text = "every client could pretend to be another one by XFORWARD";
        findings.error(on, path, text.to_owned());
    }
}

/// Why an instance of this role may not claim the origin; the next instance would refuse it.
const fn claim(role: Role, origin: &Origin) -> Option<&'static str> {
    match (role, origin) {
        (Role::Input, Origin::Local { .. }) => {
            Some("an input takes no mail of local users: use `outside` or `auth:NAME`")
        }
        (Role::Submission, Origin::Outside) => {
            Some("a submission takes no mail from outside: use `auth:NAME` or `uid:NUMBER`")
        }
        (Role::Input, Origin::Authenticated(_) | Origin::Generated | Origin::Outside)
        | (Role::Submission, Origin::Authenticated(_) | Origin::Generated | Origin::Local { .. })
        | (Role::Output, _) => None,
    }
}

fn covers(one: Network, other: Network) -> bool {
    one.prefix <= other.prefix && one.contains(other.address)
}
