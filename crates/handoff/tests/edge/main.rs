//! The next instance as a front sees it, over a real edge and in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod kept;
mod outages;
mod sizes;
mod world;
