//! The configuration: one TOML file for all instances, read, checked, divided and compared.
//!
//! A file becomes a [`Config`] or a list of located [`Problems`]; a [`Config`] yields findings
//! about the whole graph of instances ([`Config::check`]), the part of it that one instance is
//! given ([`Config::part_for`]), and what a reload would change ([`Config::difference`]).
//!
//! # Guarantees
//! Every setting, its default and the reason for it stand in one table (`settings`), which the
//! reader walks and from which `docs/reference/settings.md` is made.
//! Nothing here changes a file.
//!
//! # Failure
//! All mistakes of a file are reported in one run, each as `FILE:LINE:COLUMN: text`.

mod model;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use model::{
    BareNewlines, HandoffSettings, HostPort, InstanceConfig, Limits, Listen, ListenAddress,
    ListenSecurity, Log, LogFormat, MissingCertificate, Network, Next, OpenTo, PathTemplate, Peer,
    QuestionCache, QueueSettings, Role, Route, RouteMatch, Target, Tls, Xforward,
};

/// A whole configuration, or the part of one that an instance is given.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The name that the system greets with and signs its trace fields with.
    pub(crate) hostname: Box<str>,
    /// Where everything that must survive a restart lies; absolute.
    pub(crate) state: PathBuf,
    /// How long a stop may wait for what is in flight.
    pub(crate) stop_timeout: Duration,
    /// The one log.
    pub(crate) log: Log,
    /// In the order of the file, at least one.
    pub(crate) instances: Vec<InstanceConfig>,
}
