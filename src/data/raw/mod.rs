//! Raw data sets, read strictly.
//!
//! | format | files | encoding |
//! | --- | --- | --- |
//! | `movielens-100k` | `u.data` (tab), `u.item` (`\|`, 19 genre flags) | Latin-1 |
//! | `movielens-1m` | `ratings.dat`, `movies.dat` (`::`) | Latin-1 |
//! | `movielens-csv` (latest-small, latest, 20M, 25M, 32M) | `ratings.csv`, `movies.csv`; where present `tags.csv`, `genome-scores.csv` with `genome-tags.csv` | UTF-8 |
//! | `amazon-reviews` | `reviews_X_5.json.gz` or without `_5`, `.gz`; where present `meta_X.json.gz` | JSON; Python literals |
//! | `amazon-ratings` | `ratings_X.csv`; where present `meta_X.json.gz` | UTF-8 |
//! | `openp5` | `user_sequence.txt`; where present `user_indexing.txt`, `item_…_indexing….txt`, `prompt.txt`, `item_attributes.tsv` | UTF-8 |
//!
//! Policy: every line must be right. A rating of a film that the film list lacks, a second rating of the same film by
//! the same user, a film listed twice, a film without a title, a blank line are problems, as is any field that is not
//! what its column says. With [`OnError::Fail`] the first ten problems of a file are told with their lines, and the total;
//! with [`OnError::Skip`] the same is a warning, the lines are left out and counted ([`Reading::skipped`]). A wrong header and an
//! empty file are errors always. One exception, because copies that went through a spreadsheet have them: CSV columns without
//! a name are ignored, with a warning when they hold something.
//!
//! Each parser is a function of bytes: of one line (`parse_…`) or of a whole file ([`Input::bytes`]).

pub mod amazon;
mod films;
mod format;
mod input;
mod lines;
mod names;
pub mod openp5;
pub mod python;
mod ratings;
mod reading;
mod tags;
mod title;

pub use format::{Found, RawFormat, Where};
pub use input::{Input, Rows};
pub use reading::{OnError, Reading};
pub use tags::{TagFiles, add_tags};
pub use title::split_title;

use super::{DataError, RawCatalog};
use serde::{Deserialize, Serialize};
use std::path::Path;

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

    /// Reads the data set in `folder`.
    pub fn read(
        self,
        folder: &Path,
        tags: TagConfig,
        reading: &Reading<'_>,
    ) -> Result<RawCatalog, DataError> {
        let [ratings_file, films_file] = self.required().map(|name| folder.join(name));
        for path in [&films_file, &ratings_file] {
            self.must_exist(path)?;
        }
        let (ratings_input, films_input) = (Input::open(&ratings_file)?, Input::open(&films_file)?);
        let mut raw = self.parse(ratings_input, films_input, reading)?;
        let open = |name: &str| {
            let wanted = self.optional(tags).contains(&name);
            let path = folder.join(name);
            (wanted && path.is_file())
                .then(|| Input::open(&path))
                .transpose()
        };
        let files = TagFiles {
            user_tags: open("tags.csv")?,
            genome_scores: open("genome-scores.csv")?,
            genome_tags: open("genome-tags.csv")?,
        };
        add_tags(&mut raw.films, files, tags, &films_file, reading)?;
        Ok(raw)
    }

    /// Reads ratings and films from their files' content.
    pub fn parse(
        self,
        ratings: Input<'_>,
        films: Input<'_>,
        reading: &Reading<'_>,
    ) -> Result<RawCatalog, DataError> {
        let films_path = films.path().to_owned();
        let films = match self {
            Self::Hundred => films::read_hundred(films, reading)?,
            Self::Million => films::read_million(films, reading)?,
            Self::Csv => films::read_csv(films, reading)?,
        };
        let ratings = ratings::read(ratings, self, &films, &films_path, reading)?;
        Ok(RawCatalog {
            films,
            ratings,
            names: None,
        })
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
