//! Every broken file of `tests/fixtures/broken` and what a person reads of it; and that no message is without a file.

use crate::spec::declared::stage_keys;
use crate::spec::document::TOP_LEVEL;
use crate::spec::problem::MADE;
use crate::spec::{LoadOptions, load, schema};
use crate::stages;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Places that make a finding and that no file reaches, with the reason.
const OUT_OF_REACH: &[(&str, &str, &str)] = &[
    (
        "parameters.rs",
        "None => Finding::new(\n                self.header,\n                format!(\n                    \"stage `{}`: the kind",
        "a kind that does not read back what it wrote is a bug; the kinds here do",
    ),
    (
        "parameters.rs",
        "return Finding::new(mark.span, format!(\"stage `{stage}`: {message}\"));",
        "the parameters as a whole are always a table; only a kind that wants something else would say this",
    ),
    (
        "value.rs",
        "findings.add(Finding::new(span, message));\n                }\n                Value::Real",
        "what the parser takes for a number with a fraction is one",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

struct Broken {
    name: String,
    path: PathBuf,
    text: String,
}

/// The files in order of name.
fn broken() -> Vec<Broken> {
    let folder = root().join("tests/fixtures/broken");
    let mut paths: Vec<PathBuf> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| Broken {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            text: fs_err::read_to_string(&path).unwrap(),
            path,
        })
        .collect()
}

impl Broken {
    /// The values of the comments `# NAME: …` at its top.
    fn notes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(move |line| {
                line.strip_prefix("# ")?
                    .strip_prefix(name)?
                    .strip_prefix(": ")
            })
    }

    fn options(&self) -> LoadOptions {
        let mut options = LoadOptions::default();
        for note in self.notes("options") {
            let (option, value) = note.split_once(' ').unwrap();
            let pair = || {
                let (name, value) = value.split_once('=').unwrap();
                (name.to_owned(), value.to_owned())
            };
            match option {
                "--profile" => options.profile = Some(value.to_owned()),
                "--set" => options.set.push(pair()),
                "--sweep" => options.sweep.push(pair()),
                other => panic!("{}: unknown option {other}", self.name),
            }
        }
        options
    }

    /// What a person reads, with paths relative to the folder.
    fn problems(&self) -> String {
        let text = match load(&self.path, &self.options()) {
            Ok(_) => "no problems".to_owned(),
            Err(errors) => errors.render(false),
        };
        let folder = self.path.parent().unwrap().display().to_string();
        text.replace(&format!("{folder}/"), "")
    }
}

#[test]
fn each_broken_file_is_explained() {
    for file in broken() {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("broken");
        settings.set_omit_expression(true);
        settings.set_input_file(file.path.strip_prefix(root()).unwrap());
        settings.bind(|| insta::assert_snapshot!(file.name.as_str(), file.problems()));
    }
}

/// The places in a source text that make a finding: line, and the text from there on.
fn sites(text: &str) -> Vec<(u32, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut sites = Vec::new();
    for call in ["Finding::new(", "wrong_type(", "bad_name("] {
        for (at, _) in code.match_indices(call) {
            let before = &code[..at];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line = &before[line_start..];
            if line.contains("fn ") || line.contains("//") || line.contains("use ") {
                continue;
            }
            // A helper's own finding has the place of its caller.
            let in_helper = before.rfind("#[track_caller]").is_some_and(|helper| {
                !before[helper..].contains("\n}\n") && !before[helper..].contains("\n    }\n")
            });
            if !in_helper {
                sites.push((before.matches('\n').count() as u32 + 1, &code[line_start..]));
            }
        }
    }
    sites
}

#[test]
fn no_message_is_without_a_broken_file() {
    for file in broken() {
        file.problems();
    }
    let made = MADE.take();
    let mut unread = Vec::new();
    let mut count = 0;
    let mut files: Vec<PathBuf> = fs_err::read_dir(root().join("src/spec"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs_err::read_to_string(&path).unwrap();
        for (line, rest) in sites(&text) {
            count += 1;
            let reached = made
                .iter()
                .any(|&(file, at)| Path::new(file).ends_with(&name) && at == line);
            let excused = OUT_OF_REACH
                .iter()
                .any(|(file, start, _)| *file == name && rest.trim_start().starts_with(start));
            if !reached && !excused {
                let words: Vec<&str> = rest.lines().take(6).map(str::trim).collect();
                unread.push(format!("src/spec/{name}:{line}: {}", words.join(" ")));
            }
        }
    }
    assert!(
        count > 70,
        "only {count} places found: is the search still right?"
    );
    assert!(
        unread.is_empty(),
        "no file in tests/fixtures/broken leads to:\n{}",
        unread.join("\n")
    );
}

#[test]
fn names_of_broken_files_are_told_apart() {
    let texts: BTreeSet<String> = broken().iter().map(Broken::problems).collect();
    assert_eq!(texts.len(), broken().len(), "two files say the same");
}

/// A text as JSON, as editors convert it: dates are texts. `None` where there is no JSON.
fn json(text: &str) -> Option<Value> {
    fn convert(value: toml::Value) -> Option<Value> {
        Some(match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.into(),
            toml::Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
            toml::Value::Boolean(truth) => truth.into(),
            toml::Value::Datetime(moment) => moment.to_string().into(),
            toml::Value::Array(values) => {
                Value::Array(values.into_iter().map(convert).collect::<Option<_>>()?)
            }
            toml::Value::Table(table) => Value::Object(
                table
                    .into_iter()
                    .map(|(key, value)| Some((key, convert(value)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }
    convert(toml::Value::Table(text.parse().ok()?))
}

fn validator() -> jsonschema::Validator {
    let schema = schema(stages::registry());
    jsonschema::draft202012::meta::validate(&schema).expect("a JSON Schema");
    jsonschema::draft202012::new(&schema).expect("a JSON Schema")
}

#[test]
fn the_schema_takes_every_shipped_pipeline() {
    let validator = validator();
    let mut count = 0;
    for entry in fs_err::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let value = json(&fs_err::read_to_string(&path).unwrap()).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(
                errors.is_empty(),
                "{}: {}",
                path.display(),
                errors.join("\n")
            );
            count += 1;
        }
    }
    assert!(count > 0);
}

/// Each broken file says whether a schema can see what is wrong with it, and if not why.
#[test]
fn the_schema_refuses_what_it_can_see() {
    let validator = validator();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in broken() {
        let note = file
            .notes("schema")
            .next()
            .unwrap_or_else(|| panic!("{}: no `# schema:`", file.name));
        let refused = json(&file.text).map(|value| !validator.is_valid(&value));
        match (note.split_once(", "), refused) {
            (None, Some(true)) if note == "sees" => seen += 1,
            (Some(("blind", reason)), Some(false) | None) if !reason.is_empty() => {}
            _ => wrong.push(format!("{}: `{note}`, but refused: {refused:?}", file.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "{seen}");
}

/// A key that is added to the format and forgotten in the schema.
#[test]
fn the_schema_has_every_key() {
    let schema = schema(stages::registry());
    let keys = |value: &Value| -> BTreeSet<String> {
        let properties = value["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    };
    let top: BTreeSet<String> = TOP_LEVEL.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(keys(&schema), top);
    for kind in stages::registry() {
        let stage = &schema["$defs"][format!("stage.{}", kind.name)];
        for key in stage_keys() {
            let value = &stage["properties"][key];
            assert!(value.is_object(), "`{key}` of `{}` is {value}", kind.name);
        }
        for (key, value) in stage["properties"].as_object().unwrap() {
            let own = !stage_keys().any(|known| known == key);
            assert!(
                !own || value["description"].is_string(),
                "`{key}` of `{}` has no docs",
                kind.name
            );
        }
    }
}
