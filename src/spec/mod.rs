//! The TOML a person writes, typed.

mod cycles;
mod declared;
mod document;
mod expand;
mod inputs;
mod interpolate;
mod load;
mod matrix;
mod names;
mod parameters;
mod params;
mod pipeline;
mod problem;
mod reference;
mod resources;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value;

pub use expand::expand;
pub use pipeline::{Location, Pipeline, StageSpec};
pub use problem::{RelatedPlace, SpecErrors, SpecProblem};

use crate::stages;
use std::io;
use std::path::Path;

/// What a person may change from outside the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The `[profile.NAME]` to apply.
    pub profile: Option<String>,
    /// `--set name=value`, applied last, in order. The value is read as TOML; a bare word is a string.
    pub set: Vec<(String, String)>,
}

/// Reads and checks a pipeline file.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Pipeline, SpecErrors> {
    load_with(path, options, stages::registry(), &|path| {
        fs_err::read(path)
    })
}

/// [`load`] with other kinds of stage and another way to read files, which gets the paths of `path` itself and of
/// what it includes.
pub fn load_with(
    path: &Path,
    options: &LoadOptions,
    kinds: &'static [stages::Kind],
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Pipeline, SpecErrors> {
    load::load(path, options, kinds, read_file)
}
