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
//! [groups]                            # how many stages of a group run at the same time
//! download = 1
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
//! factors = 64                        # every key that is not listed here is a parameter of the kind
//! cpus    = 2                         # slots that it takes of --jobs; 1 by default
//! memory  = "2GiB"                    # what it takes of the machine's; not counted by default
//! gpus    = 1                         # devices for itself, named in CUDA_VISIBLE_DEVICES; 0 by default
//! groups  = "download"                # or a list; a place in each while it runs
//! timeout = "1h30m"                   # of one attempt; not limited by default
//! slow    = "20m"                     # when to warn; by default at three times the last success, at least 60s
//! retries = 2                         # after a failure, a crash or a timeout; 0 by default
//! backoff = "10s"                     # the wait before the first retry, doubled for each further one; 1s by default
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
//! A header may name one arm: `[stage."phase2[arm=elm]"]`; all arms of a name must then have the same axes. Three keys of
//! a matrix are no axes; they are applied in this order, and values compare as they stand in ids:
//!
//! ```toml
//! [stage.phase2.matrix]
//! adapter = ["mlp", "qformer", "none"]
//! width   = [64, 128, 256]
//! seed    = [1, 2]
//! zip     = [["adapter", "width"]]                   # these axes advance together: mlp 64, qformer 128, none 256
//! exclude = [{ adapter = "none", seed = [1, 2] }]    # drops every arm with all of these values; a list is any of them
//! include = [
//!   { adapter = "mlp", width = 512, seed = 9 },      # every axis: one more arm
//!   { steps = 300 },                                 # other names are values that are added to matching arms, …
//!   { adapter = "mlp", steps = 500 },                # … read with ${matrix.steps} and no part of the id
//! ]
//! ```
//!
//! - `zip`: lists of axes, each with equally many values. A group stands where its first axis does.
//! - `exclude`: an entry that matches no arm is a problem.
//! - `include`: first each entry with a value for every axis becomes an arm, unless there is one with these values (also
//!   one that `exclude` dropped comes back so). Then each entry's other values are added, in the order of the entries, to every arm that
//!   has all of its axis values; a later entry replaces what an earlier one added, but never a value of an axis. An
//!   entry must do one of both. A new value joins its axis; of named arms it must be a known name. This is the rule
//!   of GitHub's `matrix.include`, but no arm can lack an axis, and new arms are matched like the others.
//!
//! **Sweeps.** `--sweep name=value,value` gives a parameter several values without editing the file (after the profile and `--set`).
//! Each stage that depends on it becomes an arm for each value, `cf[factors=32]`, its own axes first:
//! `phase2[arm=elm,factors=32]`. A stage depends on it that refers to it, also by way of other parameters, that takes its
//! random numbers from a pipeline `seed` which does, or that takes the output of such a stage; a stage that is taken by
//! name is the arm of the same value. All others stay single and are shared. A reference that gathers, `"stage[*]"` or
//! `"stage[axis=value]"` on a port for many, takes the arms of every value, so that one table shows them all; only in a stage that
//! is swept for another reason it takes those of the stage's own value. Values are read as those of `--set`, `1..8` is every whole number
//! from 1 to 8, and a list stands in the id with `+` between its elements: `--sweep 'losses=["itc"],["itc","iic"]'`.
//! `--sweep` may be repeated; the values combine.
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

mod arms;
mod cycles;
mod declared;
mod document;
mod execution;
mod expand;
mod inputs;
mod interpolate;
mod load;
mod lookups;
mod matrix;
mod names;
mod outline;
mod parameters;
mod params;
mod pipeline;
mod problem;
mod profiles;
mod reference;
mod resources;
mod schema;
mod source;
mod spread;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value;

pub use execution::Execution;
pub use expand::expand;
pub use names::suggest;
pub use outline::{Outline, outline};
pub use pipeline::{Location, Pipeline, StageSpec};
pub use problem::{RelatedPlace, SpecErrors, SpecProblem};
pub use profiles::profiles;
pub use schema::schema;

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
    /// `--sweep name=value,value`: every stage that depends on the parameter becomes one arm a value.
    pub sweep: Vec<(String, String)>,
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
    let watch = crate::clock::Stopwatch::start();
    let loaded = load::load(path, options, kinds, read_file);
    let (stages, problems) = match &loaded {
        Ok(pipeline) => (pipeline.stages.len(), 0),
        Err(errors) => (0, errors.problems().len()),
    };
    tracing::debug!(file = %path.display(), stages, problems, seconds = watch.seconds(), "loaded");
    loaded
}
