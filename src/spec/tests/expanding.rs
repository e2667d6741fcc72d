//! `expand` writes what `load` read.

use crate::spec::testing::{KINDS, load_files, load_text, long};
use crate::spec::{LoadOptions, Pipeline, expand, load_with};
use std::path::Path;

const FULL: &str = r#"
name = "full"
title = 'quote " backslash \ and $${x}'
seed = 4
[groups]
download = 1
disk = 2
[params]
seeds = [1, 2]
[stage.catalog]
kind = "ingest"
source = "two\nlines, $${escaped} and \u007F"
timeout = "90s"
memory = "512MiB"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
matrix = { seed = "${seeds}" }
seed = "${matrix.seed}"
regularisation = 1e-6
loss = "warp-loss"
offset = -3
cut = 7
[stage.embed]
kind = "embed-text"
inputs = { catalog = "catalog" }
names = { "a b" = 0.1, c = 1e20 }
layers = []
[stage.train]
kind = "phase-1"
inputs = { items = "cf[seed=2]" }
matrix = { adapter = ["mlp", "a/b ${seeds_text}"], steps = [1, 2] }
adapter = "${matrix.adapter}"
steps = "${matrix.steps}"
cpus = 2
gpus = 1
groups = ["download", "disk"]
slow = "2m"
retries = 3
backoff = "500ms"
[stage.table]
kind = "table"
inputs = { rows = "train[*]" }
"#;

fn full() -> Pipeline {
    let text = FULL.replace("${seeds_text}", "$${x}");
    load_text(&text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Everything about the stages but their places.
fn compared(pipeline: &Pipeline) -> Vec<String> {
    pipeline
        .stages
        .iter()
        .map(|s| {
            format!(
                "{:?}",
                (
                    (
                        &s.id,
                        &s.name,
                        &s.matrix,
                        &s.axes,
                        s.kind.name,
                        s.params.to_string()
                    ),
                    (s.seed, &s.inputs, &s.execution)
                )
            )
        })
        .collect()
}

#[test]
fn every_arm_and_default_is_written() {
    insta::assert_snapshot!(expand(&full()));
}

#[test]
fn an_expanded_file_loads_to_the_same_stages() {
    let pipeline = full();
    let text = expand(&pipeline);
    let again = load_text(&text).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(compared(&again), compared(&pipeline));
    assert_eq!(
        (&again.name, &again.title, &again.groups),
        (&pipeline.name, &pipeline.title, &pipeline.groups)
    );
    assert_eq!(expand(&again), text);
}

/// The limit is many times what it takes (0.1 s), so that a busy machine passes and anything quadratic does not.
#[test]
fn ten_thousand_stages_load_quickly() {
    let hundred: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let hundred = hundred.join(",");
    let swept = format!(
        "[stage.catalog]\nkind = 'ingest'\nsource = 'x'\n[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\n[stage.a]\nkind = 'phase-1'\nmatrix = {{ x = [{hundred}], y = [{hundred}] }}\nsteps = 1\ninputs = {{ items = 'cf' }}\n[stage.b]\nkind = 'table'\nmatrix = {{ x = [{hundred}], y = [{hundred}] }}\ninputs = {{ rows = 'a' }}\n[stage.c]\nkind = 'table'\nmatrix = {{ x = [{hundred}] }}\ninputs = {{ rows = 'a[x=${{matrix.x}}]' }}\n[stage.d]\nkind = 'table'\ninputs = {{ rows = 'a[*]' }}\n"
    );
    for (text, stages, what) in [(long(10_000), 10_002, "chains"), (swept, 20_103, "sweeps")] {
        let watch = crate::clock::Stopwatch::start();
        let pipeline = load_text(&text).unwrap_or_else(|errors| panic!("{errors}"));
        let seconds = watch.seconds();
        println!("{what}: {seconds:.3} s");
        assert_eq!(pipeline.stages.len(), stages);
        assert!(seconds < 3.0, "{what}: {seconds:.2} s");
    }
}

/// A wrong file is no slower.
#[test]
fn ten_thousand_problems_are_found_quickly() {
    let text = long(10_000).replace("kind = \"phase-1\"", "kind = \"phase-2\"\nx = 1");
    let watch = crate::clock::Stopwatch::start();
    let errors = load_text(&text).unwrap_err();
    assert_eq!(errors.problems().len(), 10_000);
    let rendered = errors.render(false);
    let seconds = watch.seconds();
    println!("{seconds:.3} s");
    assert_eq!(rendered.matches("unknown kind `phase-2`").count(), 10_000);
    assert!(seconds < 5.0, "{seconds:.2} s");
}

#[test]
fn files_are_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(
        folder.path().join("p.toml"),
        "include = 'c.toml'\n[params]\nsource = 'x'\n",
    )
    .unwrap();
    fs_err::write(
        folder.path().join("c.toml"),
        "[stage.catalog]\nkind = 'ingest'\nsource = '${source}'\n",
    )
    .unwrap();
    let load = |path: &Path| {
        load_with(path, &LoadOptions::default(), KINDS, &|path| {
            fs_err::read(path)
        })
    };
    let pipeline = load(&folder.path().join("p.toml")).unwrap();
    assert_eq!(pipeline.name, "p");
    assert_eq!(pipeline.stages[0].params["source"], "x");
    assert!(load_files(&[("c.toml", "")], &LoadOptions::default()).is_err());
}
