//! What training minimises, and how the best moment of it is kept.

use super::{Padded, Sasrec};
use crate::formats::tensors;
use crate::nn::models::batches::Batches;
use crate::nn::training::{Losses, Objective};
use crate::nn::{Backend, Graph, NnError, ops, weights};
use crate::seed::Seed;
use std::path::{Path, PathBuf};

/// A number about a model on held-out items; the greater the better.
pub type Measure<'a, D> = dyn Fn(&Sasrec<D>, &D) -> Result<f64, NnError> + 'a;

/// Learns to predict every next item of every history.
///
/// A history of `n` items gives `n − 1` targets, each the item after its position. Histories longer than the model sees
/// are cut into parts from their end, so that each item but the first is a target once.
///
/// At each evaluation the measure is taken, and the weights with the greatest one so far are kept in a file; of equal ones
/// the first. The file follows from the training alone, so that a resumed training ends with the same.
pub struct NextItem<'a, D: Backend> {
    /// Items of a training part, at least two.
    parts: Vec<Vec<u32>>,
    batches: Batches,
    measure: Box<Measure<'a, D>>,
    name: &'static str,
    best: PathBuf,
}

/// The file beside the best weights with their measure: its bits in hexadecimal, because decimal text must not change one.
fn value_path(best: &Path) -> PathBuf {
    best.with_extension("value")
}

impl<'a, D: Backend> NextItem<'a, D> {
    /// Prepares to learn from histories, `batch` parts at a time. `name` is what the measure is logged as, `scratch` where
    /// the best weights are kept.
    ///
    /// # Errors
    /// No history of two items.
    pub fn new(
        histories: impl IntoIterator<Item = Vec<u32>>,
        max_length: usize,
        batch: usize,
        name: &'static str,
        measure: Box<Measure<'a, D>>,
        scratch: &Path,
    ) -> Result<Self, NnError> {
        if batch == 0 {
            return Err(NnError::setting("batch", "is 0, but must be at least 1"));
        }
        let mut parts = Vec::new();
        for history in histories {
            cut(&history, max_length, &mut parts);
        }
        if parts.is_empty() {
            return Err(NnError::setting(
                "split",
                "has no user with two training interactions, but needs one to learn what follows",
            ));
        }
        let lengths = parts.iter().map(Vec::len).collect();
        Ok(Self {
            batches: Batches::new(lengths, batch),
            parts,
            measure,
            name,
            best: scratch.join("best.safetensors"),
        })
    }

    /// Steps of one pass over the histories.
    pub fn steps_per_epoch(&self) -> u64 {
        self.batches.per_epoch()
    }

    /// Targets of one pass.
    pub fn n_targets(&self) -> usize {
        self.parts.iter().map(|part| part.len() - 1).sum()
    }

    /// Fills `model` with the best weights so far and returns their measure.
    pub fn restore_best(&self, model: &mut Sasrec<D>) -> Result<f64, NnError> {
        let value = self.best_value()?.ok_or_else(|| {
            NnError::setting("eval_every", "left no evaluation to choose weights from")
        })?;
        weights::load(model, &self.best)?;
        Ok(value)
    }

    fn best_value(&self) -> Result<Option<f64>, NnError> {
        match fs_err::read_to_string(value_path(&self.best)) {
            Ok(text) => Ok(u64::from_str_radix(text.trim(), 16)
                .ok()
                .map(f64::from_bits)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps weights. The value is gone while they are written: a kill in between leaves nothing that does not belong
    /// together, and the resumed training makes it again.
    fn keep(&self, model: &Sasrec<D>, value: f64) -> Result<(), NnError> {
        let path = value_path(&self.best);
        if path.exists() {
            fs_err::remove_file(&path)?;
        }
        tensors::write(&self.best, &weights::to_arrays(model))?;
        let aside = path.with_extension("aside");
        fs_err::write(&aside, format!("{:016x}", value.to_bits()))?;
        fs_err::rename(&aside, &path)?;
        Ok(())
    }
}

/// Cuts a history into parts of at most `max_length + 1` items from its end; neighbours share one item.
fn cut(history: &[u32], max_length: usize, parts: &mut Vec<Vec<u32>>) {
    let mut end = history.len();
    while end >= 2 {
        let start = end.saturating_sub(max_length + 1);
        parts.push(history[start..end].to_vec());
        if start == 0 {
            return;
        }
        end = start + 1;
    }
}

impl<D: Backend> Objective<D> for NextItem<'_, D> {
    type Model = Sasrec<D>;

    fn loss(
        &self,
        g: &Graph<D>,
        model: &Self::Model,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError> {
        let chosen = self.batches.at_step(seed, step);
        let inputs: Vec<&[u32]> = chosen
            .iter()
            .map(|&i| &self.parts[i][..self.parts[i].len() - 1])
            .collect();
        let padded = Padded::new(&inputs, model.config().max_length);
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (&part, (start, n)) in chosen.iter().zip(padded.lengths()) {
            rows.extend(start..start + n);
            targets.extend(self.parts[part][1..].iter().map(|&item| Some(item)));
        }
        let vectors = model.vectors(g, &padded, &rows)?;
        let scores = model.scores(g, &vectors)?;
        Ok(Losses {
            total: ops::cross_entropy(g, &scores, &targets, 0.0)?,
            parts: Vec::new(),
        })
    }

    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        let value = (self.measure)(model, device)?;
        if self.best_value()?.is_none_or(|best| value > best) {
            self.keep(model, value)?;
        }
        Ok(vec![(self.name.to_owned(), value)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_but_the_first_is_a_target_once() {
        for n in 0..20 {
            let history: Vec<u32> = (0..n).collect();
            let mut parts = Vec::new();
            cut(&history, 4, &mut parts);
            let mut targets: Vec<u32> = parts.iter().flat_map(|p| p[1..].to_vec()).collect();
            targets.sort_unstable();
            assert_eq!(targets, (1..n).collect::<Vec<_>>());
            assert!(parts.iter().all(|part| (2..=5).contains(&part.len())));
            // The last targets, which are most like what is asked for, have whole contexts.
            if let Some(first) = parts.first() {
                assert_eq!(first.last(), history.last());
            }
        }
    }
}
