//! Models of others in a pipeline: read, part of the key, used by every stage that can use them.

use crate::support::Project;
use serde_json::Value;
use std::path::Path;

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

fn project() -> Project {
    let project = Project::new(PIPELINE);
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
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
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/sentence-t5/"),
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
