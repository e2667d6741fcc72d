//! The one integration binary: each binary would link polars and dfdx again.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod support;

mod artifacts;
mod baselines;
mod cache;
mod cache_care;
mod check;
mod data;
mod endings;
mod faults;
mod freshness;
mod history;
mod layering;
mod log;
mod mutations;
mod openp5;
mod planner;
mod pretrained;
mod pretrained_stages;
mod resume;
mod run;
mod schedule;
mod shell;
mod sweep;
mod table3;
mod trouble;
