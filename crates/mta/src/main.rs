mod config;
mod control;
mod instance;
mod leash;
mod observe;

fn main() {}
