mod config;
mod observe;

fn main() {}
