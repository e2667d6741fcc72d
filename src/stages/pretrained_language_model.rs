//! The stage that takes a language model of others.

use super::pretrained_files::ModelFiles;
use super::{ArtifactKind, Port, Problem, SourceFile, Stage, StageContext, StageError};
use crate::formats::{gguf, json};
use crate::nn::count;
use crate::nn::models::language_model::LanguageModel;
use crate::text::{NamedSpecials, Tokenizer, starts_with_bos};
use dfdx::tensor::Cpu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, PathBuf};

/// Takes a pre-trained language model with its tokenizer: a folder of Hugging Face (`config.json`, safetensors, `tokenizer.json`) of the Llama
/// family (Llama, SmolLM2, TinyLlama, Mistral, Qwen2), GPT-2 or T5 (also Flan-T5), or a GGUF file of the Llama family. T5 reads
/// prompts with its encoder and writes with its decoder. Its artifact is the `language_model` and the `tokenizer` of `phase-2` and
/// `generate`.
///
/// Prompt and target stand beside each other as plain text, not in a chat template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedLanguageModel {
    /// The folder or `.gguf` file, relative to the project's folder: `datasets/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf` after `ilm-pipe
    /// data get smollm2-135m`. The contents of its files are part of the key.
    pub model: PathBuf,
    /// Files of the weights: 1 is `model.safetensors`, more are `model-00001-of-….safetensors` with their index. Default: 1.
    #[serde(default = "one")]
    pub shards: usize,
    /// A `tokenizer.json` in the place of the one that a GGUF file has inside. Default: the one inside.
    #[serde(default)]
    pub tokenizer: Option<PathBuf>,
}

fn one() -> usize {
    1
}

impl PretrainedLanguageModel {
    fn files(&self) -> ModelFiles<'_> {
        ModelFiles {
            model: &self.model,
            shards: self.shards,
        }
    }

    /// The tokenizer that is given, as a file.
    fn given(&self) -> Option<SourceFile> {
        self.tokenizer.as_ref().map(|path| SourceFile {
            path: path.clone(),
            required: true,
            hint: "the stage's `tokenizer` names it; paths are relative to the project's folder"
                .to_owned(),
        })
    }

    /// Puts the tokenizer into the artifact.
    fn tokenize(
        &self,
        context: &StageContext<'_>,
        model: &LanguageModel<Cpu>,
    ) -> Result<(), StageError> {
        let (eos, pad) = model.special_tokens();
        let path = context.out("tokenizer.json");
        let specials = if let Some(given) = self.given() {
            fs_err::write(&path, fs_err::read(context.source(&given.path))?)?;
            None
        } else if self.files().is_gguf() {
            let (text, specials) =
                crate::text::gguf::tokenizer(&gguf::open(&context.out("model.gguf"))?)?;
            json::write(&path, &text)?;
            Some(specials)
        } else {
            None
        };
        let specials = match specials {
            Some(specials) => specials,
            None => NamedSpecials {
                bos: starts_with_bos(&path)?,
                eos: eos.ok_or_else(|| {
                    StageError::message(format!(
                        "the model in `{}` names no `eos_token_id`",
                        self.model.display()
                    ))
                })?,
                pad,
                cls: None,
            },
        };
        Ok(Tokenizer::save_specials(&context.output, &specials)?)
    }
}

impl Stage for PretrainedLanguageModel {
    const NAME: &'static str = "pretrained-language-model";
    const ABOUT: &'static str =
        "Takes a language model of others with its tokenizer: SmolLM2, Llama, Qwen2, GPT-2, T5";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[];
    const OUTPUT: ArtifactKind = ArtifactKind::LanguageModel;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = self.files().problems();
        if let Some(path) = &self.tokenizer {
            let inside = path
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            if !inside || path.as_os_str().is_empty() {
                found.push(Problem::new(
                    "tokenizer",
                    format!(
                        "is `{}`, but must be a file inside the project's folder",
                        path.display()
                    ),
                ));
            }
            if !self.files().is_gguf() {
                found.push(Problem::new(
                    "tokenizer",
                    "is for a GGUF file; a folder has its own `tokenizer.json`",
                ));
            }
        }
        found
    }

    fn source_files(&self) -> Vec<SourceFile> {
        let mut files = self.files().sources(&["tokenizer.json"], &[]);
        files.extend(self.given());
        files
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        let files = self.files();
        files.copy(&files.sources(&["tokenizer.json"], &[]), context)?;
        // Whoever gets this artifact can rely on it: what cannot be loaded fails here.
        let model = LanguageModel::load(&Cpu::default(), &context.output)?;
        self.tokenize(context, &model)?;
        let tokenizer = Tokenizer::load(&context.out("tokenizer.json"))?;
        // `<item>` and `<dec>` have no row; some models have spare rows behind their last token.
        let tokens = tokenizer.specials().item as usize;
        if tokens > model.vocab_size() {
            return Err(StageError::message(format!(
                "the tokenizer has {tokens} tokens, but the model in `{}` has {}",
                self.model.display(),
                model.vocab_size()
            )));
        }
        let summary = serde_json::json!({
            "parameters": count(&model).0,
            "d_model": model.width(),
            "layers": model.layers(),
            "context": model.context(),
            "vocab_size": model.vocab_size(),
            "embedding_rms": model.embedding_rms(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
