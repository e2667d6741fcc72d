//! Which examples are in which batch: buckets of similar length, in an order that depends on seed and epoch alone.

use crate::seed::Seed;
use rand::seq::SliceRandom as _;
use std::sync::{Mutex, PoisonError};

/// Batches that are sorted by length together: large enough that padding is small, small enough that batches still differ
/// between epochs.
const BUCKET: usize = 16;

/// The batches of all steps of a training, as many epochs as it takes.
#[derive(Debug)]
pub(super) struct Batches {
    lengths: Vec<usize>,
    batch: usize,
    /// The epoch that was asked for last; only saves making it again.
    held: Mutex<Option<Epoch>>,
}

#[derive(Debug)]
struct Epoch {
    seed: Seed,
    number: u64,
    batches: Vec<Vec<usize>>,
}

impl Batches {
    /// Prepares batches of `batch` of the examples with the given lengths; both at least one.
    pub(super) fn new(lengths: Vec<usize>, batch: usize) -> Self {
        Self {
            lengths,
            batch,
            held: Mutex::new(None),
        }
    }

    /// Batches of one epoch.
    pub(super) fn per_epoch(&self) -> u64 {
        self.lengths.len().div_ceil(self.batch) as u64
    }

    /// The examples of a step: a pure function of seed and step, so that a resumed training asks for the same.
    pub(super) fn at_step(&self, seed: Seed, step: u64) -> Vec<usize> {
        let (number, position) = (step / self.per_epoch(), step % self.per_epoch());
        // A thread that panicked while it held the lock left a whole epoch or none.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match held.take() {
            Some(now) if (now.seed, now.number) == (seed, number) => now,
            _ => Epoch {
                seed,
                number,
                batches: epoch(&self.lengths, self.batch, seed, number),
            },
        };
        let batch = now.batches[position as usize].clone();
        *held = Some(now);
        batch
    }
}

/// The batches of one pass over examples of the given lengths.
///
/// All examples are shuffled, cut into windows of 16 batches, sorted by length within a window (ties by the shuffled
/// order), cut into batches, and the batches shuffled. Each example is in exactly one batch; the window that holds the
/// rest makes one shorter batch.
fn epoch(lengths: &[usize], batch: usize, seed: Seed, epoch: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(&mut seed.child("examples").at(epoch).rng());
    let mut batches = Vec::with_capacity(lengths.len().div_ceil(batch));
    for window in order.chunks_mut(batch * BUCKET) {
        window.sort_by_key(|&i| lengths[i]);
        batches.extend(window.chunks(batch).map(<[usize]>::to_vec));
    }
    batches.shuffle(&mut seed.child("batches").at(epoch).rng());
    batches
}

/// Batches for decoding or measuring: by length, ties by index, no randomness.
pub(super) fn by_length(lengths: &[usize], batch: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| lengths[i]);
    order.chunks(batch).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_example_once_with_little_padding() {
        let lengths: Vec<usize> = (0..1000).map(|i| 20 + (i * 7919) % 100).collect();
        let batches = epoch(&lengths, 8, Seed::new(3), 0);
        let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        let padded: usize = batches
            .iter()
            .map(|b| b.len() * b.iter().map(|&i| lengths[i]).max().unwrap())
            .sum();
        let real: usize = lengths.iter().sum();
        assert!((padded as f64) < 1.15 * real as f64, "{padded} of {real}");
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let lengths = vec![1; 40];
        let seed = Seed::new(0);
        assert_eq!(epoch(&lengths, 4, seed, 1), epoch(&lengths, 4, seed, 1));
        assert_ne!(epoch(&lengths, 4, seed, 1), epoch(&lengths, 4, seed, 2));
    }

    #[test]
    fn steps_walk_through_epochs_in_any_order_of_asking() {
        let batches = Batches::new(vec![1; 10], 4);
        assert_eq!(batches.per_epoch(), 3);
        let seed = Seed::new(0);
        let steps: Vec<Vec<usize>> = (0..6).map(|step| batches.at_step(seed, step)).collect();
        let sorted = |steps: &[Vec<usize>]| {
            let mut all = steps.concat();
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(&steps[..3]), (0..10).collect::<Vec<_>>());
        assert_eq!(sorted(&steps[3..]), (0..10).collect::<Vec<_>>());
        for step in [5, 0, 3] {
            assert_eq!(batches.at_step(seed, step), steps[step as usize]);
        }
    }

    #[test]
    fn decoding_batches_are_sorted() {
        assert_eq!(by_length(&[5, 1, 3, 1], 3), [vec![1, 3, 2], vec![0]]);
    }
}
