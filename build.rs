//! How the program is linked.

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its target in variables"
)]
fn main() {
    let target = |name: &str| std::env::var(name).unwrap_or_default();
    println!("cargo::rerun-if-changed=build.rs");
    // The program runs once a stage and once an empty run. At a fixed address the loader has no pointers to correct:
    // 60,000 of them in 500 pages, which cost 2.5 of the 3.4 ms (measured) that it takes to start and end.
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
