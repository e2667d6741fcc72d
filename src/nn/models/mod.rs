//! The networks themselves.

pub mod activation;
pub mod adapter;
mod batches;
pub mod bert;
mod cache;
pub mod encoder;
pub mod gpt2;
pub mod item_language;
pub mod language_model;
pub mod llama;
pub mod pretrained;
pub mod qformer;
pub mod sasrec;
pub mod sentence;
pub mod t5;
