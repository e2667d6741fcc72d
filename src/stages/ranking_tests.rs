//! Runs the baselines from catalogue to table on a small demo, and says what makes no sense.

use super::{AnyStage, InputArtifact, StageContext, StageError, find};
use crate::eval::ranking::{RankMetric, Ranks};
use crate::formats::json;
use crate::progress::{Progress, Report, Silent, Stopped};
use crate::seed::Seed;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A folder of artifacts, one a stage.
struct Project(tempfile::TempDir);

/// An input: port, and of each artifact its stage and matrix.
type Inputs<'a> = &'a [(&'a str, &'a [(&'a str, &'a [(&'a str, &'a str)])])];

impl Project {
    /// A catalogue of 30 films and 60 users, its split, and every fitted method.
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        let demo = json!({ "source": "demo", "demo_films": 30, "demo_users": 60, "demo_interactions_per_user": 8 });
        project.ok("catalog", "ingest", demo, &[]);
        project.ok(
            "split",
            "split",
            json!({}),
            &[("catalog", &[("catalog", &[])])],
        );
        project
    }

    fn fit(&self, name: &str, kind: &str, params: Value) {
        let inputs: Inputs<'_> = &[
            ("catalog", &[("catalog", &[])]),
            ("split", &[("split", &[])]),
        ];
        self.ok(name, kind, params, inputs);
    }

    fn rank(&self, name: &str, scorer: &str, params: Value) {
        let inputs: Inputs<'_> = &[("split", &[("split", &[])]), ("scorer", &[(scorer, &[])])];
        self.ok(name, "rank", params, inputs);
    }

    fn ok(&self, name: &str, kind: &str, params: Value, inputs: Inputs<'_>) {
        self.run(name, kind, params, inputs, &Silent).unwrap();
    }

    fn run(
        &self,
        name: &str,
        kind: &str,
        params: Value,
        inputs: Inputs<'_>,
        progress: &dyn Progress,
    ) -> Result<(), StageError> {
        let kind = find(kind).unwrap();
        let stage: Box<dyn AnyStage> = (kind.from_json)(params).unwrap();
        assert_eq!(stage.problems(), []);
        let output = self.0.path().join(name);
        let scratch = self.0.path().join(format!("{name}-scratch"));
        fs_err::create_dir_all(&output).unwrap();
        fs_err::create_dir_all(&scratch).unwrap();
        let artifact = |port: &str, name: &str, matrix: &[(&str, &str)]| InputArtifact {
            stage: name.to_owned(),
            matrix: matrix
                .iter()
                .map(|(axis, value)| ((*axis).to_owned(), (*value).to_owned()))
                .collect(),
            kind: kind.port(port).unwrap().accepts[0],
            folder: self.0.path().join(name),
        };
        let context = StageContext {
            inputs: inputs
                .iter()
                .map(|(port, all)| {
                    let all = all
                        .iter()
                        .map(|(name, matrix)| artifact(port, name, matrix));
                    ((*port).to_owned(), all.collect())
                })
                .collect(),
            project: self.0.path().to_owned(),
            output,
            scratch,
            seed: Seed::new(1),
            device: "cpu".to_owned(),
            progress,
        };
        stage.run(&context)
    }

    fn file(&self, stage: &str, file: &str) -> PathBuf {
        self.0.path().join(stage).join(file)
    }

    fn read(&self, stage: &str, file: &str) -> Value {
        json::read(&self.file(stage, file)).unwrap()
    }
}

const SMALL: &[(&str, &str)] = &[
    ("popularity", "fit-popularity"),
    ("knn", "fit-knn"),
    ("ials", "fit-cf"),
    ("bpr", "fit-bpr"),
    ("sasrec", "fit-sasrec"),
];

fn small(kind: &str) -> Value {
    match kind {
        "fit-cf" => json!({ "factors": 4, "epochs": 2 }),
        "fit-bpr" => json!({ "factors": 4, "epochs": 3 }),
        "fit-sasrec" => {
            json!({ "width": 4, "blocks": 1, "heads": 1, "epochs": 1, "eval_users": 10 })
        }
        _ => json!({}),
    }
}

#[test]
fn every_method_is_ranked_by_the_same_stage() {
    let project = Project::new();
    for (name, kind) in SMALL {
        project.fit(name, kind, small(kind));
        let ranked = format!("rank-{name}");
        project.rank(&ranked, name, json!({ "cutoffs": [3, 30] }));
        let ranks = Ranks::read(&project.file(&ranked, "ranks.parquet")).unwrap();
        let metrics = project.read(&ranked, "metrics.json");
        assert_eq!(
            (&metrics["part"], &metrics["exclude_seen"]),
            (&json!("test"), &json!(true))
        );
        assert_eq!(metrics["users"], ranks.users.len());
        let catalog = project.read("catalog", "summary.json");
        assert_eq!(metrics["items"], catalog["items"], "nothing is sampled");
        for metric in ["HR@3", "NDCG@3", "HR@30", "NDCG@30", "MRR"] {
            let known: RankMetric = metric.parse().unwrap();
            assert_eq!(
                metrics["metrics"][metric],
                known.mean(&ranks.ranks),
                "{name} {metric}"
            );
        }
        assert_eq!(metrics["metrics"]["HR@30"], 1.0);
    }
    // The validation items are others, and with seen items in the way the ranks are worse.
    project.rank("validation", "popularity", json!({ "part": "validation" }));
    project.rank("all", "popularity", json!({ "exclude_seen": false }));
    let ranks = |stage: &str| Ranks::read(&project.file(stage, "ranks.parquet")).unwrap();
    let (test, all) = (ranks("rank-popularity"), ranks("all"));
    assert_ne!(ranks("validation").targets, test.targets);
    assert!(
        test.ranks
            .iter()
            .zip(&all.ranks)
            .all(|(without, with)| without <= with)
    );
    assert_ne!(test.ranks, all.ranks);
}

/// Keeps warnings.
#[derive(Default)]
struct Warnings(RefCell<Vec<String>>);

impl Progress for Warnings {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if let Report::Warning { text } = report {
            self.0.borrow_mut().push(text);
        }
        Ok(())
    }
}

#[test]
fn seeds_are_one_row_and_each_value_of_another_axis_is_a_row() {
    let project = Project::new();
    project.fit("popularity", "fit-popularity", json!({}));
    for neighbours in [1, 20] {
        let name = format!("knn-{neighbours}");
        project.fit(&name, "fit-knn", json!({ "neighbours": neighbours }));
        project.rank(&format!("rank-{neighbours}"), &name, json!({}));
    }
    project.rank("rank-popularity", "popularity", json!({}));
    let table = json!({
        "methods": [
            { "label": "MostPop", "match": { "method": "popularity" } },
            { "label": "item-kNN", "match": { "method": "knn" } },
        ],
        "metrics": ["HR@5", "MRR"],
        "compare_with": "MostPop",
        "data": "a small demo",
    });
    let rows: &[(&str, &[(&str, &str)])] = &[
        (
            "rank-popularity",
            &[("method", "popularity"), ("seed", "1")],
        ),
        (
            "rank-popularity",
            &[("method", "popularity"), ("seed", "2")],
        ),
        ("rank-1", &[("method", "knn"), ("neighbours", "1")]),
        ("rank-20", &[("method", "knn"), ("neighbours", "20")]),
        ("rank-20", &[("method", "other")]),
    ];
    let warnings = Warnings::default();
    project
        .run(
            "table",
            "ranking-table",
            table.clone(),
            &[("rows", rows)],
            &warnings,
        )
        .unwrap();
    assert_eq!(
        *warnings.0.borrow(),
        ["`rank-20` is in no row of the table"]
    );
    let text = fs_err::read_to_string(project.file("table", "table.txt")).unwrap();
    let labels: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("MostPop") || line.starts_with("item-kNN"))
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    assert_eq!(
        labels,
        [
            "MostPop",
            "item-kNN (neighbours 1)",
            "item-kNN (neighbours 20)"
        ]
    );
    assert!(text.contains("means of 1 to 2 seeds"), "{text}");
    for name in ["table.md", "table.tex", "table.csv"] {
        assert!(project.file("table", name).exists());
    }
    let summary = project.read("table", "summary.json");
    let metrics = project.read("rank-20", "metrics.json");
    let rounded = (metrics["metrics"]["HR@5"].as_f64().unwrap() * 1e4).round() / 1e4;
    assert_eq!(summary["item-kNN (neighbours 20), HR@5"], rounded);

    let error = project
        .run(
            "table",
            "ranking-table",
            table,
            &[("rows", &rows[2..])],
            &Silent,
        )
        .unwrap_err();
    insta::assert_snapshot!(error, @"`MostPop` wants `method=popularity`, but `rows` has `rank-1`, `rank-20`, `rank-20`");
}

#[test]
fn the_wrong_device_is_named() {
    let project = Project::new();
    let kind = find("fit-sasrec").unwrap();
    let stage = (kind.from_json)(json!({})).unwrap();
    let context = StageContext {
        inputs: BTreeMap::new(),
        project: project.0.path().to_owned(),
        output: project.0.path().to_owned(),
        scratch: project.0.path().to_owned(),
        seed: Seed::new(1),
        device: "fpga".to_owned(),
        progress: &Silent,
    };
    let error = stage.run(&context).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("`fpga` is no device; there are "),
        "{error}"
    );
}

fn problems(kind: &str, params: Value) -> String {
    let stage = (find(kind).unwrap().from_json)(params).unwrap();
    let all = stage.problems();
    let lines: Vec<String> = all
        .iter()
        .map(|problem| format!("`{}` {}", problem.field, problem.message))
        .collect();
    lines.join("\n")
}

#[test]
fn parameters_that_make_no_sense_are_named_all_at_once() {
    insta::assert_snapshot!(problems("fit-knn", json!({ "shrink": -1.0, "decay": 1.5, "last": 0 })), @r"
    `shrink` is -1, but must be at least 0
    `decay` is 1.5, but must be from 0 to 1
    `last` is 0, but must be at least 1
    ");
    insta::assert_snapshot!(problems("fit-bpr", json!({ "factors": 0, "epochs": 0, "learning_rate": 0.0, "regularization": -0.5, "init_std": 0.0 })), @r"
    `factors` is 0, but must be at least 1
    `epochs` is 0, but must be at least 1
    `learning_rate` is 0, but must be above 0
    `regularization` is -0.5, but must be at least 0
    `init_std` is 0, but must be above 0
    ");
    insta::assert_snapshot!(problems("fit-sasrec", json!({ "width": 10, "heads": 3, "dropout": 1.0, "epochs": 0, "batch": 0, "eval_every": 0, "training": { "learning_rate": -1.0 } })), @r"
    `heads` is 3, but must divide `width`, 10
    `dropout` is 1, but must be from 0 to below 1
    `epochs` is 0, but must be at least 1
    `batch` is 0, but must be at least 1
    `eval_every` is 0, but must be at least 1
    `training.learning_rate` is -1, but must be above 0
    ");
    insta::assert_snapshot!(problems("rank", json!({ "cutoffs": [5, 0] })), @"`cutoffs[1]` is 0, but must be at least 1");
    insta::assert_snapshot!(problems("rank", json!({ "cutoffs": [] })), @"`cutoffs` is empty, but must have at least one number");
    let table = json!({
        "methods": [
            { "label": "A", "match": { "x": "1" }, "reported": "GRU4Rec" },
            { "label": "A" },
            { "label": " ", "match": { "x": "2" } },
        ],
        "metrics": ["HR@5", "HR@5", "AUC"],
        "compare_with": "B",
        "compare_metric": "NDCG",
        "reported": "openp5-beauty",
    });
    insta::assert_snapshot!(problems("ranking-table", table));
    insta::assert_snapshot!(problems("ranking-table", json!({ "metrics": [], "reported": "beauty" })), @r"
    `methods` is empty, but must have at least one row
    `metrics` is empty, but must have at least one column
    `reported` is `beauty`, but must be `none` or one of `openp5-beauty`, `openp5-ml-1m`
    ");
    let alone = json!({ "methods": [{ "label": "A", "reported": "SASRec" }] });
    insta::assert_snapshot!(problems("ranking-table", alone), @"`methods[0].reported` is set, but `reported` of the table is `none`");
}
