//! Weights of the Llama family as others publish them: Hugging Face folders and GGUF files.

use super::{Llama, LlamaConfig};
use crate::formats::archive::Archive;
use crate::formats::gguf::{self, Gguf};
use crate::nn::models::pretrained::{check, is_gguf, parse, read_config, weights_path, wrong};
use crate::nn::weights::{Form, Source, fill_from};
use crate::nn::{Backend, NnError};
use crate::seed::Seed;
use serde_json::json;
use std::path::Path;

/// The `model_type`s that are this network.
pub const MODEL_TYPES: [&str; 3] = ["llama", "qwen2", "mistral"];

impl LlamaConfig {
    /// Reads the sizes of a model folder (`config.json`) or of a GGUF file.
    pub fn open(place: &Path) -> Result<Self, NnError> {
        let weights = weights_path(place)?;
        if is_gguf(&weights) {
            return Self::from_gguf(&gguf::open(&weights)?);
        }
        let folder = weights.parent().unwrap_or(Path::new("."));
        let mut config = read_config(folder, &MODEL_TYPES)?;
        // Chat models end a text with any of several tokens; the first is what a text ends with in training.
        for field in ["bos_token_id", "eos_token_id"] {
            if let Some(first) = config[field].as_array().map(|all| all.first().cloned()) {
                config[field] = first.into();
            }
        }
        // Models from before grouped queries do not name key heads.
        if config["num_key_value_heads"].is_null() {
            config["num_key_value_heads"] = config["num_attention_heads"].clone();
        }
        let config: Self = parse(config, folder)?;
        check(config.problems(), folder)?;
        Ok(config)
    }

    /// Reads the sizes that a GGUF file's metadata have.
    pub fn from_gguf(file: &Gguf) -> Result<Self, NnError> {
        let architecture = file.text("general.architecture").unwrap_or("");
        if !MODEL_TYPES.contains(&architecture) {
            return Err(wrong(
                file.path(),
                format!(
                    "has the architecture `{architecture}`, but must have one of `{}`",
                    MODEL_TYPES.join("`, `")
                ),
            ));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let mut missing = Vec::new();
        let mut size = |name: &str| {
            let found = file.whole(&key(name)).and_then(|n| usize::try_from(n).ok());
            if found.is_none() {
                missing.push(key(name));
            }
            found.unwrap_or(0)
        };
        let hidden_size = size("embedding_length");
        let intermediate_size = size("feed_forward_length");
        let num_hidden_layers = size("block_count");
        let num_attention_heads = size("attention.head_count");
        let max_position_embeddings = size("context_length");
        if !missing.is_empty() {
            return Err(wrong(
                file.path(),
                format!("lacks the keys `{}`", missing.join("`, `")),
            ));
        }
        let vocab_size = match file
            .entries()
            .get("token_embd.weight")
            .map(|e| &e.shape[..])
        {
            Some([rows, _]) => *rows,
            _ => return Err(wrong(file.path(), "has no matrix `token_embd.weight`")),
        };
        let known = |name: &str| file.whole(&key(name)).and_then(|n| usize::try_from(n).ok());
        let token = |name: &str| {
            file.whole(&format!("tokenizer.ggml.{name}_token_id"))
                .and_then(|id| u32::try_from(id).ok())
        };
        let has = |name: &str| file.entries().contains_key(name);
        let class = match architecture {
            "qwen2" => "Qwen2ForCausalLM",
            "mistral" => "MistralForCausalLM",
            _ => "LlamaForCausalLM",
        };
        let mut config = Self {
            architectures: vec![class.to_owned()],
            model_type: architecture.to_owned(),
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: known("attention.head_count_kv").unwrap_or(num_attention_heads),
            head_dim: known("attention.key_length"),
            vocab_size,
            max_position_embeddings,
            rope_theta: file.float(&key("rope.freq_base")).unwrap_or(10_000.0),
            rms_norm_eps: file
                .float(&key("attention.layer_norm_rms_epsilon"))
                .unwrap_or(1e-5),
            tie_word_embeddings: !has("output.weight"),
            attention_bias: architecture == "llama" && has("blk.0.attn_q.bias"),
            bos_token_id: token("bos"),
            eos_token_id: token("eos"),
            pad_token_id: token("padding"),
            ..Self::default()
        };
        config.rope_scaling = rope_scaling(file, architecture)?;
        let partial = known("rope.dimension_count").is_some_and(|n| n != config.head_dim());
        if partial {
            return Err(wrong(
                file.path(),
                "rotates a part of each head only, which is not known here",
            ));
        }
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(wrong(
                file.path(),
                format!("is senseless: `{field}` {message}"),
            ));
        }
        Ok(config)
    }
}

/// Rescaled frequencies of a GGUF file: `rope_freqs.weight` divides each, or all are divided by one factor.
fn rope_scaling(file: &Gguf, architecture: &str) -> Result<Option<serde_json::Value>, NnError> {
    const FACTORS: &str = "rope_freqs.weight";
    if file.entries().contains_key(FACTORS) {
        let factors = file.clone().into_archive().read(FACTORS)?;
        return Ok(Some(
            json!({"rope_type": "divisors", "divisors": factors.data}),
        ));
    }
    let key = |name: &str| format!("{architecture}.rope.scaling.{name}");
    match file.text(&key("type")) {
        None | Some("none") => Ok(None),
        Some("linear") => Ok(Some(
            json!({"rope_type": "linear", "factor": file.float(&key("factor"))}),
        )),
        Some(other) => Err(wrong(
            file.path(),
            format!("scales rotary frequencies by `{other}`, which is not known here"),
        )),
    }
}

/// The name of a parameter in a GGUF file.
fn gguf_name(name: &str) -> String {
    let Some(rest) = name.strip_prefix("model.layers.") else {
        return match name {
            "model.embed_tokens.weight" => "token_embd.weight",
            "model.norm.weight" => "output_norm.weight",
            "lm_head.weight" => "output.weight",
            other => other,
        }
        .to_owned();
    };
    let (layer, rest) = rest.split_once('.').unwrap_or((rest, ""));
    let (part, kind) = rest.rsplit_once('.').unwrap_or((rest, ""));
    let part = match part {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        other => other,
    };
    format!("blk.{layer}.{part}.{kind}")
}

/// The form of a parameter in a GGUF file: llama.cpp interleaves the heads of Llama, and of nothing else.
fn gguf_form(name: &str, config: &LlamaConfig) -> Form {
    let interleaved = config.model_type != "qwen2";
    if interleaved && name.contains(".q_proj.") {
        Form::Interleaved {
            heads: config.num_attention_heads,
        }
    } else if interleaved && name.contains(".k_proj.") {
        Form::Interleaved {
            heads: config.num_key_value_heads,
        }
    } else {
        Form::Same
    }
}

impl<D: Backend> Llama<D> {
    /// Loads a model folder (`config.json`, and `model.safetensors`, its shards or one `.gguf` file) or a GGUF file.
    ///
    /// # Errors
    /// When the config is of another network or has something that would change the result and is not known here; when a file is damaged;
    /// [`NnError::Weights`] with every missing, extra and wrongly shaped array.
    pub fn load(device: &D, place: &Path) -> Result<Self, NnError> {
        let config = LlamaConfig::open(place)?;
        let path = weights_path(place)?;
        let archive = Archive::open(&path)?;
        // Random numbers would only be overwritten.
        let blank = LlamaConfig {
            initializer_range: 0.0,
            ..config.clone()
        };
        let mut model = Self::new(device, &blank, Seed::new(0))?;
        model.config = config;
        let config = model.config.clone();
        if is_gguf(&path) {
            let source = |name: &str| Source {
                name: gguf_name(name),
                form: gguf_form(name, &config),
            };
            fill_from(&mut model, &archive, &source, &|name| {
                name == "rope_freqs.weight"
            })?;
        } else {
            let ignored = |name: &str| {
                name.ends_with(".rotary_emb.inv_freq")
                    || (config.tie_word_embeddings && name == "lm_head.weight")
            };
            fill_from(&mut model, &archive, &|name| Source::same(name), &ignored)?;
        }
        Ok(model)
    }
}
