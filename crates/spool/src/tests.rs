//! The whole spool, on the real disk and on the simulated one.

mod behaviour;
mod contents;
mod crash;
mod damage;
mod failing;
pub(crate) mod fixture;
mod flips;
mod full;
mod golden;
mod inspect;
mod missing;
pub(crate) mod model;
mod planted;
mod real;
mod scale;
mod space;
mod unread;
