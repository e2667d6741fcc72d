//! Who chose what, as sorted lists of column ids a row.

use super::CfError;
use std::ops::Range;

/// A sparse matrix of ones: compressed rows.
///
/// An entry is there or not; how often a user chose an item is not kept, because the objective of
/// [`super::ials`] is over the *set* of observed pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    n_columns: usize,
    /// Where each row starts in `columns`; one longer than there are rows.
    starts: Vec<usize>,
    /// Column ids, ascending within a row, without repeats.
    columns: Vec<u32>,
}

impl Csr {
    /// Makes a users x items matrix from pairs in any order; repeats count once.
    ///
    /// The pairs are gone through twice and never copied.
    pub fn from_pairs(
        n_users: usize,
        n_items: usize,
        pairs: impl IntoIterator<Item = (u32, u32), IntoIter: Clone>,
    ) -> Result<Self, CfError> {
        let pairs = pairs.into_iter();
        let mut starts = vec![0; n_users + 1];
        for (user, item) in pairs.clone() {
            check("user", user, n_users)?;
            check("item", item, n_items)?;
            starts[user as usize + 1] += 1;
        }
        accumulate(&mut starts);
        let mut next = starts.clone();
        let mut columns = vec![0; starts[n_users]];
        for (user, item) in pairs {
            columns[next[user as usize]] = item;
            next[user as usize] += 1;
        }
        drop(next);

        // Each row is sorted where it is, then moved to where the repeats before it have made room.
        let mut end = 0;
        for user in 0..n_users {
            let row = starts[user]..starts[user + 1];
            columns[row.clone()].sort_unstable();
            starts[user] = end;
            for place in row {
                let item = columns[place];
                if end == starts[user] || columns[end - 1] != item {
                    columns[end] = item;
                    end += 1;
                }
            }
        }
        starts[n_users] = end;
        columns.truncate(end);
        u32::try_from(end).map_err(|_| CfError::TooMany { entries: end })?;
        Ok(Self {
            n_columns: n_items,
            starts,
            columns,
        })
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// The number of observed pairs.
    pub fn n_entries(&self) -> usize {
        self.columns.len()
    }

    /// The column ids of a row, ascending.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.columns[self.starts[row]..self.starts[row + 1]]
    }

    /// Where a row's entries are among all, row after row.
    pub fn places(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// The number of rows with no entry.
    pub fn n_empty_rows(&self) -> usize {
        self.starts
            .windows(2)
            .filter(|ends| ends[0] == ends[1])
            .count()
    }

    /// Exchanges rows and columns.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut starts = vec![0; self.n_columns + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        accumulate(&mut starts);
        let mut next = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        // Rows come in ascending order, so every new row is sorted.
        for row in 0..self.n_rows() {
            for place in self.places(row) {
                let next = &mut next[self.columns[place] as usize];
                columns[*next] = row as u32;
                *next += 1;
            }
        }
        Self {
            n_columns: self.n_rows(),
            starts,
            columns,
        }
    }
}

fn check(side: &'static str, id: u32, size: usize) -> Result<(), CfError> {
    if (id as usize) < size {
        return Ok(());
    }
    Err(CfError::OutOfRange { side, id, size })
}

/// Turns counts (from place 1) into starts.
fn accumulate(starts: &mut [usize]) {
    for place in 1..starts.len() {
        starts[place] += starts[place - 1];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn repeats_count_once_and_rows_are_sorted() {
        let csr = Csr::from_pairs(3, 4, [(2, 3), (0, 2), (0, 1), (0, 2)]).unwrap();
        assert_eq!(csr.row(0), [1, 2]);
        assert_eq!(csr.row(1), [0; 0]);
        assert_eq!(csr.row(2), [3]);
        assert_eq!(csr.n_entries(), 3);
        assert_eq!(csr.n_empty_rows(), 1);
    }

    #[test]
    fn ids_beyond_the_size_are_named() {
        let error = Csr::from_pairs(2, 2, [(0, 2)]).unwrap_err();
        insta::assert_snapshot!(error, @"the item id 2 is out of range: there are 2 items");
        let error = Csr::from_pairs(2, 2, [(5, 0)]).unwrap_err();
        insta::assert_snapshot!(error, @"the user id 5 is out of range: there are 2 users");
    }

    proptest! {
        #[test]
        fn rows_are_the_sets_of_the_pairs(
            pairs in prop::collection::vec((0_u32..7, 0_u32..9), 0..60)
        ) {
            let csr = Csr::from_pairs(7, 9, pairs.clone()).unwrap();
            for user in 0..7 {
                let set: BTreeSet<u32> = pairs
                    .iter()
                    .filter(|pair| pair.0 == user)
                    .map(|pair| pair.1)
                    .collect();
                prop_assert_eq!(csr.row(user as usize), set.into_iter().collect::<Vec<_>>());
            }
        }

        #[test]
        fn transposing_twice_changes_nothing(
            pairs in prop::collection::vec((0_u32..7, 0_u32..9), 0..60)
        ) {
            let csr = Csr::from_pairs(7, 9, pairs.clone()).unwrap();
            let transposed = csr.transpose();
            prop_assert_eq!(&transposed.transpose(), &csr);
            let turned = Csr::from_pairs(9, 7, pairs.into_iter().map(|(a, b)| (b, a))).unwrap();
            prop_assert_eq!(transposed, turned);
        }
    }
}
