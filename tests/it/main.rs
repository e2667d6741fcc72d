//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cache;
mod check;
mod data;
mod faults;
mod freshness;
mod history;
mod layering;
mod openp5;
mod planner;
mod resume;
mod run;
mod schedule;
mod sweep;
mod table3;
mod trouble;
