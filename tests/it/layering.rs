//! The walls between rooms: what `lib.rs` promises about imports, and the size of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rooms in their order; a room may use rooms of an earlier group, and its own group's where it says so.
const ORDER: &[&[&str]] = &[
    &["seed", "clock", "progress", "formats", "machine"],
    &["fetch"],
    &[
        "data",
        "text",
        "cf",
        "pairs",
        "tasks",
        "openp5",
        "nn",
        "eval",
        "recommend",
        "tables",
    ],
    &["stages"],
    &["spec"],
    &["graph"],
    &["key"],
    &["artifact"],
    &["plan"],
    &["exec"],
    &["history"],
    &["report"],
    &["cli"],
    &["commands"],
];

/// The most lines that a file may have.
const MOST_LINES: usize = 600;

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs_err::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).expect("below src");
            let text = fs_err::read_to_string(&path).expect("a source file");
            (name.to_string_lossy().into_owned(), text)
        })
        .collect()
}

fn ranks() -> BTreeMap<&'static str, usize> {
    ORDER
        .iter()
        .enumerate()
        .flat_map(|(rank, rooms)| rooms.iter().map(move |&room| (room, rank)))
        .collect()
}

/// The rooms that a source text names after `crate::`, without doc comments.
fn used_rooms(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn rooms_import_only_from_rooms_before_them() {
    let ranks = ranks();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let room = file.split(['/', '.']).next().expect("a name").to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let rank = ranks
            .get(room.as_str())
            .unwrap_or_else(|| panic!("room `{room}` has no place in the order"));
        for used in used_rooms(&text) {
            if let Some(other) = ranks.get(used.as_str()) {
                if other > rank {
                    wrong.push(format!("{file} uses `crate::{used}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_names_no_artifact_and_no_terminal() {
    for (file, text) in sources() {
        let domain = ORDER[1]
            .iter()
            .chain(ORDER[2])
            .any(|room| file.starts_with(&format!("{room}/")));
        if domain {
            for word in ["std::io::stdout", "std::io::stderr", "StageContext"] {
                assert!(!text.contains(word), "{file} names {word}");
            }
        }
    }
}

#[test]
fn files_stay_small() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES}: {long:?}");
}

#[test]
fn the_reader_of_imports_sees_them() {
    let text =
        "// crate::exec\nuse crate::data::Item;\nlet x = crate::nn::ops::add(crate::cf::f());";
    assert_eq!(used_rooms(text), ["data", "nn", "cf"]);
}
