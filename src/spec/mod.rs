//! The TOML a person writes, typed.

mod pipeline;
mod problem;
mod source;

pub use pipeline::{Location, Pipeline, StageSpec};
pub use problem::{RelatedPlace, SpecErrors, SpecProblem};

/// What a person may change from outside the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The `[profile.NAME]` to apply.
    pub profile: Option<String>,
    /// `--set name=value`, applied last, in order. The value is read as TOML; a bare word is a string.
    pub set: Vec<(String, String)>,
}
