//! The files of a pre-trained model: which are part of a stage's key, and their way into its artifact.
//!
//! A stage reads nothing but the files that it declares: they are copied into the artifact, and the model is loaded from there.

use super::{Problem, SourceFile, StageContext, StageError};
use std::path::{Component, Path, PathBuf};

/// The most shards of a model.
const MOST_SHARDS: usize = 1000;

/// Where a model is, as two stages ask for it.
pub(super) struct ModelFiles<'a> {
    /// A folder, or a `.gguf` file, relative to the project.
    pub model: &'a Path,
    /// Files of the weights.
    pub shards: usize,
}

impl ModelFiles<'_> {
    /// Whether the model is one GGUF file.
    pub fn is_gguf(&self) -> bool {
        self.model
            .extension()
            .is_some_and(|ending| ending == "gguf")
    }

    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let inside = self
            .model
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if self.model.as_os_str().is_empty() || !inside {
            found.push(Problem::new(
                "model",
                format!(
                    "is `{}`, but must be a folder or file inside the project's folder, for instance `datasets/minilm-l6-v2`",
                    self.model.display()
                ),
            ));
        }
        found.extend(Problem::within("shards", self.shards, 1, MOST_SHARDS));
        if self.is_gguf() && self.shards > 1 {
            found.push(Problem::new(
                "shards",
                "is for safetensors, but `model` is a GGUF file",
            ));
        }
        found
    }

    /// The names of the files of the weights.
    fn weights(&self) -> Vec<String> {
        if self.shards == 1 {
            return vec!["model.safetensors".to_owned()];
        }
        let n = self.shards;
        let shards = (1..=n).map(|i| format!("model-{i:05}-of-{n:05}.safetensors"));
        std::iter::once("model.safetensors.index.json".to_owned())
            .chain(shards)
            .collect()
    }

    /// The files to read: weights and config, then `required`, then `optional` ones.
    pub fn sources(&self, required: &[&str], optional: &[String]) -> Vec<SourceFile> {
        let hint = self.hint();
        let file = |path: PathBuf, required| SourceFile {
            path,
            required,
            hint: hint.clone(),
        };
        if self.is_gguf() {
            return vec![file(self.model.to_owned(), true)];
        }
        let weights = self.weights();
        let needed = std::iter::once("config.json")
            .chain(weights.iter().map(String::as_str))
            .chain(required.iter().copied());
        let mut files: Vec<SourceFile> = needed
            .map(|name| file(self.model.join(name), true))
            .collect();
        files.extend(
            optional
                .iter()
                .map(|name| file(self.model.join(name), false)),
        );
        files
    }

    fn hint(&self) -> String {
        let name = self.model.file_name().unwrap_or_default().to_string_lossy();
        let place = self
            .model
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let known = ["minilm-l6-v2", "smollm2-135m"]
            .into_iter()
            .find(|known| *known == name || place == *known);
        match known {
            Some(known) => format!("fetch it with `ilm-pipe data get {known}`"),
            None if self.shards == 1 => {
                "a folder of a model has `config.json`, `tokenizer.json` and `model.safetensors`; say `shards` for weights in several \
                 files"
                    .to_owned()
            }
            None => "the folder of the model must have every shard and `model.safetensors.index.json`".to_owned(),
        }
    }

    /// Copies the declared files that are there into the artifact; a GGUF file becomes `model.gguf`.
    pub fn copy(&self, files: &[SourceFile], context: &StageContext<'_>) -> Result<(), StageError> {
        for file in files {
            let from = context.source(&file.path);
            if !file.required && !from.exists() {
                continue;
            }
            let name = if self.is_gguf() {
                Path::new("model.gguf")
            } else {
                file.path.strip_prefix(self.model).unwrap_or(&file.path)
            };
            let to = context.output.join(name);
            if let Some(folder) = to.parent() {
                fs_err::create_dir_all(folder)?;
            }
            let mut reader = fs_err::File::open(&from)?;
            let mut writer = fs_err::File::create(&to)?;
            // Permissions stay behind: a read-only file could not be replaced when the stage runs again.
            std::io::copy(&mut reader, &mut writer)?;
        }
        Ok(())
    }
}
