//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cache;
mod check;
mod freshness;
mod layering;
mod openp5;
mod resume;
mod run;
mod table3;
