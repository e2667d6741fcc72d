//! The `ilm-pipe` program.

fn main() {}
