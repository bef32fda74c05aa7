mod config;
mod instance;
mod leash;
mod observe;

fn main() {}
