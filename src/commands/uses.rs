//! Which pipelines read a data set.

use crate::fetch::catalogue::{Entry, Kind};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A pipeline that reads a data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Use {
    /// The file.
    pub(super) file: PathBuf,
    /// The profile that reads it; none where the file does by itself.
    pub(super) profile: Option<String>,
    /// Whether it has to be told to: `--set dataset=NAME`.
    pub(super) on_request: bool,
}

impl Use {
    /// What to type.
    pub(super) fn command(&self, name: &str) -> String {
        let mut text = format!("ilm-pipe run {}", self.file.display());
        if let Some(profile) = &self.profile {
            text = format!("{text} --profile {profile}");
        }
        if self.on_request {
            text = format!("{text} --set dataset={name}");
        }
        text
    }
}

/// The pipelines in `pipelines/` that name a data set, and those whose parameter `dataset` could. Files that are no
/// TOML are left to `check`.
pub(super) fn uses(project: &Path, entry: &Entry) -> Vec<Use> {
    let shown = Path::new("pipelines");
    let folder = project.join(shown);
    let Ok(entries) = fs_err::read_dir(&folder) else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let (Some(file), true) = (
            path.file_name(),
            path.extension().is_some_and(|e| e == "toml"),
        ) else {
            continue;
        };
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        if let Ok(table) = text.parse::<Table>() {
            found.extend(
                uses_of(&table, entry.name, entry.kind == Kind::DataSet)
                    .into_iter()
                    .map(|(profile, on_request)| Use {
                        file: shown.join(file),
                        profile,
                        on_request,
                    }),
            );
        }
    }
    found.into_iter().collect()
}

fn uses_of(table: &Table, name: &str, data_set: bool) -> Vec<(Option<String>, bool)> {
    let mut found = Vec::new();
    let rest = table.iter().filter(|(key, _)| *key != "profile");
    if rest.map(|(_, value)| value).any(|value| names(value, name)) {
        found.push((None, false));
    }
    let profiles = table
        .get("profile")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    for (profile, value) in profiles {
        if names(value, name) {
            found.push((Some(profile.clone()), false));
        }
    }
    let settable = table
        .get("params")
        .and_then(|params| params.get("dataset"))
        .is_some_and(Value::is_str);
    if found.is_empty() && settable && data_set {
        found.push((None, true));
    }
    found
}

fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::String(text) => {
            let text = text.strip_prefix("datasets/").unwrap_or(text);
            text == name
                || text
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('/'))
        }
        Value::Array(values) => values.iter().any(|value| names(value, name)),
        Value::Table(table) => table.values().any(|value| names(value, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_parameters_that_name_a_data_set_are_found() {
        let table: Table =
            "[params]\ndataset = 'demo'\n[profile.small.params]\ndataset = 'ml-1m'\n\
                            [stage.lm]\nweights = 'datasets/smollm2-135m/w.gguf'"
                .parse()
                .unwrap();
        assert_eq!(
            uses_of(&table, "ml-1m", true),
            [(Some("small".to_owned()), false)]
        );
        assert_eq!(uses_of(&table, "smollm2-135m", false), [(None, false)]);
        assert_eq!(uses_of(&table, "ml-25m", true), [(None, true)]);
        assert_eq!(uses_of(&table, "minilm-l6-v2", false), []);
        assert_eq!(uses_of(&Table::new(), "ml-25m", true), []);
    }
}
