//! An instance: the process that a role runs in.

mod bell;
pub(crate) mod bootstrap;
mod compose;
mod doors;
mod draining;
mod expiry;
mod fullness;
mod memory;
mod pickup;
mod resolver;
mod run;
mod shortage;
mod turned_away;
mod unfinished;
mod view;

pub(crate) use run::main;
