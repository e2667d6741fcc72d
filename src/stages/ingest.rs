//! `ingest`: a data set, or an invented one, becomes a catalogue.

use super::{ArtifactKind, Port, Problem, SourceFile, Stage, StageContext, StageError};
use crate::data::demo::{self, DemoConfig};
use crate::data::raw::{
    Found, MovieLens, OnError, RawFormat, Reading, TagConfig, Where, amazon, openp5,
};
use crate::data::{Catalog, Filter};
use crate::fetch::catalogue;
use crate::formats::json;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
    /// Amazon 2014: `reviews_X_5.json.gz` (or without `_5`, or `.gz`), and `meta_X.json.gz` where present.
    AmazonReviews,
    /// Amazon 2014: `ratings_X.csv`, and `meta_X.json.gz` where present.
    AmazonRatings,
    /// OpenP5's folder: `user_sequence.txt`; where present `user_indexing.txt`, `item_…_indexing….txt`, `prompt.txt` and
    /// `item_attributes.tsv` (tab-separated, with a header: the item, then any of `title`, `year`, `categories`, `tags`, `brand`).
    #[serde(rename = "openp5")]
    OpenP5,
}

/// Parameters of `ingest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// `demo`, or a folder in `datasets/`. Default `demo`.
    pub source: String,
    /// How its files are written. Default `auto`.
    pub format: Format,
    /// What to do with a line of a source file that is wrong: `fail` tells the first ten of a file and their number, `skip`
    /// leaves them out, warns, and counts them in the summary. Default `fail`.
    pub on_error: OnError,
    /// The category in the names of Amazon's files, for instance `Beauty` or `Movies_and_TV`. Default empty: told by the name of
    /// the source (`amazon-movies-and-tv`).
    pub category: String,
    /// Names of index files in OpenP5's folder beside the usual ones (random; sequential in three orders; collaborative with
    /// 100, 200 or 500 tokens). Default none.
    pub index_files: Vec<String>,
    /// Users and items with fewer interactions are removed, repeatedly (k-core). 0 and 1 keep all. Default 5, as in
    /// OpenP5 (arXiv 2306.11134).
    pub min_interactions: u32,
    /// Interactions with a lower rating are removed first, 0 to 5. Default 0: every rating is a positive, as in OpenP5.
    pub min_rating: f64,
    /// Most tags of an item; 0 reads none. Default 8: what fits beside title and genres in a short text.
    pub max_tags: u32,
    /// Least relevance of a genome tag, 0 to 1; above 1 the tag genome is not read. Default 0.8, our choice: about
    /// a dozen tags for a well-known film.
    pub min_tag_relevance: f64,
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
            on_error: OnError::Fail,
            category: String::new(),
            index_files: Vec::new(),
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
    Known(RawFormat),
    /// To be seen from the files in the folder.
    Unknown,
}

impl Ingest {
    fn kind(&self) -> Source {
        let movielens = |format| Source::Known(RawFormat::MovieLens(format));
        match (self.format, self.source.as_str()) {
            (Format::Demo, _) | (Format::Auto, "demo") => Source::Demo,
            (Format::MovieLens100k, _) | (Format::Auto, "ml-100k") => movielens(MovieLens::Hundred),
            (Format::MovieLens1m, _) | (Format::Auto, "ml-1m") => movielens(MovieLens::Million),
            (Format::MovieLensCsv, _)
            | (Format::Auto, "ml-latest-small" | "ml-latest" | "ml-20m" | "ml-25m" | "ml-32m") => {
                movielens(MovieLens::Csv)
            }
            (Format::AmazonReviews, _) => Source::Known(RawFormat::AmazonReviews),
            (Format::AmazonRatings, _) => Source::Known(RawFormat::AmazonRatings),
            (Format::OpenP5, _) => Source::Known(RawFormat::OpenP5),
            (Format::Auto, _) => Source::Unknown,
        }
    }

    fn wanted(&self) -> Where {
        let told = amazon::category_of(&self.source).map(str::to_owned);
        Where {
            tags: self.tags(),
            category: (!self.category.is_empty())
                .then(|| self.category.clone())
                .or(told),
            index_files: self.index_files.clone(),
        }
    }

    fn folder(&self) -> PathBuf {
        Path::new("datasets").join(&self.source)
    }

    fn tags(&self) -> TagConfig {
        TagConfig {
            max_tags: self.max_tags as usize,
            min_relevance: self.min_tag_relevance as f32,
        }
    }

    fn demo(&self) -> DemoConfig {
        DemoConfig {
            films: self.demo_films,
            users: self.demo_users,
            interactions_per_user: self.demo_interactions_per_user,
        }
    }

    fn hint(&self, format: Option<RawFormat>) -> String {
        let folder = self.folder();
        let folder = folder.display();
        let Some(format) = format else {
            return format!(
                "put the files of a data set into `{folder}`, or use `source = \"demo\"`"
            );
        };
        let home = match format {
            RawFormat::MovieLens(_) => "MovieLens is at https://grouplens.org/datasets/movielens/",
            RawFormat::AmazonReviews | RawFormat::AmazonRatings => {
                "Amazon's reviews of 2014 are at https://jmcauley.ucsd.edu/data/amazon/"
            }
            RawFormat::OpenP5 => {
                "OpenP5's data is linked from https://github.com/agiresearch/OpenP5"
            }
        };
        let get = catalogue::find(&self.source)
            .map(|entry| format!("`ilm-pipe data get {}` fetches it; or ", entry.name))
            .unwrap_or_default();
        format!(
            "{get}put {} into `{folder}`: {home}",
            format.in_words(&self.wanted())
        )
    }
}

impl Stage for Ingest {
    const NAME: &'static str = "ingest";
    const ABOUT: &'static str = "Reads a data set, or invents the demo one, and filters it";
    const VERSION: u32 = 2;
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
        if self.format == Format::Demo && self.source != "demo" {
            problems.push(Problem::new(
                "source",
                format!(
                    "is `{}`, but must be `demo` with `format = \"demo\"`",
                    self.source
                ),
            ));
        }
        let amazon = matches!(self.format, Format::AmazonReviews | Format::AmazonRatings);
        if amazon && self.wanted().category.is_none() {
            problems.push(Problem::new(
                "category",
                format!(
                    "is empty, but must be a category, for instance `Beauty`: the source `{}` tells none",
                    self.source
                ),
            ));
        }
        if !self
            .category
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            problems.push(Problem::new(
                "category",
                format!(
                    "is `{}`, but must be letters, digits and `_`",
                    self.category
                ),
            ));
        }
        for (index, name) in self.index_files.iter().enumerate() {
            if !openp5::is_index_file(name) {
                problems.push(Problem::new(
                    format!("index_files[{index}]"),
                    format!("is `{name}`, but must be a file name like `item_…_indexing….txt`"),
                ));
            }
        }
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
        let wanted = self.wanted();
        let file = |name: String, required, format| SourceFile {
            path: self.folder().join(name),
            required,
            hint: self.hint(format),
        };
        let files = |format: RawFormat, known: bool| {
            let groups = format.required(&wanted);
            let required = groups.into_iter().flat_map(move |group| {
                // Where one of several will do, none of them is required by itself.
                let single = group.len() == 1;
                group.into_iter().map(move |name| (name, known && single))
            });
            let optional = format.optional(&wanted).into_iter();
            required.chain(optional.map(|name| (name, false)))
        };
        match self.kind() {
            Source::Demo => Vec::new(),
            Source::Known(format) => files(format, true)
                .map(|(name, required)| file(name, required, Some(format)))
                .collect(),
            Source::Unknown => {
                let all = RawFormat::ALL
                    .into_iter()
                    .flat_map(|format| files(format, false).collect::<Vec<_>>());
                let mut seen = BTreeSet::new();
                all.filter(|(name, _)| seen.insert(name.clone()))
                    .map(|(name, required)| file(name, required, None))
                    .collect()
            }
        }
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let folder = context.source(&self.folder());
        let wanted = self.wanted();
        let format = match self.kind() {
            Source::Demo => None,
            Source::Known(format) => Some(format),
            Source::Unknown => Some(RawFormat::detect(&folder, &wanted)?),
        };
        let reading = Reading::new(self.on_error, context.progress);
        let Found {
            catalog: mut raw,
            shipped,
        } = match format {
            None => Found {
                catalog: demo::invent(self.demo(), Seed::new(self.demo_seed)),
                shipped: openp5::Shipped::default(),
            },
            Some(format) => format.read(&folder, &wanted, &reading)?,
        };
        for film in &mut raw.films {
            film.tags.truncate(self.max_tags as usize);
        }
        let read = raw.ratings.len();
        let filter = Filter {
            min_rating: self.min_rating as f32,
            min_interactions: self.min_interactions,
        };
        let catalog = Catalog::new(raw, filter)?;
        catalog.write(&context.output)?;
        shipped.write(&catalog, &context.output)?;
        let mut summary = catalog.summary();
        summary.insert("interactions_read".to_owned(), read.into());
        summary.insert(
            "format".to_owned(),
            format.map_or("demo", RawFormat::name).into(),
        );
        let skipped = reading.skipped();
        let total: usize = skipped.values().sum();
        summary.insert("lines_skipped".to_owned(), total.into());
        for (file, count) in skipped {
            summary.insert(format!("lines_skipped.{file}"), count.into());
        }
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Interactions, read_items};
    use crate::pairs::PairSet;
    use crate::progress::Silent;
    use crate::stages::{AnyStage, InputArtifact, find};
    use std::collections::BTreeMap;

    fn from_toml(text: &str) -> Result<Ingest, toml::de::Error> {
        toml::from_str(text)
    }

    fn paths(text: &str) -> Vec<(String, bool)> {
        let stage = from_toml(text).unwrap();
        let files = Stage::source_files(&stage).into_iter();
        files
            .map(|file| (file.path.display().to_string(), file.required))
            .collect()
    }

    fn files(folder: &str, names: &[(&str, bool)]) -> Vec<(String, bool)> {
        let names = names.iter();
        names
            .map(|(name, required)| (format!("datasets/{folder}/{name}"), *required))
            .collect()
    }

    /// Runs a stage of the registry as a worker would; returns its artifact.
    fn run(
        kind: &str,
        params: serde_json::Value,
        root: &Path,
        inputs: &[(&str, &InputArtifact)],
    ) -> Result<InputArtifact, StageError> {
        let kind = find(kind).unwrap();
        let stage = (kind.from_json)(params).unwrap();
        let folder = root.join(kind.name);
        fs_err::create_dir_all(&folder).unwrap();
        let context = StageContext {
            inputs: inputs
                .iter()
                .map(|(port, input)| ((*port).to_owned(), vec![(*input).clone()]))
                .collect(),
            project: root.to_owned(),
            output: folder.clone(),
            scratch: root.join("scratch"),
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress: &Silent,
        };
        AnyStage::run(stage.as_ref(), &context)?;
        Ok(InputArtifact {
            stage: kind.name.to_owned(),
            matrix: BTreeMap::new(),
            kind: kind.output,
            folder,
        })
    }

    #[test]
    fn the_files_that_will_be_read_are_known_before() {
        assert_eq!(paths(""), []);
        assert_eq!(
            paths("source = 'ml-1m'"),
            files("ml-1m", &[("ratings.dat", true), ("movies.dat", true)])
        );
        assert_eq!(
            paths("source = 'ml-25m'"),
            files(
                "ml-25m",
                &[
                    ("ratings.csv", true),
                    ("movies.csv", true),
                    ("tags.csv", false),
                    ("genome-scores.csv", false),
                    ("genome-tags.csv", false)
                ]
            )
        );
        assert_eq!(
            paths("source = 'mine'\nformat = 'movielens-csv'\nmax_tags = 0"),
            files("mine", &[("ratings.csv", true), ("movies.csv", true)])
        );
        assert!(
            paths("source = 'mine'")
                .iter()
                .all(|(_, required)| !required)
        );
        let hint = &Stage::source_files(&from_toml("source = 'ml-1m'").unwrap())[0].hint;
        assert_eq!(
            hint,
            "`ilm-pipe data get ml-1m` fetches it; or put `ratings.dat` and `movies.dat` into `datasets/ml-1m`: MovieLens is at \
             https://grouplens.org/datasets/movielens/"
        );
    }

    #[test]
    fn senseless_parameters_are_told_all_at_once() {
        let stage = from_toml(
            "source = '../x'\nformat = 'demo'\nmin_rating = nan\nmin_tag_relevance = -1\ndemo_films = 3\ndemo_users = 0\n\
             demo_interactions_per_user = 2",
        )
        .unwrap();
        let problems: Vec<String> = Stage::problems(&stage)
            .into_iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect();
        assert_eq!(
            problems,
            [
                "`min_rating` is NaN, but must be from 0 to 5",
                "`min_tag_relevance` is -1, but must be at least 0",
                "`demo_films` is 3, but must be from 20 to 4000",
                "`demo_users` is 0, but must be at least 1",
                "`demo_interactions_per_user` is 2, but must be from 6 to 4000",
                "`source` is `../x`, but must be `demo` with `format = \"demo\"`",
                "`source` is `../x`, but must be `demo` or the name of a folder in `datasets`",
            ]
        );
        assert!(Stage::problems(&Ingest::default()).is_empty());
        assert!(from_toml("min_ratings = 3").is_err());
    }

    #[test]
    fn parameters_survive_json_as_they_were_written() {
        let params = AnyStage::params(&Ingest::default());
        assert_eq!(params["min_tag_relevance"].to_string(), "0.8");
        assert_eq!(params["format"], "auto");
        let again = (find("ingest").unwrap().from_json)(params.clone()).unwrap();
        assert_eq!(again.params(), params);
    }

    #[test]
    fn a_demo_goes_through_ingest_split_and_pairs() {
        let root = tempfile::tempdir().unwrap();
        let params = serde_json::json!({"demo_films": 60, "demo_users": 50, "demo_interactions_per_user": 12});
        let catalog = run("ingest", params, root.path(), &[]).unwrap();
        let none = serde_json::json!({});
        let split = run("split", none.clone(), root.path(), &[("catalog", &catalog)]).unwrap();
        let inputs = [("catalog", &catalog), ("split", &split)];
        let pairs = run("pairs", none, root.path(), &inputs).unwrap();

        let items = read_items(&catalog.file("items.jsonl")).unwrap();
        let train = Interactions::read(&split.file("train.parquet")).unwrap();
        let set = PairSet::read(&pairs.file("user_item.parquet")).unwrap();
        assert_eq!(set.len(), train.len());
        let summary: BTreeMap<String, usize> = json::read(&pairs.file("summary.json")).unwrap();
        assert_eq!(summary["item_text_total"], items.len());
        assert_eq!(summary["user_item_held_out"], set.side(true).count());
        assert_eq!(
            summary["item_item_total"],
            summary["item_item_train"] + summary["item_item_held_out"]
        );
        let summary: BTreeMap<String, usize> = json::read(&split.file("summary.json")).unwrap();
        assert_eq!(summary["items"], items.len());
        assert_eq!(summary["train"], train.len());
    }

    #[test]
    fn a_data_set_of_an_unknown_name_is_read_by_its_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("datasets/mine");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("movies.dat"), "1::Pi (1998)::Drama\n").unwrap();
        let params = serde_json::json!({"source": "mine", "min_interactions": 0});
        let error = run("ingest", params.clone(), root.path(), &[]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("holds only `movies.dat`, but must hold"),
            "{error}"
        );
        fs_err::write(folder.join("ratings.dat"), "5::1::4::10\n").unwrap();
        let catalog = run("ingest", params, root.path(), &[]).unwrap();
        assert_eq!(
            read_items(&catalog.file("items.jsonl")).unwrap()[0].title,
            "Pi"
        );
        let summary: BTreeMap<String, serde_json::Value> =
            json::read(&catalog.file("summary.json")).unwrap();
        assert_eq!(summary["format"], "movielens-1m");
    }
}
