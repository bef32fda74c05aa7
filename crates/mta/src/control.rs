//! Control: the process that writes the one log, and that the commands of an operator talk to.

pub(crate) mod filter;
