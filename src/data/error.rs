//! What is wrong with data, in words that name file, line, found and expected.

use crate::formats::FormatError;
use crate::progress::Stopped;
use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems of a file are shown; the rest is counted.
pub(super) const SHOWN: usize = 10;

/// Anything that stops data from being read, made or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A records file is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The work was asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Lines of a source file are wrong.
    #[error(transparent)]
    Lines(#[from] Problems),
    /// A folder holds no data set, or more than one.
    #[error("`{}` {found}, but must hold the files of exactly one data set: {expected}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is there.
        found: String,
        /// The files of each data set.
        expected: String,
    },
    /// A file of the data set is missing.
    #[error("`{}` is missing; a {format} data set must have {expected}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The data set's format.
        format: &'static str,
        /// The files that the format needs.
        expected: String,
    },
    /// Filtering left nothing.
    #[error(
        "no interactions are left: {read} were read, {rated} have a rating of at least {min_rating}, and none of them \
         is in the {min_interactions}-core; lower `min_rating` or `min_interactions`"
    )]
    Empty {
        /// Interactions in the source.
        read: usize,
        /// Interactions with a rating that counts.
        rated: usize,
        /// The parameter of that name.
        min_rating: f32,
        /// The parameter of that name.
        min_interactions: u32,
    },
    /// An index file of `OpenP5` does not number everything.
    #[error("`{}` has no id for {total} of the {what} in `user_sequence.txt`: `{}`{}", path.display(), first.join("`, `"), if first.len() < *total { ", …" } else { "" })]
    Unnumbered {
        /// The index file.
        path: PathBuf,
        /// `users` or `items`.
        what: &'static str,
        /// The first ten without an id.
        first: Vec<String>,
        /// How many have none.
        total: usize,
    },
    /// A Parquet file is damaged or has another schema.
    #[error("`{}`: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A records file is not in id order.
    #[error("`{}`, line {line}: `{field}` is {found}, but must be {expected}: lines are in id order", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The id's name.
        field: &'static str,
        /// The id found.
        found: u32,
        /// The id that belongs there.
        expected: usize,
    },
}

/// What is wrong with the lines of one file: the first ten problems, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    path: PathBuf,
    /// Line (from 1) and what is wrong with it; at most [`SHOWN`].
    first: Vec<(usize, String)>,
    total: usize,
}

impl Problems {
    /// Starts an empty list for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            first: Vec::new(),
            total: 0,
        }
    }

    /// Adds a problem. Call in line order: only the first ten are kept.
    pub fn add(&mut self, line: usize, message: impl Into<String>) {
        self.total += 1;
        if self.first.len() < SHOWN {
            self.first.push((line, message.into()));
        }
    }

    /// Adds the problems of a later part of the file, whose lines are counted from `lines_before`.
    pub(super) fn append(&mut self, later: Self, lines_before: usize) {
        let shown = later.first.len();
        self.total += later.total - shown;
        for (line, message) in later.first {
            self.add(lines_before + line, message);
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many problems there are.
    pub fn total(&self) -> usize {
        self.total
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        if let ([(line, message)], 1) = (self.first.as_slice(), self.total) {
            return write!(f, "`{path}`, line {line}: {message}");
        }
        write!(f, "`{path}` has {} problems:", self.total)?;
        for (line, message) in &self.first {
            write!(f, "\n  line {line}: {message}")?;
        }
        if self.total > self.first.len() {
            write!(f, "\n  … and {} more", self.total - self.first.len())?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ten_problems_are_told_and_the_rest_counted() {
        let mut part = Problems::new("r.csv");
        for line in 1..=8 {
            part.add(line, "is wrong");
        }
        let mut all = Problems::new("r.csv");
        all.append(part.clone(), 0);
        all.append(part, 100);
        assert_eq!(
            all.to_string(),
            "`r.csv` has 16 problems:\n  line 1: is wrong\n  line 2: is wrong\n  line 3: is wrong\n  line 4: is wrong\n  \
             line 5: is wrong\n  line 6: is wrong\n  line 7: is wrong\n  line 8: is wrong\n  line 101: is wrong\n  \
             line 102: is wrong\n  … and 6 more"
        );
    }
}
