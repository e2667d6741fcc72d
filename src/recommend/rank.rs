//! Full ranking: the place of each user's held-out item among all items.

use super::{Histories, RecommendError, Scorer};
use crate::eval::ranking::{Ranks, rank_of};
use crate::progress::Progress;
use rayon::prelude::*;

/// Users that are scored together: their scores (12,000 items: 12 MB) stay small and a product of matrices is still fast.
/// A constant, so that nothing depends on the number of threads.
const BATCH: usize = 256;

/// Ranks, and among how many items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// The rank of each user's held-out item.
    pub ranks: Ranks,
    /// The items that were scored, those that users already have among them.
    pub n_items: usize,
}

/// Ranks the held-out item of every user among all items, or, with `exclude_seen`, among those that are not in the user's
/// history and itself.
///
/// # Errors
/// Nobody to rank for, an item that the method does not know, a score that is not finite, and whatever the method says.
pub fn rank_all(
    scorer: &dyn Scorer,
    histories: &Histories,
    exclude_seen: bool,
    progress: &dyn Progress,
) -> Result<Ranked, RecommendError> {
    let n_items = scorer.n_items();
    if histories.is_empty() {
        return Err(RecommendError::Empty("no user has a held-out item to rank"));
    }
    let places: Vec<usize> = (0..histories.len()).collect();
    let mut scores = vec![0.0; BATCH.min(places.len()) * n_items];
    let mut ranks = Vec::with_capacity(places.len());
    for batch in places.chunks(BATCH) {
        progress.tick("user", ranks.len() as u64, places.len() as u64)?;
        let queries: Vec<_> = batch.iter().map(|&place| histories.query(place)).collect();
        let targets = batch.iter().map(|&place| &histories.targets()[place]);
        for &item in queries.iter().flat_map(|q| q.history).chain(targets) {
            if item as usize >= n_items {
                return Err(RecommendError::Unknown {
                    side: "item",
                    id: item,
                    size: n_items,
                });
            }
        }
        let scores = &mut scores[..batch.len() * n_items];
        scorer.score(&queries, scores)?;
        let found: Vec<u32> = scores
            .par_chunks(n_items)
            .zip(batch)
            .map(|(scores, &place)| {
                let query = histories.query(place);
                check(scores, query.user)?;
                let mut seen = Vec::new();
                if exclude_seen {
                    seen.extend_from_slice(query.history);
                    seen.sort_unstable();
                    seen.dedup();
                }
                Ok(rank_of(scores, histories.targets()[place], &seen))
            })
            .collect::<Result<_, RecommendError>>()?;
        ranks.extend(found);
    }
    progress.tick("user", ranks.len() as u64, places.len() as u64)?;
    Ok(Ranked {
        ranks: Ranks {
            users: histories.users().to_vec(),
            targets: histories.targets().to_vec(),
            ranks,
        },
        n_items,
    })
}

fn check(scores: &[f32], user: u32) -> Result<(), RecommendError> {
    // NaN and infinity times zero are NaN, and so is their sum: one pass without branches.
    let sum: f32 = scores.iter().map(|score| score * 0.0).sum();
    if sum == 0.0 {
        return Ok(());
    }
    match scores.iter().position(|score| !score.is_finite()) {
        Some(item) => Err(RecommendError::NotFinite {
            user,
            item,
            found: scores[item],
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::tests::split;
    use super::super::{Part, Query};
    use super::*;
    use crate::progress::Silent;

    /// Scores that each user gives, without a model.
    struct Fixed(Vec<Vec<f32>>);

    impl Scorer for Fixed {
        fn n_items(&self) -> usize {
            self.0[0].len()
        }

        fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
            for (query, scores) in queries.iter().zip(scores.chunks_mut(self.n_items())) {
                scores.copy_from_slice(&self.0[query.user as usize]);
            }
            Ok(())
        }
    }

    #[test]
    fn seen_items_are_left_out_only_when_asked() {
        let split = split(&[&[0, 1, 2, 3], &[4, 4, 0, 4]]);
        let histories = Histories::new(&split, Part::Test);
        let scorer = Fixed(vec![vec![5., 4., 3., 2., 1.], vec![5., 4., 3., 2., 1.]]);
        let ranks = |exclude| {
            rank_all(&scorer, &histories, exclude, &Silent)
                .unwrap()
                .ranks
                .ranks
        };
        assert_eq!(ranks(false), [4, 5]);
        // The second user's target was seen before; it is ranked all the same.
        assert_eq!(ranks(true), [1, 4]);
    }

    #[test]
    fn what_cannot_be_ranked_is_named() {
        let users = split(&[&[0, 1, 2, 3]]);
        let histories = Histories::new(&users, Part::Test);
        let said = |scores: Vec<f32>, histories: &Histories| {
            rank_all(&Fixed(vec![scores]), histories, true, &Silent)
                .unwrap_err()
                .to_string()
        };
        insta::assert_snapshot!(said(vec![0.0; 3], &histories), @"the split has the item 3, but the method was fitted for 3 items");
        insta::assert_snapshot!(said(vec![0.0, 1.0, f32::NAN, 0.0], &histories), @"the score of item 2 for user 0 is NaN, but must be finite");
        insta::assert_snapshot!(said(vec![0.0, 1.0, f32::INFINITY, 0.0], &histories), @"the score of item 2 for user 0 is inf, but must be finite");
        let nobody = Histories::new(&split(&[&[0, 1]]), Part::Test);
        insta::assert_snapshot!(said(vec![0.0; 4], &nobody), @"no user has a held-out item to rank");
    }
}
