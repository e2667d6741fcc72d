//! Ranking metrics: where one right item stands among all others.
//!
//! One held-out item a user (leave-one-out), ranked among all items or all that the user does not have yet; nothing is
//! sampled, because sampled metrics order methods wrongly (Krichene & Rendle 2020). Every metric is a function of the
//! rank alone, so that an artifact of ranks is enough for any of them, and for paired tests.

use super::EvalError;
use crate::data::{DataError, Table, read_parquet};
use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Returns the rank of `target` by `scores`, 1 for the best. Of equal scores the lower item id is the better.
///
/// Items in `excluded` do not take part; the target always does, even where it is among them. Ids in `excluded` may
/// stand in any order but only once each.
///
/// # Panics
/// When an id is not below the number of scores: that is a bug of the caller.
pub fn rank_of(scores: &[f32], target: u32, excluded: &[u32]) -> u32 {
    let place = target as usize;
    let own = scores[place];
    // Two loops without branches: a lower id beats the target also with an equal score.
    let before: u32 = scores[..place].iter().map(|&s| u32::from(s >= own)).sum();
    let after: u32 = scores[place + 1..]
        .iter()
        .map(|&s| u32::from(s > own))
        .sum();
    let gone = excluded
        .iter()
        .filter(|&&item| {
            item != target
                && match scores[item as usize].partial_cmp(&own) {
                    Some(Ordering::Greater) => true,
                    Some(Ordering::Equal) => item < target,
                    _ => false,
                }
        })
        .count();
    1 + before + after - gone as u32
}

/// A metric of one ranked item.
///
/// With one right item, HR@k (hit ratio) is also Recall@k, and the ideal DCG of NDCG@k is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RankMetric {
    /// 1 when the rank is at most `k`.
    Hr(u32),
    /// `1 / log2(rank + 1)` when the rank is at most `k` (Järvelin & Kekäläinen 2002).
    Ndcg(u32),
    /// `1 / rank`, without a cut-off.
    Mrr,
}

impl RankMetric {
    /// The metric of an item at this rank.
    pub fn of(self, rank: u32) -> f64 {
        match self {
            Self::Hr(k) => f64::from(u8::from(rank <= k)),
            Self::Ndcg(k) if rank <= k => 1.0 / (f64::from(rank) + 1.0).log2(),
            Self::Ndcg(_) => 0.0,
            Self::Mrr => 1.0 / f64::from(rank),
        }
    }

    /// The mean over users, added in their order; 0 for none.
    pub fn mean(self, ranks: &[u32]) -> f64 {
        let sum: f64 = ranks.iter().map(|&rank| self.of(rank)).sum();
        sum / ranks.len().max(1) as f64
    }
}

impl fmt::Display for RankMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hr(k) => write!(f, "HR@{k}"),
            Self::Ndcg(k) => write!(f, "NDCG@{k}"),
            Self::Mrr => f.write_str("MRR"),
        }
    }
}

/// A text that names no metric.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is `{0}`, but must be `HR@k`, `NDCG@k` (k a whole number from 1) or `MRR`")]
pub struct UnknownMetric(pub String);

impl FromStr for RankMetric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let unknown = || UnknownMetric(text.to_owned());
        if text == "MRR" {
            return Ok(Self::Mrr);
        }
        let (name, k) = text.split_once('@').ok_or_else(unknown)?;
        let k: u32 = k.parse().map_err(|_| unknown())?;
        match name {
            _ if k == 0 => Err(unknown()),
            "HR" => Ok(Self::Hr(k)),
            "NDCG" => Ok(Self::Ndcg(k)),
            _ => Err(unknown()),
        }
    }
}

/// The rank of each user's held-out item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// The users, in the order of the split.
    pub users: Vec<u32>,
    /// The held-out item of each.
    pub targets: Vec<u32>,
    /// Its rank, from 1.
    pub ranks: Vec<u32>,
}

impl Ranks {
    /// Writes a Parquet file with the columns `user`, `item`, `rank`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        Table::default()
            .with("user", &self.users)
            .with("item", &self.targets)
            .with("rank", &self.ranks)
            .write(path)
    }

    /// Reads what [`Ranks::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let table = read_parquet(path)?;
        Ok(Self {
            users: table.column("user")?,
            targets: table.column("item")?,
            ranks: table.column("rank")?,
        })
    }
}

/// Several runs of one method (seeds) on the same users and items.
#[derive(Clone, Debug)]
pub struct PooledRanks {
    runs: Vec<Ranks>,
}

impl PooledRanks {
    /// Puts runs together.
    ///
    /// # Errors
    /// No run, a run without users, or runs that ranked other items.
    pub fn new(runs: Vec<Ranks>) -> Result<Self, EvalError> {
        match runs.first() {
            Some(first) if !first.users.is_empty() => {
                for run in &runs[1..] {
                    if (&run.users, &run.targets) != (&first.users, &first.targets) {
                        return Err(EvalError::OtherItems {
                            found: run.users.len(),
                            expected: first.users.len(),
                        });
                    }
                }
                Ok(Self { runs })
            }
            _ => Err(EvalError::NoRanks),
        }
    }

    /// The number of users.
    pub fn n_users(&self) -> usize {
        self.runs[0].users.len()
    }

    /// The number of runs.
    pub fn n_runs(&self) -> usize {
        self.runs.len()
    }

    /// Whether another method ranked the same items for the same users.
    pub fn is_paired_with(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.runs[0], &other.runs[0]);
        (&mine.users, &mine.targets) == (&theirs.users, &theirs.targets)
    }

    /// The mean over users and runs.
    pub fn mean(&self, metric: RankMetric) -> f64 {
        let means = self.run_means(metric);
        means.iter().sum::<f64>() / means.len() as f64
    }

    /// The mean over users of each run.
    pub fn run_means(&self, metric: RankMetric) -> Vec<f64> {
        self.runs
            .iter()
            .map(|run| metric.mean(&run.ranks))
            .collect()
    }

    /// The metric of each user, averaged over the runs.
    pub fn user_means(&self, metric: RankMetric) -> Vec<f64> {
        let count = self.runs.len() as f64;
        (0..self.n_users())
            .map(|user| {
                let sum: f64 = self.runs.iter().map(|run| metric.of(run.ranks[user])).sum();
                sum / count
            })
            .collect()
    }

    /// The 95 % interval of [`PooledRanks::mean`]: Student's t over users, and with several runs the same over the
    /// runs' means, joined as independent errors (see [`super::Pooled`]). `None` with fewer than two users.
    pub fn interval(&self, metric: RankMetric) -> Option<super::Interval> {
        let users = super::t_interval(&self.user_means(metric))?;
        Some(match super::t_interval(&self.run_means(metric)) {
            Some(runs) => super::interval::square_and_add(self.mean(metric), [users, runs]),
            None => users,
        })
    }

    /// Two-sided paired t test of the users' means against another method's; `None` when it ranked other items.
    pub fn test(&self, other: &Self, metric: RankMetric) -> Option<super::PairedTest> {
        if !self.is_paired_with(other) {
            return None;
        }
        super::paired_t(&self.user_means(metric), &other.user_means(metric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;
    use rand::Rng as _;

    /// The definition, step by step: sort all candidates, walk down, look for the target.
    fn twin(scores: &[f32], target: u32, excluded: &[u32]) -> u32 {
        let mut order: Vec<u32> = (0..scores.len() as u32)
            .filter(|item| *item == target || !excluded.contains(item))
            .collect();
        order.sort_by(|&a, &b| {
            let (x, y) = (scores[a as usize], scores[b as usize]);
            y.partial_cmp(&x).unwrap().then(a.cmp(&b))
        });
        order.iter().position(|&item| item == target).unwrap() as u32 + 1
    }

    /// DCG over ideal DCG of the list of the best `k`, from its relevances.
    fn twin_ndcg(rank: u32, k: usize, n: usize) -> f64 {
        let mut relevance = vec![0.0; n];
        relevance[rank as usize - 1] = 1.0;
        let gain = |all: &[f64]| -> f64 {
            all.iter()
                .take(k)
                .enumerate()
                .map(|(place, r)| r / (place as f64 + 2.0).log2())
                .sum()
        };
        let found = gain(&relevance);
        relevance.sort_by(|a, b| b.total_cmp(a));
        found / gain(&relevance)
    }

    proptest! {
        #[test]
        fn ranks_and_metrics_equal_a_plain_twin_to_the_last_digit(
            // Few distinct values: ties everywhere.
            coarse in prop::collection::vec(-3_i8..3, 1..40),
            target in 0_usize..40,
            drop in prop::collection::btree_set(0_u32..40, 0..12),
            k in 1_u32..45,
        ) {
            let scores: Vec<f32> = coarse.iter().map(|&x| f32::from(x) * 0.25).collect();
            let target = (target % scores.len()) as u32;
            let excluded: Vec<u32> = drop.into_iter().filter(|&i| (i as usize) < scores.len()).collect();
            let rank = rank_of(&scores, target, &excluded);
            prop_assert_eq!(rank, twin(&scores, target, &excluded));
            let ndcg = twin_ndcg(rank, k as usize, scores.len());
            prop_assert_eq!(RankMetric::Ndcg(k).of(rank), ndcg);
            prop_assert_eq!(RankMetric::Hr(k).of(rank) > 0.0, ndcg > 0.0);
        }
    }

    #[test]
    fn means_over_many_users_equal_a_plain_twin_to_the_last_digit() {
        let mut rng = Seed::new(3).child("scores").rng();
        let n = 300;
        let (mut ranks, mut hits, mut gains, mut reciprocals) = (Vec::new(), 0.0, 0.0, 0.0);
        for _ in 0..200 {
            let scores: Vec<f32> = (0..n).map(|_| rng.gen_range(-1.0..1.0)).collect();
            let target = rng.gen_range(0..n as u32);
            let rank = twin(&scores, target, &[7, 8]);
            hits += if rank <= 10 { 1.0 } else { 0.0 };
            gains += twin_ndcg(rank, 10, n);
            reciprocals += 1.0 / f64::from(rank);
            ranks.push(rank_of(&scores, target, &[7, 8]));
        }
        assert_eq!(RankMetric::Hr(10).mean(&ranks), hits / 200.0);
        assert_eq!(RankMetric::Ndcg(10).mean(&ranks), gains / 200.0);
        assert_eq!(RankMetric::Mrr.mean(&ranks), reciprocals / 200.0);
    }

    #[test]
    fn of_equal_scores_the_lower_id_wins() {
        let scores = [0.5, 1.0, 0.5, 0.5];
        assert_eq!(rank_of(&scores, 0, &[]), 2);
        assert_eq!(rank_of(&scores, 3, &[]), 4);
        assert_eq!(rank_of(&scores, 3, &[0, 1]), 2);
        assert_eq!(rank_of(&scores, 3, &[3]), 4, "the target always takes part");
        // The two zeros are equal.
        assert_eq!(rank_of(&[0.0, -0.0], 1, &[]), 2);
    }

    #[test]
    fn metrics_have_names() {
        for name in ["HR@5", "NDCG@10", "MRR"] {
            assert_eq!(name.parse::<RankMetric>().unwrap().to_string(), name);
        }
        let error = "HR@0".parse::<RankMetric>().unwrap_err();
        insta::assert_snapshot!(error, @"is `HR@0`, but must be `HR@k`, `NDCG@k` (k a whole number from 1) or `MRR`");
        assert!("MAP@5".parse::<RankMetric>().is_err());
    }

    fn ranks(values: &[u32]) -> Ranks {
        let users: Vec<u32> = (0..values.len() as u32).collect();
        Ranks {
            targets: users.iter().map(|user| user + 9).collect(),
            users,
            ranks: values.to_vec(),
        }
    }

    #[test]
    fn ranks_survive_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ranks.parquet");
        let some = ranks(&[3, 1, 900]);
        some.write(&path).unwrap();
        assert_eq!(Ranks::read(&path).unwrap(), some);
    }

    #[test]
    fn runs_are_averaged_and_compared_user_by_user() {
        let first = PooledRanks::new(vec![ranks(&[1, 20, 3, 4]), ranks(&[1, 2, 30, 4])]).unwrap();
        let hr = RankMetric::Hr(5);
        assert_eq!(first.run_means(hr), [0.75, 0.75]);
        assert_eq!(first.user_means(hr), [1.0, 0.5, 0.5, 1.0]);
        assert_eq!(
            (first.mean(hr), first.n_users(), first.n_runs()),
            (0.75, 4, 2)
        );
        let one = PooledRanks::new(vec![ranks(&[9, 9, 3, 9])]).unwrap();
        // Differences 1, .5, -.5, 1: mean .5, deviation .7071, t = .5 / .35355.
        let test = first.test(&one, hr).unwrap();
        assert!((test.t - 2f64.sqrt()).abs() < 1e-12, "{test:?}");
        let both = first.interval(hr).unwrap();
        let users = super::super::t_interval(&first.user_means(hr)).unwrap();
        // Both runs have the same mean, so that they add nothing.
        assert!((both.low - users.low).abs() < 1e-12 && (both.high - users.high).abs() < 1e-12);

        let mut other = ranks(&[1, 2, 3, 4]);
        other.targets[0] = 5;
        assert_eq!(
            first.test(&PooledRanks::new(vec![other.clone()]).unwrap(), hr),
            None
        );
        let error = PooledRanks::new(vec![ranks(&[1, 2, 3, 4]), other]).unwrap_err();
        insta::assert_snapshot!(error, @"the runs of one row ranked different items: they have 4 and 4 users");
        let error = PooledRanks::new(vec![ranks(&[])]).unwrap_err();
        insta::assert_snapshot!(error, @"there are no ranks: no user has a held-out item");
    }
}
