//! The stage on a catalogue of ten items: its artifact, and what it says about wrong inputs and parameters.

use super::*;
use crate::progress::Silent;
use crate::seed::Seed;
use crate::stages::InputArtifact;
use crate::text::TokenizerConfig;
use dfdx::tensor::Cpu;
use serde_json::json as object;

fn small() -> Phase1Stage {
    Phase1Stage {
        losses: Loss::ALL.to_vec(),
        d_model: 16,
        layers: 2,
        heads: 2,
        query_tokens: 3,
        projection: 8,
        steps: 4,
        training: Training {
            warmup_steps: Some(1),
            log_every: 1,
            ..Training::default()
        },
        eval_every: 2,
        batch: 6,
        pair_batch: 5,
        ..Phase1Stage::default()
    }
}

/// Writes a catalogue of ten items into `folder` as the stages before this one do.
fn inputs(folder: &Path) {
    let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
    let arrays = BTreeMap::from([
        ("items".to_owned(), Array::new(&[10, 2, 4], wave(80))),
        ("users".to_owned(), Array::new(&[4, 1, 4], wave(16))),
    ]);
    tensors::write(&folder.join("item_tokens.safetensors"), &arrays).expect("writable");
    let words = ["red", "green", "blue", "old", "new"];
    let lines = (0..10usize).map(|item| {
        let text = format!("{} {}", words[item % 3], words[3 + item % 2]);
        object!({"item": item, "text": text, "held_out": item % 5 == 0})
    });
    json::write_lines(&folder.join("item_text.jsonl"), lines).expect("writable");
    for (name, lefts) in [("item_item", 10), ("user_item", 4)] {
        let left: Vec<u32> = (0..30).map(|i| i % lefts).collect();
        let right: Vec<u32> = (0..30).map(|i| (i * 7 + 3) % 10).collect();
        let held_out: Vec<bool> = (0..30).map(|i| i % 6 == 0).collect();
        let pairs = crate::pairs::PairSet {
            left,
            right,
            held_out,
        };
        pairs
            .write(&folder.join(format!("{name}.parquet")))
            .expect("writable");
    }
    let config = TokenizerConfig {
        vocab_size: 270,
        min_frequency: 2,
    };
    let texts = words.map(str::to_owned);
    let tokenizer = Tokenizer::train(&texts, &config).expect("has texts");
    tokenizer
        .save(&folder.join("tokenizer.json"))
        .expect("writable");
}

fn run(stage: &Phase1Stage, inputs: &Path) -> Result<tempfile::TempDir, StageError> {
    let made = tempfile::tempdir().expect("a temporary folder");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let artifact = |kind| InputArtifact {
        stage: "before".to_owned(),
        matrix: BTreeMap::new(),
        kind,
        folder: inputs.to_owned(),
    };
    let context = StageContext {
        inputs: BTreeMap::from([
            ("items".to_owned(), vec![artifact(ArtifactKind::ItemTokens)]),
            ("pairs".to_owned(), vec![artifact(ArtifactKind::Pairs)]),
            (
                "tokenizer".to_owned(),
                vec![artifact(ArtifactKind::Tokenizer)],
            ),
        ]),
        project: inputs.to_owned(),
        output: made.path().to_owned(),
        scratch: scratch.path().to_owned(),
        seed: Seed::new(1),
        device: "cpu".to_owned(),
        progress: &Silent,
    };
    stage.run(&context)?;
    Ok(made)
}

#[test]
fn the_artifact_is_whole_and_the_same_every_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    inputs(folder.path());
    let made = run(&small(), folder.path()).expect("trains");
    let model = Qformer::load(made.path(), &Cpu::default()).expect("loads");
    assert_eq!((model.config().d_item, model.config().vocab), (4, 263));
    let outputs = made.path().join("query_outputs.safetensors");
    let outputs = tensors::read_one(&outputs, "items", 3).expect("is there");
    assert_eq!(outputs.shape, [10, 3, 16]);
    let summary: BTreeMap<String, serde_json::Value> =
        json::read(&made.path().join("summary.json")).expect("is there");
    insta::assert_snapshot!(summary.keys().cloned().collect::<Vec<_>>().join(" "));
    assert_eq!(summary["texts_held_out"], 2);
    let metrics: Vec<Metric> =
        json::read_lines(&made.path().join("metrics.jsonl")).expect("is there");
    let starts_middle_end = metrics.iter().filter(|m| m.name == "eval.itg").count();
    assert_eq!(starts_middle_end, 3);

    let again = run(&small(), folder.path()).expect("trains");
    for file in [
        "model.safetensors",
        "metrics.jsonl",
        "query_outputs.safetensors",
    ] {
        let bytes =
            |made: &tempfile::TempDir| fs_err::read(made.path().join(file)).expect("is there");
        assert!(bytes(&made) == bytes(&again), "`{file}`");
    }
}

#[test]
fn what_is_wrong_with_the_inputs_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    let failure = || {
        let text = run(&small(), path).expect_err("fails").chain();
        text.replace(&path.display().to_string(), "…")
    };
    let mut said = Vec::new();
    inputs(path);
    let broken = r#"{"item":0,"text":"red"}"#;
    fs_err::write(path.join("item_text.jsonl"), broken).expect("writable");
    said.push(failure());
    inputs(path);
    fs_err::write(path.join("item_item.parquet"), "no parquet").expect("writable");
    said.push(failure());
    inputs(path);
    let line = r#"{"item":99,"text":"red","held_out":false}"#;
    fs_err::write(path.join("item_text.jsonl"), line).expect("writable");
    said.push(failure());
    inputs(path);
    fs_err::write(path.join("item_text.jsonl"), "").expect("writable");
    said.push(failure());
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn senseless_parameters_are_all_named() {
    let stage = Phase1Stage {
        losses: vec![],
        query_tokens: 0,
        heads: 3,
        training: Training {
            learning_rate: -1e-3,
            warmup_steps: Some(0),
            patience: 3,
            ..Training::default()
        },
        eval_every: 0,
        dropout: 1.0,
        margin: 0.0,
        batch: 1,
        steps: 0,
        pair_temperature: f64::NAN,
        ..Phase1Stage::default()
    };
    let said: Vec<String> = Stage::problems(&stage)
        .into_iter()
        .map(|problem| format!("`{}` {}", problem.field, problem.message))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert_eq!(Stage::problems(&Phase1Stage::default()), []);
}
