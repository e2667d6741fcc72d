//! Whether a device computes what the CPU's fused operations compute: every operation and every model forward and backward, and
//! trainings step by step.
//!
//! [`run`] compares two [`Side`]s. One is the CPU with its fused operations; the other is a GPU, or the CPU with the operations
//! composed as on a GPU, which needs no GPU to be checked.
//!
//! # How near is near enough
//! Two `f32` computations of the same numbers in another order differ by rounding: for sums of some hundred terms by a few
//! 1e-6 of the greatest number; through a network of some layers, forward and backward, by ten times as much. The
//! limits in [`Limits`] leave a factor of ten above what the two sides on the CPU show. A wrong formula is off by 1e-2 and more.

mod models;
mod operations;
#[cfg(test)]
mod tests;
mod trainings;

pub use trainings::{Speed, Training};

use super::composed::on_the_cpu;
use super::{Backend, NnError};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};

/// A device, and how operations run on it.
pub struct Side<'a, D: Backend> {
    /// The device.
    pub device: &'a D,
    /// Whether operations on the CPU are composed as on a GPU. On a GPU they always are.
    pub composed: bool,
    /// Memory of the device in use at most since the last call with `true`, which starts anew; `None` where it cannot be known.
    pub peak: &'a dyn Fn(bool) -> Result<Option<u64>, NnError>,
}

impl<D: Backend> Side<'_, D> {
    fn run<T>(&self, work: impl FnOnce(&D) -> T) -> T {
        if self.composed {
            on_the_cpu(|| work(self.device))
        } else {
            work(self.device)
        }
    }
}

/// The greatest differences that pass, as shares of the greatest number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Of an operation's result and gradients.
    pub operation: f64,
    /// Of a model's result and gradients.
    pub model: f64,
    /// Of the loss of the first step of a training.
    pub first_step: f64,
    /// Of the losses of later steps, where differences grow and a sampled example may be another.
    pub training: f64,
}

impl Limits {
    /// For products of `f32`.
    pub const EXACT: Self = Self {
        operation: 2e-5,
        model: 2e-4,
        first_step: 1e-5,
        training: 2e-2,
    };
    /// For products whose factors are rounded to the 10 bits of TF32, an error of 5e-4 each.
    pub const TF32: Self = Self {
        operation: 5e-3,
        model: 5e-2,
        first_step: 5e-3,
        training: 1e-1,
    };
}

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Networks of a few thousand numbers, in seconds.
    Small,
    /// The sizes that benchmarks have.
    Full,
}

/// How far two computations of the same are apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What was computed: `attention, causal`.
    pub name: String,
    /// The greatest difference, as a share of the greatest number.
    pub error: f64,
    /// Where it is: `result`, `gradient of input 1`.
    pub place: String,
    /// The greatest that passes.
    pub limit: f64,
}

impl Difference {
    /// Whether it is small enough.
    pub fn passes(&self) -> bool {
        self.error <= self.limit
    }
}

/// Everything that was compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Operations, forward and backward.
    pub operations: Vec<Difference>,
    /// Models, forward and backward.
    pub models: Vec<Difference>,
    /// Trainings.
    pub trainings: Vec<Training>,
}

impl Findings {
    /// Whether everything is near enough.
    pub fn pass(&self) -> bool {
        let mut differences = self.operations.iter().chain(&self.models);
        differences.all(Difference::passes) && self.trainings.iter().all(Training::passes)
    }
}

/// Compares everything, the reference first.
pub fn run<R: Backend, C: Backend>(
    reference: &Side<'_, R>,
    candidate: &Side<'_, C>,
    limits: &Limits,
    extent: Extent,
    steps: u64,
    progress: &dyn Progress,
) -> Result<Findings, NnError> {
    Ok(Findings {
        operations: operations::compare(reference, candidate, limits, extent, progress)?,
        models: models::compare(reference, candidate, limits, progress)?,
        trainings: trainings::compare(reference, candidate, limits, extent, steps, progress)?,
    })
}

/// The numbers that a computation gave, by name.
type Parts = Vec<(String, Vec<f32>)>;

/// The greatest difference of all parts. A part is measured by its own greatest number, or by a thousandth of the greatest of all where
/// that is more: gradients that are zero but for rounding would be all difference.
fn difference(name: &str, expected: &Parts, found: &Parts, limit: f64) -> Difference {
    let greatest = |values: &[f32]| {
        let magnitudes = values.iter().map(|x| f64::from(x.abs()));
        magnitudes.fold(0.0, f64::max)
    };
    let all = expected
        .iter()
        .map(|(_, values)| greatest(values))
        .fold(f64::MIN_POSITIVE, f64::max);
    let mut worst = Difference {
        name: name.to_owned(),
        error: 0.0,
        place: "result".to_owned(),
        limit,
    };
    if expected.len() != found.len() {
        worst.error = f64::INFINITY;
        worst.place = format!("{} parts, expected {}", found.len(), expected.len());
        return worst;
    }
    for ((place, expected), (_, found)) in expected.iter().zip(found) {
        let scale = greatest(expected).max(1e-3 * all);
        let mut error = 0.0_f64;
        for (a, b) in expected.iter().zip(found) {
            let apart = f64::from((a - b).abs());
            // Not a number on one side only is the greatest difference there is.
            let apart = if apart.is_nan() { f64::INFINITY } else { apart };
            error = error.max(apart);
        }
        let error = if expected.len() == found.len() {
            error / scale
        } else {
            f64::INFINITY
        };
        if error > worst.error {
            worst.error = error;
            worst.place.clone_from(place);
        }
    }
    worst
}
