//! AdamW.

use super::TrainConfig;
use super::groups::group_of;
use crate::nn::{Backend, Module, NnError, ParamGrads};
use rayon::prelude::*;

/// Numbers of a piece of an update.
const PIECE: usize = 1 << 14;

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order: decay, moments, bias correction.
///
/// `p ← p·(1 − lr·λ)`, `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`,
/// `p ← p − lr·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)`. Parameters saved as vectors are not decayed. `lr` and `λ` of a parameter are those of
/// its [`super::Group`].
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    /// Updates done.
    pub(super) steps: u64,
    /// First moments of the trainable parameters, in the order of the model's visit.
    pub(super) first: Vec<Vec<f32>>,
    /// Second moments.
    pub(super) second: Vec<Vec<f32>>,
    /// What the rate of each is multiplied by, and its decay.
    scales: Vec<(f64, f64)>,
    beta1: f64,
    beta2: f64,
    eps: f64,
}

impl AdamW {
    /// Starts with zero moments for the trainable parameters of `model`.
    pub fn new<D: Backend, M: Module<D> + ?Sized>(model: &M, config: &TrainConfig) -> Self {
        let mut first = Vec::new();
        let mut scales = Vec::new();
        model.visit("", &mut |name, param| {
            if param.trainable() {
                first.push(vec![0.0; param.value.rows() * param.value.columns()]);
                let group = group_of(&config.groups, name);
                let decay = group
                    .and_then(|group| group.weight_decay)
                    .unwrap_or(config.weight_decay);
                let decay = if param.vector { 0.0 } else { decay };
                scales.push((group.map_or(1.0, |group| group.lr_scale), decay));
            }
        });
        Self {
            steps: 0,
            second: first.clone(),
            first,
            scales,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
        }
    }

    /// Updates done so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Updates the trainable parameters with the learning rate `rate`.
    ///
    /// # Errors
    /// When the gradients or the trainable parameters are not those of the model that this optimiser was made for.
    pub fn step<D: Backend, M: Module<D> + ?Sized>(
        &mut self,
        model: &mut M,
        gradients: &ParamGrads,
        rate: f64,
    ) -> Result<(), NnError> {
        self.steps += 1;
        let corrections = (
            1.0 - self.beta1.powf(self.steps as f64),
            1.0 - self.beta2.powf(self.steps as f64),
        );
        let update = |(scale, decay): (f64, f64)| Update {
            keep: (1.0 - rate * scale * decay) as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            rest1: (1.0 - self.beta1) as f32,
            rest2: (1.0 - self.beta2) as f32,
            size: (rate * scale / corrections.0) as f32,
            root: (1.0 / corrections.1.sqrt()) as f32,
            eps: self.eps as f32,
        };
        let mut state = self
            .first
            .iter_mut()
            .zip(&mut self.second)
            .zip(&gradients.values)
            .zip(&self.scales);
        let mut result = Ok(());
        model.visit_mut("", &mut |name, param| {
            if !param.trainable() || result.is_err() {
                return;
            }
            let count = param.value.rows() * param.value.columns();
            match state.next() {
                Some((((first, second), gradient), &scales))
                    if first.len() == count && gradient.len() == count =>
                {
                    let update = update(scales);
                    result = param
                        .value
                        .update(|values| update.apply(values, first, second, gradient));
                }
                _ => {
                    result = Err(NnError::shape(
                        "adamw",
                        format!("`{name}` has no moments or no gradient of its size"),
                    ));
                }
            }
        });
        if result.is_ok() && state.next().is_some() {
            result = Err(NnError::shape("adamw", "moments without a parameter"));
        }
        result
    }
}

/// The numbers of one update.
#[derive(Clone, Copy)]
struct Update {
    /// `1 − lr·λ`.
    keep: f32,
    beta1: f32,
    beta2: f32,
    /// `1 − β₁`.
    rest1: f32,
    /// `1 − β₂`.
    rest2: f32,
    /// `lr / (1 − β₁ᵗ)`.
    size: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    root: f32,
    eps: f32,
}

impl Update {
    fn apply(self, values: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        values
            .par_chunks_mut(PIECE)
            .zip(first.par_chunks_mut(PIECE))
            .zip(second.par_chunks_mut(PIECE))
            .zip(gradient.par_chunks(PIECE))
            .for_each(|(((values, first), second), gradient)| {
                let numbers = values.iter_mut().zip(first).zip(second).zip(gradient);
                for (((p, m), v), &g) in numbers {
                    *m = self.beta1 * *m + self.rest1 * g;
                    *v = self.beta2 * *v + self.rest2 * g * g;
                    *p = *p * self.keep - self.size * *m / (v.sqrt() * self.root + self.eps);
                }
            });
    }
}
