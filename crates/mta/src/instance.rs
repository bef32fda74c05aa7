//! An instance: the process that a role runs in.

pub(crate) mod bootstrap;
pub(crate) mod requests;
