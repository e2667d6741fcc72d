//! `include`, `exclude` and `zip`.

use super::messages::each_after_good;
use crate::spec::testing::load_text;
use crate::spec::{Pipeline, expand};

const START: &str = r#"
[params]
seeds = [1, 2]
[stage.catalog]
kind = "ingest"
source = "x"
[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }
"#;

fn load(text: &str) -> Pipeline {
    load_text(&format!("{START}{text}")).unwrap_or_else(|errors| panic!("{errors}"))
}

fn arms<'a>(pipeline: &'a Pipeline, name: &str) -> Vec<&'a str> {
    pipeline
        .stages
        .iter()
        .filter(|stage| stage.name == name)
        .map(|stage| stage.id.as_str())
        .collect()
}

#[test]
fn zipped_axes_advance_together() {
    let pipeline = load(
        r#"
[stage.a]
kind = "phase-1"
inputs = { items = "cf" }
adapter = "${matrix.adapter}"
steps = "${matrix.steps}"
seed = "${matrix.seed}"
[stage.a.matrix]
adapter = ["mlp", "qformer"]
seed = "${seeds}"
steps = [10, 20]
zip = [["adapter", "steps"]]
"#,
    );
    assert_eq!(
        arms(&pipeline, "a"),
        [
            "a[adapter=mlp,seed=1,steps=10]",
            "a[adapter=mlp,seed=2,steps=10]",
            "a[adapter=qformer,seed=1,steps=20]",
            "a[adapter=qformer,seed=2,steps=20]",
        ]
    );
    assert_eq!(pipeline.stages[4].params["steps"], 20);
}

#[test]
fn named_arms_can_be_zipped_excluded_and_included() {
    let pipeline = load(
        r#"
[stage.a]
kind = "phase-1"
inputs = { items = "cf" }
adapter = "${matrix.arm.adapter}"
steps = "${matrix.steps}"
[stage.a.matrix]
arm = { one = { adapter = "mlp" }, two = { adapter = "qformer" }, three = { adapter = "none" } }
steps = [1, 2, 3]
zip = [["arm", "steps"]]
exclude = [{ arm = "two" }]
include = [{ arm = "two", steps = 4 }]
"#,
    );
    assert_eq!(
        arms(&pipeline, "a"),
        [
            "a[arm=one,steps=1]",
            "a[arm=three,steps=3]",
            "a[arm=two,steps=4]"
        ]
    );
    assert_eq!(pipeline.stages[4].params["adapter"], "qformer");
    assert_eq!(pipeline.stages[4].params["steps"], 4);
}

#[test]
fn excluded_arms_are_dropped_and_lists_stand_for_any_value() {
    let pipeline = load(
        r#"
[stage.a]
kind = "phase-1"
inputs = { items = "cf" }
steps = 1
[stage.a.matrix]
adapter = ["mlp", "qformer", "none"]
seed = [1, 2, 3]
exclude = [{ adapter = ["mlp", "none"], seed = [2, 3] }, { adapter = "none" }]
[stage.b]
kind = "table"
inputs = { rows = "a[*]" }
"#,
    );
    let left = [
        "a[adapter=mlp,seed=1]",
        "a[adapter=qformer,seed=1]",
        "a[adapter=qformer,seed=2]",
        "a[adapter=qformer,seed=3]",
    ];
    assert_eq!(arms(&pipeline, "a"), left);
    assert_eq!(pipeline.stage("b").unwrap().inputs[0].1, left);
}

#[test]
fn included_values_reach_matching_arms_and_the_later_entry_wins() {
    let pipeline = load(
        r#"
[stage.a]
kind = "phase-1"
inputs = { items = "cf" }
adapter = "${matrix.adapter}-${matrix.model.name}"
steps = "${matrix.steps}"
[stage.a.matrix]
adapter = ["mlp", "qformer"]
seed = [1, 2]
include = [
  { adapter = "qformer", seed = 7 },
  { steps = 10, model = { name = "small" } },
  { adapter = "qformer", steps = 20 },
  { adapter = "qformer", seed = 2, steps = 30, model = { name = "large" } },
]
"#,
    );
    let shown: Vec<String> = pipeline.stages[2..]
        .iter()
        .map(|stage| {
            format!(
                "{} {} {}",
                stage.id, stage.params["steps"], stage.params["adapter"]
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "a[adapter=mlp,seed=1] 10 \"mlp-small\"",
            "a[adapter=mlp,seed=2] 10 \"mlp-small\"",
            "a[adapter=qformer,seed=1] 20 \"qformer-small\"",
            "a[adapter=qformer,seed=2] 30 \"qformer-large\"",
            "a[adapter=qformer,seed=7] 20 \"qformer-small\"",
        ]
    );
    // An added value is no axis.
    assert_eq!(pipeline.stages[2].axes, ["adapter", "seed"]);
    assert_eq!(pipeline.stages[2].matrix.len(), 2);
    // What is written out has neither words nor matrix left, and means the same.
    let text = expand(&pipeline);
    assert!(
        !text.contains("matrix") && !text.contains("include"),
        "{text}"
    );
    let again = load_text(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let ids = |pipeline: &Pipeline| -> Vec<(String, String)> {
        let stages = pipeline.stages.iter();
        stages
            .map(|stage| (stage.id.clone(), stage.params.to_string()))
            .collect()
    };
    assert_eq!(ids(&again), ids(&pipeline));
}

#[test]
fn the_words_of_a_matrix_may_come_from_parameters() {
    let pipeline = load_text(&format!(
        "{}{}",
        START.replace(
            "[params]",
            "[params]\nskip = [{ seed = 2, adapter = 'mlp' }]\nlongest = 2"
        ),
        r#"
[stage.a]
kind = "phase-1"
inputs = { items = "cf" }
steps = 1
matrix = { adapter = ["mlp", "none"], seed = "${seeds}", exclude = "${skip}", include = [{ adapter = "mlp", seed = "${longest}" }] }
"#
    ))
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        arms(&pipeline, "a"),
        [
            "a[adapter=mlp,seed=1]",
            "a[adapter=none,seed=1]",
            "a[adapter=none,seed=2]",
            "a[adapter=mlp,seed=2]"
        ]
    );
}

#[test]
fn problems_of_words() {
    let case = |matrix: &str| {
        format!(
            "[stage.a]\nkind = 'phase-1'\nsteps = 1\ninputs.items = 'cf'\nmatrix = {{ adapter = ['mlp', 'qformer'], seed = [1, 2, 3], {matrix} }}"
        )
    };
    let cases: Vec<(&str, String)> = [
        ("zip: unequal lengths", "zip = [['adapter', 'seed']]"),
        ("zip: unknown axis", "zip = [['adaptor', 'seed']]"),
        ("zip: one axis", "zip = [['seed']]"),
        ("zip: no axes", "zip = [[]]"),
        ("zip: a flat list", "zip = ['adapter', 'seed']"),
        ("zip: an axis of this name", "zip = 3"),
        ("zip: no name", "zip = [[1, 2]]"),
        (
            "zip: an axis in two groups",
            "lr = [1, 2, 3], zip = [['seed', 'lr'], ['lr', 'seed']]",
        ),
        ("exclude: unknown axis", "exclude = [{ adpter = 'mlp' }]"),
        (
            "exclude: unknown value",
            "exclude = [{ adapter = 'mpl', seed = [1, 4] }]",
        ),
        (
            "exclude: matches nothing",
            "lr = [1, 2, 3], zip = [['seed', 'lr']], exclude = [{ seed = 1, lr = 2 }]",
        ),
        ("exclude: no axis", "exclude = [{}]"),
        (
            "exclude: everything",
            "exclude = [{ adapter = 'mlp' }, { adapter = 'qformer' }]",
        ),
        ("exclude: a table", "exclude = { seed = 1 }"),
        ("exclude: a list of lists", "exclude = [['seed', 1]]"),
        (
            "exclude: a table for a value",
            "exclude = [{ seed = { a = 1 } }]",
        ),
        (
            "include: an arm that is there",
            "include = [{ adapter = 'mlp', seed = 3 }]",
        ),
        (
            "include: a part of an arm",
            "include = [{ adapter = 'none' }]",
        ),
        (
            "include: a value for no arm",
            "include = [{ adapter = 'none', steps = 3 }]",
        ),
        ("include: empty", "include = [{}]"),
        ("include: no list", "include = 'seed'"),
        (
            "include: a list for a value",
            "include = [{ adapter = 'mlp', seed = [4, 5] }]",
        ),
        (
            "include: unknown named arm",
            "arm = { elm = {}, ilm = {} }, include = [{ adapter = 'mlp', seed = 3, arm = 'iln' }]",
        ),
        ("include: a bad name", "include = [{ 'a b' = 3 }]"),
    ]
    .into_iter()
    .map(|(title, matrix)| (title, case(matrix)))
    .chain([
        (
            "only words",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nmatrix = { include = [{ seed = 1 }] }"
                .to_owned(),
        ),
        (
            "an included value that other arms lack",
            case("include = [{ adapter = 'mlp', length = 3 }]")
                .replace("steps = 1", "steps = '${matrix.length}'"),
        ),
        (
            "an included value misspelt",
            case("include = [{ length = 3 }]").replace("steps = 1", "steps = '${matrix.lenght}'"),
        ),
        (
            "an included value of the wrong type",
            case("include = [{ length = 'long' }]")
                .replace("steps = 1", "steps = '${matrix.length}'"),
        ),
    ])
    .collect();
    let cases: Vec<(&str, &str)> = cases.iter().map(|(a, b)| (*a, b.as_str())).collect();
    insta::assert_snapshot!(each_after_good(&cases));
}
