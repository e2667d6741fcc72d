//! The text encoders that stages can read: one fitted here, or one of others.

use super::language_io::only_cpu;
use super::{StageContext, StageError};
use crate::formats::tensors::Array;
use crate::nn::models::sentence::SentenceEncoder;
use crate::text::TextEncoder;
use dfdx::tensor::Cpu;

/// From texts to vectors.
pub(super) enum Sentences {
    /// TF-IDF and SVD.
    Fitted(TextEncoder),
    /// A network.
    Pretrained(Box<SentenceEncoder<Cpu>>),
}

impl Sentences {
    /// Reads the encoder of the port `encoder`.
    pub fn read(context: &StageContext<'_>) -> Result<Self, StageError> {
        let artifact = context.input("encoder")?;
        if artifact.file("config.json").exists() {
            only_cpu(context)?;
            let encoder = SentenceEncoder::load(&Cpu::default(), &artifact.folder)?;
            Ok(Self::Pretrained(Box::new(encoder)))
        } else {
            Ok(Self::Fitted(TextEncoder::load(&artifact.folder)?))
        }
    }

    /// One vector a text, `[n, dim]`, of unit length, or zero where the encoder knows nothing of a text.
    pub fn encode(
        &self,
        texts: &[String],
        context: &StageContext<'_>,
    ) -> Result<Array, StageError> {
        match self {
            Self::Fitted(encoder) => Ok(encoder.encode(texts)),
            Self::Pretrained(encoder) => Ok(encoder.encode(texts, context.progress)?),
        }
    }
}
