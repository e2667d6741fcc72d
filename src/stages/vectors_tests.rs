//! Runs the stages from catalogue to item tokens on the demo data, and looks at what they made.

use super::{AnyStage, InputArtifact, StageContext, StageError, find};
use crate::cf::{Factors, ItemTokens};
use crate::data::{Item, read_items};
use crate::formats::json;
use crate::formats::tensors::{self, Array};
use crate::progress::Silent;
use crate::seed::Seed;
use crate::text::{TextEncoder, Tokenizer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A folder of artifacts, one a stage.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(
        &self,
        name: &str,
        kind: &str,
        params: Value,
        inputs: &[(&str, &[&str])],
    ) -> Result<(), StageError> {
        let kind = find(kind).unwrap();
        let stage: Box<dyn AnyStage> = (kind.from_json)(params).unwrap();
        assert_eq!(stage.problems(), []);
        let output = self.0.path().join(name);
        fs_err::create_dir_all(&output).unwrap();
        let artifact = |port: &str, name: &str| InputArtifact {
            stage: name.to_owned(),
            matrix: BTreeMap::new(),
            // What the port accepts; with several, the one that the name starts with.
            kind: *kind
                .port(port)
                .unwrap()
                .accepts
                .iter()
                .find(|accepted| name.starts_with(accepted.name()))
                .unwrap_or(&kind.port(port).unwrap().accepts[0]),
            folder: self.0.path().join(name),
        };
        let context = StageContext {
            inputs: inputs
                .iter()
                .map(|(port, names)| {
                    let all = names.iter().map(|name| artifact(port, name)).collect();
                    ((*port).to_owned(), all)
                })
                .collect(),
            project: self.0.path().to_owned(),
            output,
            scratch: self.0.path().join("scratch"),
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress: &Silent,
        };
        stage.run(&context)
    }

    fn file(&self, stage: &str, file: &str) -> std::path::PathBuf {
        self.0.path().join(stage).join(file)
    }

    fn folder(&self, stage: &str) -> std::path::PathBuf {
        self.0.path().join(stage)
    }

    fn summary(&self, stage: &str) -> Value {
        json::read(&self.file(stage, "summary.json")).unwrap()
    }
}

/// The catalogue, its split and a few tasks.
fn demo() -> Project {
    let project = Project::new();
    project.run("catalog", "ingest", json!({}), &[]).unwrap();
    project
        .run("split", "split", json!({}), &[("catalog", &["catalog"])])
        .unwrap();
    let tasks = project.folder("tasks");
    fs_err::create_dir_all(&tasks).unwrap();
    let example = |target: &str| json!({"task": "summary", "items": [0], "prompt": "Write about <item>.", "target": target});
    let write = |path: &Path, lines: &[Value]| json::write_lines(path, lines).unwrap();
    write(
        &tasks.join("train.jsonl"),
        &[
            example("known words known words"),
            example("known again words"),
        ],
    );
    write(
        &tasks.join("test.jsonl"),
        &[example("qwertz qwertz qwertz")],
    );
    write(
        &tasks.join("corpus.jsonl"),
        &[json!({"text": "a corpus of corpus words"})],
    );
    project
}

/// How many of the three nearest neighbours of an item share its first genre, and how many of all items do: means.
fn neighbours_of_the_same_genre(vectors: &Array, items: &[Item]) -> (f64, f64) {
    let d = vectors.shape[1];
    let rows: Vec<Vec<f64>> = vectors
        .data
        .chunks(d)
        .map(|row| {
            let length = row
                .iter()
                .map(|x| f64::from(*x).powi(2))
                .sum::<f64>()
                .sqrt();
            row.iter()
                .map(|x| f64::from(*x) / length.max(1e-12))
                .collect()
        })
        .collect();
    let (mut near, mut chance) = (0.0, 0.0);
    for (a, item) in items.iter().enumerate() {
        let same = |b: usize| f64::from(u8::from(items[b].genres[0] == item.genres[0]));
        let mut others: Vec<(f64, usize)> = (0..items.len())
            .filter(|&b| b != a)
            .map(|b| (rows[a].iter().zip(&rows[b]).map(|(x, y)| x * y).sum(), b))
            .collect();
        chance += others.iter().map(|&(_, b)| same(b)).sum::<f64>() / others.len() as f64;
        others.sort_by(|x, y| y.0.total_cmp(&x.0));
        near += others[..3].iter().map(|&(_, b)| same(b)).sum::<f64>() / 3.0;
    }
    (near / items.len() as f64, chance / items.len() as f64)
}

#[test]
fn both_kinds_of_vector_recover_planted_genres_and_become_tokens() {
    let project = demo();
    project
        .run(
            "cf",
            "fit-cf",
            json!({"factors": 24}),
            &[("catalog", &["catalog"]), ("split", &["split"])],
        )
        .unwrap();
    let items = read_items(&project.file("catalog", "items.jsonl")).unwrap();
    let factors = Factors::load(&project.file("cf", "factors.safetensors")).unwrap();
    assert_eq!(factors.items.shape, [items.len(), 24]);
    let summary = project.summary("cf");
    assert!(summary["objective_last"].as_f64() < summary["objective_first"].as_f64());
    let (near, chance) = neighbours_of_the_same_genre(&factors.items, &items);
    println!("behavioural: {near:.3}, chance {chance:.3}");
    assert!(near > 2.0 * chance, "{near} and {chance}");

    project
        .run(
            "encoder",
            "fit-encoder",
            json!({"dim": 32}),
            &[("texts", &["catalog", "tasks"])],
        )
        .unwrap();
    let encoder = TextEncoder::load(&project.folder("encoder")).unwrap();
    let texts = ["known", "qwertz"].map(str::to_owned);
    let vectors = encoder.encode(&texts);
    assert!(vectors.data[..32].iter().any(|&x| x != 0.0));
    // Only test examples have this word, and they are not read.
    assert!(vectors.data[32..].iter().all(|&x| x == 0.0));

    project
        .run(
            "text",
            "embed-text",
            json!({}),
            &[("catalog", &["catalog"]), ("encoder", &["encoder"])],
        )
        .unwrap();
    let path = project.file("text", "embeddings.safetensors");
    let embeddings = tensors::read_one(&path, "items", 2).unwrap();
    let (near, chance) = neighbours_of_the_same_genre(&embeddings, &items);
    println!("semantic: {near:.3}, chance {chance:.3}");
    assert!(near > 2.0 * chance, "{near} and {chance}");

    let both: &[(&str, &[&str])] = &[("behavioural", &["cf"]), ("semantic", &["text"])];
    project.run("tokens", "combine", json!({}), both).unwrap();
    let tokens = ItemTokens::load(&project.file("tokens", "item_tokens.safetensors")).unwrap();
    assert_eq!(tokens.items.shape, [items.len(), 2, 32]);
    let users = tokens.users.unwrap();
    assert_eq!(users.shape, [factors.users.shape[0], 1, 32]);
    for token in 0..2 {
        let sum: f64 = tokens
            .items
            .data
            .chunks(2 * 32)
            .flat_map(|item| &item[token * 32..(token + 1) * 32])
            .map(|x| f64::from(*x).powi(2))
            .sum();
        let width = if token == 0 { 24 } else { 32 };
        assert!((sum / (items.len() * width) as f64 - 1.0).abs() < 1e-5);
    }

    let params = json!({"representation": "semantic", "chunks": 4});
    project
        .run("cut", "combine", params.clone(), &both[1..])
        .unwrap();
    let tokens = ItemTokens::load(&project.file("cut", "item_tokens.safetensors")).unwrap();
    assert_eq!(tokens.items.shape, [items.len(), 4, 8]);
    assert_eq!(tokens.users, None);
    let error = project
        .run("cut", "combine", params, &both[..1])
        .unwrap_err();
    insta::assert_snapshot!(error, @"`representation` is `semantic`, but the input `semantic` is missing");
}

#[test]
fn ials_plus_plus_reaches_what_ials_reaches() {
    let project = demo();
    let inputs: &[(&str, &[&str])] = &[("catalog", &["catalog"]), ("split", &["split"])];
    let fitted = |name: &str, params: Value| {
        project.run(name, "fit-cf", params, inputs).unwrap();
        let items = Factors::load(&project.file(name, "factors.safetensors"))
            .unwrap()
            .items;
        (
            project.summary(name)["objective_last"].as_f64().unwrap(),
            items,
        )
    };
    let (exact, _) = fitted("exact", json!({"factors": 24, "epochs": 8}));
    let narrow = json!({"method": "ials++", "factors": 24, "epochs": 8, "block": 16});
    let (narrow, _) = fitted("narrow", narrow);
    // Other steps towards the same minimum; neither is there yet.
    assert!((narrow / exact - 1.0).abs() < 0.01, "{narrow} and {exact}");
    let given = json!({"method": "ials++", "factors": 24, "epochs": 1, "block": 16});
    let default = json!({"method": "ials++", "factors": 24, "epochs": 1});
    assert_eq!(fitted("given", given), fitted("default", default));
}

#[test]
fn a_tokenizer_learns_from_training_texts_only() {
    let project = demo();
    project
        .run(
            "tokenizer",
            "tokenizer",
            json!({"vocab_size": 1200}),
            &[("texts", &["catalog", "tasks"])],
        )
        .unwrap();
    let tokenizer = Tokenizer::load(&project.file("tokenizer", "tokenizer.json")).unwrap();
    assert!(tokenizer.vocab_size() <= 1200);
    assert_eq!(tokenizer.encode(" film").len(), 1);
    assert!(tokenizer.encode(" qwertz").len() > 1);
    let summary = project.summary("tokenizer");
    assert!(
        summary["bytes_per_token"].as_f64().unwrap() > 2.5,
        "{summary}"
    );
}

#[test]
fn senseless_parameters_are_all_named() {
    let problems = |kind: &str, params: Value| -> String {
        let stage = (find(kind).unwrap().from_json)(params).unwrap();
        stage
            .problems()
            .into_iter()
            .map(|problem| format!("`{}` {}", problem.field, problem.message))
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(
        problems("fit-cf", json!({
            "factors": 0, "epochs": 0, "regularization": -0.5, "nu": -1.0, "alpha0": 0.0, "init_std": 0.0
        })),
        @r"
    `factors` is 0, but must be at least 1
    `epochs` is 0, but must be at least 1
    `regularization` is -0.5, but must be above 0
    `nu` is -1, but must be from 0 to 2
    `alpha0` is 0, but must be above 0
    `init_std` is 0, but must be above 0
    "
    );
    insta::assert_snapshot!(
        problems("fit-cf", json!({"block": 32})),
        @r#"`block` is only for `method = "ials++"`"#
    );
    insta::assert_snapshot!(
        problems("fit-cf", json!({"method": "ials++", "block": 24})),
        @"`block` is 24, but must be a multiple of 16"
    );
    assert_eq!(problems("fit-cf", json!({"method": "ials++"})), "");
    insta::assert_snapshot!(
        problems("fit-encoder", json!({
            "dim": 0, "max_features": 0, "min_df": 0, "max_df": 1.5, "word_ngrams": 0, "char_ngrams": 2
        })),
        @r"
    `dim` is 0, but must be at least 1
    `max_features` is 0, but must be at least 1
    `min_df` is 0, but must be at least 1
    `word_ngrams` is 0, but must be from 1 to 5
    `max_df` is 1.5, but must be above 0 and at most 1
    `char_ngrams` is 2, but must be 0 or from 3 to 8
    "
    );
    insta::assert_snapshot!(
        problems("tokenizer", json!({"vocab_size": 261, "min_frequency": 0})),
        @r"
    `vocab_size` is 261, but must be at least 262
    `min_frequency` is 0, but must be at least 1
    "
    );
    insta::assert_snapshot!(
        problems("combine", json!({"chunks": 0})),
        @"`chunks` is 0, but must be at least 1"
    );
}
