mod config;
mod control;
mod instance;
mod leash;
mod observe;
mod supervisor;

fn main() {}
