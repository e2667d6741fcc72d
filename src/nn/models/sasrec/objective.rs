//! What training minimises, and what it is judged by.

use super::{Padded, Sasrec};
use crate::nn::models::batches::Batches;
use crate::nn::training::{Better, Judge, Losses, Objective};
use crate::nn::{Backend, Graph, NnError, ops};
use crate::seed::Seed;

/// A number about a model on held-out items; the greater the better.
pub type Measure<'a, D> = dyn Fn(&Sasrec<D>, &D) -> Result<f64, NnError> + 'a;

/// Learns to predict every next item of every history.
///
/// A history of `n` items gives `n − 1` targets, each the item after its position. Histories longer than the model sees
/// are cut into parts from their end, so that each item but the first is a target once.
///
/// At each evaluation the measure is taken, and the training is judged by it.
pub struct NextItem<'a, D: Backend> {
    /// Items of a training part, at least two.
    parts: Vec<Vec<u32>>,
    /// Whose each part is.
    users: Vec<u32>,
    batches: Batches,
    measure: Box<Measure<'a, D>>,
    name: &'static str,
    smoothing: f32,
}

impl<'a, D: Backend> NextItem<'a, D> {
    /// Prepares to learn from the histories of users, `batch` parts at a time. `name` is what the measure is logged as.
    ///
    /// # Errors
    /// No history of two items.
    pub fn new(
        histories: impl IntoIterator<Item = (u32, Vec<u32>)>,
        max_length: usize,
        batch: usize,
        name: &'static str,
        measure: Box<Measure<'a, D>>,
    ) -> Result<Self, NnError> {
        if batch == 0 {
            return Err(NnError::setting("batch", "is 0, but must be at least 1"));
        }
        let (mut parts, mut users) = (Vec::new(), Vec::new());
        for (user, history) in histories {
            cut(&history, max_length, &mut parts);
            users.resize(parts.len(), user);
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
            users,
            measure,
            name,
            smoothing: 0.0,
        })
    }

    /// Trains with label smoothing, at least 0 and below 1.
    #[must_use]
    pub fn smoothed(self, smoothing: f32) -> Self {
        Self { smoothing, ..self }
    }

    /// Steps of one pass over the histories.
    pub fn steps_per_epoch(&self) -> u64 {
        self.batches.per_epoch()
    }

    /// Targets of one pass.
    pub fn n_targets(&self) -> usize {
        self.parts.iter().map(|part| part.len() - 1).sum()
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
            total: ops::cross_entropy(g, &scores, &targets, self.smoothing)?,
            parts: Vec::new(),
            weight: targets.len() as f64,
        })
    }

    fn examples(&self, step: u64, seed: Seed) -> Vec<String> {
        let chosen = self.batches.at_step(seed, step);
        let user = |i: usize| format!("user {}", self.users[i]);
        chosen.into_iter().map(user).collect()
    }

    fn evaluate(&self, model: &Self::Model, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        let value = (self.measure)(model, device)?;
        Ok(vec![(self.name.to_owned(), value)])
    }

    fn judge(&self) -> Judge {
        Judge {
            name: self.name,
            better: Better::Higher,
        }
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
