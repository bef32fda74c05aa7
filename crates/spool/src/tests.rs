//! The whole spool, on the real disk and on the simulated one.

mod fixture;
mod real;
