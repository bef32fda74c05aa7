//! The settings of a route to mail exchangers.

use super::{Kind, Preset, Setting};

pub(super) static MX: &[Setting] = &[
    Setting {
        key: "port",
        kind: Kind::Count {
            min: 1,
            max: 65_535,
        },
        default: Preset::Always("25"),
        meaning: "The port of all exchangers. Another one is for tests.",
    },
    Setting {
        key: "resolver",
        kind: Kind::Texts("`ADDRESS:PORT`; port 53 where none is given"),
        default: Preset::Nothing("the servers of /etc/resolv.conf"),
        meaning: "The DNS servers that are asked. They must be able to look up any name; one on \
                  this machine is fastest.",
    },
    Setting {
        key: "own_addresses",
        kind: Kind::Texts("IP address"),
        default: Preset::Nothing("the addresses of this machine"),
        meaning: "Further addresses by which the world reaches this host, such as the public one \
                  of a NAT: exchangers there, and those that are no better, are not sent to.",
    },
    Setting {
        key: "address_literals",
        kind: Kind::Choice(&["refuse", "deliver"]),
        default: Preset::Always("refuse"),
        meaning: "How mail for `user@[192.0.2.1]` is handled. Hardly anybody but senders of junk \
                  writes to an address without a name.",
    },
    Setting {
        key: "attempt_timeout",
        kind: Kind::Duration { min: 10, max: 3600 },
        default: Preset::Always("5m"),
        meaning: "How long it may take until an exchanger is ready for a message, over all \
                  exchangers of the domain; each has an equal share of what is left, so that one \
                  that is silent leaves time to the others.",
    },
];
