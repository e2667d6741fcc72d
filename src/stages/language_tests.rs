//! Pre-training, phase 2 and generation, run as stages on a catalogue whose attributes are known.

use super::backbone::Backbone;
use super::generate::Generate;
use super::phase_2::{AdapterInit, AdapterKind, Phase2, Trained};
use super::training::Training;
use super::{ArtifactKind, InputArtifact, Stage, StageContext, StageError};
use crate::formats::tensors::{self, Array};
use crate::formats::{json, tensorboard};
use crate::nn::models::item_language::TaskExample;
use crate::nn::models::llama::LoraConfig;
use crate::nn::models::qformer::{Qformer, QformerConfig};
use crate::nn::training::Metric;
use crate::progress::{Progress, Report, Silent, Stopped};
use crate::seed::Seed;
use crate::text::{Tokenizer, TokenizerConfig};
use dfdx::tensor::Cpu;
use rand::Rng as _;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const COLOURS: [&str; 6] = ["red", "green", "blue", "white", "black", "pink"];
const MOODS: [&str; 4] = ["warm", "grim", "calm", "wild"];
const TRAINING: u32 = 96;
const ITEMS: u32 = 128;

/// A project in a temporary folder: one folder for each artifact.
struct Project {
    root: tempfile::TempDir,
}

impl Project {
    /// Items whose two tokens hold a colour and a mood as noisy directions, texts that name them, a tokenizer of words.
    fn new() -> Self {
        let project = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for name in ["items", "tasks", "tokenizer", "qformer"] {
            fs_err::create_dir_all(project.folder(name)).unwrap();
        }
        let mut rng = Seed::new(1).rng();
        let width = 8;
        let mut data = Vec::new();
        for item in 0..ITEMS {
            let (colour, mood) = Self::traits(item);
            for trait_ in [colour, mood] {
                data.extend((0..width).map(|j| {
                    let hit = if j == trait_ { 2.4 } else { 0.0 };
                    hit + rng.gen_range(-0.6..0.6)
                }));
            }
        }
        let array = Array::new(&[ITEMS as usize, 2, width], data);
        let path = project.folder("items").join("item_tokens.safetensors");
        tensors::write(&path, &[("items".to_owned(), array)].into()).unwrap();

        let examples: Vec<TaskExample> = (0..ITEMS).flat_map(Self::examples).collect();
        let (test, train): (Vec<_>, Vec<_>) = examples
            .into_iter()
            .partition(|example| example.items[0] >= TRAINING);
        let tasks = project.folder("tasks");
        // The decoder learns to use a description in its context; phase 2 puts vectors in the description's place.
        let mut texts = Vec::new();
        for thing in ["thing", "house", "song", "road", "tale"] {
            for (colour, mood) in COLOURS.iter().flat_map(|c| MOODS.map(|m| (*c, m))) {
                for item in [
                    format!("a {colour} {mood} {thing}"),
                    format!("a {mood} {colour} {thing}"),
                ] {
                    texts.push(format!("name the colour of {item}\nthe colour is {colour}"));
                    texts.push(format!("name the mood of {item}\nthe mood is {mood}"));
                }
            }
        }
        let corpus = texts.iter().map(|text| BTreeMap::from([("text", text)]));
        json::write_lines(&tasks.join("corpus.jsonl"), corpus).unwrap();
        json::write_lines(&tasks.join("train.jsonl"), &train).unwrap();
        json::write_lines(&tasks.join("test.jsonl"), &test).unwrap();

        let config = TokenizerConfig {
            vocab_size: 320,
            min_frequency: 2,
        };
        let path = project.folder("tokenizer").join("tokenizer.json");
        let tokenizer = Tokenizer::train(&texts, &config).unwrap();
        tokenizer.save(&path).unwrap();

        let config = QformerConfig {
            d_model: 32,
            layers: 2,
            heads: 2,
            d_ff: 64,
            queries: 4,
            dropout: 0.0,
            d_item: width,
            vocab: tokenizer.vocab_size(),
            projection: 8,
            ..QformerConfig::default()
        };
        Qformer::new(&config, &Cpu::default(), Seed::new(4))
            .unwrap()
            .save(&project.folder("qformer"))
            .unwrap();
        project
    }

    fn traits(item: u32) -> (usize, usize) {
        let hash = Seed::new(77).at(u64::from(item)).value() as usize;
        (hash % COLOURS.len(), hash / 1024 % MOODS.len())
    }

    fn examples(item: u32) -> [TaskExample; 2] {
        let (colour, mood) = Self::traits(item);
        [("colour", COLOURS[colour]), ("mood", MOODS[mood])].map(|(task, word)| TaskExample {
            task: task.to_owned(),
            items: vec![item],
            prompt: format!("name the {task} of <item>"),
            target: format!("the {task} is {word}"),
        })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs a stage with every artifact as its input, into the folder `output`.
    fn run<S: Stage>(
        &self,
        stage: &S,
        output: &str,
        progress: &dyn Progress,
    ) -> Result<PathBuf, StageError> {
        self.run_in(stage, output, &format!("{output}.scratch"), progress)
    }

    fn run_in<S: Stage>(
        &self,
        stage: &S,
        output: &str,
        scratch: &str,
        progress: &dyn Progress,
    ) -> Result<PathBuf, StageError> {
        assert_eq!(stage.problems(), []);
        let inputs = S::PORTS
            .iter()
            .filter(|port| self.folder(port.name).exists())
            .map(|port| {
                let artifact = InputArtifact {
                    stage: port.name.to_owned(),
                    matrix: BTreeMap::new(),
                    kind: ArtifactKind::Tasks,
                    folder: self.folder(port.name),
                };
                (port.name.to_owned(), vec![artifact])
            })
            .collect();
        for name in [output, scratch] {
            fs_err::create_dir_all(self.folder(name)).unwrap();
        }
        let context = StageContext {
            inputs,
            project: self.root.path().to_owned(),
            output: self.folder(output),
            scratch: self.folder(scratch),
            seed: Seed::new(6),
            device: "cpu".to_owned(),
            progress,
        };
        stage.run(&context)?;
        Ok(self.folder(output))
    }

    fn backbone(&self, steps: u64) {
        let stage = Backbone {
            d_model: 32,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            d_ff: 64,
            context: 24,
            batch: 16,
            steps,
            training: Training {
                warmup_steps: Some(steps / 30),
                learning_rate: 3e-3,
                ..Training::default()
            },
            ..Backbone::default()
        };
        self.run(&stage, "language_model", &Silent).unwrap();
    }
}

fn phase_2() -> Phase2 {
    Phase2 {
        max_tokens: 40,
        steps: 150,
        training: Training {
            warmup_steps: Some(10),
            learning_rate: 1e-2,
            ..Training::default()
        },
        ..Phase2::default()
    }
}

/// Share of generated texts that are exactly the target, and their number.
fn right(generations: &Path) -> (f64, usize) {
    let lines: Vec<BTreeMap<String, serde_json::Value>> =
        json::read_lines(&generations.join("generations.jsonl")).unwrap();
    let hits = lines
        .iter()
        .filter(|line| line["generated"] == line["target"])
        .count();
    (hits as f64 / lines.len() as f64, lines.len())
}

fn number(folder: &Path, name: &str) -> f64 {
    let summary: BTreeMap<String, serde_json::Value> =
        json::read(&folder.join("summary.json")).unwrap();
    summary[name].as_f64().unwrap()
}

#[test]
fn a_frozen_language_model_names_the_attributes_of_unseen_items() {
    let project = Project::new();
    project.backbone(600);
    for (adapter, output, steps) in [
        (AdapterKind::Mlp, "mlp", 150),
        (AdapterKind::Qformer, "qformer-arm", 300),
    ] {
        let stage = Phase2 {
            adapter,
            adapter_init: AdapterInit::Random,
            mlp_tokens: 4,
            steps,
            ..phase_2()
        };
        let folder = project.run(&stage, output, &Silent).unwrap();
        assert!(!folder.join("language_model.safetensors").exists());
        let (mine, theirs) = (
            number(&folder, "adapter_parameters"),
            number(&folder, "qformer_adapter_parameters"),
        );
        assert!((mine / theirs - 1.0).abs() < 0.01, "{mine} {theirs}");
        assert_eq!(number(&folder, "trained_parameters"), mine);
        fs_err::rename(&folder, project.folder("model")).unwrap();
        let generated = project
            .run(&Generate::default(), &format!("{output}.texts"), &Silent)
            .unwrap();
        let (share, n) = right(&generated);
        assert_eq!(n, 2 * (ITEMS - TRAINING) as usize);
        // Chance: 1/6 of colours and 1/4 of moods.
        assert!(share > 0.6, "{output}: {share}");
        fs_err::remove_dir_all(project.folder("model")).unwrap();
    }
}

/// Asks to stop at the n-th report of a step.
struct StopAt(Cell<usize>);

impl Progress for StopAt {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if matches!(report, Report::Tick { .. }) {
            let left = self.0.get().checked_sub(1).ok_or(Stopped)?;
            self.0.set(left);
        }
        Ok(())
    }
}

#[test]
fn a_stopped_training_in_two_parts_goes_on_to_the_same_bytes() {
    stopped_and_resumed(None, "language_model.safetensors");
}

#[test]
fn a_stopped_training_of_low_rank_matrices_goes_on_to_the_same_bytes() {
    let lora = LoraConfig {
        dropout: 0.1,
        ..LoraConfig::default()
    };
    stopped_and_resumed(Some(lora), "lora/adapter_model.safetensors");
}

/// `tuned` is where the weights of the language model are.
fn stopped_and_resumed(lora: Option<LoraConfig>, tuned: &str) {
    let project = Project::new();
    project.backbone(10);
    let stage = Phase2 {
        lora,
        adapter_init: AdapterInit::Phase1,
        train: Trained::AdapterThenAll,
        adapter_steps: 7,
        steps: 9,
        eval_every: 4,
        training: Training {
            warmup_steps: Some(2),
            log_every: 2,
            checkpoint_every: 3,
            ..phase_2().training
        },
        ..phase_2()
    };
    let whole = project.run(&stage, "whole", &Silent).unwrap();
    for (attempt, after) in [5, 8, 13].into_iter().enumerate() {
        let scratch = format!("{attempt}.scratch");
        let stop = StopAt(Cell::new(after));
        let stopped = project.run_in(&stage, "stopped", &scratch, &stop);
        assert_eq!(stopped.unwrap_err().to_string(), "asked to stop");
        let output = format!("resumed-{attempt}");
        let resumed = project.run_in(&stage, &output, &scratch, &Silent).unwrap();
        for file in [
            "adapter.safetensors",
            tuned,
            "config.json",
            "metrics.jsonl",
            tensorboard::FILE_NAME,
            "summary.json",
        ] {
            assert_eq!(
                fs_err::read(whole.join(file)).unwrap(),
                fs_err::read(resumed.join(file)).unwrap(),
                "{file} after {after} steps"
            );
        }
    }
    // Lines of JSON and events say the same.
    let lines: Vec<Metric> = json::read_lines(&whole.join("metrics.jsonl")).unwrap();
    let events = tensorboard::tests::read(&whole.join(tensorboard::FILE_NAME));
    assert_eq!(lines.len(), events.len());
    for (line, (step, time, tag, value)) in lines.iter().zip(&events) {
        assert_eq!(
            (line.step, line.name.replacen('.', "/", 1)),
            (*step, tag.clone())
        );
        assert_eq!((line.step as f64, line.value as f32), (*time, *value));
    }
    // Both parts count their steps on.
    let metrics = fs_err::read_to_string(whole.join("metrics.jsonl")).unwrap();
    assert!(metrics.lines().last().unwrap().contains("\"step\":16,"));
    fs_err::rename(&whole, project.folder("model")).unwrap();
    let texts = project
        .run(
            &Generate {
                max_new_tokens: 5,
                examples_per_task: Some(3),
                ..Generate::default()
            },
            "texts",
            &Silent,
        )
        .unwrap();
    assert_eq!(number(&texts, "texts"), 6.0);
}

#[test]
fn a_qformer_adapter_without_its_input_says_what_is_missing() {
    let project = Project::new();
    project.backbone(1);
    fs_err::remove_dir_all(project.folder("qformer")).unwrap();
    let error = project.run(&phase_2(), "arm", &Silent).unwrap_err();
    insta::assert_snapshot!(error, @r#"the input `qformer` is missing: `adapter = "qformer"` takes its weights from it, and with `adapter_init = "random"` its sizes"#);
    let stage = Phase2 {
        adapter: AdapterKind::Mlp,
        steps: 1,
        training: Training {
            warmup_steps: Some(0),
            ..phase_2().training
        },
        ..phase_2()
    };
    project.run(&stage, "arm", &Silent).unwrap();
}

#[test]
fn senseless_parameters_are_all_named() {
    let list = |problems: Vec<super::Problem>| {
        problems
            .iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let backbone = Backbone {
        heads: 6,
        kv_heads: 4,
        context: 0,
        batch: 0,
        held_out: 1.0,
        label_smoothing: 1.0,
        training: Training {
            learning_rate: -1e-3,
            ..Training::default()
        },
        ..Backbone::default()
    };
    let phase_2 = Phase2 {
        mlp_tokens: 0,
        mlp_hidden: Some(0),
        batch: 0,
        max_tokens: 0,
        held_out: f64::NAN,
        training: Training {
            learning_rate: -1.0,
            warmup_steps: Some(301),
            ..Training::default()
        },
        ..Phase2::default()
    };
    let low_rank = Phase2 {
        lora: Some(LoraConfig {
            rank: 0,
            alpha: -1.0,
            dropout: 1.0,
            on: vec![],
        }),
        ..Phase2::default()
    };
    let generate = Generate {
        max_new_tokens: 0,
        batch: 0,
        examples_per_task: Some(0),
    };
    insta::assert_snapshot!(
        [list(backbone.problems()), list(phase_2.problems()), list(low_rank.problems()), list(generate.problems())].join("\n\n"),
        @r"
    `heads` is 6, but must divide the width 128
    `kv_heads` is 4, but must divide the number of heads 6
    `context` is 0, but must be at least 2
    `batch` is 0, but must be at least 1
    `held_out` is 1, but must be from 0 to below 1
    `label_smoothing` is 1, but must be from 0 to below 1
    `training.learning_rate` is -0.001, but must be above 0

    `mlp_tokens` is 0, but must be at least 1
    `mlp_hidden` is 0, but must be at least 1
    `batch` is 0, but must be at least 1
    `max_tokens` is 0, but must be at least 4
    `held_out` is NaN, but must be from 0 to below 1
    `training.learning_rate` is -1, but must be above 0
    `training.warmup_steps` is 301, but must be at most `steps`, 300

    `lora` needs `train` to be `all` or `adapter-then-all`: with `adapter` the language model learns nothing
    `lora.rank` is 0, but must be at least 1
    `lora.alpha` is -1, but must be above 0
    `lora.dropout` is 1, but must be from 0 to below 1
    `lora.on` is empty, but must name at least one projection

    `max_new_tokens` is 0, but must be at least 1
    `batch` is 0, but must be at least 1
    `examples_per_task` is 0, but must be at least 1
    "
    );
}
