//! The networks themselves.

pub mod qformer;
