//! The networks themselves.
