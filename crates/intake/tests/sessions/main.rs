//! Whole sessions of clients and of other instances, in one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod checks;
mod clients;
mod copies;
mod edges;
mod handoffs;
mod header;
mod held;
mod leaving;
mod limits;
mod pickup;
mod pressure;
mod slow;
mod world;
