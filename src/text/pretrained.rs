//! Tokenizers that others trained: `tokenizer.json` of Hugging Face.

use super::TextError;
use rayon::prelude::*;
use std::path::Path;
use tokenizers::{TruncationDirection, TruncationParams, TruncationStrategy};

/// The tokenizer of a pre-trained encoder: text to ids with the special tokens that its model expects.
///
/// What the file says of truncation and padding is replaced: files carry whatever the last program before their publication
/// had set (MiniLM's cuts at 128 and pads everything to 128, but its model reads 256).
pub struct PretrainedTokenizer(tokenizers::Tokenizer);

impl PretrainedTokenizer {
    /// Reads `tokenizer.json`; texts are cut to `limit` tokens, special ones included.
    pub fn load(path: &Path, limit: usize) -> Result<Self, TextError> {
        let bytes = fs_err::read(path)?;
        let wrong = |message: String| TextError::File {
            path: path.to_owned(),
            message,
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(format!("is no tokenizer: {error}")))?;
        inner.with_padding(None);
        inner
            .with_truncation(Some(TruncationParams {
                direction: TruncationDirection::Right,
                max_length: limit,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
            }))
            .map_err(|error| wrong(format!("cannot cut texts to {limit} tokens: {error}")))?;
        Ok(Self(inner))
    }

    /// The number of tokens; ids are below it, unless the file skips some.
    pub fn vocab_size(&self) -> usize {
        self.0.get_vocab_size(true)
    }

    /// The ids of every text, with the special tokens of the model.
    ///
    /// # Errors
    /// When the vocabulary has no token for something in a text, not even one for the unknown.
    pub fn encode_all(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, TextError> {
        texts
            .par_iter()
            .map(|text| {
                let encoding = self.0.encode(text.as_str(), true);
                let encoding = encoding.map_err(TextError::Tokenizer)?;
                Ok(encoding.get_ids().to_vec())
            })
            .collect()
    }
}

impl std::fmt::Debug for PretrainedTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PretrainedTokenizer({} tokens)", self.vocab_size())
    }
}
