//! Models of others in a pipeline: read, part of the key, used by every stage that can use them.

use crate::support::Project;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Everything from a catalogue to scores: the encoder makes item vectors, starts the Q-Former and judges; the language model is frozen behind
/// the adapter.
const PIPELINE: &str = r#"
name = "pretrained"

[stage.catalog]
kind = "ingest"
demo_films = 30
demo_users = 40

[stage.split]
kind = "split"
inputs = { catalog = "catalog" }

[stage.encoder]
kind = "pretrained-encoder"
model = "datasets/tiny-bert"

[stage.semantic]
kind = "embed-text"
inputs = { catalog = "catalog", encoder = "encoder" }

[stage.items]
kind = "combine"
inputs = { semantic = "semantic" }
representation = "semantic"

[stage.pairs]
kind = "pairs"
inputs = { catalog = "catalog", split = "split" }

[stage.tasks]
kind = "tasks"
inputs = { catalog = "catalog", neighbours = "semantic" }
max_train_films = 8
max_test_films = 3

[stage.lm]
kind = "pretrained-language-model"
model = "datasets/tiny-lm/model.gguf"

[stage.phase1]
kind = "phase-1"
inputs = { items = "items", pairs = "pairs", tokenizer = "encoder", text_init = "encoder" }
d_model = 16
heads = 4
layers = 2
ff_multiple = 2
max_text_tokens = 12
query_tokens = 2
steps = 2
batch = 4
pair_batch = 4

[stage.phase2]
kind = "phase-2"
inputs = { items = "items", tasks = "tasks", language_model = "lm", tokenizer = "lm", qformer = "phase1" }
steps = 2
batch = 2
max_tokens = 128
eval_examples = 2

[stage.texts]
kind = "generate"
inputs = { model = "phase2", items = "items", tasks = "tasks", language_model = "lm", tokenizer = "lm" }
examples_per_task = 1
max_new_tokens = 4

[stage.scores]
kind = "evaluate"
inputs = { generations = "texts", encoder = "encoder" }
"#;

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).expect("made");
    for entry in fs_err::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let place = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &place);
        } else {
            fs_err::copy(&path, &place).expect("copied");
        }
    }
}

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

fn project() -> Project {
    let project = Project::new(PIPELINE);
    let reference = reference();
    copy(
        &reference.join("sentence-bert"),
        &project.file("datasets/tiny-bert"),
    );
    copy(
        &reference.join("gguf-text"),
        &project.file("datasets/tiny-lm"),
    );
    project
}

fn summary(project: &Project, stage: &str) -> Value {
    let text = fs_err::read_to_string(project.artifact(stage).join("summary.json"));
    serde_json::from_str(&text.expect("a summary")).expect("json")
}

#[test]
fn models_of_others_serve_a_whole_pipeline_and_their_bytes_are_in_the_key() {
    let project = project();
    assert_eq!(project.run(&[]).len(), 12);
    assert_eq!(summary(&project, "encoder")["dim"], 16);
    assert_eq!(summary(&project, "semantic")["dim"], 16);
    assert_eq!(summary(&project, "lm")["vocab_size"], 263);
    assert!(summary(&project, "scores")["semantic_consistency"].is_number());
    assert_eq!(project.run(&[]), []);

    // A weight of the encoder changes: what it reads is run again, the language model is not.
    let weights = project.file("datasets/tiny-bert/model.safetensors");
    let mut bytes = fs_err::read(&weights).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs_err::write(&weights, bytes).expect("written");
    let plan = project.plan(&[]);
    assert_eq!(
        plan["encoder"],
        (
            "dirty".to_owned(),
            vec!["files.datasets/tiny-bert/model.safetensors".to_owned()]
        )
    );
    assert_eq!(plan["lm"].0, "fresh");
    assert_eq!(plan["semantic"].0, "pending");
}

#[test]
fn what_is_wrong_with_a_model_is_said() {
    let project = project();
    let says = |stage: &str| {
        let ran = project.call(&["run", "p.toml", "--target", stage]).fails(1);
        ran.stderr
    };
    fs_err::remove_file(project.file("datasets/tiny-bert/tokenizer.json")).expect("removed");
    let ran = project.call(&["plan", "p.toml"]);
    assert!(
        ran.stderr.contains("tokenizer.json` is missing"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    copy(
        &reference().join("sentence-t5"),
        &project.file("datasets/tiny-bert"),
    );
    let ran = project.call(&["run", "p.toml", "--target", "encoder"]).ok();
    assert!(ran.stderr.contains("encoder"), "{}", ran.stderr);

    let file = project.file("datasets/tiny-lm/model.gguf");
    let bytes = fs_err::read(&file).expect("read");
    fs_err::write(&file, &bytes[..bytes.len() - 40]).expect("written");
    let error = says("lm");
    assert!(
        error.contains("it is cut short or its header is wrong"),
        "{error}"
    );
}

/// A project whose language model is of another family, and whose tokenizer has pieces of words.
fn project_with(family: &str) -> Project {
    let model = "model = \"datasets/tiny-lm";
    let pipeline = PIPELINE.replace(&format!("{model}/model.gguf"), model);
    assert_ne!(pipeline, PIPELINE);
    let project = Project::new(&pipeline);
    let (reference, place) = (reference(), project.file("datasets/tiny-lm"));
    copy(
        &reference.join("sentence-bert"),
        &project.file("datasets/tiny-bert"),
    );
    copy(&reference.join(family), &place);
    fs_err::copy(
        reference.join("sentence-t5/tokenizer.json"),
        place.join("tokenizer.json"),
    )
    .expect("copied");
    project
}

#[test]
fn gpt2_and_t5_read_items_and_write_as_well() {
    for (family, context) in [("gpt2", Value::from(128)), ("t5-v1.1", Value::Null)] {
        let project = project_with(family);
        assert_eq!(project.run(&[]).len(), 12, "{family}");
        let lm = summary(&project, "lm");
        assert_eq!(
            (&lm["d_model"], &lm["vocab_size"]),
            (&16.into(), &40.into())
        );
        assert_eq!(lm["context"], context, "{family}");
        let tuned = summary(&project, "phase2");
        assert!(
            tuned["train.loss"].as_f64().expect("a loss").is_finite(),
            "{family}"
        );
        assert!(
            summary(&project, "texts")["texts"].as_u64() > Some(0),
            "{family}"
        );
        assert!(summary(&project, "scores")["semantic_consistency"].is_number());
    }
}

#[test]
fn what_gpt2_has_no_positions_for_is_refused_with_the_setting_that_helps() {
    let project = project_with("gpt2");
    let long = fs_err::read_to_string(project.file("p.toml")).expect("read");
    let long = long.replace("max_tokens = 128", "max_tokens = 4000");
    fs_err::write(project.file("p.toml"), long).expect("written");
    let ran = project.call(&["run", "p.toml", "--target", "phase2"]);
    assert!(
        ran.stderr.contains("set `max_tokens` to 128"),
        "{}",
        ran.stderr
    );
}
