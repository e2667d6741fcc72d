//! Item-text, item-item and user-item pairs for phase 1.
//!
//! - *item-text*: one text an item ([`describe`]).
//! - *item-item*: `(a, b)` where some user's training interactions have `b` right after `a`; ordered, each once.
//! - *user-item*: the training interactions.
//!
//! Each set is cut 90/10 by a hash of the pair ([`HeldOut`]), so whether a pair is held out depends on nothing but
//! itself. These rules reproduce the pair counts of the ILM paper's Table 5 from its data sets' sequences.

mod held_out;

pub use held_out::{Cut, HeldOut};

use crate::data::{DataError, Interactions, Item, Table, describe, read_parquet};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One line of `item_text.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemText {
    /// Dense item id.
    pub item: u32,
    /// What [`describe`] says of it.
    pub text: String,
    /// Whether the pair is for measuring, not for training.
    pub held_out: bool,
}

/// Pairs of ids, each once, ascending by (left, right).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairSet {
    /// Dense ids: the earlier item, or the user.
    pub left: Vec<u32>,
    /// Dense ids: the later item, or the item.
    pub right: Vec<u32>,
    /// Whether each pair is for measuring, not for training.
    pub held_out: Vec<bool>,
}

/// Writes the text pair of each item.
pub fn item_text(items: &[Item], held_out: HeldOut) -> Vec<ItemText> {
    let cut = held_out.cut("item-text");
    items
        .iter()
        .map(|item| ItemText {
            item: item.item,
            text: describe(item),
            held_out: cut.holds_out(item.item, item.item),
        })
        .collect()
}

/// Ordered pairs of consecutive items in training interactions that are sorted by (user, time). An item after
/// itself is no pair.
pub fn item_item(train: &Interactions, held_out: HeldOut) -> PairSet {
    let pairs = train.by_user().flat_map(|(_, run)| {
        train.items[run]
            .windows(2)
            .filter(|pair| pair[0] != pair[1])
            .map(|pair| (pair[0], pair[1]))
    });
    PairSet::new("item-item", pairs, held_out)
}

/// (user, item) pairs of training interactions.
pub fn user_item(train: &Interactions, held_out: HeldOut) -> PairSet {
    let pairs = train.users.iter().copied().zip(train.items.iter().copied());
    PairSet::new("user-item", pairs, held_out)
}

impl PairSet {
    /// Sorts and de-duplicates pairs, and cuts them by the hash of `kind` and ids.
    fn new(kind: &str, pairs: impl Iterator<Item = (u32, u32)>, held_out: HeldOut) -> Self {
        let mut pairs: Vec<(u32, u32)> = pairs.collect();
        pairs.par_sort_unstable();
        pairs.dedup();
        let cut = held_out.cut(kind);
        let held_out = pairs
            .par_iter()
            .map(|&(left, right)| cut.holds_out(left, right))
            .collect();
        let (left, right) = pairs.into_iter().unzip();
        Self {
            left,
            right,
            held_out,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The pairs of one side of the cut, in order.
    pub fn side(&self, held_out: bool) -> impl Iterator<Item = (u32, u32)> + '_ {
        let pairs = self.left.iter().copied().zip(self.right.iter().copied());
        pairs
            .zip(&self.held_out)
            .filter(move |(_, side)| **side == held_out)
            .map(|(pair, _)| pair)
    }

    /// Writes a Parquet file with the columns `left`, `right`, `held_out`.
    pub fn write(self, path: &Path) -> Result<(), DataError> {
        Table::default()
            .with("left", &self.left)
            .with("right", &self.right)
            .with("held_out", &self.held_out)
            .write(path)
    }

    /// Reads what [`PairSet::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let table = read_parquet(path)?;
        Ok(Self {
            left: table.column("left")?,
            right: table.column("right")?,
            held_out: table.column("held_out")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const TENTH: HeldOut = HeldOut {
        share: 0.1,
        seed: 0,
    };

    fn train(histories: &[Vec<u32>]) -> Interactions {
        let mut train = Interactions::default();
        for (user, history) in histories.iter().enumerate() {
            for (time, &item) in history.iter().enumerate() {
                train.push(user as u32, item, 1.0, time as i64);
            }
        }
        train
    }

    #[test]
    fn pairs_do_not_cross_users_and_keep_their_order() {
        let pairs = item_item(&train(&[vec![3, 1, 2], vec![1, 3, 1, 2]]), TENTH);
        assert_eq!(pairs.left, [1, 1, 3]);
        assert_eq!(pairs.right, [2, 3, 1]);
    }

    #[test]
    fn a_set_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.parquet");
        let pairs = user_item(&train(&[vec![3, 1], vec![2]]), TENTH);
        pairs.clone().write(&path).unwrap();
        assert_eq!(PairSet::read(&path).unwrap(), pairs);
        assert_eq!(pairs.side(true).count() + pairs.side(false).count(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn both_sets_are_those_of_a_naive_walk(histories in prop::collection::vec(prop::collection::vec(0u32..8, 1..15), 1..6)) {
            let train = train(&histories);
            let (mut items, mut users) = (BTreeSet::new(), BTreeSet::new());
            for (user, history) in histories.iter().enumerate() {
                for place in 0..history.len() {
                    users.insert((user as u32, history[place]));
                    if place > 0 && history[place - 1] != history[place] {
                        items.insert((history[place - 1], history[place]));
                    }
                }
            }
            for (found, expected) in [(item_item(&train, TENTH), items), (user_item(&train, TENTH), users)] {
                let pairs: Vec<(u32, u32)> = found.left.iter().copied().zip(found.right.iter().copied()).collect();
                prop_assert_eq!(pairs, expected.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
