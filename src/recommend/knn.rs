//! Items that the same people choose.

use super::{Method, Query, RecommendError, Scorer, write_label};
use crate::cf::Csr;
use crate::data::{Table, read_parquet};
use crate::formats::json;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How item-kNN scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnnConfig {
    /// Neighbours kept of each item, the most similar ones; 0 keeps all. Default 0.
    pub neighbours: usize,
    /// Added to the denominator of the cosine, so that items which few people chose count less; at least 0. Default 0.
    pub shrink: f64,
    /// What an item of the history weighs as a share of the one after it, above 0 to 1. Default 0.8; 1 forgets the order.
    pub decay: f64,
    /// How many items of the history count, from its end, at least 1. Default 20.
    pub last: usize,
}

impl Default for KnnConfig {
    fn default() -> Self {
        Self {
            neighbours: 0,
            shrink: 0.0,
            decay: 0.8,
            last: 20,
        }
    }
}

/// Item-kNN: the cosine of co-occurrence, weighted by recency.
///
/// `score(j) = Σ_lag decay^lag · cos(i_lag, j)` over the last items of the history, lag 0 the newest, with
/// `cos(i, j) = users of both / (√(users of i · users of j) + shrink)` (Sarwar et al. 2001 with binary ratings).
/// An item is no neighbour of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Knn {
    config: KnnConfig,
    /// Where each item's neighbours start; one longer than there are items.
    starts: Vec<usize>,
    /// Neighbours, ascending ids of an item.
    neighbours: Vec<u32>,
    /// Their cosines.
    similarities: Vec<f32>,
}

impl Knn {
    /// Counts who chose what together. `users` is users x items.
    pub fn fit(users: &Csr, config: KnnConfig) -> Self {
        let items = users.transpose();
        let n_items = items.n_rows();
        let rows: Vec<Vec<(u32, f32)>> = (0..n_items)
            .into_par_iter()
            .map_init(
                || vec![0_u32; n_items],
                |counts, item| neighbours(users, &items, item, counts, config),
            )
            .collect();
        let mut starts = vec![0];
        let (mut neighbours, mut similarities) = (Vec::new(), Vec::new());
        for row in rows {
            for (item, similarity) in row {
                neighbours.push(item);
                similarities.push(similarity);
            }
            starts.push(neighbours.len());
        }
        Self {
            config,
            starts,
            neighbours,
            similarities,
        }
    }

    /// The number of pairs of an item and a neighbour.
    pub fn n_pairs(&self) -> usize {
        self.neighbours.len()
    }

    /// The neighbours of an item, ascending, with their cosines.
    pub fn neighbours(&self, item: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.starts[item]..self.starts[item + 1];
        let ids = self.neighbours[range.clone()].iter().copied();
        ids.zip(self.similarities[range].iter().copied())
    }

    /// Writes `scorer.json`, `config.json` and `neighbours.parquet` (`item`, `neighbour`, `similarity`).
    pub fn save(&self, folder: &Path) -> Result<(), RecommendError> {
        let items: Vec<u32> = self
            .starts
            .windows(2)
            .zip(0_u32..)
            .flat_map(|(ends, item)| std::iter::repeat_n(item, ends[1] - ends[0]))
            .collect();
        Table::default()
            .with("item", &items)
            .with("neighbour", &self.neighbours)
            .with("similarity", &self.similarities)
            .write(&folder.join("neighbours.parquet"))?;
        let file = ConfigFile {
            items: self.n_items(),
            config: self.config,
        };
        json::write(&folder.join("config.json"), &file)?;
        write_label(folder, Method::ItemKnn)
    }

    /// Reads what [`Knn::save`] wrote.
    pub fn load(folder: &Path) -> Result<Self, RecommendError> {
        let file: ConfigFile = json::read(&folder.join("config.json"))?;
        let path = folder.join("neighbours.parquet");
        let table = read_parquet(&path)?;
        let items: Vec<u32> = table.column("item")?;
        let neighbours: Vec<u32> = table.column("neighbour")?;
        let outside = |all: &[u32]| all.iter().any(|&item| item as usize >= file.items);
        if !items.is_sorted() || outside(&items) || outside(&neighbours) {
            return Err(RecommendError::Damaged {
                path,
                message: format!(
                    "its items must be ascending and, like their neighbours, below {}",
                    file.items
                ),
            });
        }
        let mut starts = vec![0; file.items + 1];
        for &item in &items {
            starts[item as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        Ok(Self {
            config: file.config,
            starts,
            neighbours,
            similarities: table.column("similarity")?,
        })
    }

    fn score_one(&self, query: Query<'_>, sums: &mut [f64]) {
        let mut weight = 1.0;
        for &item in query.history.iter().rev().take(self.config.last) {
            for (neighbour, similarity) in self.neighbours(item as usize) {
                sums[neighbour as usize] += weight * f64::from(similarity);
            }
            weight *= self.config.decay;
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    items: usize,
    config: KnnConfig,
}

/// The neighbours of one item, ascending. `counts` is zeros before and after.
fn neighbours(
    users: &Csr,
    items: &Csr,
    item: usize,
    counts: &mut [u32],
    config: KnnConfig,
) -> Vec<(u32, f32)> {
    let own = items.row(item);
    let mut touched: Vec<u32> = Vec::new();
    for &user in own {
        for &other in users.row(user as usize) {
            let count = &mut counts[other as usize];
            if *count == 0 {
                touched.push(other);
            }
            *count += 1;
        }
    }
    let mut row: Vec<(u32, f32)> = Vec::with_capacity(touched.len());
    for other in touched {
        let both = f64::from(std::mem::take(&mut counts[other as usize]));
        if other as usize != item {
            let sizes = own.len() as f64 * items.row(other as usize).len() as f64;
            row.push((other, (both / (sizes.sqrt() + config.shrink)) as f32));
        }
    }
    if config.neighbours > 0 && row.len() > config.neighbours {
        row.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        row.truncate(config.neighbours);
    }
    row.sort_unstable_by_key(|pair| pair.0);
    row
}

impl Scorer for Knn {
    fn n_items(&self) -> usize {
        self.starts.len() - 1
    }

    fn score(&self, queries: &[Query<'_>], scores: &mut [f32]) -> Result<(), RecommendError> {
        let n_items = self.n_items();
        scores
            .par_chunks_mut(n_items.max(1))
            .zip(queries)
            .for_each_init(
                || vec![0.0_f64; n_items],
                |sums, (scores, query)| {
                    sums.fill(0.0);
                    self.score_one(*query, sums);
                    // Rounding to `f32` makes sums equal that differ only in the order of their terms; ties are then
                    // broken by the item id.
                    for (score, &sum) in scores.iter_mut().zip(&*sums) {
                        *score = sum as f32;
                    }
                },
            );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::Rng as _;

    fn users() -> Csr {
        let pairs = [
            (0, 0),
            (0, 1),
            (1, 0),
            (1, 1),
            (1, 2),
            (2, 2),
            (2, 3),
            (3, 0),
        ];
        Csr::from_pairs(4, 5, pairs).unwrap()
    }

    #[test]
    fn similarities_are_cosines_of_co_occurrence() {
        let knn = Knn::fit(&users(), KnnConfig::default());
        let of = |item| knn.neighbours(item).collect::<Vec<_>>();
        let root = |x: f64| (1.0 / x.sqrt()) as f32;
        assert_eq!(of(0), [(1, (2.0 / 6f64.sqrt()) as f32), (2, root(6.0))]);
        assert_eq!(of(2), [(0, root(6.0)), (1, root(4.0)), (3, root(2.0))]);
        assert_eq!(of(4), []);
        assert_eq!(knn.n_pairs(), 8);
    }

    #[test]
    fn only_the_most_similar_are_kept_and_shrinking_prefers_what_many_chose() {
        let one = KnnConfig {
            neighbours: 1,
            ..KnnConfig::default()
        };
        let kept = |config| Knn::fit(&users(), config).neighbours(2).collect::<Vec<_>>();
        assert_eq!(kept(one)[0].0, 3);
        let shrunk = KnnConfig { shrink: 1.0, ..one };
        let similarity = (1.0 / (2f64.sqrt() + 1.0)) as f32;
        assert_eq!(kept(shrunk), [(3, similarity)]);
    }

    #[test]
    fn scores_equal_a_plain_twin() {
        let mut rng = Seed::new(1).child("pairs").rng();
        let (n_users, n_items) = (40, 15);
        let pairs: Vec<(u32, u32)> = (0..200)
            .map(|_| (rng.gen_range(0..n_users), rng.gen_range(0..n_items)))
            .collect();
        let users = Csr::from_pairs(n_users as usize, n_items as usize, pairs.clone()).unwrap();
        let config = KnnConfig {
            last: 3,
            ..KnnConfig::default()
        };
        let folder = tempfile::tempdir().unwrap();
        Knn::fit(&users, config).save(folder.path()).unwrap();
        let knn = super::super::load(folder.path()).unwrap();
        let history = [3, 7, 2, 7, 11];
        let mut scores = vec![-1.0; n_items as usize];
        let query = Query {
            user: 0,
            history: &history,
        };
        knn.score(&[query], &mut scores).unwrap();
        let chose = |user: u32, item: u32| pairs.contains(&(user, item));
        let size = |item| (0..n_users).filter(|&user| chose(user, item)).count() as f64;
        for item in 0..n_items {
            let mut sum = 0.0;
            for (lag, &seen) in history.iter().rev().take(3).enumerate() {
                if seen != item && size(seen) * size(item) > 0.0 {
                    let both = (0..n_users).filter(|&u| chose(u, seen) && chose(u, item));
                    let cosine = both.count() as f64 / (size(seen) * size(item)).sqrt();
                    sum += 0.8_f64.powi(lag as i32) * cosine;
                }
            }
            let found = f64::from(scores[item as usize]);
            assert!((found - sum).abs() < 1e-6, "{item}: {found} and {sum}");
        }
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Knn::fit(&users(), KnnConfig::default())
            .save(folder.path())
            .unwrap();
        Table::default()
            .with("item", &[9_u32])
            .with("neighbour", &[0_u32])
            .with("similarity", &[0.5_f32])
            .write(&folder.path().join("neighbours.parquet"))
            .unwrap();
        let error = Knn::load(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("its items must be ascending and, like their neighbours, below 5"),
            "{error}"
        );
    }
}
