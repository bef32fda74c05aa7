//! The server side of a session: a machine that is fed octets and time, asks questions, and
//! gives replies.
//!
//! Drive it so: give it what was read ([`Session::handle_input`]), take its events until there
//! are none ([`Session::poll_event`]), answering the questions among them; then write what it
//! has to say ([`Session::poll_transmit`]), and read again where [`Session::wants_input`] says
//! so, until [`Session::poll_timeout`] at the latest.
//!
//! # Guarantees
//! No `250` to a message before [`Session::answer_commit`]. Pipelined commands wait while a
//! question is open. After STARTTLS nothing is left of what was said in plaintext.
//!
//! In the dialect of the edge, DATA and the last BDAT of a transaction with n accepted recipients
//! are answered by n replies in their order once the content was announced, whatever the outcome;
//! a chunk outside of a transaction, and every other command, is answered once.
//!
//! # Standards
//! RFC 5321 §4; RFC 2033 §4.2 for the replies of the edge.

mod event;
mod session;
mod settings;

pub use crate::codec::xforward::XforwardAttributes;
pub use crate::limits::Limits;
pub use event::{
    CloseReason, CommitQuestion, Committed, DataQuestion, EdgeParameters, Event, Hello,
    MailCommand, MailQuestion, RcptCommand, RcptQuestion, ResetCause, VerifyCommand,
    VerifyQuestion,
};
pub use session::Session;
pub use settings::{BareNewlines, Dialect, Extensions, Offer, Settings, Starttls};
