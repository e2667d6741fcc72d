//! `MovieLens` in all its formats, read strictly.
//!
//! | format | files | encoding |
//! | --- | --- | --- |
//! | `movielens-100k` | `u.data` (tab), `u.item` (`\|`, 19 genre flags) | Latin-1 |
//! | `movielens-1m` | `ratings.dat`, `movies.dat` (`::`) | Latin-1 |
//! | `movielens-csv` (latest-small, latest, 20M, 25M, 32M) | `ratings.csv`, `movies.csv`; where present `tags.csv`, `genome-scores.csv` with `genome-tags.csv` | UTF-8 |
//!
//! Policy: every line must be right. A rating of a film that the film list lacks, a second rating of the same film by
//! the same user, a film listed twice, a film without a title, a blank line are problems, as is any field that is not
//! what its column says. The first ten problems of a file are told with their lines, and the total. One exception, because
//! copies that went through a spreadsheet have them: CSV columns without a name are ignored, with a warning when they
//! hold something.

mod films;
mod lines;
mod ratings;
mod tags;
mod title;

pub use title::split_title;

use super::{DataError, RawCatalog};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How the files of a data set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MovieLens {
    /// `u.data`, `u.item`.
    #[serde(rename = "movielens-100k")]
    Hundred,
    /// `ratings.dat`, `movies.dat`.
    #[serde(rename = "movielens-1m")]
    Million,
    /// `ratings.csv`, `movies.csv` and more.
    #[serde(rename = "movielens-csv")]
    Csv,
}

impl MovieLens {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Hundred, Self::Million, Self::Csv];

    /// The name in pipelines and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hundred => "movielens-100k",
            Self::Million => "movielens-1m",
            Self::Csv => "movielens-csv",
        }
    }

    /// The files that must be there: ratings, then films.
    pub fn required(self) -> [&'static str; 2] {
        match self {
            Self::Hundred => ["u.data", "u.item"],
            Self::Million => ["ratings.dat", "movies.dat"],
            Self::Csv => ["ratings.csv", "movies.csv"],
        }
    }

    /// The files that are read where they are there and `tags` asks for them.
    pub fn optional(self, tags: TagConfig) -> &'static [&'static str] {
        match self {
            Self::Csv if tags.max_tags == 0 => &[],
            Self::Csv if tags.min_relevance > 1.0 => &["tags.csv"],
            Self::Csv => &["tags.csv", "genome-scores.csv", "genome-tags.csv"],
            Self::Hundred | Self::Million => &[],
        }
    }

    /// The format whose required files are all in `folder`; there must be exactly one.
    pub fn detect(folder: &Path) -> Result<Self, DataError> {
        let present = |name: &str| folder.join(name).is_file();
        let found: Vec<Self> = Self::ALL
            .into_iter()
            .filter(|format| format.required().into_iter().all(present))
            .collect();
        if let [format] = found.as_slice() {
            return Ok(*format);
        }
        let names = |formats: &[Self]| {
            let names = formats.iter().map(|format| {
                let [ratings, films] = format.required();
                format!("`{ratings}` and `{films}` ({})", format.name())
            });
            names.collect::<Vec<_>>().join(", or ")
        };
        let single: Vec<&str> = Self::ALL
            .into_iter()
            .flat_map(Self::required)
            .filter(|name| present(name))
            .collect();
        let found = if !folder.is_dir() {
            "is not there".to_owned()
        } else if !found.is_empty() {
            format!("holds {}", names(&found).replace(", or ", ", and "))
        } else if single.is_empty() {
            "holds none of them".to_owned()
        } else {
            format!("holds only `{}`", single.join("`, `"))
        };
        Err(DataError::Folder {
            folder: folder.to_owned(),
            found,
            expected: names(&Self::ALL),
        })
    }

    /// Reads the data set in `folder`.
    pub fn read(
        self,
        folder: &Path,
        tags: TagConfig,
        progress: &dyn Progress,
    ) -> Result<RawCatalog, DataError> {
        let [ratings_file, films_file] = self.required().map(|name| folder.join(name));
        for path in [&films_file, &ratings_file] {
            self.must_exist(path)?;
        }
        let mut films = match self {
            Self::Hundred => films::read_hundred(&films_file, progress)?,
            Self::Million => films::read_million(&films_file, progress)?,
            Self::Csv => films::read_csv(&films_file, progress)?,
        };
        let ratings = ratings::read(&ratings_file, self, &films, &films_file, progress)?;
        let files: Vec<PathBuf> = self
            .optional(tags)
            .iter()
            .map(|name| folder.join(name))
            .filter(|path| path.is_file())
            .collect();
        tags::add(&mut films, &files, tags, &films_file, progress)?;
        Ok(RawCatalog { films, ratings })
    }

    fn must_exist(self, path: &Path) -> Result<(), DataError> {
        if path.is_file() {
            return Ok(());
        }
        Err(DataError::Missing {
            path: path.to_owned(),
            format: self.name(),
            expected: format!("`{}`", self.required().join("` and `")),
        })
    }
}

/// Which tags an item gets.
///
/// Users' tags (`tags.csv`) come first, by falling number of users, then alphabetically; then genome tags
/// (`genome-scores.csv`) that are not yet there, by falling relevance, then alphabetically.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TagConfig {
    /// Tags kept of an item; 0 reads no tags at all.
    pub max_tags: usize,
    /// Least relevance, 0 to 1, of a genome tag; above 1 the genome is not read.
    pub min_relevance: f32,
}

#[cfg(test)]
mod tests;
