//! The sizes of a Llama-family decoder, as Hugging Face's `config.json` names them.

use serde::{Deserialize, Serialize};

/// `config.json` of a Llama-family decoder.
///
/// Reading ignores keys that do not change the computation; one that would and is not known here (another activation, a sliding window,
/// a new kind of rotary scaling) is kept and refused by [`LlamaConfig::problems`], so that foreign weights never run as something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Always `["LlamaForCausalLM"]` in what we write.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// `llama` in what we train; `qwen2` has biases on queries, keys and values.
    #[serde(default = "model_type")]
    pub model_type: String,
    /// Width of the residual stream, d.
    pub hidden_size: usize,
    /// Width of the SwiGLU gate.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves `num_attention_heads / num_key_value_heads` query heads.
    pub num_key_value_heads: usize,
    /// Width of one head; `hidden_size / num_attention_heads` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Length of the sequences of the training, in tokens. Rotary positions work beyond it, untrained.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies, `θ_j = base^(−2j/d_h)`.
    #[serde(default = "rope_theta")]
    pub rope_theta: f64,
    /// How rotary frequencies are rescaled; see [`LlamaConfig::rope_frequencies`].
    #[serde(default)]
    pub rope_scaling: Option<serde_json::Value>,
    /// The same with the base in it, as transformers 5 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_parameters: Option<serde_json::Value>,
    /// Must be absent or wider than the context: every query sees all earlier keys here. Counts for Qwen2 only with
    /// `use_sliding_window`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<usize>,
    /// Whether Qwen2 uses its sliding window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_sliding_window: Option<bool>,
    /// Added to the mean square in the RMS norms.
    #[serde(default = "rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// The output layer is the token embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Must be `silu`.
    #[serde(default = "hidden_act")]
    pub hidden_act: String,
    /// Biases on queries, keys, values and the output of attention.
    #[serde(default)]
    pub attention_bias: bool,
    /// Biases in the gate.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Standard deviation of the random start.
    #[serde(default = "initializer_range")]
    pub initializer_range: f64,
    /// Token before every text.
    #[serde(default)]
    pub bos_token_id: Option<u32>,
    /// Token after every text.
    #[serde(default)]
    pub eos_token_id: Option<u32>,
    /// Token in places that nothing reads.
    #[serde(default)]
    pub pad_token_id: Option<u32>,
}

fn architectures() -> Vec<String> {
    vec!["LlamaForCausalLM".to_owned()]
}

fn model_type() -> String {
    "llama".to_owned()
}

fn rope_theta() -> f64 {
    10_000.0
}

fn rms_norm_eps() -> f64 {
    1e-5
}

fn hidden_act() -> String {
    "silu".to_owned()
}

fn initializer_range() -> f64 {
    0.02
}

impl Default for LlamaConfig {
    /// The sizes of the demo's language model, with our tokenizer's special tokens.
    fn default() -> Self {
        Self {
            architectures: architectures(),
            model_type: model_type(),
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: None,
            vocab_size: 2048,
            max_position_embeddings: 160,
            rope_theta: rope_theta(),
            rope_scaling: None,
            rope_parameters: None,
            sliding_window: None,
            use_sliding_window: None,
            rms_norm_eps: rms_norm_eps(),
            tie_word_embeddings: true,
            hidden_act: hidden_act(),
            attention_bias: false,
            mlp_bias: false,
            initializer_range: initializer_range(),
            bos_token_id: Some(1),
            eos_token_id: Some(2),
            pad_token_id: Some(0),
        }
    }
}

/// Far above every model that there is: a file that claims more is damaged, and nothing is allocated for it.
const MOST_WIDE: usize = 1 << 16;
const MOST_LAYERS: usize = 1 << 12;
const MOST_TOKENS: usize = 1 << 24;

impl LlamaConfig {
    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
            .unwrap_or_else(|| self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Width of all keys, and of all values, of one position.
    pub fn key_value_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim()
    }

    /// Whether queries, keys and values have biases.
    pub fn qkv_bias(&self) -> bool {
        self.attention_bias || self.model_type == "qwen2"
    }

    /// Every field that no network can be built from: its name, and the rest of the sentence.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (field, value, most) in [
            ("hidden_size", self.hidden_size, MOST_WIDE),
            ("intermediate_size", self.intermediate_size, 16 * MOST_WIDE),
            ("num_hidden_layers", self.num_hidden_layers, MOST_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MOST_WIDE),
            ("num_key_value_heads", self.num_key_value_heads, MOST_WIDE),
            ("head_dim", self.head_dim.unwrap_or(1), MOST_WIDE),
            ("vocab_size", self.vocab_size, MOST_TOKENS),
        ] {
            if value == 0 {
                problems.push((field, "is 0, but must be at least 1".to_owned()));
            } else if value > most {
                problems.push((field, format!("is {value}, but must be at most {most}")));
            }
        }
        if !problems.is_empty() {
            return problems;
        }
        let heads = self.num_attention_heads;
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(heads) {
            problems.push((
                "num_attention_heads",
                format!("is {heads}, but must divide the width {}", self.hidden_size),
            ));
        } else if !self.head_dim().is_multiple_of(2) {
            problems.push((
                "num_attention_heads",
                format!(
                    "makes heads {} wide, but rotary positions need an even width",
                    self.head_dim()
                ),
            ));
        }
        if !heads.is_multiple_of(self.num_key_value_heads) {
            problems.push((
                "num_key_value_heads",
                format!(
                    "is {}, but must divide the number of heads {heads}",
                    self.num_key_value_heads
                ),
            ));
        }
        if self.hidden_act != "silu" {
            problems.push((
                "hidden_act",
                format!("is `{}`, but only `silu` is known", self.hidden_act),
            ));
        }
        if self.model_type != "llama" && (self.attention_bias || self.mlp_bias) {
            problems.push((
                "attention_bias",
                format!("or `mlp_bias` is true, which no `{}` has", self.model_type),
            ));
        }
        // Qwen2 names a window without using it.
        let used = self
            .use_sliding_window
            .unwrap_or(self.model_type != "qwen2");
        let window = self.sliding_window.filter(|_| used);
        if let Some(window) = window.filter(|&size| size < self.max_position_embeddings) {
            problems.push((
                "sliding_window",
                format!(
                    "is {window}, but every query sees all of the context of {} here",
                    self.max_position_embeddings
                ),
            ));
        }
        if let Err(message) = self.rope_frequencies() {
            problems.push(("rope_scaling", message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_model_has_are_problems() {
        let problems = |config: LlamaConfig| -> Vec<&str> {
            config
                .problems()
                .into_iter()
                .map(|(field, _)| field)
                .collect()
        };
        let wide = LlamaConfig {
            hidden_size: 0xfb00_0020,
            head_dim: Some(1 << 40),
            ..LlamaConfig::default()
        };
        assert_eq!(problems(wide), ["hidden_size", "head_dim"]);
        let none = LlamaConfig {
            head_dim: Some(0),
            vocab_size: usize::MAX,
            ..LlamaConfig::default()
        };
        assert_eq!(problems(none), ["head_dim", "vocab_size"]);
    }

    #[test]
    fn senseless_sizes_are_named() {
        let names = |config: LlamaConfig| {
            config
                .problems()
                .into_iter()
                .map(|(field, _)| field)
                .collect::<Vec<_>>()
        };
        let good = LlamaConfig::default();
        assert!(names(good.clone()).is_empty());
        assert_eq!(
            names(LlamaConfig {
                num_attention_heads: 3,
                num_key_value_heads: 2,
                ..good.clone()
            }),
            ["num_attention_heads", "num_key_value_heads"]
        );
        assert_eq!(
            names(LlamaConfig {
                hidden_size: 0,
                ..good.clone()
            }),
            ["hidden_size"]
        );
        assert_eq!(
            names(LlamaConfig {
                hidden_size: 12,
                ..good
            }),
            ["num_attention_heads"]
        );
    }

    #[test]
    fn a_hugging_face_file_is_read_and_what_we_cannot_run_is_refused() {
        let text = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 576, "intermediate_size": 1536,
            "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
            "max_position_embeddings": 8192, "rope_theta": 100000, "rms_norm_eps": 1e-05, "hidden_act": "silu",
            "tie_word_embeddings": true, "torch_dtype": "bfloat16", "bos_token_id": 0, "eos_token_id": 0}"#;
        let config: LlamaConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.head_dim(), 64);
        assert!(config.problems().is_empty());
        let scaled = LlamaConfig {
            rope_scaling: Some(serde_json::json!({"factor": 32.0})),
            ..config
        };
        assert_eq!(scaled.problems()[0].0, "rope_scaling");
    }
}
