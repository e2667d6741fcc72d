//! The sizes of a BERT encoder, as `config.json` names them.

use crate::nn::NnError;
use crate::nn::models::activation::Activation;
use crate::nn::models::pretrained::zeros;
use serde::{Deserialize, Serialize};

/// `config.json` of a BERT encoder. Reading ignores what does not change the computation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads of attention; they divide the width.
    pub num_attention_heads: usize,
    /// Width inside the feed-forward blocks.
    pub intermediate_size: usize,
    /// Tokens.
    pub vocab_size: usize,
    /// Longest text.
    pub max_position_embeddings: usize,
    /// Segments.
    #[serde(default = "segments")]
    pub type_vocab_size: usize,
    /// Between the layers of a feed-forward block.
    #[serde(default = "gelu")]
    pub hidden_act: String,
    /// Added to variances.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// Standard deviation of random weights.
    #[serde(default = "std")]
    pub initializer_range: f64,
    /// Must be `absolute`: the vectors of positions are added.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
    /// Must be false: every token sees every other.
    #[serde(default)]
    pub is_decoder: bool,
}

fn segments() -> usize {
    2
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn eps() -> f64 {
    1e-12
}

fn std() -> f64 {
    0.02
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    /// Every field that no network can be built from: its name, and the rest of the sentence.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = zeros(&[
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ]);
        let heads = self.num_attention_heads;
        if heads > 0 && !self.hidden_size.is_multiple_of(heads) {
            problems.push((
                "num_attention_heads",
                format!("is {heads}, but must divide the width {}", self.hidden_size),
            ));
        }
        if Activation::named(&self.hidden_act).is_none() {
            problems.push(("hidden_act", Activation::unknown(&self.hidden_act)));
        }
        if self.position_embedding_type != "absolute" {
            problems.push((
                "position_embedding_type",
                format!(
                    "is `{}`, but must be `absolute`",
                    self.position_embedding_type
                ),
            ));
        }
        if self.is_decoder {
            problems.push(("is_decoder", "is true, but must be false".to_owned()));
        }
        problems
    }

    pub(super) fn activation(&self) -> Result<Activation, NnError> {
        Activation::named(&self.hidden_act)
            .ok_or_else(|| NnError::setting("hidden_act", Activation::unknown(&self.hidden_act)))
    }
}
