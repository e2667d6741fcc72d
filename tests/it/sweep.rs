//! Matrices and sweeps, run: what runs, what is shared, what is reused, and the table that comes out.

use crate::support::{Project, tiny_table3};
use std::collections::BTreeSet;

/// `data` is shared; `train` depends on `width`, `test` comes after it, `all` gathers.
const CHAIN: &str = r#"
seed = "${seed}"
[params]
width = 8
seed = 1
[stage.data]
kind = "command"
seed = 0
command = ["sh", "-c", "echo data > $ILM_OUTPUT/out.txt"]
[stage.train]
kind = "command"
seed = 0
matrix = { arm = ["a", "b"] }
inputs = { from = ["data"] }
command = ["sh", "-c", "cat $ILM_INPUT_0/out.txt > $ILM_OUTPUT/out.txt; echo ${matrix.arm} ${width} >> $ILM_OUTPUT/out.txt"]
[stage.test]
kind = "command"
matrix = { arm = ["a", "b"] }
inputs = { from = ["train"] }
command = ["sh", "-c", "cat $ILM_INPUT_0/out.txt > $ILM_OUTPUT/out.txt; echo seed $ILM_SEED >> $ILM_OUTPUT/out.txt"]
[stage.all]
kind = "command"
seed = 0
inputs = { from = ["test[*]"] }
command = ["sh", "-c", "for n in $(seq 0 ${last}); do eval cat \\$ILM_INPUT_$n/out.txt; done > $ILM_OUTPUT/out.txt"]
"#;

fn chain(last: usize) -> Project {
    Project::new(&CHAIN.replace("${last}", &last.to_string()))
}

fn stages(ran: &[(String, Vec<String>)]) -> Vec<&str> {
    let mut stages: Vec<&str> = ran.iter().map(|(stage, _)| stage.as_str()).collect();
    stages.sort_unstable();
    stages
}

#[test]
fn a_sweep_runs_one_arm_a_value_and_shares_the_rest() {
    let project = chain(3);
    let sweep = ["--sweep", "width=4,16"];
    let ran = project.run(&sweep);
    assert_eq!(
        stages(&ran),
        [
            "all",
            "data",
            "test[arm=a,width=16]",
            "test[arm=a,width=4]",
            "test[arm=b,width=16]",
            "test[arm=b,width=4]",
            "train[arm=a,width=16]",
            "train[arm=a,width=4]",
            "train[arm=b,width=16]",
            "train[arm=b,width=4]",
        ]
    );
    let mut show = vec!["show", "p.toml", "all", "--json"];
    show.extend(sweep);
    let shown = project.call(&show).ok().json();
    let folder = project.file(shown[0]["folder"].as_str().expect("a folder"));
    let text = fs_err::read_to_string(folder.join("out.txt")).expect("text");
    assert_eq!(
        text,
        "data\na 4\nseed 1\ndata\na 16\nseed 1\ndata\nb 4\nseed 1\ndata\nb 16\nseed 1\n"
    );
    // Rerunning is resuming, and a value more is that value's arms and what gathers them.
    assert!(project.run(&sweep).is_empty());
    let more = project.run(&["--sweep", "width=4,5,16"]);
    assert_eq!(
        stages(&more),
        [
            "all",
            "test[arm=a,width=5]",
            "test[arm=b,width=5]",
            "train[arm=a,width=5]",
            "train[arm=b,width=5]"
        ]
    );
    // An arm is an ordinary stage: the same value without a sweep asks for the same result.
    let plain = project.run(&["--set", "width=4", "--target", "train"]);
    assert!(plain.is_empty(), "{plain:?}");
}

#[test]
fn plan_explain_expand_graph_and_check_know_sweeps() {
    let project = chain(3);
    let sweep = ["--sweep", "width=4..5"];
    let plan = project.plan(&sweep);
    assert_eq!(plan.len(), 10);
    assert_eq!(plan["train[arm=a,width=5]"].0, "pending");
    let with = |command: &[&str]| {
        let mut arguments = command.to_vec();
        arguments.extend(sweep);
        project.call(&arguments).ok().stdout
    };
    let expanded = with(&["expand", "p.toml"]);
    assert!(
        expanded.contains("[stage.\"test[arm=b,width=5]\"]"),
        "{expanded}"
    );
    project.write("expanded.toml", &expanded);
    let again = project.call(&["expand", "expanded.toml"]).ok().stdout;
    assert_eq!(again, expanded, "an expanded sweep is a pipeline");
    assert!(with(&["check", "p.toml"]).contains("10 stages, no problem"));
    assert!(with(&["graph", "p.toml", "--json"]).contains("test[arm=a,width=4]"));
    assert!(with(&["explain", "p.toml", "train[arm=a,width=4]"]).contains("train[arm=a,width=4]"));
    assert!(with(&["show", "p.toml"]).contains("train[arm=b,width=4]"));
    let wrong = project
        .call(&["plan", "p.toml", "--sweep", "widht=1"])
        .fails(2);
    assert!(
        wrong.stderr.contains("did you mean `width`?"),
        "{}",
        wrong.stderr
    );
    let wrong = project
        .call(&["check", "p.toml", "--sweep", "width"])
        .fails(2);
    assert!(
        wrong.stderr.contains("`--sweep width` has no `=`"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_swept_seed_reruns_what_takes_its_random_numbers_from_it() {
    let project = chain(5);
    let ran = project.run(&["--sweep", "seed=1..3"]);
    assert_eq!(
        stages(&ran),
        [
            "all",
            "data",
            "test[arm=a,seed=1]",
            "test[arm=a,seed=2]",
            "test[arm=a,seed=3]",
            "test[arm=b,seed=1]",
            "test[arm=b,seed=2]",
            "test[arm=b,seed=3]",
            "train[arm=a]",
            "train[arm=b]",
        ]
    );
}

/// The value of `x` reaches no parameter, so that both arms have one key.
#[test]
fn identical_arms_run_once() {
    let project = Project::new(
        r#"
[stage.a]
kind = "command"
matrix = { x = [1, 2, 3], y = ["u", "v"] }
command = ["sh", "-c", "echo run >> runs-${matrix.y}.txt; echo ${matrix.y} > $ILM_OUTPUT/out.txt"]
"#,
    );
    let plan = project.plan(&[]);
    let of = |verdict: &str| -> BTreeSet<&str> {
        let stages = plan.iter().filter(|(_, (found, _))| found == verdict);
        stages.map(|(stage, _)| stage.as_str()).collect()
    };
    assert_eq!(of("dirty"), BTreeSet::from(["a[x=1,y=u]", "a[x=1,y=v]"]));
    assert_eq!(of("pending").len(), 4);
    let outcome = project
        .call(&["run", "p.toml", "--jobs", "6", "--json"])
        .ok();
    assert!(
        !outcome.stderr.contains("another process"),
        "{}",
        outcome.stderr
    );
    let outcome = outcome.json();
    assert_eq!(outcome["ran"], 2);
    assert_eq!(outcome["fresh"], 4);
    for y in ["u", "v"] {
        let runs = fs_err::read_to_string(project.file(&format!("runs-{y}.txt"))).expect("a file");
        assert_eq!(runs, "run\n", "{y} ran once");
    }
    assert!(
        project
            .plan(&[])
            .values()
            .all(|(verdict, _)| verdict == "fresh")
    );
}

#[test]
fn excluded_arms_do_not_run_and_included_ones_do() {
    let project = Project::new(
        r#"
[stage.a]
kind = "command"
command = ["sh", "-c", "echo ${matrix.x} ${matrix.y} ${matrix.z} > $ILM_OUTPUT/out.txt"]
[stage.a.matrix]
x = [1, 2]
y = [3, 4]
exclude = [{ x = 1, y = 4 }]
include = [{ z = 0 }, { x = 2, z = 7 }, { x = 9, y = 9 }]
"#,
    );
    assert_eq!(
        stages(&project.run(&[])),
        ["a[x=1,y=3]", "a[x=2,y=3]", "a[x=2,y=4]", "a[x=9,y=9]"]
    );
    let text = |stage: &str| {
        fs_err::read_to_string(project.artifact(stage).join("out.txt")).expect("text")
    };
    assert_eq!(text("a[x=1,y=3]"), "1 3 0\n");
    assert_eq!(text("a[x=2,y=4]"), "2 4 7\n");
    assert_eq!(text("a[x=9,y=9]"), "9 9 0\n");
}

/// Leaves the columns ILM-MLP and ILM-QFormer-random of the shipped table.
fn two_columns(text: &str) -> String {
    let (start, columns) = text.split_once("[[stage.table.columns]]").expect("columns");
    let kept = columns.split("[[stage.table.columns]]").filter(|column| {
        column.contains("\"ilm-mlp\"") || column.contains("\"ilm-qformer-random\"")
    });
    let lines = start.lines().filter(|line| {
        !["elm ", "ilm-qformer ", "ilm-qformer-fullyfinetune "]
            .iter()
            .any(|arm| line.starts_with(arm))
    });
    let mut text: Vec<String> = lines
        .map(|line| match line.split_once("arm = [") {
            Some((before, _)) => format!("{before}arm = [\"ilm-mlp\", \"ilm-qformer-random\"] }}"),
            None => line.to_owned(),
        })
        .collect();
    text.extend(kept.map(|column| format!("[[stage.table.columns]]{column}")));
    text.join("\n")
}

#[test]
fn the_shipped_table_shows_every_swept_value_and_the_mean_of_seeds() {
    let (project, tiny) = tiny_table3();
    let path = project.file("p.toml");
    let text = fs_err::read_to_string(&path).expect("the pipeline");
    // Two of its five columns will do.
    project.write("p.toml", &two_columns(&text));
    let mut arguments: Vec<&str> = vec!["run", "p.toml"];
    arguments.extend(tiny.iter().map(String::as_str));
    arguments.extend(["--set", "generated_per_task=1", "--set", "max_test_films=3"]);
    arguments.extend(["--sweep", "query_tokens=1,2", "--sweep", "seed=1,2"]);
    let ran = project.call(&arguments).ok();
    let titles: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("Table 3"))
        .collect();
    assert_eq!(
        titles,
        [
            "Table 3: semantic consistency (x100) of ILM with different adapters: by query_tokens",
            "Table 3: semantic consistency (x100) of ILM with different adapters (query_tokens = 1)",
            "Table 3: semantic consistency (x100) of ILM with different adapters (query_tokens = 2)",
        ]
    );
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 120));
    let caption = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        caption.contains("Cells are means of 2 seeds;"),
        "{}",
        ran.stdout
    );
    assert!(caption.contains("over the means of equal seeds (2 pairs)"));
    assert!(
        ran.stderr
            .contains("phase2[arm=ilm-mlp,query_tokens=2,seed=2]"),
        "{}",
        ran.stderr
    );
    // What no swept parameter reaches ran once, without an arm.
    for stage in ["catalog", "split", "cf", "lm", "tasks"] {
        assert!(
            !ran.stderr.contains(&format!("{stage}[")),
            "{stage} is shared"
        );
    }
    arguments.push("--json");
    let again = project.call(&arguments).ok().json();
    assert_eq!(again["ran"], 0);
}
