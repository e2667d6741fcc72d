//! The sizes of a Q-Former and what makes them senseless.

use serde::{Deserialize, Serialize};

/// Sizes and constants of a [`Qformer`](super::Qformer), as stored in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QformerConfig {
    /// Width of the hidden states (BLIP-2: 768).
    pub d_model: usize,
    /// Transformer layers (BLIP-2: 12; ILM v1: 8).
    pub layers: usize,
    /// Attention heads; they divide `d_model` (BLIP-2: 12).
    pub heads: usize,
    /// Width inside the feed-forward blocks (BERT: 4 × `d_model`).
    pub d_ff: usize,
    /// Learned query vectors Q, the soft tokens that an item becomes (BLIP-2: 32; ILM: 8).
    pub queries: usize,
    /// Cross-attention sits in the layers whose index this divides: 2 means layers 0, 2, 4 … (BLIP-2: 2).
    pub cross_attention_every: usize,
    /// Width of an item token.
    pub d_item: usize,
    /// Entries of the tokenizer.
    pub vocab: usize,
    /// Longest text in tokens, with its first and last special token (BLIP-2: 32).
    pub max_text_tokens: usize,
    /// Width of the space in which items and texts are compared (BLIP-2: 256).
    pub projection: usize,
    /// Probability of dropping a value after the embeddings and after every sub-block, in training (BERT: 0.1).
    pub dropout: f32,
    /// Added to the variance in every layer norm (BERT: 1e-12).
    pub eps: f32,
    /// Standard deviation of the initial weights and embeddings (BERT: 0.02 at width 768).
    pub init_std: f32,
    /// Start of the learned temperature that divides the contrastive logits (BLIP-2: 0.07).
    pub temperature: f32,
}

impl Default for QformerConfig {
    fn default() -> Self {
        Self {
            d_model: 128,
            layers: 4,
            heads: 4,
            d_ff: 512,
            queries: 8,
            cross_attention_every: 2,
            d_item: 64,
            vocab: 2048,
            max_text_tokens: 32,
            projection: 64,
            dropout: 0.1,
            eps: 1e-12,
            init_std: 0.07,
            temperature: 0.07,
        }
    }
}

impl QformerConfig {
    /// Whether layer `index` reads the item tokens.
    pub const fn has_cross_attention(&self, index: usize) -> bool {
        index.is_multiple_of(self.cross_attention_every)
    }

    /// Width of a head.
    pub const fn head_dim(&self) -> usize {
        self.d_model / self.heads
    }

    /// Every senseless value: the field and the rest of the sentence ("is 0, but must be at least 1").
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let sizes = [
            ("d_model", self.d_model),
            ("layers", self.layers),
            ("heads", self.heads),
            ("d_ff", self.d_ff),
            ("queries", self.queries),
            ("cross_attention_every", self.cross_attention_every),
            ("d_item", self.d_item),
            ("vocab", self.vocab),
            ("projection", self.projection),
        ];
        for (field, size) in sizes {
            if size == 0 {
                found.push((field, "is 0, but must be at least 1".to_owned()));
            }
        }
        if self.heads > 0 && !self.d_model.is_multiple_of(self.heads) {
            found.push((
                "heads",
                format!(
                    "is {}, but must divide `d_model`, which is {}",
                    self.heads, self.d_model
                ),
            ));
        }
        if self.max_text_tokens < 3 {
            let message = format!(
                "is {}, but must be at least 3: a text has a first, a last and one token of its own",
                self.max_text_tokens
            );
            found.push(("max_text_tokens", message));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let message = format!("is {}, but must be from 0 to below 1", self.dropout);
            found.push(("dropout", message));
        }
        let above_zero = [
            ("eps", self.eps),
            ("init_std", self.init_std),
            ("temperature", self.temperature),
        ];
        for (field, value) in above_zero {
            if !(value > 0.0 && value.is_finite()) {
                found.push((field, format!("is {value}, but must be above 0 and finite")));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_problem() {
        assert_eq!(QformerConfig::default().problems(), []);
    }

    #[test]
    fn every_senseless_value_is_named() {
        let config = QformerConfig {
            d_model: 10,
            heads: 4,
            queries: 0,
            max_text_tokens: 2,
            dropout: 1.0,
            eps: f32::NAN,
            ..QformerConfig::default()
        };
        let fields: Vec<_> = config.problems().into_iter().map(|(f, _)| f).collect();
        assert_eq!(
            fields,
            ["queries", "heads", "max_text_tokens", "dropout", "eps"]
        );
        let heads = &config.problems()[1].1;
        assert_eq!(heads, "is 4, but must divide `d_model`, which is 10");
    }
}
