//! Deliveries of whole instances within one process: their spools on simulated disks, their next
//! hosts scripted.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod clocks;
mod damage;
mod deliveries;
mod destinations;
mod durable;
mod handoffs;
mod hanging;
mod host;
mod notifications;
mod operators;
mod outages;
mod panics;
mod recoveries;
mod repeated;
mod storage;
mod strays;
mod takeovers;
mod world;
