//! `ingest`: a data set, or an invented one, becomes a catalogue.

use super::{ArtifactKind, Port, Problem, SourceFile, Stage, StageContext, StageError};
use crate::data::demo::{self, DemoConfig};
use crate::data::raw::{MovieLens, TagConfig};
use crate::data::{Catalog, Filter};
use crate::formats::json;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// How the files of the source are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the name of the source where it is `demo` or a well-known one (`ml-100k`, `ml-1m`, `ml-latest-small`, `ml-latest`,
    /// `ml-20m`, `ml-25m`, `ml-32m`), else by the files in its folder.
    #[default]
    Auto,
    /// Films and users that are invented from `demo_seed`.
    Demo,
    /// `u.data` and `u.item`.
    #[serde(rename = "movielens-100k")]
    MovieLens100k,
    /// `ratings.dat` and `movies.dat`.
    #[serde(rename = "movielens-1m")]
    MovieLens1m,
    /// `ratings.csv` and `movies.csv`; `tags.csv`, `genome-scores.csv` and `genome-tags.csv` where present.
    #[serde(rename = "movielens-csv")]
    MovieLensCsv,
}

/// Parameters of `ingest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// `demo`, or a folder in `datasets/`. Default `demo`.
    pub source: String,
    /// How its files are written. Default `auto`.
    pub format: Format,
    /// Users and items with fewer interactions are removed, repeatedly (k-core). 0 and 1 keep all. Default 5, as in
    /// OpenP5 (arXiv 2306.11134).
    pub min_interactions: u32,
    /// Interactions with a lower rating are removed first, 0 to 5. Default 0: every rating is a positive, as in OpenP5.
    pub min_rating: f32,
    /// Most tags of an item; 0 reads none. Default 8: what fits beside title and genres in a short text.
    pub max_tags: u32,
    /// Least relevance of a genome tag, 0 to 1; above 1 the tag genome is not read. Default 0.8, our choice: about
    /// a dozen tags for a well-known film.
    pub min_tag_relevance: f32,
    /// Films of the demo catalogue, 20 to 4000. Default 240.
    pub demo_films: u32,
    /// Users of the demo catalogue, at least 1. Default 400.
    pub demo_users: u32,
    /// Mean interactions of a demo user, at least 6; the range is two thirds to four thirds of it, at most all films. Default 30.
    pub demo_interactions_per_user: u32,
    /// Seed of the demo catalogue. A seed of its own, so that a sweep over seeds shares one catalogue. Default 1.
    pub demo_seed: u64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            source: "demo".to_owned(),
            format: Format::Auto,
            min_interactions: 5,
            min_rating: 0.0,
            max_tags: 8,
            min_tag_relevance: 0.8,
            demo_films: 240,
            demo_users: 400,
            demo_interactions_per_user: 30,
            demo_seed: 1,
        }
    }
}

/// Where the data comes from, as far as the parameters tell.
enum Source {
    Demo,
    Known(MovieLens),
    /// To be seen from the files in the folder.
    Unknown,
}

impl Ingest {
    fn kind(&self) -> Source {
        match (self.format, self.source.as_str()) {
            (Format::Demo, _) | (Format::Auto, "demo") => Source::Demo,
            (Format::MovieLens100k, _) | (Format::Auto, "ml-100k") => {
                Source::Known(MovieLens::Hundred)
            }
            (Format::MovieLens1m, _) | (Format::Auto, "ml-1m") => Source::Known(MovieLens::Million),
            (Format::MovieLensCsv, _)
            | (Format::Auto, "ml-latest-small" | "ml-latest" | "ml-20m" | "ml-25m" | "ml-32m") => {
                Source::Known(MovieLens::Csv)
            }
            (Format::Auto, _) => Source::Unknown,
        }
    }

    fn folder(&self) -> PathBuf {
        Path::new("datasets").join(&self.source)
    }

    fn tags(&self) -> TagConfig {
        TagConfig {
            max_tags: self.max_tags as usize,
            min_relevance: self.min_tag_relevance,
        }
    }

    fn demo(&self) -> DemoConfig {
        DemoConfig {
            films: self.demo_films,
            users: self.demo_users,
            interactions_per_user: self.demo_interactions_per_user,
        }
    }

    fn hint(&self, format: Option<MovieLens>) -> String {
        let folder = self.folder();
        let folder = folder.display();
        match format {
            Some(format) => format!(
                "put `{}` into `{folder}`: MovieLens is at https://grouplens.org/datasets/movielens/",
                format.required().join("` and `")
            ),
            None => format!(
                "put the files of a MovieLens data set into `{folder}`, or use `source = \"demo\"`"
            ),
        }
    }
}

impl Stage for Ingest {
    const NAME: &'static str = "ingest";
    const ABOUT: &'static str = "Reads a data set, or invents the demo one, and filters it";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[];
    const OUTPUT: ArtifactKind = ArtifactKind::Catalog;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = [
            Problem::within("min_rating", self.min_rating, 0.0, 5.0),
            Problem::at_least("min_tag_relevance", self.min_tag_relevance, 0.0),
            Problem::within(
                "demo_films",
                self.demo_films,
                DemoConfig::FEWEST_FILMS,
                DemoConfig::MOST_FILMS,
            ),
            Problem::at_least("demo_users", self.demo_users, 1),
            Problem::within(
                "demo_interactions_per_user",
                self.demo_interactions_per_user,
                6,
                DemoConfig::MOST_FILMS,
            ),
        ]
        .into_iter()
        .flatten()
        .collect();
        let path = Path::new(&self.source);
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if self.source.is_empty() || !inside {
            problems.push(Problem::new(
                "source",
                format!(
                    "is `{}`, but must be `demo` or the name of a folder in `datasets`",
                    self.source
                ),
            ));
        }
        problems
    }

    fn source_files(&self) -> Vec<SourceFile> {
        let file = |name: &str, required, format| SourceFile {
            path: self.folder().join(name),
            required,
            hint: self.hint(format),
        };
        match self.kind() {
            Source::Demo => Vec::new(),
            Source::Known(format) => {
                let required = format.required().into_iter().map(|name| (name, true));
                let optional = format
                    .optional(self.tags())
                    .iter()
                    .map(|&name| (name, false));
                required
                    .chain(optional)
                    .map(|(name, required)| file(name, required, Some(format)))
                    .collect()
            }
            Source::Unknown => MovieLens::ALL
                .into_iter()
                .flat_map(|format| {
                    let optional = format.optional(self.tags()).iter().copied();
                    format.required().into_iter().chain(optional)
                })
                .map(|name| file(name, false, None))
                .collect(),
        }
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let folder = context.source(&self.folder());
        let format = match self.kind() {
            Source::Demo => None,
            Source::Known(format) => Some(format),
            Source::Unknown => Some(MovieLens::detect(&folder)?),
        };
        let raw = match format {
            None => demo::invent(self.demo(), Seed::new(self.demo_seed)),
            Some(format) => format.read(&folder, self.tags(), context.progress)?,
        };
        let mut raw = raw;
        for film in &mut raw.films {
            film.tags.truncate(self.max_tags as usize);
        }
        let read = raw.ratings.len();
        let filter = Filter {
            min_rating: self.min_rating,
            min_interactions: self.min_interactions,
        };
        let catalog = Catalog::new(raw, filter)?;
        catalog.write(&context.output)?;
        let mut summary = catalog.summary();
        summary.insert("interactions_read".to_owned(), read.into());
        summary.insert(
            "format".to_owned(),
            format.map_or("demo", MovieLens::name).into(),
        );
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
