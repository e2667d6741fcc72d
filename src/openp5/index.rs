//! Ids of users and items, in `OpenP5`'s three ways.

use super::Sequences;
use super::clusters::{Collaborative, LastToken};
use crate::progress::{Progress, Stopped};
use crate::seed::Seed;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// The first item id of random and sequential indexing.
const FIRST: usize = 1001;

/// The order in which sequential indexing walks the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As in the catalogue.
    #[default]
    Original,
    /// Users with few items first.
    #[serde(rename = "short2long")]
    ShortToLong,
    /// Users with many items first.
    #[serde(rename = "long2short")]
    LongToShort,
}

/// How items get their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// 1001, 1002 … in random order.
    Random,
    /// 1001, 1002 … in the order of first mention: first in all training parts, then in the last two of each user.
    Sequential(Order),
    /// A path of clusters.
    Collaborative(Collaborative),
}

/// An id for every item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What files are called after: `random_indexing`, `sequential_indexing_original`,
    /// `collaborative_indexing_500_20_sequential`.
    pub suffix: String,
    /// Item and id, in the order in which `OpenP5` writes them.
    pub entries: Vec<(u32, String)>,
}

/// The ids of the users: 1, 2, 3 … in the order of the catalogue.
pub fn user_ids(n_users: usize) -> Vec<String> {
    (1..=n_users).map(|id| id.to_string()).collect()
}

impl How {
    /// See [`Index::suffix`].
    pub fn suffix(self) -> String {
        match self {
            Self::Random => "random_indexing".to_owned(),
            Self::Sequential(order) => {
                let order = match order {
                    Order::Original => "original",
                    Order::ShortToLong => "short2long",
                    Order::LongToShort => "long2short",
                };
                format!("sequential_indexing_{order}")
            }
            Self::Collaborative(config) => {
                let Collaborative {
                    token_size,
                    clusters,
                    last,
                } = config;
                format!(
                    "collaborative_indexing_{token_size}_{clusters}_{}",
                    LastToken::name(last)
                )
            }
        }
    }
}

impl Index {
    /// Makes the ids. Every item below `n_items` gets one, also one that no sequence has.
    pub fn make(
        how: How,
        sequences: &Sequences,
        n_items: usize,
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<Self, Stopped> {
        let entries = match how {
            How::Random => {
                let mut items: Vec<u32> = (0..n_items as u32).collect();
                let mut rng = seed.rng();
                for place in (1..items.len()).rev() {
                    items.swap(place, rng.gen_range(0..=place));
                }
                numbered(items)
            }
            How::Sequential(order) => numbered(first_mentions(sequences, n_items, order)),
            How::Collaborative(config) => config.ids(sequences, n_items, seed, progress)?,
        };
        Ok(Self {
            suffix: how.suffix(),
            entries,
        })
    }

    /// The ids by item.
    ///
    /// # Panics
    /// When an item below `n_items` has none: that is a bug of the caller.
    pub fn by_item(&self, n_items: usize) -> Vec<String> {
        let mut ids = vec![None; n_items];
        for (item, id) in &self.entries {
            ids[*item as usize] = Some(id.clone());
        }
        let ids: Option<Vec<String>> = ids.into_iter().collect();
        ids.expect("an index has every item")
    }
}

fn numbered(items: Vec<u32>) -> Vec<(u32, String)> {
    let ids = (FIRST..).map(|id| id.to_string());
    items.into_iter().zip(ids).collect()
}

fn first_mentions(sequences: &Sequences, n_items: usize, order: Order) -> Vec<u32> {
    let mut users: Vec<usize> = sequences.users().collect();
    // Stable, as Python's `sorted` is, with `reverse` too.
    match order {
        Order::Original => {}
        Order::ShortToLong => users.sort_by_key(|&user| sequences.all(user).len()),
        Order::LongToShort => users.sort_by_key(|&user| Reverse(sequences.all(user).len())),
    }
    let mut seen = vec![false; n_items];
    let train = users.iter().flat_map(|&user| sequences.train(user));
    let held = users.iter().flat_map(|&user| sequences.held(user));
    let rest: Vec<u32> = (0..n_items as u32).collect();
    train
        .chain(held)
        .chain(&rest)
        .copied()
        .filter(|&item| !std::mem::replace(&mut seen[item as usize], true))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sequences::tests::sequences;
    use super::*;
    use crate::progress::Silent;

    fn make(how: How) -> Vec<String> {
        let sequences = sequences(&[&[3, 1, 2, 0], &[4, 1, 3, 4, 6]]);
        let index = Index::make(how, &sequences, 7, Seed::new(1), &Silent).unwrap();
        index.by_item(7)
    }

    #[test]
    fn sequential_ids_follow_first_mention_in_training_then_in_the_rest() {
        // Training: 3 1 | 4 1 3; then 2 0 | 4 6; 5 is nowhere.
        assert_eq!(
            make(How::Sequential(Order::Original)),
            ["1005", "1002", "1004", "1001", "1003", "1007", "1006"]
        );
        assert_eq!(
            make(How::Sequential(Order::LongToShort)),
            ["1006", "1002", "1005", "1003", "1001", "1007", "1004"]
        );
        assert_eq!(
            make(How::Sequential(Order::ShortToLong)),
            make(How::Sequential(Order::Original))
        );
    }

    #[test]
    fn random_ids_are_a_permutation_of_the_same_numbers() {
        let mut ids = make(How::Random);
        assert_ne!(ids, make(How::Sequential(Order::Original)));
        ids.sort();
        let all: Vec<String> = (1001..1008).map(|id| id.to_string()).collect();
        assert_eq!(ids, all);
    }

    #[test]
    fn suffixes_are_those_of_openp5() {
        let collaborative = Collaborative {
            token_size: 500,
            clusters: 20,
            last: LastToken::Sequential,
        };
        for (how, suffix) in [
            (How::Random, "random_indexing"),
            (
                How::Sequential(Order::ShortToLong),
                "sequential_indexing_short2long",
            ),
            (
                How::Collaborative(collaborative),
                "collaborative_indexing_500_20_sequential",
            ),
        ] {
            assert_eq!(how.suffix(), suffix);
        }
    }
}
