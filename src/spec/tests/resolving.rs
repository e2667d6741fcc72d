//! What a right file means.

use crate::spec::testing::{load_files, load_text};
use crate::spec::{Execution, LoadOptions, Pipeline};
use serde_json::json;
use std::time::Duration;

fn ids(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.stages.iter().map(|s| s.id.as_str()).collect()
}

fn options(profile: Option<&str>, set: &[(&str, &str)]) -> LoadOptions {
    LoadOptions {
        profile: profile.map(str::to_owned),
        set: set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..LoadOptions::default()
    }
}

#[test]
fn pipelines_and_errors_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Pipeline>();
    crosses::<crate::spec::SpecErrors>();
}

#[test]
fn a_stage_has_every_default() {
    let pipeline = load_text(
        r#"
[params]
width = 2
[groups]
download = 1
disk = "${width}"
[stage.catalog]
kind = "ingest"
source = "x"
groups = "disk"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
factors = 32
model.heads = 8
cpus = 2
memory = "2GiB"
timeout = "1h30m"
gpus = 3
groups = ["download", "disk", "disk"]
slow = "20m"
retries = 2
backoff = "250ms"
seed = 18446744073709551615
"#,
    )
    .unwrap();
    assert_eq!(pipeline.name, "p");
    assert_eq!(pipeline.title, "p");
    let cf = pipeline.stage("cf").unwrap();
    assert_eq!(
        cf.params,
        json!({
            "factors": 32, "regularisation": 0.1f32, "loss": "als", "model": {"width": 64, "heads": 8},
            "offset": 0, "verbose": false, "cut": null,
        })
    );
    assert_eq!(
        cf.inputs,
        [("interactions".to_owned(), vec!["catalog".to_owned()])]
    );
    assert_eq!(
        cf.execution,
        Execution {
            cpus: 2,
            memory: Some(2 << 30),
            gpus: 3,
            groups: vec!["disk".to_owned(), "download".to_owned()],
            timeout: Some(Duration::from_mins(90)),
            slow: Some(Duration::from_mins(20)),
            retries: 2,
            backoff: Duration::from_millis(250),
        }
    );
    assert_eq!(cf.seed, u64::MAX);
    assert_eq!(cf.location.to_string(), "p.toml:11:8");
    assert_eq!(cf.stage().params(), cf.params);
    let catalog = pipeline.stage("catalog").unwrap();
    assert_eq!(catalog.seed, 1);
    assert_eq!(
        catalog.execution,
        Execution {
            groups: vec!["disk".to_owned()],
            ..Execution::default()
        }
    );
    let groups: Vec<(&str, usize)> = pipeline
        .groups
        .iter()
        .map(|(name, limit)| (name.as_str(), *limit))
        .collect();
    assert_eq!(groups, [("disk", 2), ("download", 1)]);
}

#[test]
fn references_keep_the_type_of_their_value() {
    let pipeline = load_text(
        r#"
name = "t"
title = "Table ${n} of $${n}"
seed = "${n}"
[params]
n = 3
layers = [4, 5]
copy = "${layers}"
model = { width = 30, heads = "${n}" }
rate = 0.25
deep = { a = { b = "inner" } }
[stage.catalog]
kind = "ingest"
source = "x-${n}-${rate}-${deep.a.b}-$${n}"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "${deep.stage}" }
model = "${model}"
regularisation = "${rate}"
factors = "${model.heads}"
[stage.embed]
kind = "embed-text"
inputs = { catalog = "catalog" }
layers = "${copy}"
names = { "a b" = "${rate}" }
"#
        .replace("\"${deep.stage}\"", "\"cata${log}\"")
        .replace("rate = 0.25\n", "rate = 0.25\nlog = 'log'\n")
        .as_str(),
    )
    .unwrap();
    assert_eq!(pipeline.title, "Table 3 of ${n}");
    assert_eq!(pipeline.params["copy"], json!([4, 5]));
    assert_eq!(pipeline.params["model"], json!({"width": 30, "heads": 3}));
    assert_eq!(
        pipeline.stage("catalog").unwrap().params["source"],
        "x-3-0.25-inner-${n}"
    );
    let cf = pipeline.stage("cf").unwrap();
    assert_eq!(cf.params["model"], json!({"width": 30, "heads": 3}));
    assert_eq!(cf.params["factors"], 3);
    assert_eq!(cf.params["regularisation"], 0.25);
    assert_eq!(cf.seed, 3);
    let embed = pipeline.stage("embed").unwrap();
    assert_eq!(embed.params["layers"], json!([4, 5]));
    assert_eq!(embed.params["names"], json!({"a b": 0.25}));
}

const PARAMS: &str = r#"
[params]
rows = 10
rate = 0.5
name = "x"
half = "${rate}"
[profile.small.params]
rows = 5
rate = 1
[profile.small.stage.catalog]
source = "small-${name}"
cpus = 2
[stage.catalog]
kind = "ingest"
source = "${name}"
rows = "${rows}"
"#;

#[test]
fn options_win_over_the_profile_and_the_profile_over_the_file() {
    let load = |profile, set: &[(&str, &str)]| {
        load_files(&[("p.toml", PARAMS)], &options(profile, set)).unwrap()
    };
    let plain = load(None, &[]);
    assert_eq!(plain.params["rows"], 10);
    assert_eq!(plain.profile, None);
    let small = load(Some("small"), &[]);
    assert_eq!(small.profile.as_deref(), Some("small"));
    assert_eq!(small.params["rows"], 5);
    // A whole number for a parameter with a fraction, and what refers to it.
    assert_eq!(small.params["half"].to_string(), "1.0");
    assert_eq!(small.stages[0].params["source"], "small-x");
    assert_eq!(small.stages[0].execution.cpus, 2);
    let set = load(
        Some("small"),
        &[("rows", "6"), ("rows", "7"), ("name", "5"), ("rate", "2")],
    );
    assert_eq!(set.params["rows"], 7);
    // What a string parameter gets is a string.
    assert_eq!(set.params["name"], "5");
    assert_eq!(set.params["half"].to_string(), "2.0");
    assert_eq!(
        load(None, &[("name", "bare words")]).params["name"],
        "bare words"
    );
    assert_eq!(
        load(None, &[("name", "\"quoted\"")]).params["name"],
        "quoted"
    );
    assert_eq!(load(None, &[("name", "n${rows}")]).params["name"], "n10");
}

#[test]
fn included_stages_come_first_and_share_names() {
    let files = [
        (
            "pipelines/p.toml",
            "name = 'p'\ninclude = ['common.toml', 'sub/more.toml']\n[params]\nrows = 3\n[stage.cf]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\nfactors = '${factors}'\n[profile.small.params]\nrows = 1",
        ),
        (
            "pipelines/common.toml",
            "name = 'common'\nseed = 9\n[stage.catalog]\nkind = 'ingest'\nsource = 'x'\nrows = '${rows}'",
        ),
        (
            "pipelines/sub/more.toml",
            "[params]\nfactors = 5\n[profile.small.params]\nfactors = 2\n[stage.other]\nkind = 'ingest'\nsource = 'y'",
        ),
    ];
    let pipeline = load_files(&files, &LoadOptions::default()).unwrap();
    assert_eq!(pipeline.name, "p");
    assert_eq!(ids(&pipeline), ["catalog", "other", "cf"]);
    assert_eq!(pipeline.stages[0].params["rows"], 3);
    assert_eq!(pipeline.stages[0].seed, 9);
    assert_eq!(
        pipeline.stages[1].location.to_string(),
        "pipelines/sub/more.toml:5:8"
    );
    let small = load_files(&files, &options(Some("small"), &[])).unwrap();
    assert_eq!(small.stages[0].params["rows"], 1);
    assert_eq!(small.stages[2].params["factors"], 2);
}

#[test]
fn arms_are_products_in_the_order_of_the_file() {
    let pipeline = load_text(
        r#"
[params]
seeds = [2, 1]
[stage.catalog]
kind = "ingest"
source = "x"
[stage.cf]
kind = "fit-cf"
matrix = { seed = "${seeds}" }
seed = "${matrix.seed}"
inputs = { interactions = "catalog" }
[stage.embed]
kind = "embed-text"
inputs = { catalog = "catalog" }
[stage.train]
kind = "phase-1"
inputs = { items = "${matrix.arm.items}", start = "${matrix.arm.start}" }
adapter = "${matrix.arm.adapter}-${matrix.arm}"
steps = "${matrix.seed}"
seed = "${matrix.seed}"
[stage.train.matrix]
seed = "${seeds}"
[stage.train.matrix.arm.elm]
adapter = "mlp"
items = "cf"
start = []
[stage.train.matrix.arm.ilm]
adapter = "qformer"
items = "embed"
start = ["train[arm=elm,seed=${first}]"]
[stage.both]
kind = "table"
matrix = { seed = "${seeds}" }
inputs = { rows = "train[seed=${matrix.seed}]" }
[stage.same]
kind = "phase-1"
matrix = { arm = ["ilm", "elm"], seed = "${seeds}" }
steps = 1
inputs = { items = "cf", start = "train" }
[stage.all]
kind = "table"
inputs = { rows = ["same[arm=elm]", "train[*]"] }
"#
        .replace("seeds = [2, 1]", "seeds = [2, 1]\nfirst = 2")
        .as_str(),
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let train: Vec<&str> = ids(&pipeline)
        .into_iter()
        .filter(|id| id.starts_with("train"))
        .collect();
    assert_eq!(
        train,
        [
            "train[seed=2,arm=elm]",
            "train[seed=2,arm=ilm]",
            "train[seed=1,arm=elm]",
            "train[seed=1,arm=ilm]"
        ]
    );
    let ilm = pipeline.stage("train[seed=1,arm=ilm]").unwrap();
    assert_eq!(ilm.name, "train");
    assert_eq!(ilm.axes, ["seed", "arm"]);
    assert_eq!(ilm.matrix["arm"], "ilm");
    assert_eq!(ilm.seed, 1);
    assert_eq!(ilm.params["adapter"], "qformer-ilm");
    assert_eq!(ilm.params["steps"], 1);
    assert_eq!(
        ilm.inputs,
        [
            ("items".to_owned(), vec!["embed".to_owned()]),
            ("start".to_owned(), vec!["train[seed=2,arm=elm]".to_owned()])
        ]
    );
    // An empty list leaves an optional input out; a swept input gives the arm with equal values.
    let elm = pipeline.stage("train[seed=1,arm=elm]").unwrap();
    assert_eq!(
        elm.inputs,
        [("items".to_owned(), vec!["cf[seed=1]".to_owned()])]
    );
    // By name of the axis, whatever the order.
    let same = pipeline.stage("same[arm=elm,seed=2]").unwrap();
    assert_eq!(same.inputs[1].1, ["train[seed=2,arm=elm]"]);
    let both = pipeline.stage("both[seed=1]").unwrap();
    assert_eq!(
        both.inputs[0].1,
        ["train[seed=1,arm=elm]", "train[seed=1,arm=ilm]"]
    );
    assert_eq!(
        pipeline.stage("all").unwrap().inputs[0].1,
        [
            "same[arm=elm,seed=2]",
            "same[arm=elm,seed=1]",
            "train[seed=2,arm=elm]",
            "train[seed=2,arm=ilm]",
            "train[seed=1,arm=elm]",
            "train[seed=1,arm=ilm]"
        ]
    );
}
