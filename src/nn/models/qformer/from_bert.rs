//! Starts a Q-Former's text branch, and all that queries share with it, from a BERT encoder, as BLIP-2 does (Li et al. 2023, section 3.1).

use super::Qformer;
use crate::formats::archive::Archive;
use crate::nn::models::bert::Bert;
use crate::nn::models::pretrained::{weights_path, wrong};
use crate::nn::weights::to_arrays;
use crate::nn::{Backend, Module as _, NnError};
use std::path::Path;

/// Where a parameter comes from in BERT.
enum Origin {
    /// From the array of this name.
    Whole(String),
    /// The first rows from the array of this name; further rows stay random.
    Rows(String),
    /// The vectors of positions, with the first segment's added: a Q-Former has no segments.
    Positions,
    /// From the head that predicts masked words, where the file has one.
    Head(String),
    /// Nowhere: it stays random.
    New,
}

fn origin(name: &str) -> Origin {
    const LAYERS: &str = "qformer.encoder.layer.";
    if let Some(rest) = name.strip_prefix(LAYERS) {
        let (index, part) = rest.split_once('.').unwrap_or((rest, ""));
        if part.starts_with("crossattention.") {
            return Origin::New;
        }
        // The blocks of the queries start as copies of those of the text.
        let part = part
            .replace("attention.attention.", "attention.self.")
            .replace("intermediate_query.", "intermediate.")
            .replace("output_query.", "output.");
        return Origin::Whole(format!("encoder.layer.{index}.{part}"));
    }
    if let Some(part) = name.strip_prefix("qformer.layernorm.") {
        return Origin::Whole(format!("embeddings.LayerNorm.{part}"));
    }
    match name {
        "embeddings.word_embeddings.weight" => Origin::Rows(name.to_owned()),
        "embeddings.position_embeddings.weight" => Origin::Positions,
        _ if name.starts_with("cls.predictions.") => Origin::Head(name.to_owned()),
        _ => Origin::New,
    }
}

impl<D: Backend> Qformer<D> {
    /// Takes over what BERT in `folder` has: self-attention and its norms, both kinds of feed-forward block, embeddings, and the head
    /// of masked words where the file has it. Cross-attention, queries, projections, and the rows of tokens that BERT does not know stay
    /// as they are. Returns how many numbers were taken over.
    ///
    /// # Errors
    /// When the sizes differ, all of them named; the model is unchanged then. As for every pre-trained model otherwise.
    pub fn start_from_bert(&mut self, device: &D, folder: &Path) -> Result<usize, NnError> {
        let bert = Bert::load(device, folder)?;
        let (theirs, ours) = (bert.config(), self.config().clone());
        let mut problems = Vec::new();
        for (field, found, expected) in [
            ("d_model", ours.d_model, theirs.hidden_size),
            ("heads", ours.heads, theirs.num_attention_heads),
            (
                "the width of a feed-forward block",
                ours.d_ff,
                theirs.intermediate_size,
            ),
        ] {
            if found != expected {
                problems.push(format!("{field} is {found} here and {expected} there"));
            }
        }
        for (field, found, most) in [
            ("layers", ours.layers, theirs.num_hidden_layers),
            (
                "max_text_tokens",
                ours.max_text_tokens,
                theirs.max_position_embeddings,
            ),
        ] {
            if found > most {
                problems.push(format!("{field} is {found} here, but at most {most} there"));
            }
        }
        if ours.vocab < theirs.vocab_size {
            problems.push(format!(
                "the tokenizer has {} tokens, but BERT {}: it must be BERT's own",
                ours.vocab, theirs.vocab_size
            ));
        }
        if (f64::from(ours.eps) - theirs.layer_norm_eps).abs() > 1e-3 * theirs.layer_norm_eps {
            problems.push(format!(
                "norms add {} here and {} there",
                ours.eps, theirs.layer_norm_eps
            ));
        }
        if theirs.hidden_act != "gelu" {
            problems.push(format!(
                "its activation is `{}`, but must be `gelu`",
                theirs.hidden_act
            ));
        }
        if !problems.is_empty() {
            return Err(wrong(
                folder,
                format!("cannot start this Q-Former: {}", problems.join("; ")),
            ));
        }

        let arrays = to_arrays(&bert);
        let archive = Archive::open(&weights_path(folder)?)?;
        let array = |name: &str| arrays.get(name).map(|array| &array.data[..]);
        let mut taken = 0;
        let mut result = Ok(());
        self.visit_mut("", &mut |name, param| {
            if result.is_err() {
                return;
            }
            let mut values = param.value.to_vec();
            let found = match origin(name) {
                Origin::New => None,
                Origin::Whole(name) | Origin::Rows(name) => array(&name).map(<[f32]>::to_vec),
                Origin::Positions => array("embeddings.position_embeddings.weight")
                    .zip(array("embeddings.token_type_embeddings.weight"))
                    .map(|(positions, segments)| {
                        let rows = positions.chunks_exact(ours.d_model);
                        rows.flat_map(|row| row.iter().zip(segments).map(|(a, b)| a + b))
                            .collect()
                    }),
                Origin::Head(name) => {
                    if archive.entries().contains_key(&name) {
                        match archive.read(&name) {
                            Ok(array) => Some(array.data),
                            Err(error) => {
                                result = Err(error.into());
                                None
                            }
                        }
                    } else {
                        None
                    }
                }
            };
            if let Some(found) = found {
                let count = found.len().min(values.len());
                values[..count].copy_from_slice(&found[..count]);
                taken += count;
                if result.is_ok() {
                    result = param.value.overwrite(&values);
                }
            }
        });
        result.map(|()| taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tensors;
    use crate::nn::Graph;
    use crate::nn::models::qformer::{QformerConfig, TextBatch};
    use crate::seed::Seed;
    use dfdx::tensor::Cpu;

    fn reference() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/bert")
    }

    fn config() -> QformerConfig {
        QformerConfig {
            d_model: 16,
            layers: 2,
            heads: 4,
            d_ff: 32,
            d_item: 5,
            vocab: 42,
            max_text_tokens: 12,
            ..QformerConfig::default()
        }
    }

    #[test]
    fn a_text_passes_through_as_through_bert() {
        let device = Cpu::default();
        let mut model = Qformer::new(&config(), &device, Seed::new(1)).unwrap();
        let before = to_arrays(&model);
        let taken = model.start_from_bert(&device, &reference()).unwrap();
        // Two layers with both kinds of blocks, the first norm, words and positions, and the head's bias.
        let layer = 4 * (16 * 16 + 16) + 32 + 2 * (2 * 16 * 32 + 32 + 16 + 32);
        assert_eq!(taken, 2 * layer + 32 + 40 * 16 + 12 * 16 + 40);

        let texts: [&[u32]; 2] = [&[1, 7, 3, 22, 5, 39, 11, 2, 17], &[1, 4, 9, 2]];
        let batch = TextBatch::new(&texts, 0, None);
        let found = model
            .text(&Graph::inference(&device), &batch)
            .unwrap()
            .to_vec();
        let path = reference().join("expected.safetensors");
        let expected = &tensors::read(&path).unwrap()["hidden"].data;
        // Rows of padding are not in the file.
        for (a, b) in found[..13 * 16].iter().zip(expected) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }

        let after = to_arrays(&model);
        for name in [
            "query_tokens",
            "qformer.encoder.layer.0.crossattention.attention.key.weight",
            "temp",
        ] {
            assert_eq!(before[name], after[name], "{name}");
        }
        let words = "embeddings.word_embeddings.weight";
        assert_eq!(before[words].data[40 * 16..], after[words].data[40 * 16..]);
        let (text, query) = (
            "qformer.encoder.layer.1.intermediate.dense.weight",
            "qformer.encoder.layer.1.intermediate_query.dense.weight",
        );
        assert_eq!(after[text], after[query]);
    }

    #[test]
    fn other_sizes_are_all_named() {
        let device = Cpu::default();
        let other = QformerConfig {
            d_model: 8,
            layers: 3,
            vocab: 30,
            max_text_tokens: 20,
            ..config()
        };
        let mut model = Qformer::new(&other, &device, Seed::new(1)).unwrap();
        let error = model
            .start_from_bert(&device, &reference())
            .unwrap_err()
            .to_string();
        let (_, said) = error.split_once("cannot").unwrap();
        insta::assert_snapshot!(said, @" start this Q-Former: d_model is 8 here and 16 there; layers is 3 here, but at most 2 there; max_text_tokens is 20 here, but at most 16 there; the tokenizer has 30 tokens, but BERT 40: it must be BERT's own");
    }
}
