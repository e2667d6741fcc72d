//! The shipped baselines: from raw interactions to the printed table, the same on any number of threads.

use crate::support::Project;
use std::path::Path;

const TINY: &[&str] = &[
    "films=60",
    "users=80",
    "factors=4",
    "ials_epochs=2",
    "bpr_epochs=2",
    "sasrec_epochs=1",
];

fn arguments() -> Vec<&'static str> {
    TINY.iter().flat_map(|value| ["--set", value]).collect()
}

fn project() -> Project {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/baselines.toml");
    Project::new(&fs_err::read_to_string(shipped).expect("the shipped pipeline"))
}

#[test]
fn the_shipped_pipeline_prints_every_baseline_and_reuses_them() {
    let project = project();
    let mut run = vec!["run", "p.toml"];
    run.extend(arguments());
    let ran = project.call(&run).ok();
    for label in [
        "MostPop, seen items too",
        "MostPop ",
        "item-kNN",
        "iALS",
        "BPR-MF",
        "SASRec",
    ] {
        let rows = ran.stdout.lines().filter(|line| line.starts_with(label));
        assert_eq!(rows.count(), 1, "{label}: {}", ran.stdout);
    }
    // Another seed fits again what is random, and nothing else.
    let mut more = arguments();
    more.extend(["--set", "seed=2"]);
    let again: Vec<String> = project
        .run(&more)
        .into_iter()
        .map(|stage| stage.0)
        .collect();
    for stage in ["ials", "bpr", "sasrec", "rank[method=ials]", "table"] {
        assert!(again.iter().any(|name| name == stage), "{stage}: {again:?}");
    }
    for stage in ["split", "popularity", "knn", "rank[method=knn]"] {
        assert!(again.iter().all(|name| name != stage), "{stage}: {again:?}");
    }
}

#[test]
fn every_artifact_is_the_same_on_any_number_of_threads() {
    let outputs = |threads: &'static str| {
        let mut more = arguments();
        more.extend(["--threads", threads]);
        project().outputs(&more)
    };
    let one = outputs("1");
    assert_eq!(one.len(), 14);
    assert_eq!(one, outputs("3"));
}
