//! The server side of a session: a machine that is fed octets and time, asks questions, and
//! gives replies.
//!
//! Drive it so: give it what was read ([`Session::handle_input`]), take its events until there
//! are none ([`Session::poll_event`]), answering the questions among them; then write what it
//! has to say ([`Session::poll_transmit`]), let it go on with what came already
//! ([`Session::resume`]), and when there was nothing read again, as much as
//! [`Session::input_room`] says, until [`Session::poll_timeout`] at the latest.
//!
//! # Guarantees
//! No `250` to a message before [`Session::answer_commit`]. Pipelined commands wait while a
//! question is open. After STARTTLS nothing is left of what was said in plaintext.
//!
//! In the dialect of the edge, the last BDAT of an open transaction with n accepted recipients is
//! answered by n replies in their order, whatever the outcome. A chunk outside of a transaction
//! (also after an earlier chunk was refused), and every other command, is answered once.
//!
//! # Standards
//! RFC 5321 §4; RFC 2033 §4.2 for the replies of the edge.

mod bdat;
mod commit;
mod connect;
mod content;
mod data;
mod dispatch;
mod event;
mod hello;
mod input;
mod mail;
mod pace;
mod rcpt;
mod reset;
mod say;
mod session;
mod settings;
mod starttls;
mod state;
mod verify;
mod xforward;

pub use crate::codec::xforward::XforwardAttributes;
pub use crate::limits::Limits;
pub use event::{
    CloseReason, CommitQuestion, Committed, ConnectQuestion, DataQuestion, EdgeParameters, Event,
    Hello, HelloQuestion, MailCommand, MailQuestion, RcptCommand, RcptQuestion, ResetCause,
    VerifyCommand, VerifyQuestion,
};
pub use session::Session;
pub use settings::{BareNewlines, Dialect, Extensions, Offer, Settings, Starttls};
