//! Change one thing: exactly the stages that depend on it run, for the reason that `plan` named before.

use crate::support::tiny_table3;
use std::collections::{BTreeMap, BTreeSet};

/// The stages after `stage` in Table 3, arms without their brackets.
fn downstream(stage: &str) -> BTreeSet<&'static str> {
    let after: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "catalog",
            &["split", "cf", "item-encoder", "semantic", "pairs", "tasks"] as &[_],
        ),
        ("split", &["cf", "pairs"]),
        ("cf", &["items", "tasks"]),
        ("item-encoder", &["semantic"]),
        ("semantic", &["items"]),
        ("items", &["phase1", "phase2", "generate"]),
        ("pairs", &["tokenizer", "phase1"]),
        ("tasks", &["tokenizer", "lm", "phase2", "generate", "judge"]),
        ("tokenizer", &["lm", "phase1", "phase2", "generate"]),
        ("lm", &["phase2", "generate"]),
        ("phase1", &["phase2"]),
        ("phase2", &["generate"]),
        ("generate", &["sc"]),
        ("judge", &["sc"]),
        ("sc", &["table"]),
        ("table", &[]),
    ]);
    let (mut found, mut open) = (BTreeSet::new(), vec![stage]);
    while let Some(stage) = open.pop() {
        for &next in after[stage] {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

fn without_arm(stage: &str) -> &str {
    stage.split('[').next().expect("a name")
}

/// A change, the stages whose own key it changes, and the cause that is named.
const CHANGES: &[(&str, &[&str], &str)] = &[
    ("films=70", &["catalog"], "params.demo_films"),
    ("query_tokens=2", &["phase1"], "params.query_tokens"),
    ("lm_steps=3", &["lm"], "params.steps"),
    ("phase1_steps=3", &["phase1"], "params.steps"),
    ("phase2_steps=3", &["phase2"], "params.steps"),
    (
        "generated_per_task=1",
        &["generate"],
        "params.examples_per_task",
    ),
    ("vocab_size=420", &["tokenizer"], "params.vocab_size"),
    ("data_label=\"other\"", &["table"], "params.data"),
    ("max_test_films=5", &["tasks"], "params.max_test_films"),
];

#[test]
fn changing_one_parameter_reruns_exactly_what_depends_on_it() {
    let (project, tiny) = tiny_table3();
    let tiny: Vec<&str> = tiny.iter().map(String::as_str).collect();
    assert!(!project.run(&tiny).is_empty());
    assert!(project.run(&tiny).is_empty(), "nothing changed");

    for (change, own, cause) in CHANGES {
        let mut arguments = tiny.clone();
        arguments.extend(["--set", change]);
        let plan = project.plan(&arguments);
        let after: BTreeSet<&str> = own.iter().flat_map(|stage| downstream(stage)).collect();
        for (stage, (verdict, causes)) in &plan {
            let name = without_arm(stage);
            let expected = if own.contains(&name) && !after.contains(name) {
                "dirty"
            } else if after.contains(name) {
                "pending"
            } else {
                "fresh"
            };
            assert_eq!(verdict, expected, "{change}: {stage}");
            if expected == "dirty" {
                assert_eq!(causes, &[(*cause).to_owned()], "{change}: {stage}");
            }
        }
    }
}

#[test]
fn a_run_does_what_the_plan_said() {
    let (project, tiny) = tiny_table3();
    let tiny: Vec<&str> = tiny.iter().map(String::as_str).collect();
    project.run(&tiny);
    let mut changed = tiny.clone();
    changed.extend(["--set", "generated_per_task=1"]);
    let ran: BTreeSet<String> = project
        .run(&changed)
        .into_iter()
        .map(|(stage, _)| without_arm(&stage).to_owned())
        .collect();
    let expected = ["generate", "sc", "table"].map(str::to_owned);
    assert_eq!(ran, BTreeSet::from(expected));
    assert!(
        project.run(&tiny).is_empty(),
        "the old value is still in the cache"
    );
}

#[test]
fn comments_order_and_names_do_not_count() {
    let (project, tiny) = tiny_table3();
    let tiny: Vec<&str> = tiny.iter().map(String::as_str).collect();
    let mut target = tiny.clone();
    target.extend(["--target", "phase1"]);
    project.run(&target);
    let text = fs_err::read_to_string(project.file("p.toml")).expect("read");
    let text = text
        .replace("kind    = \"fit-cf\"", "# a comment\nkind = 'fit-cf'")
        .replace("losses       = [\"itc\", \"itm\", \"itg\", \"iic\"]\n", "")
        .replace(
            "query_tokens = \"${query_tokens}\"",
            "query_tokens = \"${query_tokens}\"\nlosses = [ 'itc', \"itm\", \"itg\", \"iic\", ]",
        );
    project.write("p.toml", &text);
    assert!(project.run(&target).is_empty());
}
