//! What a shell and an editor ask the program: completion as bash, zsh and fish call it, and the schema.

use crate::support::{Project, Ran};
use std::process::Command;

const PIPELINE: &str = r#"
include = "parts/common.toml"

[params]
films = 40
label = "x"

[profile.small.params]
films = 20

[profile.paper.params]
films = 400

[stage.swept]
kind = "command"
matrix = { arm = ["one", "two"] }
command = ["true"]

[stage.split]
kind = "split"
inputs = { catalog = "catalog" }
"#;

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("parts/common.toml", "[stage.catalog]\nkind = \"ingest\"\n");
    project.write("q.toml", "[stage");
    project.write("notes.txt", "");
    project
}

/// What fish is told for a line; the last word is the one under the cursor.
fn fish(project: &Project, line: &[&str]) -> Vec<String> {
    let mut words = vec!["--", "ilm-pipe"];
    words.extend_from_slice(line);
    let ran: Ran = project
        .command(&words)
        .env("COMPLETE", "fish")
        .output()
        .expect("the program starts")
        .into();
    ran.ok().stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_is_offered_pipelines() {
    let project = project();
    assert_eq!(fish(&project, &["run", "p"]), ["p.toml", "parts/"]);
    assert_eq!(
        fish(&project, &["check", "p.toml", "parts/"]),
        ["parts/common.toml"]
    );
    let offered = fish(&project, &["run", ""]);
    assert!(offered.iter().any(|word| word == "q.toml"), "{offered:?}");
    assert!(
        !offered.iter().any(|word| word == "notes.txt"),
        "{offered:?}"
    );
}

#[test]
fn a_shell_is_offered_the_names_in_the_pipeline_on_the_line() {
    let project = project();
    for (line, expected) in [
        (
            &["run", "p.toml", "--profile", ""][..],
            &["paper", "small"][..],
        ),
        (
            &["run", "p.toml", "--set", ""],
            &["films=\tnow 40", "label=\tnow \"x\""],
        ),
        (&["run", "p.toml", "--set", "la"], &["label=\tnow \"x\""]),
        (
            &["run", "p.toml", "--target", "s"],
            &["swept\tcommand", "split\tsplit"],
        ),
        (
            &["run", "p.toml", "--target", "swept["],
            &["swept[arm=one]\tcommand", "swept[arm=two]\tcommand"],
        ),
        (&["explain", "p.toml", "cat"], &["catalog\tingest"]),
        (&["show", "p.toml", "cat"], &["catalog\tingest"]),
        (&["run", "p.toml", "--sweep", "fi"], &["films=\tnow 40"]),
        (
            &["run", "p.toml", "--downstream", "cat"],
            &["catalog\tingest"],
        ),
        (&["run", "q.toml", "--target", ""], &[]),
        (&["run", "--target", ""], &[]),
    ] {
        assert_eq!(fish(&project, line), expected, "{line:?}");
    }
}

#[test]
fn a_shell_is_offered_data_sets() {
    let offered = fish(&project(), &["data", "get", "ml-1"]);
    let names: Vec<&str> = offered
        .iter()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(names, ["ml-100k", "ml-1m", "ml-10m"]);
}

/// The words of a line through the script that bash reads.
#[test]
fn bash_completes_through_its_script() {
    let project = project();
    let script = project.call(&["completions", "bash"]).ok().stdout;
    project.write("completions.bash", &script);
    let ask = |words: &[&str]| {
        let last = words.len() - 1;
        let text = format!(
            "source completions.bash; COMP_WORDS=({}); COMP_CWORD={last}; COMP_TYPE=9; _clap_complete_ilm_pipe ilm-pipe {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(" "),
            format_args!("'{}'", words[last]),
            format_args!("'{}'", words[last - 1]),
        );
        let ran: Ran = Command::new("bash")
            .args(["--norc", "-c", &text])
            .current_dir(project.path())
            .output()
            .expect("bash starts")
            .into();
        ran.ok().stdout
    };
    assert_eq!(
        ask(&["ilm-pipe", "run", "p.toml", "--profile", "s"]),
        "small\n"
    );
    assert_eq!(
        ask(&["ilm-pipe", "explain", "p.toml", "swept["]),
        "swept[arm=one]\nswept[arm=two]\n"
    );
    assert_eq!(ask(&["ilm-pipe", "expl"]), "explain\n");
}

#[test]
fn every_shell_has_a_script() {
    let project = project();
    for (shell, word) in [
        ("bash", "complete -o"),
        ("zsh", "compdef"),
        ("fish", "complete --"),
    ] {
        let script = project.call(&["completions", shell]).ok().stdout;
        assert!(
            script.contains(word) && script.contains("ilm-pipe"),
            "{script}"
        );
    }
    let ran = project.call(&["completions", "tcsh"]).fails(2);
    assert!(ran.stderr.contains("bash, zsh, fish"), "{}", ran.stderr);
}

#[test]
fn the_schema_is_printed() {
    let schema = project().call(&["schema"]).ok().json();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let ingest = &schema["$defs"]["stage.ingest"]["properties"]["demo_films"];
    assert_eq!(ingest["default"], 240);
    assert_eq!(ingest["anyOf"][0]["minimum"], 20);
    assert!(
        ingest["description"]
            .as_str()
            .expect("docs")
            .contains("demo")
    );
}
