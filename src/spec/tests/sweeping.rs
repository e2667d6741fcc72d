//! `--sweep`.

use crate::spec::testing::load_files;
use crate::spec::{LoadOptions, Pipeline, SpecErrors, expand};
use std::fmt::Write as _;

/// The parameter `width` reaches `cf` through `factors`, and what comes after it.
const CHAIN: &str = r#"
title = "with ${width}"
seed = "${seed}"
[params]
width = 8
factors = "${width}"
rate = 0.5
source = "x"
losses = ["als"]
seed = 1
seeds = [1, 2]
table = { a = 1 }
unused = 1
[profile.small.params]
width = 4
[stage.catalog]
kind = "ingest"
source = "${source}"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
factors = "${factors}"
regularisation = "${rate}"
seed = 3
[stage.embed]
kind = "embed-text"
inputs = { catalog = "catalog" }
[stage.train]
kind = "phase-1"
matrix = { adapter = ["mlp", "qformer"] }
inputs = { items = "cf" }
adapter = "${matrix.adapter}"
losses = "${losses}"
steps = 1
[stage.plain]
kind = "phase-1"
matrix.seed = "${seeds}"
inputs = { items = "embed" }
seed = "${matrix.seed}"
steps = 1
[stage.second]
kind = "phase-1"
inputs = { items = "embed", start = "train[adapter=mlp]" }
steps = 2
seed = 1
[stage.table]
kind = "table"
inputs = { rows = ["train[*]", "plain[seed=1]", "second[*]"] }
"#;

fn sweep(text: &str, sweeps: &[&str], set: &[&str]) -> Result<Pipeline, SpecErrors> {
    let pairs = |texts: &[&str]| -> Vec<(String, String)> {
        texts
            .iter()
            .map(|text| {
                let (name, value) = text.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect()
    };
    let options = LoadOptions {
        profile: None,
        set: pairs(set),
        sweep: pairs(sweeps),
    };
    load_files(&[("p.toml", text)], &options)
}

fn swept(sweeps: &[&str]) -> Pipeline {
    sweep(CHAIN, sweeps, &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every stage with its inputs.
fn wired(pipeline: &Pipeline) -> String {
    let mut text = String::new();
    for stage in &pipeline.stages {
        let inputs: Vec<&str> = stage.input_ids().collect();
        let _ = writeln!(text, "{} <- {}", stage.id, inputs.join(" "));
    }
    text
}

fn ids<'a>(pipeline: &'a Pipeline, name: &str) -> Vec<&'a str> {
    let stages = pipeline.stages.iter();
    stages
        .filter(|stage| stage.name == name)
        .map(|stage| stage.id.as_str())
        .collect()
}

#[test]
fn what_depends_on_a_swept_parameter_becomes_arms_and_the_rest_is_shared() {
    let pipeline = swept(&["width=4,16"]);
    insta::assert_snapshot!(wired(&pipeline));
    let cf = pipeline.stage("cf[width=16]").unwrap();
    assert_eq!(cf.params["factors"], 16);
    let train = pipeline.stage("train[adapter=mlp,width=4]").unwrap();
    assert_eq!(train.axes, ["adapter", "width"]);
    assert_eq!(train.matrix["width"], "4");
    // The title is that of the file.
    assert_eq!(pipeline.title, "with 8");
    assert_eq!(pipeline.params["width"], 8);
}

#[test]
fn sweeps_combine_and_each_reaches_its_own_stages() {
    let pipeline = swept(&["losses=['als'],['als','bpr']", "width=4,16"]);
    assert_eq!(ids(&pipeline, "cf"), ["cf[width=4]", "cf[width=16]"]);
    assert_eq!(
        ids(&pipeline, "train"),
        [
            "train[adapter=mlp,losses=als,width=4]",
            "train[adapter=mlp,losses=als,width=16]",
            "train[adapter=mlp,losses=als+bpr,width=4]",
            "train[adapter=mlp,losses=als+bpr,width=16]",
            "train[adapter=qformer,losses=als,width=4]",
            "train[adapter=qformer,losses=als,width=16]",
            "train[adapter=qformer,losses=als+bpr,width=4]",
            "train[adapter=qformer,losses=als+bpr,width=16]",
        ]
    );
    let stage = pipeline
        .stage("train[adapter=mlp,losses=als+bpr,width=16]")
        .unwrap();
    assert_eq!(stage.params["losses"], serde_json::json!(["als", "bpr"]));
    assert_eq!(stage.inputs[0].1, ["cf[width=16]"]);
    assert_eq!(
        pipeline.stage("table").unwrap().inputs[0].1.len(),
        8 + 1 + 4
    );
}

#[test]
fn values_are_typed_as_those_of_set() {
    let rate = swept(&["rate=1,2.5e-3"]);
    assert_eq!(ids(&rate, "cf"), ["cf[rate=1.0]", "cf[rate=0.0025]"]);
    let source = swept(&["source=1,two,\"3\",1..4"]);
    assert_eq!(
        ids(&source, "catalog"),
        [
            "catalog[source=1]",
            "catalog[source=two]",
            "catalog[source=3]",
            "catalog[source=1..4]"
        ]
    );
    let range = swept(&["width=1..3,8"]);
    assert_eq!(
        ids(&range, "cf"),
        ["cf[width=1]", "cf[width=2]", "cf[width=3]", "cf[width=8]"]
    );
    // A sweep comes after --set.
    let both = sweep(CHAIN, &["width=1,2"], &["width=5"]).unwrap();
    assert_eq!(ids(&both, "cf"), ["cf[width=1]", "cf[width=2]"]);
    assert_eq!(both.params["width"], 5);
}

#[test]
fn the_pipelines_seed_can_be_swept() {
    let pipeline = swept(&["seed=1..3"]);
    // `cf`, `second` and `plain` have seeds of their own, the catalogue and the texts need none.
    assert_eq!(ids(&pipeline, "cf"), ["cf"]);
    assert_eq!(ids(&pipeline, "plain"), ["plain[seed=1]", "plain[seed=2]"]);
    assert_eq!(ids(&pipeline, "train").len(), 6);
    let seed = |id: &str| pipeline.stage(id).unwrap().seed;
    assert_eq!(seed("train[adapter=mlp,seed=2]"), 2);
    assert_eq!(seed("train[adapter=qformer,seed=3]"), 3);
    assert_eq!(seed("second[seed=3]"), 1);
}

#[test]
fn a_swept_matrix_has_the_arms_of_each_value() {
    let pipeline = swept(&["seeds=[1],[4,5]"]);
    assert_eq!(
        ids(&pipeline, "plain"),
        [
            "plain[seed=1,seeds=1]",
            "plain[seed=4,seeds=4+5]",
            "plain[seed=5,seeds=4+5]"
        ]
    );
}

#[test]
fn a_gathering_stage_that_is_swept_itself_takes_the_arms_of_its_value() {
    let text = CHAIN.replace(
        "[stage.table]\nkind = \"table\"",
        "[stage.table]\nkind = \"table\"\nbold = \"${bold}\"\nmatrix.w = [\"${width}\"]",
    );
    let text = text.replace("unused = 1", "bold = true");
    let pipeline = sweep(&text, &["width=4,16"], &[]).unwrap();
    let table = pipeline.stage("table[w=16,width=16]").unwrap();
    assert_eq!(
        table.inputs[0].1,
        [
            "train[adapter=mlp,width=16]",
            "train[adapter=qformer,width=16]",
            "plain[seed=1]",
            "second[width=16]"
        ]
    );
}

#[test]
fn a_reference_may_give_the_swept_value_itself() {
    let text = CHAIN.replace("\"train[adapter=mlp]\"", "\"train[adapter=mlp,width=4]\"");
    let pipeline = sweep(&text, &["width=4,16"], &[]).unwrap();
    assert_eq!(ids(&pipeline, "second"), ["second"]);
    assert_eq!(
        pipeline.stage("second").unwrap().inputs[1].1,
        ["train[adapter=mlp,width=4]"]
    );
}

#[test]
fn one_value_is_an_arm_and_none_changes_nothing() {
    assert_eq!(ids(&swept(&["width=4"]), "cf"), ["cf[width=4]"]);
    assert_eq!(ids(&swept(&[]), "cf"), ["cf"]);
}

#[test]
fn a_swept_pipeline_written_out_has_the_same_stages() {
    let pipeline = swept(&["width=4,16", "seed=1,2"]);
    let text = expand(&pipeline);
    let again = sweep(&text, &[], &[]).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(wired(&again), wired(&pipeline));
    assert_eq!(expand(&again), text);
}

#[test]
fn problems_of_sweeps() {
    let cases: &[(&str, &[&str])] = &[
        ("unknown parameter", &["widht=1,2"]),
        ("no values", &["width="]),
        ("an empty value", &["width=1,,2"]),
        ("a value twice", &["width=1,2,1"]),
        ("a wrong type", &["width=1,two"]),
        ("a scalar for a list", &["seeds=1,2"]),
        ("no TOML", &["losses=[als],[bpr]"]),
        ("a table", &["table={ a = 1 },{ a = 2 }"]),
        ("no place in an id", &["source='a,b',c"]),
        ("a reference", &["source=${losses}"]),
        ("a range backwards", &["width=8..1"]),
        ("a range too long", &["width=1..100001"]),
        ("too many combinations", &["width=1..1000", "rate=1..1000"]),
        ("swept twice", &["width=1", "width=2"]),
        ("nothing depends on it", &["unused=1,2"]),
        ("senseless for the stage", &["width=4,0"]),
        ("several at once", &["widht=1", "rat=2", "width=x"]),
    ];
    let mut all = String::new();
    for (title, sweeps) in cases {
        let problems = sweep(CHAIN, sweeps, &[])
            .map_or_else(|errors| errors.render(false), |_| "no problems".to_owned());
        let _ = write!(all, "=== {title}\n{problems}\n\n");
    }
    let text = CHAIN.replace("matrix.seed = ", "matrix.rate = ");
    let text = text.replace("seed = \"${matrix.seed}\"\n", "adapter = \"a${rate}\"\n");
    let text = text.replace("plain[seed=1]", "plain[rate=1]");
    let own = sweep(&text, &["rate=1,2"], &[]).unwrap_err();
    let _ = write!(all, "=== an axis of this name\n{}\n", own.render(false));
    insta::assert_snapshot!(all);
}

/// As for `ten_thousand_stages_load_quickly`: the limit is many times what it takes.
#[test]
fn a_sweep_over_ten_thousand_arms_is_quick() {
    let text = "[params]\nsteps = 3\n[stage.catalog]\nkind = 'ingest'\nsource = 'x'\n[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\n[stage.a]\nkind = 'phase-1'\nsteps = '${steps}'\ninputs.items = 'cf'\n[stage.b]\nkind = 'phase-1'\nsteps = 1\ninputs = { items = 'cf', start = 'a' }\n[stage.t]\nkind = 'table'\ninputs.rows = 'b[*]'\n";
    let watch = crate::clock::Stopwatch::start();
    let pipeline =
        sweep(text, &["steps=1..10000"], &[]).unwrap_or_else(|errors| panic!("{errors}"));
    let seconds = watch.seconds();
    println!("{seconds:.3} s");
    assert_eq!(pipeline.stages.len(), 20_003);
    assert!(seconds < 3.0, "{seconds:.2} s");
}
