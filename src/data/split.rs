//! Leave-one-out by time.

use super::{DataError, Interactions};
use std::path::Path;

/// A user needs this many interactions to give one to each part; a user with fewer is in train only.
pub const LEAST_TO_SPLIT: usize = 3;

/// Interactions cut by time: of each user the last is for test, the second to last for validation, the rest for
/// training (the protocol of `SASRec`, Kang & `McAuley` 2018, §IV, and of `OpenP5`).
///
/// "Last" is the order of the catalogue: time, then line of the source. A user with fewer than three
/// interactions is in train only.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// For fitting.
    pub train: Interactions,
    /// For choosing.
    pub validation: Interactions,
    /// For reporting.
    pub test: Interactions,
}

impl Split {
    /// Cuts interactions that are sorted by (user, time).
    pub fn leave_one_out(all: &Interactions) -> Self {
        let mut split = Self {
            train: Interactions::default(),
            validation: Interactions::default(),
            test: Interactions::default(),
        };
        for (_, run) in all.by_user() {
            let held = if run.len() < LEAST_TO_SPLIT { 0 } else { 2 };
            let cut = run.end - held;
            split.train.extend_from(all, run.start..cut);
            if held == 2 {
                split.validation.extend_from(all, cut..cut + 1);
                split.test.extend_from(all, cut + 1..cut + 2);
            }
        }
        split
    }

    /// Number of users of the catalogue: every user is in train.
    pub fn n_users(&self) -> usize {
        self.parts()
            .map(Interactions::n_users)
            .into_iter()
            .max()
            .unwrap_or(0)
    }

    /// Number of items of the catalogue: every item is in some part, not always in train.
    pub fn n_items(&self) -> usize {
        self.parts()
            .map(Interactions::n_items)
            .into_iter()
            .max()
            .unwrap_or(0)
    }

    fn parts(&self) -> [&Interactions; 3] {
        [&self.train, &self.validation, &self.test]
    }

    /// Writes `train.parquet`, `validation.parquet` and `test.parquet` into `folder`.
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        self.train.write(&folder.join("train.parquet"))?;
        self.validation.write(&folder.join("validation.parquet"))?;
        self.test.write(&folder.join("test.parquet"))
    }

    /// Reads what [`Split::write`] wrote.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        Ok(Self {
            train: Interactions::read(&folder.join("train.parquet"))?,
            validation: Interactions::read(&folder.join("validation.parquet"))?,
            test: Interactions::read(&folder.join("test.parquet"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn table(lengths: &[usize]) -> Interactions {
        let mut all = Interactions::default();
        for (user, &length) in lengths.iter().enumerate() {
            for time in 0..length {
                all.push(user as u32, (time * 7 % 31) as u32, 1.0, time as i64);
            }
        }
        all
    }

    #[test]
    fn a_user_with_two_interactions_is_in_train_only() {
        let split = Split::leave_one_out(&table(&[2, 3]));
        assert_eq!(split.train.users, [0, 0, 1]);
        assert_eq!(split.validation.users, [1]);
        assert_eq!(split.test.timestamps, [2]);
        assert_eq!((split.n_users(), split.n_items()), (2, 15));
        let folder = tempfile::tempdir().unwrap();
        split.write(folder.path()).unwrap();
        assert_eq!(Split::read(folder.path()).unwrap(), split);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_leaks_and_nothing_is_lost(lengths in prop::collection::vec(1usize..12, 1..8)) {
            let all = table(&lengths);
            let split = Split::leave_one_out(&all);
            let rows = |part: &Interactions| -> Vec<(u32, i64)> {
                part.users.iter().copied().zip(part.timestamps.iter().copied()).collect()
            };
            let [train, validation, test] = split.parts().map(rows);
            let union: BTreeSet<(u32, i64)> = [&train, &validation, &test].into_iter().flatten().copied().collect();
            prop_assert_eq!(union.len(), all.len());
            prop_assert_eq!(train.len() + validation.len() + test.len(), all.len());
            for (user, last) in &test {
                let before = &validation.iter().find(|row| row.0 == *user).unwrap().1;
                prop_assert!(before < last);
                prop_assert!(train.iter().filter(|row| row.0 == *user).all(|row| row.1 < *before));
            }
        }
    }
}
