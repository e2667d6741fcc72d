//! The names in a pipeline file, of a file with mistakes as well: what shells complete.

use super::document::read;
use super::problem::Findings;
use super::source::Sources;
use super::value::{Value, get};
use std::path::Path;

/// The names that a pipeline file and what it includes declare. Nothing is resolved or checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Profiles, sorted.
    pub profiles: Vec<String>,
    /// Parameters and their values as JSON, in the order of the files.
    pub params: Vec<(String, String)>,
    /// Stages and their kinds, in the order of the files; a kind that is missing is empty.
    pub stages: Vec<(String, String)>,
}

/// Reads the names of a file; of one that cannot be read, what can be.
pub fn outline(path: &Path) -> Outline {
    let read_file = |path: &Path| fs_err::read(path);
    let document = read(
        path,
        &read_file,
        &mut Sources::default(),
        &mut Findings::default(),
    );
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    Outline {
        profiles: document.profiles.keys().cloned().collect(),
        params: document
            .params
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.shown()))
            .collect(),
        stages: document
            .stages
            .iter()
            .map(|entry| {
                let kind = match &entry.node.value {
                    Value::Table(keys) => get(keys, "kind").map(|kind| text(&kind.node.value)),
                    _ => None,
                };
                (entry.key.clone(), kind.unwrap_or_default())
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_mistakes_has_an_outline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        let common = "[stage.a]\nkind = 'ingest'\n";
        fs_err::write(folder.path().join("common.toml"), common).unwrap();
        let text = "include = 'common.toml'\nsede = 1\n[params]\nseeds = [1, 2]\nname = 'x'\n[profile.small.params]\n\
            [stage.b]\nkind = 'nonsense'\n[stage.c\nkind = 'split'\n";
        fs_err::write(&path, text).unwrap();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect()
        };
        let outline = outline(&path);
        assert_eq!(outline.profiles, ["small"]);
        assert_eq!(
            outline.params,
            pairs(&[("seeds", "[1,2]"), ("name", "\"x\"")])
        );
        assert_eq!(
            outline.stages[..2],
            pairs(&[("a", "ingest"), ("b", "nonsense")])
        );
    }

    #[test]
    fn no_file_has_no_names() {
        assert_eq!(outline(Path::new("/no/such.toml")), Outline::default());
    }
}
