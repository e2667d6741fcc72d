//! Collaborative filtering.
