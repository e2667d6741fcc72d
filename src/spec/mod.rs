//! The TOML a person writes, typed.
