//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cache;
mod check;
mod freshness;
mod history;
mod layering;
mod resume;
mod run;
mod table3;
