//! Folders and files of pre-trained models: which weights a folder has, and what its `config.json` calls itself.

use crate::formats::archive::Archive;
use crate::formats::json;
use crate::nn::NnError;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The names of weights in a folder, in the order in which they are looked for.
pub const WEIGHTS: [&str; 2] = ["model.safetensors", "model.safetensors.index.json"];

/// The weights of a model folder: `model.safetensors`, its shards, or the only `.gguf` file; a file is its own.
///
/// # Errors
/// When there are none, or several `.gguf` files to choose from.
pub fn weights_path(place: &Path) -> Result<PathBuf, NnError> {
    if !place.is_dir() {
        return if place.is_file() {
            Ok(place.to_owned())
        } else {
            Err(wrong(place, "is not there"))
        };
    }
    for name in WEIGHTS {
        let path = place.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let found = gguf_files(place)?;
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(wrong(
            place,
            "has no weights: none of `model.safetensors`, `model.safetensors.index.json` and `*.gguf`",
        )),
        many => {
            let names: Vec<String> = many
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| format!("`{}`", name.to_string_lossy()))
                .collect();
            Err(wrong(
                place,
                format!("has several models, name one of them: {}", names.join(", ")),
            ))
        }
    }
}

/// The `.gguf` files of a folder, sorted.
fn gguf_files(folder: &Path) -> Result<Vec<PathBuf>, NnError> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "gguf") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a path is a GGUF file.
pub fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gguf")
}

/// Opens the weights of a model folder in safetensors.
pub(super) fn open_weights(folder: &Path) -> Result<Archive, NnError> {
    let path = weights_path(folder)?;
    if is_gguf(&path) {
        return Err(wrong(
            &path,
            "is GGUF, which is read for the Llama family only",
        ));
    }
    Ok(Archive::open(&path)?)
}

/// Reads `config.json` and checks that its `model_type` is one of `known`.
pub(super) fn read_config(folder: &Path, known: &[&str]) -> Result<Value, NnError> {
    let path = folder.join("config.json");
    let config: Value = json::read(&path)?;
    let found = config["model_type"].as_str().unwrap_or("");
    if known.contains(&found) {
        Ok(config)
    } else {
        Err(wrong(
            &path,
            format!(
                "has the `model_type` `{found}`, but must have {}",
                known
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(" or ")
            ),
        ))
    }
}

/// Reads a config of a type from its JSON; `path` is where it came from.
pub(super) fn parse<T: serde::de::DeserializeOwned>(
    config: Value,
    folder: &Path,
) -> Result<T, NnError> {
    serde_json::from_value(config)
        .map_err(|error| wrong(&folder.join("config.json"), error.to_string()))
}

/// The error with every senseless field of a config, or none.
pub(super) fn check(problems: Vec<(&'static str, String)>, folder: &Path) -> Result<(), NnError> {
    if problems.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = problems
        .into_iter()
        .map(|(field, message)| format!("`{field}` {message}"))
        .collect();
    Err(wrong(&folder.join("config.json"), all.join("; ")))
}

/// An error about a file or folder of a pre-trained model.
pub(super) fn wrong(path: &Path, message: impl Into<String>) -> NnError {
    NnError::Pretrained {
        path: path.to_owned(),
        message: message.into(),
    }
}

/// `at least 1` for every field that is 0.
pub(super) fn zeros(sizes: &[(&'static str, usize)]) -> Vec<(&'static str, String)> {
    sizes
        .iter()
        .filter(|(_, size)| *size == 0)
        .map(|(field, _)| (*field, "is 0, but must be at least 1".to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_of_a_folder_are_found_or_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| fs_err::write(folder.path().join(name), "").unwrap();
        let says = || {
            let error = weights_path(folder.path()).unwrap_err().to_string();
            error.replace(&folder.path().display().to_string(), "F")
        };
        assert!(says().starts_with("`F` has no weights: none of"));
        put("b.gguf");
        assert!(weights_path(folder.path()).unwrap().ends_with("b.gguf"));
        put("a.gguf");
        assert_eq!(
            says(),
            "`F` has several models, name one of them: `a.gguf`, `b.gguf`"
        );
        put("model.safetensors");
        assert!(
            weights_path(folder.path())
                .unwrap()
                .ends_with("model.safetensors")
        );
    }

    #[test]
    fn another_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(
            folder.path().join("config.json"),
            r#"{"model_type":"roberta"}"#,
        )
        .unwrap();
        let error = read_config(folder.path(), &["bert"])
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("has the `model_type` `roberta`, but must have `bert`"),
            "{error}"
        );
    }
}
