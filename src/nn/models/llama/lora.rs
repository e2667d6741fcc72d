//! Low-rank adaptation of chosen projections, and its files, which are those of Hugging Face's PEFT.

use super::Llama;
use crate::formats::{json, tensors};
use crate::nn::low_rank::LowRank;
use crate::nn::models::pretrained::wrong;
use crate::nn::{Backend, Module as _, NnError, weights};
use crate::seed::Seed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Which projections learn through low-rank matrices (LoRA), and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank r of the matrices `A` `[r, in]` and `B` `[out, r]`. At least 1. Default: 8 (PEFT).
    pub rank: usize,
    /// What they add is multiplied by `alpha / rank`. Above 0. Default: 16 (twice the rank, as most recipes have it).
    pub alpha: f64,
    /// Share of a projection's input that `A` does not see in training, from 0 to below 1. Default: 0 (PEFT).
    pub dropout: f64,
    /// The projections, in every block. Default: `q` and `v` (Hu et al. 2021, table 5).
    pub on: Vec<Projection>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            on: vec![Projection::Q, Projection::V],
        }
    }
}

/// A linear layer of a block.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output of attention.
    O,
    /// Gate of the feed-forward half.
    Gate,
    /// Its input.
    Up,
    /// Its output.
    Down,
}

impl Projection {
    /// Every projection, in the order of a block.
    pub const ALL: [Self; 7] = [
        Self::Q,
        Self::K,
        Self::V,
        Self::O,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// Its name in weight files.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }
}

impl LoraConfig {
    /// Every senseless value: the field and the rest of the sentence about it.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.rank == 0 {
            problems.push(("rank", "is 0, but must be at least 1".to_owned()));
        }
        let alpha = self.alpha;
        if !(alpha > 0.0 && alpha.is_finite()) {
            problems.push(("alpha", format!("is {alpha}, but must be above 0")));
        }
        let dropout = self.dropout;
        if !(0.0..1.0).contains(&dropout) {
            let message = format!("is {dropout}, but must be from 0 to below 1");
            problems.push(("dropout", message));
        }
        if self.on.is_empty() {
            let message = "is empty, but must name at least one projection".to_owned();
            problems.push(("on", message));
        }
        for (index, projection) in self.on.iter().enumerate() {
            if self.on[..index].contains(projection) {
                problems.push(("on", format!("names `{}` twice", projection.module())));
            }
        }
        problems
    }
}

/// What every name in PEFT's files starts with: the wrapper of a wrapper.
const PREFIX: &str = "base_model.model.";

/// Whether a parameter is one of a low-rank pair.
pub fn is_lora(name: &str) -> bool {
    name.ends_with(".lora_A.weight") || name.ends_with(".lora_B.weight")
}

/// Settings of PEFT that change the result and are not known here, and the values that mean that they are not used.
const UNUSED: [(&str, &[&str]); 15] = [
    ("bias", &["\"none\""]),
    ("fan_in_fan_out", &["false"]),
    ("use_rslora", &["false"]),
    ("use_dora", &["false"]),
    ("lora_bias", &["false"]),
    ("modules_to_save", &["[]"]),
    ("layers_to_transform", &["[]"]),
    ("exclude_modules", &["[]"]),
    ("rank_pattern", &["{}"]),
    ("alpha_pattern", &["{}"]),
    ("trainable_token_indices", &["[]"]),
    ("layer_replication", &["[]"]),
    ("target_parameters", &["[]"]),
    ("use_qalora", &["false"]),
    ("use_bdlora", &["false"]),
];

impl<D: Backend> Llama<D> {
    /// Gives the chosen projections of every block low-rank matrices that change nothing yet.
    pub fn add_lora(&mut self, device: &D, config: &LoraConfig, seed: Seed) -> Result<(), NnError> {
        if let Some((field, message)) = config.problems().into_iter().next() {
            return Err(NnError::setting(format!("lora.{field}"), message));
        }
        let scale = (config.alpha / config.rank as f64) as f32;
        for (index, block) in self.layers.iter_mut().enumerate() {
            let seed = seed.child("layer").at(index as u64);
            for &projection in &config.on {
                let layer = block.projection(projection);
                let seed = seed.child(projection.module());
                let dropout = config.dropout as f32;
                let pair = LowRank::new(device, layer, config.rank, scale, dropout, seed)?;
                layer.lora = Some(Box::new(pair));
            }
        }
        Ok(())
    }

    /// Whether it has low-rank matrices.
    pub fn has_lora(&self) -> bool {
        let mut found = false;
        self.visit("", &mut |name, _| found |= is_lora(name));
        found
    }

    /// Adds every low-rank pair to its weight.
    pub fn merge_lora(&mut self, device: &D) -> Result<(), NnError> {
        for block in &mut self.layers {
            for projection in Projection::ALL {
                block.projection(projection).merge(device)?;
            }
        }
        Ok(())
    }

    /// Writes the low-rank matrices into a folder as PEFT does: `adapter_config.json` and `adapter_model.safetensors`.
    pub fn save_lora(&self, config: &LoraConfig, folder: &Path) -> Result<(), NnError> {
        fs_err::create_dir_all(folder)?;
        let modules: Vec<&str> = config.on.iter().map(|p| p.module()).collect();
        let text = serde_json::json!({
            "base_model_name_or_path": null,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "peft_type": "LORA",
            "r": config.rank,
            "target_modules": modules,
            "task_type": "CAUSAL_LM",
        });
        json::write(&folder.join("adapter_config.json"), &text)?;
        let arrays = weights::to_arrays(self).into_iter();
        let arrays: BTreeMap<_, _> = arrays
            .filter(|(name, _)| is_lora(name))
            .map(|(name, array)| (format!("{PREFIX}{name}"), array))
            .collect();
        tensors::write(&folder.join("adapter_model.safetensors"), &arrays)?;
        Ok(())
    }

    /// Takes over the low-rank matrices of a folder of PEFT's.
    ///
    /// # Errors
    /// A setting that would change the result and is not known here; [`NnError::Weights`] with every missing, extra and wrongly
    /// shaped array.
    pub fn load_lora(&mut self, device: &D, folder: &Path) -> Result<LoraConfig, NnError> {
        let path = folder.join("adapter_config.json");
        let config = read_config(&json::read(&path)?).map_err(|message| wrong(&path, message))?;
        self.add_lora(device, &config, Seed::new(0))?;
        let path = folder.join("adapter_model.safetensors");
        let read = tensors::read(&path)?.into_iter();
        let mut arrays: BTreeMap<_, _> = read
            .map(|(name, array)| match name.strip_prefix(PREFIX) {
                Some(own) => (own.to_owned(), array),
                None => (name, array),
            })
            .collect();
        // What the file does not hold stays as it is; of the matrices it must hold all.
        for (name, array) in weights::to_arrays(self) {
            if !is_lora(&name) {
                arrays.entry(name).or_insert(array);
            }
        }
        weights::fill(self, arrays, &path)?;
        Ok(config)
    }
}

/// Reads PEFT's settings.
fn read_config(text: &Map<String, Value>) -> Result<LoraConfig, String> {
    if text.get("peft_type").and_then(Value::as_str) != Some("LORA") {
        return Err("has no `peft_type` \"LORA\"".to_owned());
    }
    for (name, unused) in UNUSED {
        if let Some(value) = text.get(name) {
            if !value.is_null() && !unused.contains(&value.to_string().as_str()) {
                return Err(format!("has `{name}` {value}, which is not known here"));
            }
        }
    }
    let number = |name: &str| text.get(name).and_then(Value::as_f64);
    let modules = text.get("target_modules").and_then(Value::as_array);
    let (Some(rank), Some(alpha), Some(modules)) = (number("r"), number("lora_alpha"), modules)
    else {
        return Err("lacks `r`, `lora_alpha` or a list of `target_modules`".to_owned());
    };
    let on = modules
        .iter()
        .map(|module| {
            let known = |p: &Projection| module.as_str() == Some(p.module());
            let found = Projection::ALL.into_iter().find(known);
            found.ok_or_else(|| {
                format!("has the target {module}, which is no projection of a block")
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(LoraConfig {
        rank: rank as usize,
        alpha,
        dropout: number("lora_dropout").unwrap_or(0.0),
        on,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::models::llama::tests::{logits, tiny};
    use dfdx::tensor::Cpu;

    #[test]
    fn new_matrices_change_no_bit() {
        let device = Cpu::default();
        let mut model = Llama::new(&device, &tiny(), Seed::new(1)).unwrap();
        let bits = |model: &Llama<Cpu>| -> Vec<u32> {
            let all = logits(model, &[1, 7, 3, 3, 9, 2], 2);
            all.iter().map(|x| x.to_bits()).collect()
        };
        let before = bits(&model);
        let config = LoraConfig {
            on: Projection::ALL.to_vec(),
            dropout: 0.5,
            ..LoraConfig::default()
        };
        model.add_lora(&device, &config, Seed::new(2)).unwrap();
        assert!(model.has_lora());
        assert_eq!(bits(&model), before);
    }

    #[test]
    fn matrices_come_back_from_their_folder_and_what_is_wrong_there_is_said() {
        let (device, folder) = (Cpu::default(), tempfile::tempdir().unwrap());
        let new = || Llama::new(&device, &tiny(), Seed::new(1)).unwrap();
        let mut model = new();
        let config = LoraConfig::default();
        model.add_lora(&device, &config, Seed::new(2)).unwrap();
        model.save_lora(&config, folder.path()).unwrap();
        let mut loaded = new();
        assert_eq!(loaded.load_lora(&device, folder.path()).unwrap(), config);
        assert_eq!(weights::to_arrays(&loaded), weights::to_arrays(&model));

        let path = folder.path().join("adapter_model.safetensors");
        let mut arrays = tensors::read(&path).unwrap();
        let (name, array) = arrays.pop_first().unwrap();
        arrays.insert("other".to_owned(), array);
        tensors::write(&path, &arrays).unwrap();
        let error = new()
            .load_lora(&device, folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&name[PREFIX.len()..]) && error.contains("`other` is not in the model"),
            "{error}"
        );

        let path = folder.path().join("adapter_config.json");
        let text = fs_err::read_to_string(&path).unwrap();
        for (old, new_text, said) in [
            ("\"LORA\"", "\"IA3\"", "has no `peft_type` \"LORA\""),
            (
                "\"none\"",
                "\"all\"",
                "has `bias` \"all\", which is not known here",
            ),
            (
                "\"q_proj\"",
                "\"query\"",
                "has the target \"query\", which is no projection of a block",
            ),
            (
                "\"r\"",
                "\"rank\"",
                "lacks `r`, `lora_alpha` or a list of `target_modules`",
            ),
        ] {
            fs_err::write(&path, text.replace(old, new_text)).unwrap();
            let error = new()
                .load_lora(&device, folder.path())
                .unwrap_err()
                .to_string();
            assert!(error.ends_with(said), "{error}");
        }
    }
}
