//! What phase 2 minimises: the cross-entropy of target tokens after prompts with soft tokens.

use super::{ItemLanguage, Sequence};
use crate::nn::models::batches::{Batches, by_length};
use crate::nn::models::qformer::TokenTable;
use crate::nn::training::{Losses, Objective};
use crate::nn::{Backend, Graph, Matrix, NnError, ops};
use crate::seed::Seed;

/// Phase 2: learns to write targets.
///
/// The loss is the mean over all target tokens of a batch, `<eos>` among them; prompt and soft tokens count nothing. Logits
/// are computed at the positions that predict a target, only. Nothing else is added on the language model's side: contrastive
/// extras there are known to ruin the text while the loss falls.
#[derive(Debug)]
pub struct Tuning<'a> {
    training: &'a [Sequence],
    held_out: &'a [Sequence],
    table: &'a TokenTable,
    /// Sequences of a step.
    batch: usize,
    batches: Batches,
    /// Share of the target distribution that is spread over all tokens in training.
    smoothing: f32,
    /// What a person calls each training sequence.
    names: Vec<String>,
}

impl<'a> Tuning<'a> {
    /// Prepares to learn from `training` and to measure on `held_out`, `batch` sequences at a time.
    pub fn new(
        training: &'a [Sequence],
        held_out: &'a [Sequence],
        table: &'a TokenTable,
        batch: usize,
    ) -> Result<Self, NnError> {
        if training.is_empty() {
            return Err(NnError::setting("tasks", "has no example to learn from"));
        }
        if batch == 0 {
            return Err(NnError::setting("batch", "is 0, but must be at least 1"));
        }
        Ok(Self {
            training,
            held_out,
            table,
            batch,
            batches: Batches::new(training.iter().map(|s| s.ids.len()).collect(), batch),
            smoothing: 0.0,
            names: Vec::new(),
        })
    }

    /// Trains with label smoothing, at least 0 and below 1. What is held out is measured without.
    #[must_use]
    pub fn smoothed(self, smoothing: f32) -> Self {
        Self { smoothing, ..self }
    }

    /// Gives each training sequence a name for messages.
    #[must_use]
    pub fn named(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Mean loss over the target tokens of `sequences`, and their number.
    pub(super) fn loss_of<D: Backend>(
        &self,
        g: &Graph<D>,
        model: &ItemLanguage<D>,
        sequences: &[&Sequence],
        smoothing: f32,
    ) -> Result<(Matrix<D>, usize), NnError> {
        let (predicting, targets) = model.predict(g, self.table, sequences)?;
        let logits = model.language.logits(g, &predicting)?;
        Ok((
            ops::cross_entropy(g, &logits, &targets, smoothing)?,
            targets.len(),
        ))
    }
}

impl<D: Backend> Objective<D> for Tuning<'_> {
    type Model = ItemLanguage<D>;

    fn loss(
        &self,
        g: &Graph<D>,
        model: &Self::Model,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError> {
        let chosen = self.batches.at_step(seed, step);
        let sequences: Vec<&Sequence> = chosen.iter().map(|&i| &self.training[i]).collect();
        let (total, targets) = self.loss_of(g, model, &sequences, self.smoothing)?;
        Ok(Losses {
            total,
            parts: Vec::new(),
            weight: targets as f64,
        })
    }

    fn examples(&self, step: u64, seed: Seed) -> Vec<String> {
        let name = |i: usize| match self.names.get(i) {
            Some(name) => name.clone(),
            None => format!("sequence {i}"),
        };
        let chosen = self.batches.at_step(seed, step);
        chosen.into_iter().map(name).collect()
    }

    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        if self.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let lengths: Vec<usize> = self.held_out.iter().map(|s| s.ids.len()).collect();
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in by_length(&lengths, self.batch) {
            let sequences: Vec<&Sequence> = batch.iter().map(|&i| &self.held_out[i]).collect();
            let g = Graph::inference(device);
            let (loss, n) = self.loss_of(&g, model, &sequences, 0.0)?;
            sum += f64::from(loss.item()?) * n as f64;
            tokens += n;
        }
        let loss = sum / tokens as f64;
        Ok(vec![
            ("loss".to_owned(), loss),
            // JSON has no infinity.
            ("perplexity".to_owned(), loss.exp().min(f64::MAX)),
        ])
    }
}
