//! The sizes of a T5 model, as `config.json` names them.

use crate::nn::NnError;
use crate::nn::models::activation::Activation;
use crate::nn::models::pretrained::{check, parse, read_config, zeros};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `config.json` of a T5 model. Reading ignores what does not change the computation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct T5Config {
    /// Tokens.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Width of a head; heads together need not be as wide as the hidden states.
    pub d_kv: usize,
    /// Width inside the feed-forward blocks.
    pub d_ff: usize,
    /// Blocks of the encoder.
    pub num_layers: usize,
    /// Blocks of the decoder; as many as in the encoder when absent.
    #[serde(default)]
    pub num_decoder_layers: Option<usize>,
    /// Heads of attention.
    pub num_heads: usize,
    /// Classes of distances that have a bias.
    #[serde(default = "buckets")]
    pub relative_attention_num_buckets: usize,
    /// Distances from here on share the last class.
    #[serde(default = "distance")]
    pub relative_attention_max_distance: usize,
    /// Added to the mean square in norms.
    #[serde(default = "eps")]
    pub layer_norm_epsilon: f64,
    /// `relu` (v1.0), `gated-gelu` (v1.1), or `gated-` and another activation.
    #[serde(default = "relu")]
    pub feed_forward_proj: String,
    /// False in v1.1: logits are not scaled by `d_model^-0.5`.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
    /// Whether logits are scaled, as transformers 5 writes it; follows `tie_word_embeddings` when absent.
    #[serde(default)]
    pub scale_decoder_outputs: Option<bool>,
    /// Standard deviation of random weights is relative to this.
    #[serde(default = "factor")]
    pub initializer_factor: f64,
    /// The first token of the decoder.
    #[serde(default)]
    pub decoder_start_token_id: u32,
    /// Token after every text, read or written.
    #[serde(default)]
    pub eos_token_id: Option<u32>,
    /// Token in places that nothing reads.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
}

fn buckets() -> usize {
    32
}

fn distance() -> usize {
    128
}

fn eps() -> f64 {
    1e-6
}

fn relu() -> String {
    "relu".to_owned()
}

fn yes() -> bool {
    true
}

fn factor() -> f64 {
    1.0
}

impl T5Config {
    /// Reads `config.json` of a model folder.
    pub fn open(folder: &Path) -> Result<Self, NnError> {
        let config: Self = parse(read_config(folder, &["t5"])?, folder)?;
        check(config.problems(), folder)?;
        Ok(config)
    }

    /// Blocks of the decoder.
    pub fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    /// Width of all heads.
    pub fn inner(&self) -> usize {
        self.num_heads * self.d_kv
    }

    /// Whether logits are scaled by `d_model^-0.5`.
    pub fn scales_logits(&self) -> bool {
        self.scale_decoder_outputs
            .unwrap_or(self.tie_word_embeddings)
    }

    /// The activation of the feed-forward blocks, and whether it is a gate. `gated-gelu` is the tanh approximation (v1.1).
    pub fn activation(&self) -> Result<(Activation, bool), NnError> {
        let name = &self.feed_forward_proj;
        let (inner, gated) = match name.strip_prefix("gated-") {
            Some("gelu") => ("gelu_new", true),
            Some(inner) => (inner, true),
            None => (name.as_str(), false),
        };
        Activation::named(inner)
            .map(|activation| (activation, gated))
            .ok_or_else(|| NnError::setting("feed_forward_proj", Activation::unknown(inner)))
    }

    /// Every field that no network can be built from: its name, and the rest of the sentence.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = zeros(&[
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_heads", self.num_heads),
        ]);
        // A quarter of the encoder's classes are single distances.
        let buckets = self.relative_attention_num_buckets;
        if buckets < 4 || !buckets.is_multiple_of(4) {
            problems.push((
                "relative_attention_num_buckets",
                format!("is {buckets}, but must be a multiple of 4"),
            ));
        } else if self.relative_attention_max_distance <= buckets / 2 {
            problems.push((
                "relative_attention_max_distance",
                format!(
                    "is {}, but must be above half of the {buckets} buckets",
                    self.relative_attention_max_distance
                ),
            ));
        }
        if self.activation().is_err() {
            let name = self.feed_forward_proj.trim_start_matches("gated-");
            problems.push(("feed_forward_proj", Activation::unknown(name)));
        }
        problems
    }

    /// The class of the distance from a query to a key.
    ///
    /// In the encoder half of the classes are for keys behind the query. Half of those that are left are for single distances,
    /// the others for ranges that grow as a logarithm. In the decoder keys behind the query are never seen and share class 0.
    pub fn bucket(&self, query: usize, key: usize, decoder: bool) -> usize {
        let mut buckets = self.relative_attention_num_buckets;
        let mut first = 0;
        let distance = if decoder {
            query.saturating_sub(key)
        } else {
            buckets /= 2;
            if key > query {
                first = buckets;
            }
            query.abs_diff(key)
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        // In f32, as in PyTorch: at powers of the ratio the rounding decides.
        let ratio = (distance as f32 / exact as f32).ln()
            / (self.relative_attention_max_distance as f64 / exact as f64).ln() as f32;
        let far = exact + (ratio * (buckets - exact) as f32) as usize;
        first + far.min(buckets - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> T5Config {
        let sizes = r#""vocab_size":9,"d_model":8,"d_kv":4,"d_ff":8,"num_layers":1,"num_heads":2"#;
        serde_json::from_str(&format!("{{{sizes}{text}}}")).unwrap()
    }

    #[test]
    fn buckets_are_those_of_the_paper() {
        let config = config("");
        // From transformers' `_relative_position_bucket`, keys 0, 1, 7, 8, 15, 16, 31, 32, 127, 200 behind query 0.
        let ahead = [0, 1, 7, 8, 15, 16, 31, 32, 127, 200].map(|key| config.bucket(0, key, false));
        assert_eq!(ahead, [0, 17, 23, 24, 25, 26, 27, 28, 31, 31]);
        let before = [1, 8, 200].map(|query| config.bucket(query, 0, false));
        assert_eq!(before, [1, 8, 15]);
        let decoder = [0, 1, 15, 16, 31, 64, 127, 500].map(|query| config.bucket(query, 0, true));
        assert_eq!(decoder, [0, 1, 15, 16, 21, 26, 31, 31]);
        assert_eq!(config.bucket(0, 5, true), 0);
    }

    #[test]
    fn senseless_values_are_named() {
        assert_eq!(config("").problems(), []);
        let wrong = config(
            r#","feed_forward_proj":"gated-mish","relative_attention_num_buckets":6,"tie_word_embeddings":false"#,
        );
        let fields: Vec<_> = wrong
            .problems()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(
            fields,
            ["relative_attention_num_buckets", "feed_forward_proj"]
        );
        assert!(!wrong.scales_logits());
    }
}
