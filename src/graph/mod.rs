//! What depends on what.
//!
//! A [`StageGraph`] is built once from a checked [`Pipeline`](crate::spec::Pipeline) and then only read. It speaks of
//! stages by their position in `pipeline.stages`, so that callers index and never search.

mod build;
pub mod draw;
mod error;

pub use build::{Input, StageGraph};
pub use error::GraphError;
