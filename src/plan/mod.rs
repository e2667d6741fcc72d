//! Fresh or dirty, and why.
