//! Which examples a step sees, and which of them serve as negatives. Pure functions of a seed.

use crate::seed::Seed;
use rand::Rng as _;
use rand::seq::SliceRandom as _;

/// The examples of batch number `batch`, as indices below `count`.
///
/// Every epoch is a new permutation, cut into batches of `size`; its remainder is dropped, so that the contrastive
/// losses always have the same number of negatives. With fewer than `size` examples, a batch is all of them. Nothing is
/// remembered between calls: a resumed run sees the same batches.
pub fn epoch_batch(count: usize, size: usize, batch: u64, seed: Seed) -> Vec<usize> {
    let size = size.min(count);
    if size == 0 {
        return Vec::new();
    }
    let per_epoch = (count / size) as u64;
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut seed.child("order").at(batch / per_epoch).rng());
    let start = (batch % per_epoch) as usize * size;
    order[start..start + size].to_vec()
}

/// Draws one column for each row with probability proportional to `exp(logit)`, among the eligible columns.
///
/// This is how BLIP-2 mines hard negatives for matching (LAVIS `blip2_qformer.py`: multinomial over the softmax of the
/// similarities with the row's own pair removed). A row without an eligible column gets `None`.
///
/// # Shapes
/// - `logits`: `[rows, columns]`, row-major
pub fn draw_negatives(
    logits: &[f32],
    rows: usize,
    eligible: impl Fn(usize, usize) -> bool,
    seed: Seed,
) -> Vec<Option<usize>> {
    let columns = logits.len().checked_div(rows).unwrap_or(0);
    (0..rows)
        .map(|row| {
            let logits = &logits[row * columns..(row + 1) * columns];
            let open: Vec<usize> = (0..columns).filter(|&c| eligible(row, c)).collect();
            let top = open.iter().map(|&c| logits[c]).fold(f32::MIN, f32::max);
            let weights: Vec<f64> = open
                .iter()
                .map(|&c| f64::from(logits[c] - top).exp())
                .collect();
            let total: f64 = weights.iter().sum();
            let mut left = seed.at(row as u64).rng().r#gen::<f64>() * total;
            for (&column, weight) in open.iter().zip(&weights) {
                left -= weight;
                if left < 0.0 {
                    return Some(column);
                }
            }
            // Rounding may leave a crumb: the last column takes it.
            open.last().copied()
        })
        .collect()
}

/// Draws up to `count` different members of `0..below` that `eligible` lets through, in a random order.
///
/// Gives up after a bounded number of tries: a row whose every partner is a positive gets none.
pub fn draw_distinct(
    count: usize,
    below: usize,
    eligible: impl Fn(usize) -> bool,
    seed: Seed,
) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count);
    if below == 0 {
        return chosen;
    }
    let mut rng = seed.rng();
    for _ in 0..(20 * count) {
        if chosen.len() == count {
            break;
        }
        let candidate = rng.gen_range(0..below);
        if eligible(candidate) && !chosen.contains(&candidate) {
            chosen.push(candidate);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_sees_every_example_once() {
        let seed = Seed::new(3);
        let mut seen: Vec<usize> = (0..4).flat_map(|b| epoch_batch(12, 3, b, seed)).collect();
        let first = seen.clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..12).collect::<Vec<_>>());
        let second: Vec<usize> = (4..8).flat_map(|b| epoch_batch(12, 3, b, seed)).collect();
        assert_ne!(first, second, "a new order each epoch");
        assert_eq!(epoch_batch(12, 3, 5, seed), second[3..6].to_vec());
        assert_eq!(epoch_batch(2, 8, 9, seed).len(), 2);
        assert!(epoch_batch(0, 8, 0, seed).is_empty());
    }

    #[test]
    fn negatives_follow_the_softmax_and_never_the_own_pair() {
        // Row 0 of three: columns 1 and 2 have odds 3 : 1.
        let logits = [9.0, 3f32.ln(), 0.0];
        let mut counts = [0usize; 3];
        for draw in 0..2000 {
            let drawn = draw_negatives(&logits, 1, |_, c| c != 0, Seed::new(draw));
            counts[drawn[0].expect("two are eligible")] += 1;
        }
        assert_eq!(counts[0], 0);
        let share = counts[1] as f64 / 2000.0;
        // Five standard deviations of a Bernoulli(0.75) mean over 2000 draws.
        assert!((share - 0.75).abs() < 0.048, "{share}");
        let same = |seed| draw_negatives(&logits, 1, |_, c| c != 0, Seed::new(seed));
        assert_eq!(same(5), same(5));
        assert_eq!(
            draw_negatives(&logits, 1, |_, _| false, Seed::new(1)),
            [None]
        );
    }

    #[test]
    fn distinct_draws_are_distinct_and_eligible() {
        let drawn = draw_distinct(3, 10, |c| c % 2 == 1, Seed::new(4));
        assert_eq!(drawn.len(), 3);
        assert!(drawn.iter().all(|c| c % 2 == 1));
        assert!(draw_distinct(3, 10, |_| false, Seed::new(4)).is_empty());
    }
}
