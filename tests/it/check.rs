//! Bad input, as a person meets it: one clear message with a place, an exit code, and nothing lost.

use crate::cache::DATA;
use crate::support::{Project, tiny_table3};

/// An edit of the shipped Table 3 pipeline, and what `check` must then say.
const BROKEN: &[(&str, &str, &[&str])] = &[
    (
        "factors = \"${factors}\"",
        "factors = 0",
        &["stage `cf`: `factors` is 0, but must be", "factors = 0"],
    ),
    (
        "query_tokens = \"${query_tokens}\"",
        "query_tokens = 0",
        &["stage `phase1`: `query_tokens` is 0, but must be at least 1"],
    ),
    (
        "losses       = [\"itc\", \"itm\", \"itg\", \"iic\"]",
        "training.learning_rate = -0.1",
        &["stage `phase1`: `training.learning_rate` is -0.1, but must be above 0"],
    ),
    (
        "losses       = [\"itc\", \"itm\", \"itg\", \"iic\"]",
        "heads = 5",
        &["stage `phase1`: `heads` is 5", "128"],
    ),
    (
        "kind    = \"fit-cf\"",
        "kind    = \"fit-fc\"",
        &["unknown kind `fit-fc`", "`fit-cf`"],
    ),
    (
        "kind   = \"split\"\n",
        "kind   = \"split\"\nshare = 0.5\n",
        &["`share`", "stage `split`"],
    ),
    (
        "elm                       = { adapter = \"mlp\", ",
        "elm                       = { adapter = \"mpl\", ",
        &["\"mpl\"", "`mlp`"],
    ),
    (
        "matrix = { arm = [\"elm\", \"ilm-mlp\", \"ilm-qformer-random\", \"ilm-qformer\", \"ilm-qformer-fullyfinetune\"] }\ninputs = { generations",
        "matrix = { arm = [] }\ninputs = { generations",
        &["`arm`", "no value"],
    ),
    (
        "inputs = { catalog = \"catalog\", split = \"split\" }",
        "inputs = { catalog = \"catalog\", split = \"splot\" }",
        &["`splot`", "`split`"],
    ),
    (
        "inputs = { catalog = \"catalog\", encoder = \"item-encoder\" }",
        "inputs = { catalog = \"catalog\", encoder = \"split\" }",
        &["`encoder`", "text-encoder", "`item-encoder`"],
    ),
];

#[test]
fn each_mistake_in_a_pipeline_is_named_with_its_place() {
    let (project, _) = tiny_table3();
    let text = fs_err::read_to_string(project.file("p.toml")).expect("read");
    for (old, new, expected) in BROKEN {
        assert!(text.contains(old), "the shipped pipeline has no {old:?}");
        project.write("p.toml", &text.replacen(old, new, 1));
        let ran = project.call(&["check", "p.toml"]).fails(2);
        for part in *expected {
            assert!(
                ran.stderr.contains(part),
                "{new}: no {part:?} in\n{}",
                ran.stderr
            );
        }
        assert!(
            ran.stderr.contains("--> p.toml:"),
            "{new}: no place in\n{}",
            ran.stderr
        );
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let (project, _) = tiny_table3();
    let mut text = fs_err::read_to_string(project.file("p.toml")).expect("read");
    for (old, new, _) in &BROKEN[..2] {
        text = text.replacen(old, new, 1);
    }
    project.write("p.toml", &text);
    let ran = project.call(&["check", "p.toml"]).fails(2);
    assert!(ran.stderr.contains("`factors` is 0") && ran.stderr.contains("`query_tokens` is 0"));
    assert!(ran.stderr.contains("p.toml: 2 problems"), "{}", ran.stderr);
}

#[test]
fn an_unknown_profile_is_answered_with_the_known_ones() {
    let (project, _) = tiny_table3();
    let ran = project
        .call(&["run", "p.toml", "--profile", "smal"])
        .fails(2);
    assert!(
        ran.stderr.contains("`smal`") && ran.stderr.contains("`small`"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_missing_pipeline_is_an_error_that_names_it() {
    let (project, _) = tiny_table3();
    let ran = project.call(&["run", "q.toml"]).fails(2);
    assert!(ran.stderr.contains("q.toml"), "{}", ran.stderr);
}

/// A small MovieLens folder that is right.
fn movielens(project: &Project) {
    let mut ratings = "userId,movieId,rating,timestamp\n".to_owned();
    for user in 1..=6 {
        for movie in 1..=6 {
            ratings.push_str(&format!(
                "{user},{movie},4.0,{}\n",
                1000 + 10 * user + movie
            ));
        }
    }
    project.write("datasets/tiny/ratings.csv", &ratings);
    let movies = (1..=6).fold(String::new(), |text, m| {
        format!("{text}{m},Film {m} (199{m}),Drama\n")
    });
    project.write(
        "datasets/tiny/movies.csv",
        &format!("movieId,title,genres\n{movies}"),
    );
}

#[test]
fn bad_raw_data_is_named_by_file_and_line_and_loses_nothing() {
    let text = DATA.replace("source = \"demo\"", "source = \"tiny\"");
    let project = Project::new(&text);
    movielens(&project);
    project.run(&[]);
    let good = project.outputs(&[]);
    let ratings = fs_err::read_to_string(project.file("datasets/tiny/ratings.csv")).expect("read");
    let movies = fs_err::read_to_string(project.file("datasets/tiny/movies.csv")).expect("read");
    let cases = [
        (
            "ratings.csv",
            ratings.replace("2,3,4.0", "2,3,good"),
            "ratings.csv`, line 10",
        ),
        (
            "ratings.csv",
            ratings.replace("2,3,4.0", "2,3,NaN"),
            "ratings.csv`, line 10",
        ),
        (
            "ratings.csv",
            ratings.replace(',', ";"),
            "ratings.csv`, line 1",
        ),
        (
            "ratings.csv",
            ratings.replace("2,3,4.0,1023", "2,3"),
            "ratings.csv`, line 10",
        ),
        (
            "movies.csv",
            movies.replace("Film 2 (1992)", ""),
            "movies.csv`, line 3",
        ),
        (
            "ratings.csv",
            "userId,movieId,rating,timestamp\n1,1,4.0,1\n".to_owned(),
            "min_interactions",
        ),
    ];
    for (file, bad, expected) in cases {
        let path = format!("datasets/tiny/{file}");
        let before = fs_err::read_to_string(project.file(&path)).expect("read");
        project.write(&path, &bad);
        let ran = project.call(&["run", "p.toml"]).fails(1);
        assert!(
            ran.stderr.contains(expected),
            "no {expected:?} in\n{}",
            ran.stderr
        );
        assert!(
            fs_err::read_dir(project.file("cache/v1/tmp"))
                .expect("tmp")
                .next()
                .is_none(),
            "something half-written is left"
        );
        project.write(&path, &before);
    }
    assert!(
        project.run(&[]).is_empty(),
        "what was cached is still there"
    );
    assert_eq!(project.outputs(&[]), good);
}

#[test]
fn a_line_that_is_not_utf_8_is_named() {
    let project = Project::new(&DATA.replace("source = \"demo\"", "source = \"tiny\""));
    movielens(&project);
    let mut movies = fs_err::read(project.file("datasets/tiny/movies.csv")).expect("read");
    let at = movies.iter().position(|&b| b == b'F').expect("a title");
    movies[at] = 0xE9;
    fs_err::write(project.file("datasets/tiny/movies.csv"), movies).expect("written");
    let ran = project.call(&["run", "p.toml"]).fails(1);
    assert!(ran.stderr.contains("movies.csv`, line 2"), "{}", ran.stderr);
    assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
}
