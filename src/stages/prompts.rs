//! `prompts`: OpenP5's examples of a data folder, counted, and written where wanted.

use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::data::Catalog;
use crate::formats::json;
use crate::openp5::{
    ExampleConfig, Examples, Folder, Names, Part, Prompts, Sequences, write_json, write_jsonl,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Which files of examples are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// Only the first few of each part, as `…_head.jsonl`.
    #[default]
    None,
    /// `train.jsonl`, `validation.jsonl`, `test.jsonl`, `test_unseen.jsonl`.
    Jsonl,
    /// The JSON files of OpenP5's `src_llama`: `<dataset>_<tasks>_<indexing>_train.json` and so on.
    #[serde(rename = "openp5")]
    OpenP5,
}

/// Parameters of `prompts`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptsStage {
    /// What the data set is called in the texts, for instance `Beauty`. Default `dataset`.
    pub dataset: String,
    /// Which ids the texts have: `random`, `sequential`, `collaborative`, or the end of a file name such as
    /// `sequential_indexing_short2long` where the folder has several of a kind. Default `random`.
    pub indexing: String,
    /// The tasks, in the order of the examples. Default `sequential` and `straightforward`.
    pub tasks: Vec<String>,
    /// Most items of a history: the last ones; 0 for all. Default 10, as in OpenP5's `generate_dataset.py` (its scripts for T5
    /// take 20).
    pub max_history: u32,
    /// Stands before each item's id. Default `item_`.
    pub item_prefix: String,
    /// Stands between the items of a history. Default ` , `.
    pub separator: String,
    /// Whether the first item of a user, which has no history, is left out as a training target. Default true.
    pub skip_empty_history: bool,
    /// Which files are written: `none`, `jsonl`, `openp5`. Default `none`: training on examples needs no file of them.
    pub write: Write,
}

impl Default for PromptsStage {
    fn default() -> Self {
        Self {
            dataset: "dataset".to_owned(),
            indexing: "random".to_owned(),
            tasks: vec!["sequential".to_owned(), "straightforward".to_owned()],
            max_history: 10,
            item_prefix: "item_".to_owned(),
            separator: " , ".to_owned(),
            skip_empty_history: true,
            write: Write::None,
        }
    }
}

/// Examples of a `…_head.jsonl`.
const HEAD: u64 = 40;

impl PromptsStage {
    /// The suffix of the folder's only index file that `indexing` fits.
    fn suffix(&self, folder: &Path) -> Result<String, StageError> {
        let mut suffixes: Vec<String> = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let inner = name
                .strip_prefix("item_")
                .and_then(|n| n.strip_suffix(".txt"));
            suffixes.extend(inner.map(str::to_owned));
        }
        suffixes.sort();
        let fits = |suffix: &&String| {
            **suffix == self.indexing || suffix.starts_with(&format!("{}_indexing", self.indexing))
        };
        match suffixes.iter().filter(fits).collect::<Vec<_>>().as_slice() {
            [one] => Ok((*one).clone()),
            _ => Err(StageError::message(format!(
                "`indexing` is `{}`, but must tell one of `{}`",
                self.indexing,
                suffixes.join("`, `")
            ))),
        }
    }

    fn config(&self, seen: bool) -> ExampleConfig {
        ExampleConfig {
            max_history: self.max_history as usize,
            skip_empty_history: self.skip_empty_history,
            seen,
            prompt: 0,
        }
    }

    /// What OpenP5 writes about itself into its files.
    fn arguments(&self, suffix: &str, seen: bool) -> BTreeMap<String, serde_json::Value> {
        let prompt = if seen { "seen:0" } else { "unseen:0" };
        BTreeMap::from([
            ("dataset".to_owned(), self.dataset.clone().into()),
            ("tasks".to_owned(), self.tasks.join(",").into()),
            ("item_indexing".to_owned(), suffix.into()),
            ("max_his".to_owned(), self.max_history.into()),
            ("his_sep".to_owned(), self.separator.clone().into()),
            ("his_prefix".to_owned(), self.item_prefix.clone().into()),
            (
                "skip_empty_his".to_owned(),
                u32::from(self.skip_empty_history).into(),
            ),
            ("prompt".to_owned(), prompt.into()),
        ])
    }
}

impl Stage for PromptsStage {
    const NAME: &'static str = "prompts";
    const ABOUT: &'static str =
        "Makes OpenP5's examples for sequential and straightforward recommendation";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[
        Port::one("catalog", &[ArtifactKind::Catalog]),
        Port::one("openp5", &[ArtifactKind::OpenP5]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Prompts;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let named = !self.dataset.is_empty()
            && self
                .dataset
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !named {
            let message = format!(
                "is `{}`, but must be a name of letters, digits, `-`, `_` and `.`",
                self.dataset
            );
            problems.push(Problem::new("dataset", message));
        }
        if self.tasks.is_empty() {
            problems.push(Problem::new("tasks", "is empty, but must name a task"));
        }
        for (index, task) in self.tasks.iter().enumerate() {
            if self.tasks[..index].contains(task) {
                let message = format!("is `{task}`, which stands there already");
                problems.push(Problem::new(format!("tasks[{index}]"), message));
            }
        }
        problems
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let catalog = Catalog::read(&context.input("catalog")?.folder)?;
        let path = &context.input("openp5")?.folder;
        let folder = Folder::new(path);
        let suffix = self.suffix(path)?;
        let missing = || StageError::message("the input `openp5` lacks a file of OpenP5's folder");
        let items = folder.items(&catalog, &suffix)?.ok_or_else(missing)?;
        let items = items.by_item(catalog.items.len());
        let users = folder.users(&catalog)?.ok_or_else(missing)?;
        let prompts = Prompts::new(&folder.prompts()?.ok_or_else(missing)?, &self.tasks)?;
        let sequences = Sequences::of(&catalog.interactions);
        let names = Names {
            dataset: &self.dataset,
            users: &users,
            items: &items,
            prefix: &self.item_prefix,
            separator: &self.separator,
        };
        let unseen = prompts.tasks.iter().all(|task| !task.unseen.is_empty());
        let mut parts = vec![
            ("train", Part::Train, true),
            ("validation", Part::Validation, true),
            ("test", Part::Test, true),
        ];
        if unseen {
            parts.push(("test_unseen", Part::Test, false));
        }
        let mut summary: BTreeMap<String, u64> = BTreeMap::new();
        for (name, part, seen) in parts {
            let examples = Examples::new(&sequences, &prompts, self.config(seen), part);
            summary.insert(name.to_owned(), examples.len());
            summary.insert(format!("{name}_samples"), examples.n_samples());
            let progress = context.progress;
            match self.write {
                Write::None => {
                    let file = context.out(&format!("{name}_head.jsonl"));
                    write_jsonl(&file, &examples, Some(HEAD), &names, progress)?;
                }
                Write::Jsonl => {
                    let file = context.out(&format!("{name}.jsonl"));
                    write_jsonl(&file, &examples, None, &names, progress)?;
                }
                Write::OpenP5 => {
                    let end = match (part, seen) {
                        (Part::Train, _) => "train",
                        (Part::Validation, _) => "validation_seen:0",
                        (Part::Test, true) => "test_seen:0",
                        (Part::Test, false) => "test_unseen:0",
                    };
                    let (kind, rest) = suffix.split_once("_indexing").unwrap_or((&suffix, ""));
                    // Only evaluation files of collaborative ids tell how those were made.
                    let rest = if kind == "collaborative" && part != Part::Train {
                        rest
                    } else {
                        ""
                    };
                    let tasks = self.tasks.join(",");
                    let file = format!("{}_{tasks}_{kind}{rest}_{end}.json", self.dataset);
                    let arguments = self.arguments(&suffix, seen);
                    let file = context.out(&file);
                    write_json(&file, &arguments, &examples, part, &names, progress)?;
                }
            }
        }
        summary.insert("seen_prompts".to_owned(), prompts.n_seen() as u64);
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
