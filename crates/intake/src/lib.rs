//! Accepting a message: from a client's first command to the durable `250`.
//!
//! Owns the sessions of an instance (clients' and other instances'), the gathering of the content,
//! the trace field, and the decision where a message is made durable: at the next instance before
//! it is acknowledged, or in the own spool.
//!
//! # Guarantees
//! No `250` to a message before a commit, here or at the next instance.
//!
//! # Limits
//! All contents of an instance, whatever their size, share [`CONTENTS_IN_MEMORY_MAX`]; what finds
//! no room there, and what is above [`CONTENT_SHARING_MEMORY_MAX`], goes to a file while it
//! arrives. So neither the size nor the number of messages becomes memory. What a client may do is
//! limited by the session's settings.
//!
//! # Failure
//! A full disk is answered `452`, a failed one `451`; nothing half-accepted remains. A queue that
//! fills slows down who brings mail from outside, and at its limit refuses it with `452`.

mod accept;
mod admission;
mod body;
mod checking;
mod edge;
mod edges;
mod gate;
mod gathered;
mod hand_off;
mod handed_limits;
mod memory;
mod pickup;
mod pressure;
mod recipients;
mod session;
mod spool_lease;
mod trace_field;
mod transaction;

pub use accept::{Current, Intake, Onward, Queued};
pub use admission::{Admission, Bound, Bounds, Caller, Place, TurnedAway};
pub use body::{CONTENT_IN_MEMORY_MAX, CONTENT_SHARING_MEMORY_MAX, RECEIVED_MAX};
pub use checking::{EntryChecks, FACT_TIMEOUT};
pub use edge::{Claims, EdgePeer, serve_edge};
pub use edges::{EdgeDoor, receive_edge};
pub use gate::{Gate, OpenEdge};
pub use handed_limits::HandoffLimits;
pub use memory::{CONTENTS_IN_MEMORY_MAX, ContentMemory};
pub use pickup::{Left, PickupError};
pub use policy::RecipientStatus;
pub use pressure::Capacity;
pub use recipients::{Answer, Recipients};
pub use session::{CheckedAs, Entry, LAST_MESSAGE_WITHIN, Leave, LocalPrograms, Visitor, serve};
pub use spool_lease::SpoolLease;
