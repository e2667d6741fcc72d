//! How the program is linked.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The program runs once a stage and once an empty run. At a fixed address the loader has no pointers to correct:
    // 60,000 of them in 500 pages, which cost 2.5 of the 3.4 ms (measured) that it takes to start and end.
    if var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux")
        && var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu")
    {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
