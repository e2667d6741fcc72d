//! Every message that a person reads about files and values, by subject.

use crate::spec::LoadOptions;
use crate::spec::testing::{load_files, problems_of};
use std::fmt::Write as _;

/// A pipeline without problems that cases are appended to.
pub(super) const GOOD: &str = r#"
[stage.catalog]
kind = "ingest"
source = "demo"

[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalog" }

[stage.swept]
kind = "phase-1"
matrix = { adapter = ["mlp", "qformer"], seed = [1, 2] }
inputs = { items = "cf" }
adapter = "${matrix.adapter}"
steps = 5
"#;

/// The problems of each text by itself, under its title.
pub(super) fn each(cases: &[(&str, &str)]) -> String {
    let mut all = String::new();
    for (title, text) in cases {
        let _ = write!(all, "=== {title}\n{}\n\n", problems_of(text.trim_start()));
    }
    all
}

/// The same with [`GOOD`] before each.
pub(super) fn each_after_good(cases: &[(&str, &str)]) -> String {
    let cases: Vec<(&str, String)> = cases
        .iter()
        .map(|(title, text)| (*title, format!("{}\n{}", GOOD.trim_start(), text.trim())))
        .collect();
    let cases: Vec<(&str, &str)> = cases.iter().map(|(a, b)| (*a, b.as_str())).collect();
    each(&cases)
}

#[test]
fn the_good_file_has_no_problems() {
    assert_eq!(problems_of(GOOD), "no problems");
}

#[test]
fn six_problems_are_reported_in_the_order_of_lines() {
    let text = r#"
name = "six"
sede = 3

[params]
factors = 0

[stage.catalog]
kind = "ingest"
source = 7

[stage.cf]
kind = "fit-cf"
inputs = { interactions = "catalgo" }
factors = "${factors}"
los = "als"

[stage.embed]
kind = "embed-txt"
"#;
    let errors = crate::spec::testing::load_text(text).unwrap_err();
    let lines: Vec<usize> = errors
        .problems()
        .iter()
        .map(|problem| problem.location.line)
        .collect();
    assert_eq!(lines, [3, 10, 14, 15, 16, 19]);
    insta::assert_snapshot!(errors.render(false));
    // The coloured form has the same words.
    let coloured = errors.render(true);
    assert!(coloured.contains('\u{1b}'));
    assert_eq!(strip(&coloured), errors.render(false));
    let json = serde_json::to_value(errors.problems()).unwrap();
    assert_eq!(json[0]["message"], "unknown top-level key `sede`");
    assert_eq!(json[0]["location"]["line"], 3);
    assert_eq!(json[0]["hints"][0], "did you mean `seed`?");
}

fn strip(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.find('m').unwrap() + 1..];
    }
    plain + rest
}

#[test]
fn the_file_as_a_whole() {
    insta::assert_snapshot!(each(&[
        ("no TOML", "name = \n[stage.a\nkind = 'x'"),
        ("a key twice", "name = 'a'\nname = 'b'"),
        ("empty", ""),
        (
            "wrong types",
            "name = 1\ntitle = []\nseed = -1\nparams = 3\nprofile = 1\nstage = 'x'\n"
        ),
        ("stage is no table", "[stage]\ncatalog = 'ingest'"),
        (
            "bad names",
            "[params]\n'a b' = 1\nmatrix = 2\n[profile.'x.y']\n[stage.'a b']\nkind = 'ingest'"
        ),
        (
            "too large",
            "[params]\nx = 999999999999999999999999999999999999999999\n[stage.a]\nkind = 'ingest'\nsource = ''\n"
        ),
    ]));
}

#[test]
fn kinds_and_parameters() {
    insta::assert_snapshot!(each(&[
        ("no kind", "[stage.ingest]\nsource = 'x'"),
        ("kind of wrong type", "[stage.a]\nkind = 1"),
        ("unknown kind", "[stage.a]\nkind = 'fit-cff'\nfactors = 'x'"),
        ("missing parameter", "[stage.a]\nkind = 'ingest'"),
        (
            "not near any name",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nqqq = 1"
        ),
        (
            "a stage key misspelt",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\ntimout = '3s'"
        ),
        (
            "several in one stage",
            "[stage.a]\nkind = 'ingest'\nsource = ['x']\nrows = -1\nrow = 2\nextra = { a = 1 }"
        ),
        (
            "beyond the type",
            "[stage.a]\nkind = 'ingest'\nsource = 'x'\nrows = 4294967296"
        ),
    ]));
}

#[test]
fn values_of_parameters() {
    insta::assert_snapshot!(each(&[
        (
            "types",
            r#"
[stage.catalog]
kind = "ingest"
source = "x"
[stage.a]
kind = "fit-cf"
inputs = { interactions = "catalog" }
factors = 1.5
regularisation = "small"
loss = "warp"
offset = true
verbose = 1
cut = 256
[stage.b]
kind = "fit-cf"
inputs = { interactions = "catalog" }
model = { width = "wide", head = 2 }
loss = 3
[stage.c]
kind = "embed-text"
inputs = { catalog = "catalog" }
layers = [1, "two", 3]
names = { a = 1, b = "x" }
[stage.d]
kind = "fit-cf"
inputs = { interactions = "catalog" }
model.heds = 2
[stage.e]
kind = "fit-cf"
inputs = { interactions = "catalog" }
model = 3
regularisation = nan
"#
        ),
        (
            "senseless",
            r#"
[params]
heads = 3
layers = [1, 0]
[stage.catalog]
kind = "ingest"
source = "x"
[stage.a]
kind = "fit-cf"
inputs = { interactions = "catalog" }
factors = 0
regularisation = -1e-3
model = { width = 64, heads = "${heads}" }
[stage.b]
kind = "embed-text"
inputs = { catalog = "catalog" }
layers = "${layers}"
depth = 101
[stage.c]
kind = "embed-text"
inputs = { catalog = "catalog" }
layers = [1, 2, 0]
[stage.default]
kind = "phase-1"
inputs = { items = "a" }
[stage.arm]
kind = "phase-1"
matrix = { steps = [1, 0, 2] }
steps = "${matrix.steps}"
inputs = { items = "a" }
[stage.named]
kind = "phase-1"
matrix.arm = { good = { steps = 1 }, bad = { steps = 0 } }
steps = "${matrix.arm.steps}"
inputs = { items = "a" }
"#
        ),
        (
            "infinite after rounding",
            "[stage.catalog]\nkind = 'ingest'\nsource = 'x'\n[stage.a]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\nregularisation = 1e300\n"
        ),
        (
            "nothing but the wrong type of another is left unsaid",
            "[stage.catalog]\nkind = 'ingest'\nsource = 'x'\n[stage.a]\nkind = 'fit-cf'\ninputs.interactions = 'catalog'\nfactors = 'x'\nregularisation = 0\n"
        ),
    ]));
}

#[test]
fn interpolation() {
    insta::assert_snapshot!(each(&[
        (
            "parameters",
            r#"
[params]
a = "${b}"
b = "x${c}"
c = "${a}"
self = "${self}"
list = [1, 2]
inside = "n ${list}"
table = { width = 3 }
field = "${table.widht}"
deep = "${table.width.more}"
wrong = "${a b}"
open = "${a"
unknown = "${lists}"
swept = "${matrix.seed}"
[stage.catalog]
kind = "ingest"
source = "x"
"#
        ),
        (
            "stages",
            r#"
seed = "${sed}"
[params]
seeds = [1, 2]
wide = "wide"
[stage.catalog]
kind = "ingest"
source = "${sources}"
rows = "${wide}"
[stage.swept]
kind = "phase-1"
matrix = { seed = "${seeds}", arm = { a = { x = 1 } } }
adapter = "${matrix.adapter} ${matrix} ${matrix.arm.y} ${matrix.seed.z}"
inputs = { items = "${matrix.items}" }
[stage.plain]
kind = "ingest"
source = "${matrix.seed}"
"#
        ),
    ]));
}

#[test]
fn resources_and_seeds() {
    insta::assert_snapshot!(each_after_good(&[(
        "all wrong",
        "[stage.a]\nkind = 'ingest'\nsource = 'x'\nseed = 'one'\ncpus = 0\nmemory = '2 gigs'\ntimeout = 30\n[stage.b]\nkind = 'ingest'\nsource = 'x'\nmemory = 100\ntimeout = '30 minutes'\ncpus = 1.5\nseed = -3"
    )]));
}

#[test]
fn groups_gpus_and_retries() {
    let stage = "[stage.a]\nkind = 'ingest'\nsource = 'x'\n";
    let top = |groups: &str, keys: &str| format!("[groups]\n{groups}\n{stage}{keys}");
    let texts = [
        ("no group", format!("{stage}groups = 'download'")),
        (
            "a slip",
            top("download = 1\ndisk = 2", "groups = ['disk', 'downlaod']"),
        ),
        (
            "senseless limits",
            top(
                "download = 0\ndisk = 'two'\n'a b' = 1",
                "groups = ['download', 'disk']",
            ),
        ),
        (
            "wrong types",
            top(
                "disk = 1",
                "groups = [1]\ngpus = -1\nretries = 'many'\nslow = 5\nbackoff = '0s'",
            ),
        ),
        (
            "too many",
            format!("{stage}retries = 1000\ngpus = '${{no}}'"),
        ),
        ("a slip of a key", format!("{stage}group = 'download'")),
    ];
    let shown: Vec<String> = texts
        .iter()
        .map(|(title, text)| format!("## {title}\n{}\n", problems_of(text)))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn includes() {
    let show = |files: &[(&str, &str)]| match load_files(files, &LoadOptions::default()) {
        Ok(_) => "no problems".to_owned(),
        Err(errors) => errors.render(false),
    };
    let stage = "[stage.a]\nkind = 'ingest'\nsource = 'x'\n";
    let mut all = String::new();
    for (title, files) in [
        ("missing", vec![("p.toml", "include = 'common.toml'")]),
        ("of wrong type", vec![("p.toml", "include = [1]")]),
        ("itself", vec![("p.toml", "include = './p.toml'")]),
        (
            "one another",
            vec![
                ("d/p.toml", "include = 'a.toml'"),
                ("d/a.toml", "\ninclude = ['../d/b.toml']"),
                ("d/../d/b.toml", "include = 'p.toml'"),
            ],
        ),
        (
            "declared twice",
            vec![
                (
                    "p.toml",
                    "include = 'c.toml'\nseed = 1\n[params]\nx = 1\n[profile.small.params]\nx = 2\n[profile.small.stage.a]\nrows = 1\n[stage.a]\nkind = 'ingest'\nsource = 'x'\n",
                ),
                (
                    "c.toml",
                    "seed = 2\n[params]\nx = 3\n[profile.small.params]\nx = 4\n[profile.small.stage.a]\nrows = 2\n[stage.a]\nkind = 'ingest'\nsource = 'y'\n",
                ),
            ],
        ),
        (
            "a problem in an included file",
            vec![
                ("p.toml", "include = 'sub/c.toml'\nnam = 3"),
                ("sub/c.toml", "name = 3\n[stage.a]\nkind = 'ingst'"),
            ],
        ),
        (
            "no TOML in an included file",
            vec![
                ("p.toml", "include = 'c.toml'\nx = '"),
                ("c.toml", "[stage"),
            ],
        ),
        (
            "shared by two",
            vec![
                ("p.toml", "include = ['a.toml', 'b.toml']"),
                ("a.toml", "include = 'c.toml'"),
                ("b.toml", "include = 'c.toml'"),
                ("c.toml", stage),
            ],
        ),
    ] {
        let _ = write!(all, "=== {title}\n{}\n\n", show(&files));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn profiles_and_options() {
    let text = r#"
[params]
rows = 10
rate = 0.5
seeds = [1, 2]
name = "x"

[profile.small.params]
rows = 5
rat = 0.25
seeds = 3

[profile.paper]
param = 1
[profile.paper.params]
rows = "many"
[profile.paper.stage.catalogue]
rows = 1
[profile.paper.stage.catalog]
kind = "table"

[stage.catalog]
kind = "ingest"
source = "${name}"
rows = "${rows}"
"#;
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let show = |profile: Option<&str>, set: Vec<(String, String)>| {
        let options = LoadOptions {
            profile: profile.map(str::to_owned),
            set,
            ..LoadOptions::default()
        };
        load_files(&[("p.toml", text)], &options)
            .unwrap_err()
            .render(false)
    };
    insta::assert_snapshot!(show(
        Some("smal"),
        vec![
            set("row", "3"),
            set("rows", "0.5"),
            set("seeds", "[1, 2"),
            set("rate", "high"),
            set("rows", "${nmae}"),
        ]
    ));
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        let errors = crate::spec::load(&folder.path().join(name), &LoadOptions::default())
            .unwrap_err()
            .render(false);
        errors.replace(&folder.path().display().to_string(), "[FOLDER]")
    };
    fs_err::write(
        folder.path().join("latin.toml"),
        b"name = 'a'\ntitle = 'caf\xe9'\n",
    )
    .unwrap();
    insta::assert_snapshot!(format!(
        "{}\n\n{}\n\n{}",
        load("missing.toml"),
        load("."),
        load("latin.toml")
    ));
}
