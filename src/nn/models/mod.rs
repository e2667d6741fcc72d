//! The networks themselves.

pub mod adapter;
pub mod item_language;
pub mod llama;
pub mod qformer;
