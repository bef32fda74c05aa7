//! The whole program, end to end: real processes, real sockets, real peers.
//!
//! Each test has a system of its own in a scratch directory, on ports of its own.
//! Nothing sleeps: what must happen is looked for until a generous limit.
//! Tests with a program that this machine lacks are skipped and say so; with
//! `POSTERN_REQUIRE_PEERS=1` they fail instead.

mod arrival;
mod astray;
mod away;
mod broken;
mod callers;
mod certificates;
mod checks;
mod clients;
mod commands;
mod content;
mod crowds;
mod descriptors;
mod exchangers;
mod frozen;
mod json;
mod leaving;
mod log;
mod maildrop;
mod notification;
mod peers;
mod programs;
mod queue;
mod reload;
mod restarts;
mod scans;
mod spool;
mod stopping;
mod system;
mod takeover;
mod trace;
mod xforward;
