//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cache;
mod check;
mod faults;
mod data;
mod freshness;
mod layering;
mod planner;
mod resume;
mod run;
mod schedule;
mod sweep;
mod table3;
mod trouble;
