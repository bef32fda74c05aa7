//! The whole spool, on the real disk and on the simulated one.

mod crash;
mod fixture;
mod model;
mod real;
