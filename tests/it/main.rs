//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cache;
mod check;
mod endings;
mod freshness;
mod layering;
mod log;
mod mutations;
mod resume;
mod run;
mod shell;
mod table3;
