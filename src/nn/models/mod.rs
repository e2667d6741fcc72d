//! The networks themselves.

pub mod adapter;
mod batches;
pub mod item_language;
pub mod llama;
pub mod qformer;
pub mod sasrec;
