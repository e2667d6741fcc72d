//! The TOML a person writes, typed.
//!
//! # The file
//!
//! ```toml
//! name    = "table3"                  # by default the file's name
//! title   = "Adapters at ${dataset}"  # by default the name
//! seed    = 1                         # of every stage that has none of its own; 1 by default
//! include = "common.toml"             # or a list; relative to this file
//!
//! [params]                            # changed by a profile or by --set
//! dataset = "demo"
//! seeds   = [1, 2, 3]
//!
//! [profile.small.params]              # --profile small; same type as the parameter
//! dataset = "ml-latest-small"
//!
//! [profile.small.stage.cf]            # any key of a stage but its kind
//! factors = 32
//!
//! [stage.cf]
//! kind    = "fit-cf"
//! inputs  = { interactions = "split" }
//! cpus    = 2                         # 1 by default
//! memory  = "2GiB"                    # not limited by default
//! timeout = "1h30m"                   # not limited by default
//! factors = 64                        # every other key is a parameter of the kind
//!
//! [stage.phase2]
//! kind   = "phase-2"
//! seed   = "${matrix.seed}"
//! train  = "${matrix.arm.train}"
//! inputs = { items = "cf", adapter = "${matrix.arm.adapter}" }
//! [stage.phase2.matrix]
//! seed = "${seeds}"                   # a list of values, or a table of named arms
//! arm  = { elm = { adapter = [], train = "all" }, ilm = { adapter = "phase1", train = "adapter" } }
//!
//! [stage.table]
//! kind   = "table"
//! inputs = { rows = "phase2[*]" }
//! ```
//!
//! **Values.** A string that is exactly `"${name}"` becomes the parameter with its type; inside a longer string the value is
//! written out. `${name.key}` reads a field of a table, `$${` is a literal `${`. Parameters may refer to one another. In
//! a stage, `${matrix.axis}` is the arm's value (of named arms the name) and `${matrix.axis.key}` a field of a named arm.
//! Everything but `kind` and the names of tables may have references.
//!
//! **Matrix.** Every combination of values is a stage of its own, `phase2[seed=1,arm=elm]`, the last axis the fastest.
//! A header may name one arm: `[stage."phase2[arm=elm]"]`; all arms of a name must then have the same axes.
//!
//! **Inputs.** A port takes a stage or a list of stages; an empty list leaves an optional port out. `"stage"` of a swept stage is
//! the arm that has the same values on all its axes, `"stage[*]"` every arm, `"stage[axis=value]"` the arms with this value.
//!
//! **Includes.** The stages of an included file stand before the including file's own. A name that two files declare
//! is a problem; a file that several include is read once. `name` and `title` of an included file do not count.
//!
//! # From text to stages
//!
//! `document` reads and merges files into tables with places (`value`, `source`), `params` applies profile and `--set`,
//! `declared` reads kinds and matrices (`matrix`), `load` then goes through the arms: `interpolate` fills in values,
//! `parameters` lets serde read them into the kind's struct, `inputs` finds what references mean, `cycles` looks at the whole.
//! Problems are collected on the way (`problem`); nothing stops at the first one, but a file that is no TOML is not
//! checked further: what else seems missing may be in the part that was lost.

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
mod profiles;
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
pub use profiles::profiles;

/// Amounts that a person writes as text, for other things than pipelines.
pub(crate) mod amounts {
    pub(crate) use super::resources::{duration, duration_text, memory, memory_text};
}

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

/// Reads and checks a pipeline file. The error has every problem of the file and of what it includes.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Pipeline, SpecErrors> {
    load_with(path, options, stages::registry(), &|path| {
        fs_err::read(path)
    })
}

/// [`load()`] with other kinds of stage and another way to read files, which gets the paths of `path` itself and of
/// what it includes.
pub fn load_with(
    path: &Path,
    options: &LoadOptions,
    kinds: &'static [stages::Kind],
    read_file: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Pipeline, SpecErrors> {
    load::load(path, options, kinds, read_file)
}
