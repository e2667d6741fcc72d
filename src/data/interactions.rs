//! Who saw what, when: the table that everything else is computed from.

use super::DataError;
use super::parquet::{self, Table};
use std::ops::Range;
use std::path::Path;

/// Interactions, one array a column.
///
/// In an artifact they are sorted by (user, timestamp, line of the source file), so one user's interactions are
/// a run in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interactions {
    /// Dense user ids.
    pub users: Vec<u32>,
    /// Dense item ids.
    pub items: Vec<u32>,
    /// Ratings on the scale of the source (`MovieLens`: 0.5 to 5).
    pub ratings: Vec<f32>,
    /// Seconds since 1970 UTC.
    pub timestamps: Vec<i64>,
}

impl Interactions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Adds one at the end.
    pub fn push(&mut self, user: u32, item: u32, rating: f32, timestamp: i64) {
        self.users.push(user);
        self.items.push(item);
        self.ratings.push(rating);
        self.timestamps.push(timestamp);
    }

    /// Adds some of `other` at the end.
    pub(super) fn extend_from(&mut self, other: &Self, range: Range<usize>) {
        self.users.extend_from_slice(&other.users[range.clone()]);
        self.items.extend_from_slice(&other.items[range.clone()]);
        self.ratings
            .extend_from_slice(&other.ratings[range.clone()]);
        self.timestamps.extend_from_slice(&other.timestamps[range]);
    }

    /// One past the greatest user id: the number of users where every user has an interaction.
    pub fn n_users(&self) -> usize {
        self.users.iter().max().map_or(0, |&user| user as usize + 1)
    }

    /// One past the greatest item id: the number of items where every item has an interaction.
    pub fn n_items(&self) -> usize {
        self.items.iter().max().map_or(0, |&item| item as usize + 1)
    }

    /// The runs of equal users, in order. In sorted interactions that is one run a user, in order of time.
    pub fn by_user(&self) -> impl Iterator<Item = (u32, Range<usize>)> + '_ {
        let mut end = 0;
        self.users.chunk_by(|a, b| a == b).map(move |run| {
            let start = end;
            end += run.len();
            (run[0], start..end)
        })
    }

    /// Writes a Parquet file with the columns `user`, `item`, `rating`, `timestamp`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        Table::default()
            .with("user", &self.users)
            .with("item", &self.items)
            .with("rating", &self.ratings)
            .with("timestamp", &self.timestamps)
            .write(path)
    }

    /// Reads what [`Interactions::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let table = parquet::read(path)?;
        Ok(Self {
            users: table.column("user")?,
            items: table.column("item")?,
            ratings: table.column("rating")?,
            timestamps: table.column("timestamp")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_of_users_cover_everything_in_order() {
        let mut table = Interactions::default();
        for (user, item) in [(0, 5), (0, 1), (3, 2)] {
            table.push(user, item, 1.0, 0);
        }
        assert_eq!(table.by_user().collect::<Vec<_>>(), [(0, 0..2), (3, 2..3)]);
        assert_eq!((table.n_users(), table.n_items()), (4, 6));
        assert_eq!(Interactions::default().by_user().count(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn parquet_gives_back_what_was_written(rows in prop::collection::vec((any::<u32>(), any::<u32>(), 0.5f32..5.0, any::<i64>()), 0..50)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.parquet");
            let mut table = Interactions::default();
            for (user, item, rating, timestamp) in rows {
                table.push(user, item, rating, timestamp);
            }
            table.write(&path).unwrap();
            prop_assert_eq!(Interactions::read(&path).unwrap(), table);
        }
    }
}
