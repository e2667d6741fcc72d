//! The main job: raw interactions to the printed table, and what was learned on the way.

use crate::support::{Project, tiny_table3};
use serde_json::Value;
use std::path::Path;

fn lines(path: &Path) -> Vec<Value> {
    fs_err::read_to_string(path)
        .expect("a file")
        .lines()
        .map(|line| serde_json::from_str(line).expect("json"))
        .collect()
}

#[test]
fn the_shipped_pipeline_prints_table_3_in_every_format() {
    let (project, tiny) = tiny_table3();
    let mut arguments = vec!["run", "p.toml"];
    arguments.extend(tiny.iter().map(String::as_str));
    let ran = project.call(&arguments).ok();
    let mut show: Vec<&str> = vec!["show", "p.toml", "table", "--json"];
    show.extend(tiny.iter().map(String::as_str));
    let shown = project.call(&show).ok().json();
    let folder = project.file(shown[0]["folder"].as_str().expect("a folder"));
    let text = fs_err::read_to_string(folder.join("table.txt")).expect("text");
    assert_eq!(ran.stdout, text, "the table is what is printed");
    let csv = fs_err::read_to_string(folder.join("table.csv")).expect("csv");
    let tasks: Vec<String> = tasks(&project, &tiny);
    assert_eq!(tasks.len(), 24);
    for task in &tasks {
        assert!(csv.contains(task.as_str()), "{task} has no row");
    }
    for column in [
        "ELM",
        "ILM-MLP",
        "ILM-QFormer-random",
        "ILM-QFormer",
        "ILM-QFormer-fullyfinetune",
    ] {
        assert!(csv.contains(column), "{column} has no column");
    }
    let markdown = fs_err::read_to_string(folder.join("table.md")).expect("markdown");
    assert!(markdown.contains("**"), "the best of a row is bold");
    let latex = fs_err::read_to_string(folder.join("table.tex")).expect("latex");
    assert!(latex.contains(r"\begin{tabular}") && latex.contains(r"\textbf{"));
}

fn artifact(project: &Project, tiny: &[String], stage: &str) -> std::path::PathBuf {
    let mut show: Vec<&str> = vec!["show", "p.toml", stage, "--json"];
    show.extend(tiny.iter().map(String::as_str));
    let shown = project.call(&show).ok().json();
    project.file(shown[0]["folder"].as_str().expect("a folder"))
}

fn tasks(project: &Project, tiny: &[String]) -> Vec<String> {
    let path = artifact(project, tiny, "tasks").join("tasks.json");
    serde_json::from_str(&fs_err::read_to_string(path).expect("tasks")).expect("names")
}

#[test]
fn texts_of_test_films_are_never_trained_on() {
    let (project, tiny) = tiny_table3();
    let mut arguments: Vec<&str> = tiny.iter().map(String::as_str).collect();
    arguments.extend(["--target", "tasks"]);
    project.run(&arguments);
    let folder = artifact(&project, &tiny, "tasks");
    let items = |name: &str| -> std::collections::BTreeSet<u64> {
        lines(&folder.join(name))
            .iter()
            .flat_map(|line| line["items"].as_array().expect("items").clone())
            .map(|item| item.as_u64().expect("an id"))
            .collect()
    };
    let (train, test) = (items("train.jsonl"), items("test.jsonl"));
    assert!(!train.is_empty() && !test.is_empty());
    assert!(train.is_disjoint(&test), "a film is in both");
    let corpus = fs_err::read_to_string(folder.join("corpus.jsonl")).expect("corpus");
    for line in lines(&folder.join("test.jsonl")) {
        let target = serde_json::to_string(&line["target"]).expect("text");
        let target = target.trim_matches('"');
        // A sentence that says nothing of the film may occur for others; a whole target of a test film may not.
        assert!(
            !corpus.contains(&format!("{target}\"")) || target.len() < 40,
            "{target}"
        );
    }
}
