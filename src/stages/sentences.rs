//! The text encoders that stages can read: one fitted here, or one of others.

use super::device::on_device;
use super::{StageContext, StageError};
use crate::formats::tensors::Array;
use crate::nn::models::sentence::SentenceEncoder;
use crate::nn::{Backend, NnError};
use crate::progress::Progress;
use crate::text::TextEncoder;

/// From texts to vectors.
pub(super) enum Sentences {
    /// TF-IDF and SVD.
    Fitted(TextEncoder),
    /// A network.
    Pretrained(Box<dyn Encode>),
}

/// A network on some device.
pub(super) trait Encode {
    /// See [`SentenceEncoder::encode`].
    fn encode(&self, texts: &[String], progress: &dyn Progress) -> Result<Array, NnError>;
}

impl<D: Backend> Encode for SentenceEncoder<D> {
    fn encode(&self, texts: &[String], progress: &dyn Progress) -> Result<Array, NnError> {
        Self::encode(self, texts, progress)
    }
}

impl Sentences {
    /// Reads the encoder of the port `encoder`.
    pub fn read(context: &StageContext<'_>) -> Result<Self, StageError> {
        let artifact = context.input("encoder")?;
        if artifact.file("config.json").exists() {
            on_device!(context, 1, |device| {
                let encoder = SentenceEncoder::load(device, &artifact.folder)?;
                Ok(Self::Pretrained(Box::new(encoder)))
            })
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
