//! Ranking items for users by inner product.

use super::{Csr, Factors};
use rayon::prelude::*;
use std::cmp::Ordering;

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The item.
    pub item: u32,
    /// The inner product of its vector with the user's.
    pub score: f32,
}

/// Returns the score of every item for one user: `[n_items]`.
pub fn scores(factors: &Factors, user: usize) -> Vec<f32> {
    let d = factors.width();
    let w = &factors.users.data[user * d..][..d];
    factors
        .items
        .data
        .chunks_exact(d)
        .map(|h| dot(w, h))
        .collect()
}

/// Returns the `k` best items of one user, best first, without those in `exclude` (ascending ids). Equal scores are
/// ordered by item id. Fewer than `k` when fewer are left.
pub fn top_k(factors: &Factors, user: usize, exclude: &[u32], k: usize) -> Vec<Scored> {
    let mut candidates: Vec<Scored> = scores(factors, user)
        .into_iter()
        .zip(0..)
        .filter(|(_, item)| exclude.binary_search(item).is_err())
        .map(|(score, item)| Scored { item, score })
        .collect();
    if k < candidates.len() {
        if k > 0 {
            candidates.select_nth_unstable_by(k - 1, best_first);
        }
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(best_first);
    candidates
}

/// Returns [`top_k`] of every user, with the user's row of `exclude` left out.
pub fn top_k_of_all(factors: &Factors, exclude: &Csr, k: usize) -> Vec<Vec<Scored>> {
    (0..factors.users.shape[0])
        .into_par_iter()
        .map(|user| top_k(factors, user, exclude.row(user), k))
        .collect()
}

fn best_first(a: &Scored, b: &Scored) -> Ordering {
    b.score.total_cmp(&a.score).then(a.item.cmp(&b.item))
}

/// Eight running sums, added in order: the same bits everywhere, and it vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum = x.mul_add(*y, *sum);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tensors::Array;

    fn factors(scores: &[f32]) -> Factors {
        Factors {
            users: Array::new(&[2, 1], vec![1.0, -1.0]),
            items: Array::new(&[scores.len(), 1], scores.to_vec()),
        }
    }

    fn items(found: &[Scored]) -> Vec<u32> {
        found.iter().map(|scored| scored.item).collect()
    }

    #[test]
    fn the_best_come_first_and_ties_go_to_the_lower_id() {
        let factors = factors(&[0.5, 2.0, 0.5, -1.0, 0.5]);
        assert_eq!(items(&top_k(&factors, 0, &[], 3)), [1, 0, 2]);
        assert_eq!(items(&top_k(&factors, 0, &[1, 2], 3)), [0, 4, 3]);
        assert_eq!(items(&top_k(&factors, 1, &[], 9)), [3, 0, 2, 4, 1]);
        assert!(top_k(&factors, 0, &[], 0).is_empty());
    }

    #[test]
    fn everyone_at_once_equals_one_by_one() {
        let factors = factors(&[0.5, 2.0, 0.5, -1.0, 0.5]);
        let seen = Csr::from_pairs(2, 5, [(0, 1), (1, 3)]).unwrap();
        let all = top_k_of_all(&factors, &seen, 2);
        assert_eq!(items(&all[0]), [0, 2]);
        assert_eq!(items(&all[1]), [0, 2]);
    }

    #[test]
    fn inner_products_cover_the_remainder() {
        let a: Vec<f32> = (1..=11).map(|x| x as f32).collect();
        assert_eq!(dot(&a, &a), 506.0);
    }
}
