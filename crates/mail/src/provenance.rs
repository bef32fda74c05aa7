//! What a message carries over every hop besides its envelope and content.

use crate::{Client, InstanceName, Origin, Timestamp, TraceId};

/// Where a message came from, and which way it took here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Names its journey.
    pub trace: TraceId,
    /// Where it entered.
    pub origin: Origin,
    /// When it entered; its age counts from here, over all instances.
    pub arrived: Timestamp,
    /// Who brought it; `None` for what this system made.
    pub client: Option<Client>,
    /// The instances that had it, in order; a second visit is a loop.
    pub visited: Vec<InstanceName>,
    /// The trace id of the message that this one reports on, for a notification.
    pub about: Option<TraceId>,
}
