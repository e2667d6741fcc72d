//! `tasks`: prompts with item places, and the texts that answer them.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::read_items;
use crate::formats::{json, tensors};
use crate::seed::Seed;
use crate::tasks::{Example, PROMPTS, Task, TaskConfig, build};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Parameters of `tasks`.
///
/// The paper's own targets were written by PaLM 2 and never published; these are written by templates from the
/// catalogue's metadata, see [`crate::tasks`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tasks {
    /// Share of films whose texts are never trained on, above 0 and below 1. Default 0.2; ours, the paper names no share.
    pub test_share: f64,
    /// Tasks drawn for each training film, from 0 (all) to 24. Test films always have all 24. Default 0.
    pub examples_per_film: usize,
    /// Most training films, 0 for all, else at least 2. Default 0.
    pub max_train_films: usize,
    /// Most test films, 0 for all, else at least 2. Default 0.
    pub max_test_films: usize,
    /// Wordings of each task's prompt that are used, from 1 to 4. Default 4.
    pub prompts_per_task: usize,
    /// Another number splits the films and words the texts otherwise. Not the stage's seed, so that a sweep over seeds
    /// trains and is scored on the same texts. Default 0.
    pub split_seed: u64,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            test_share: 0.2,
            examples_per_film: 0,
            max_train_films: 0,
            max_test_films: 0,
            prompts_per_task: PROMPTS,
            split_seed: 0,
        }
    }
}

/// A line of `corpus.jsonl`.
#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

impl Stage for Tasks {
    const NAME: &'static str = "tasks";
    const ABOUT: &'static str = "Writes the 24 ELM tasks' prompts and targets";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one(
            "neighbours",
            &[ArtifactKind::Factors, ArtifactKind::Embeddings],
        ),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Tasks;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if !(self.test_share > 0.0 && self.test_share < 1.0) {
            let message = format!("is {}, but must be above 0 and below 1", self.test_share);
            found.push(Problem::new("test_share", message));
        }
        for (name, films) in [
            ("max_train_films", self.max_train_films),
            ("max_test_films", self.max_test_films),
        ] {
            if films == 1 {
                let message =
                    "is 1, but must be 0 (all) or at least 2: tasks on pairs take two films";
                found.push(Problem::new(name, message));
            }
        }
        found.extend(Problem::within(
            "examples_per_film",
            self.examples_per_film,
            0,
            Task::ALL.len(),
        ));
        found.extend(Problem::within(
            "prompts_per_task",
            self.prompts_per_task,
            1,
            PROMPTS,
        ));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let items = read_items(&context.input("catalog")?.file("items.jsonl"))?;
        let neighbours = context.input("neighbours")?;
        let file = match neighbours.kind {
            ArtifactKind::Factors => "factors.safetensors",
            _ => "embeddings.safetensors",
        };
        let vectors = tensors::read_one(&neighbours.file(file), "items", 2)?;
        let config = TaskConfig {
            test_share: self.test_share,
            examples_per_film: self.examples_per_film,
            max_train_films: self.max_train_films,
            max_test_films: self.max_test_films,
            prompts_per_task: self.prompts_per_task,
        };
        let set = build(&items, &vectors, &config, Seed::new(self.split_seed))?;
        json::write_lines(&context.out("train.jsonl"), &set.train)?;
        json::write_lines(&context.out("test.jsonl"), &set.test)?;
        json::write_lines(
            &context.out("corpus.jsonl"),
            set.corpus.iter().map(|text| Text { text }),
        )?;
        json::write(
            &context.out("tasks.json"),
            &Task::ALL.map(Task::name).as_slice(),
        )?;
        let summary: BTreeMap<&str, f64> = [
            ("train_films", set.train_films.len() as f64),
            ("test_films", set.test_films.len() as f64),
            ("train_examples", set.train.len() as f64),
            ("test_examples", set.test.len() as f64),
            ("corpus_texts", set.corpus.len() as f64),
            ("words_per_target", words_per_target(&set.test)),
            ("distinct_test_targets", distinct(&set.test)),
        ]
        .into();
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

fn words_per_target(examples: &[Example]) -> f64 {
    let words: usize = examples
        .iter()
        .map(|example| example.target.split_whitespace().count())
        .sum();
    words as f64 / examples.len() as f64
}

/// Different targets over targets: how much films differ in what is known of them.
fn distinct(examples: &[Example]) -> f64 {
    let all: BTreeSet<&str> = examples.iter().map(|e| e.target.as_str()).collect();
    all.len() as f64 / examples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::demo::{DemoConfig, invent};
    use crate::data::{Catalog, Filter};
    use crate::formats::tensors::Array;
    use crate::progress::Silent;
    use crate::stages::InputArtifact;
    use std::path::Path;

    fn artifact(kind: ArtifactKind, folder: &Path) -> Vec<InputArtifact> {
        vec![InputArtifact {
            stage: "made".to_owned(),
            matrix: BTreeMap::new(),
            kind,
            folder: folder.to_owned(),
        }]
    }

    fn run(tasks: &Tasks, root: &Path, output: &str) {
        let context = StageContext {
            inputs: BTreeMap::from([
                ("catalog".to_owned(), artifact(ArtifactKind::Catalog, root)),
                (
                    "neighbours".to_owned(),
                    artifact(ArtifactKind::Factors, root),
                ),
            ]),
            project: root.to_owned(),
            output: root.join(output),
            scratch: root.to_owned(),
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress: &Silent,
        };
        fs_err::create_dir_all(&context.output).unwrap();
        tasks.run(&context).unwrap();
    }

    #[test]
    fn the_demo_catalogue_becomes_tasks_that_repeat_bit_by_bit() {
        let root = tempfile::tempdir().unwrap();
        let config = DemoConfig {
            films: 60,
            users: 40,
            interactions_per_user: 15,
        };
        let filter = Filter {
            min_rating: 0.0,
            min_interactions: 0,
        };
        let raw = invent(config, Seed::new(1));
        let catalog = Catalog::new(raw, filter).unwrap();
        let n = catalog.items.len();
        json::write_lines(&root.path().join("items.jsonl"), &catalog.items).unwrap();
        let data = (0..n * 3).map(|x| ((x * 31) % 17) as f32 - 8.0).collect();
        let vectors = BTreeMap::from([("items".to_owned(), Array::new(&[n, 3], data))]);
        tensors::write(&root.path().join("factors.safetensors"), &vectors).unwrap();

        let tasks = Tasks::default();
        run(&tasks, root.path(), "a");
        run(&tasks, root.path(), "b");
        let names = [
            "train.jsonl",
            "test.jsonl",
            "corpus.jsonl",
            "tasks.json",
            "summary.json",
        ];
        for name in names {
            let read = |folder: &str| fs_err::read(root.path().join(folder).join(name)).unwrap();
            assert!(!read("a").is_empty());
            assert_eq!(read("a"), read("b"), "{name}");
        }
        let tasks: Vec<String> = json::read(&root.path().join("a/tasks.json")).unwrap();
        assert_eq!(tasks.len(), 24);
        let test: Vec<Example> = json::read_lines(&root.path().join("a/test.jsonl")).unwrap();
        let summary: BTreeMap<String, f64> =
            json::read(&root.path().join("a/summary.json")).unwrap();
        assert_eq!(summary["test_examples"], test.len() as f64);
        assert!(summary["distinct_test_targets"] > 0.95, "{summary:?}");
        assert!((15.0..45.0).contains(&summary["words_per_target"]));
        for example in &test {
            let n = example.target.split_whitespace().count();
            assert!((10..=58).contains(&n), "{n} words: {}", example.target);
        }
    }

    #[test]
    fn every_senseless_parameter_is_named() {
        let tasks = Tasks {
            test_share: 1.0,
            examples_per_film: 25,
            max_train_films: 1,
            max_test_films: 1,
            prompts_per_task: 0,
            split_seed: 0,
        };
        let all: Vec<String> = tasks
            .problems()
            .into_iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        `test_share` is 1, but must be above 0 and below 1
        `max_train_films` is 1, but must be 0 (all) or at least 2: tasks on pairs take two films
        `max_test_films` is 1, but must be 0 (all) or at least 2: tasks on pairs take two films
        `examples_per_film` is 25, but must be from 0 to 24
        `prompts_per_task` is 0, but must be from 1 to 4
        ");
        assert!(Tasks::default().problems().is_empty());
    }
}
