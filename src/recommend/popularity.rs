//! The same list for everyone: how often an item was chosen.

use super::{Method, Query, RecommendError, Scorer, write_label};
use crate::data::{Table, read_parquet};
use rayon::prelude::*;
use std::path::Path;

/// Items by their number of training interactions (`MostPop`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Popularity {
    counts: Vec<u32>,
}

impl Popularity {
    /// Counts the items of training interactions.
    ///
    /// # Errors
    /// An item that is not below `n_items`.
    pub fn fit(n_items: usize, items: &[u32]) -> Result<Self, RecommendError> {
        let mut counts = vec![0; n_items];
        for &item in items {
            let count = counts
                .get_mut(item as usize)
                .ok_or(RecommendError::Unknown {
                    side: "item",
                    id: item,
                    size: n_items,
                })?;
            *count += 1;
        }
        Ok(Self { counts })
    }

    /// The number of interactions of each item.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Writes `scorer.json` and `popularity.parquet` (`item`, `count`).
    pub fn save(&self, folder: &Path) -> Result<(), RecommendError> {
        let items: Vec<u32> = (0..self.counts.len() as u32).collect();
        Table::default()
            .with("item", &items)
            .with("count", &self.counts)
            .write(&folder.join("popularity.parquet"))?;
        write_label(folder, Method::Popularity)
    }

    /// Reads what [`Popularity::save`] wrote.
    pub fn load(folder: &Path) -> Result<Self, RecommendError> {
        let table = read_parquet(&folder.join("popularity.parquet"))?;
        Ok(Self {
            counts: table.column("count")?,
        })
    }
}

impl Scorer for Popularity {
    fn n_items(&self) -> usize {
        self.counts.len()
    }

    fn score(&self, _: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        scores
            .par_chunks_mut(self.counts.len().max(1))
            .for_each(|scores| {
                for (score, &count) in scores.iter_mut().zip(&self.counts) {
                    // Exact up to 16 million interactions an item.
                    *score = count as f32;
                }
            });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_gets_the_same_counts() {
        let folder = tempfile::tempdir().unwrap();
        Popularity::fit(4, &[2, 0, 2, 3, 2])
            .unwrap()
            .save(folder.path())
            .unwrap();
        let popularity = super::super::load(folder.path()).unwrap();
        let query = |user| Query { user, history: &[] };
        let mut scores = [9.0; 8];
        popularity
            .score(&[query(5), query(0)], &mut scores)
            .unwrap();
        assert_eq!(scores, [1.0, 0.0, 3.0, 1.0, 1.0, 0.0, 3.0, 1.0]);
        let error = Popularity::fit(2, &[2]).unwrap_err();
        insta::assert_snapshot!(error, @"the split has the item 2, but the method was fitted for 2 items");
    }
}
