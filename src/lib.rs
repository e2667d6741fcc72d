//! ilm-pipe declares Item Language Model experiments as TOML pipelines and regenerates their tables, reproducibly.
//!
//! # The rooms
//!
//! A room may use rooms above it only; a test reads the imports.
//!
//! | room | idea |
//! | --- | --- |
//! | [`seed`] [`clock`] [`progress`] [`formats`] [`machine`] | leaves: seeds, time, reports, file formats, this machine |
//! | [`fetch`] | data sets and models from their official places |
//! | [`data`] [`cf`] [`text`] [`pairs`] [`tasks`] [`openp5`] [`nn`] [`eval`] [`recommend`] [`tables`] | the domain: knows no pipeline |
//! | [`stages`] | the kinds of stage: parameters, ports, code |
//! | [`spec`] | the TOML a person writes, typed |
//! | [`graph`] | what depends on what |
//! | [`key`] | fingerprints and keys |
//! | [`artifact`] | the cache on disk |
//! | [`plan`] | fresh or dirty, and why |
//! | [`exec`] | worker processes and their schedule |
//! | [`history`] | runs that are over: read back, compared, traced |
//! | [`report`] | what people and logs see of a run |
//! | [`cli`] [`commands`] | the program |

pub mod artifact;
pub mod cf;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod data;
pub mod eval;
pub mod exec;
pub mod fetch;
pub mod formats;
pub mod graph;
pub mod history;
pub mod key;
pub mod machine;
pub mod nn;
pub mod openp5;
pub mod pairs;
pub mod plan;
pub mod progress;
pub mod recommend;
pub mod report;
pub mod seed;
pub mod spec;
pub mod stages;
pub mod tables;
pub mod tasks;
pub mod text;
