//! The stage that takes a sentence encoder of others.

use super::pretrained_files::ModelFiles;
use super::{ArtifactKind, Port, Problem, SourceFile, Stage, StageContext, StageError};
use crate::formats::json;
use crate::nn::models::sentence::SentenceEncoder;
use crate::text::{NamedSpecials, Tokenizer, token_ids};
use dfdx::tensor::Cpu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Takes a pre-trained sentence encoder: a folder of sentence-transformers with a BERT or T5 encoder (MiniLM, Sentence-T5), or a plain
/// BERT or T5 folder of Hugging Face, which is then pooled by the mean. Its vectors have unit length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainedEncoder {
    /// The folder, relative to the project's folder: `datasets/minilm-l6-v2` after `ilm-pipe data get minilm-l6-v2`. The contents of its
    /// files are part of the key.
    pub model: PathBuf,
    /// Files of the weights: 1 is `model.safetensors`, more are `model-00001-of-….safetensors` with their index. Default: 1.
    #[serde(default = "one")]
    pub shards: usize,
}

fn one() -> usize {
    1
}

/// Modules after the network, which sentence-transformers numbers, at most.
const MOST_MODULES: usize = 5;

impl PretrainedEncoder {
    fn files(&self) -> ModelFiles<'_> {
        ModelFiles {
            model: &self.model,
            shards: self.shards,
        }
    }

    /// Names the special tokens of BERT's kind, so that a Q-Former can read texts with this tokenizer. Others have none to name.
    fn name_specials(context: &StageContext<'_>) -> Result<(), StageError> {
        let path = context.out("tokenizer.json");
        let [cls, eos, pad] = token_ids(&path, ["[CLS]", "[SEP]", "[PAD]"])?;
        if let (Some(_), Some(eos)) = (cls, eos) {
            let specials = NamedSpecials {
                bos: None,
                eos,
                pad,
                cls,
            };
            Tokenizer::save_specials(&context.output, &specials)?;
        }
        Ok(())
    }

    /// What a folder may have beside its network.
    fn optional() -> Vec<String> {
        let mut names: Vec<String> = [
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer_config.json",
        ]
        .map(str::to_owned)
        .into();
        for number in 1..=MOST_MODULES {
            names.push(format!("{number}_Pooling/config.json"));
            names.push(format!("{number}_Dense/config.json"));
            names.push(format!("{number}_Dense/model.safetensors"));
        }
        names
    }
}

impl Stage for PretrainedEncoder {
    const NAME: &'static str = "pretrained-encoder";
    const ABOUT: &'static str =
        "Takes a sentence encoder of others: MiniLM, Sentence-T5 and their like";
    const VERSION: u32 = 1;
    const PORTS: &'static [Port] = &[];
    const OUTPUT: ArtifactKind = ArtifactKind::TextEncoder;
    const SEEDED: bool = false;

    fn problems(&self) -> Vec<Problem> {
        let mut found = self.files().problems();
        if self.files().is_gguf() {
            found.push(Problem::new(
                "model",
                "is a GGUF file, but must be a folder with safetensors",
            ));
        }
        found
    }

    fn source_files(&self) -> Vec<SourceFile> {
        self.files().sources(&["tokenizer.json"], &Self::optional())
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        self.files().copy(&Stage::source_files(self), context)?;
        // Whoever gets this artifact can rely on it: what cannot be loaded fails here.
        let encoder = SentenceEncoder::load(&Cpu::default(), &context.output)?;
        let probe = ["one text".to_owned()];
        let vector = encoder.encode(&probe, context.progress)?;
        if vector.data.iter().any(|x| !x.is_finite()) {
            return Err(StageError::message(format!(
                "the encoder in `{}` gives vectors with values that are not finite",
                self.model.display()
            )));
        }
        Self::name_specials(context)?;
        let summary = serde_json::json!({
            "dim": encoder.dim(),
            "max_tokens": encoder.config().limit,
            "parameters": encoder.parameters(),
        });
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
