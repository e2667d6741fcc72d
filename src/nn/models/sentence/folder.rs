//! What a folder of sentence-transformers says: `modules.json`, and a folder for each module.

use crate::formats::json;
use crate::nn::models::activation::Activation;
use crate::nn::models::pretrained::{read_config, wrong};
use crate::nn::{Backend, Graph, Matrix, NnError, ops};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tokens of a text when no file says how many a model reads.
const LIMIT: u64 = 512;

/// Which network reads the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// `model_type` `bert`.
    Bert,
    /// `model_type` `t5`; the decoder is left out.
    T5,
}

/// How the hidden states of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean, special tokens included.
    Mean,
    /// The first token's.
    First,
}

impl Pooling {
    /// `[B·T, d]` to `[B, d]`; text b has `lengths[b]` tokens.
    pub(super) fn apply<D: Backend>(
        self,
        g: &Graph<D>,
        hidden: &Matrix<D>,
        lengths: &[usize],
    ) -> Result<Matrix<D>, NnError> {
        let width = hidden.rows() / lengths.len().max(1);
        match self {
            Self::First => {
                let rows: Vec<usize> = (0..lengths.len()).map(|text| text * width).collect();
                ops::gather_rows(g, hidden, &rows)
            }
            Self::Mean => {
                // A matrix of `1/length` in the places of a text's tokens.
                let mut weights = vec![0.0; lengths.len() * hidden.rows()];
                for (text, &length) in lengths.iter().enumerate() {
                    let start = text * hidden.rows() + text * width;
                    weights[start..start + length].fill(1.0 / length.max(1) as f32);
                }
                let weights = g.constant(weights, (lengths.len(), hidden.rows()))?;
                ops::matmul(g, &weights, hidden)
            }
        }
    }
}

/// What follows a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Hyperbolic tangent.
    Tanh,
    /// Another.
    Named(Activation),
}

/// A dense layer after the pooling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Its folder.
    pub path: PathBuf,
    /// Features that it reads.
    pub inputs: usize,
    /// Features that it writes.
    pub outputs: usize,
    /// Whether it has a bias.
    pub bias: bool,
    /// What follows it.
    pub after: Option<After>,
}

/// How texts become vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceConfig {
    pub(super) network: Network,
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Dense layers after the pooling.
    pub dense: Vec<Dense>,
    /// Tokens of a text, special ones included; what is behind them is cut off.
    pub limit: usize,
    /// Whether texts are lower-cased before the tokenizer sees them.
    pub lower_case: bool,
    /// The width of the vectors.
    pub dim: usize,
}

/// A row of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

impl SentenceConfig {
    /// Reads what a folder says.
    pub fn open(place: &Path) -> Result<Self, NnError> {
        let model = read_config(place, &["bert", "t5"])?;
        let network = match model["model_type"].as_str() {
            Some("t5") => Network::T5,
            _ => Network::Bert,
        };
        let mut config = Self {
            network,
            pooling: Pooling::Mean,
            dense: Vec::new(),
            limit: 0,
            lower_case: false,
            dim: 0,
        };
        let path = place.join("modules.json");
        if path.is_file() {
            let modules: Vec<Module> = json::read(&path)?;
            for module in modules {
                config.add(place, &path, &module)?;
            }
        }
        let (limit, lower_case) = limits(place, &model)?;
        config.limit = limit;
        config.lower_case = lower_case;
        Ok(config)
    }

    fn add(&mut self, place: &Path, list: &Path, module: &Module) -> Result<(), NnError> {
        let inside = Path::new(&module.path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !inside {
            return Err(wrong(
                list,
                format!("names `{}`, outside the folder", module.path),
            ));
        }
        let settings = place.join(&module.path).join("config.json");
        let kind = module.kind.rsplit('.').next().unwrap_or("");
        match kind {
            "Transformer" if module.path.is_empty() => {}
            "Transformer" => {
                return Err(wrong(
                    list,
                    format!(
                        "has its network in `{}`, but it must be in the folder itself",
                        module.path
                    ),
                ));
            }
            "Pooling" => self.pooling = pooling(&settings)?,
            "Dense" => self.dense.push(dense(&settings, &module.path)?),
            // Vectors have unit length here whether a folder says so or not: all that is done with them are cosines.
            "Normalize" => {}
            other => {
                return Err(wrong(
                    list,
                    format!(
                        "has a module `{other}`, but known are Transformer, Pooling, Dense and Normalize"
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn pooling(path: &Path) -> Result<Pooling, NnError> {
    let settings: Value = json::read(path)?;
    let modes: Vec<&str> = match settings.as_object() {
        None => Vec::new(),
        Some(members) => members
            .iter()
            .filter(|(_, value)| **value == Value::Bool(true))
            .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
            .collect(),
    };
    // Newer versions name the mode.
    let modes = match settings["pooling_mode"].as_str() {
        Some(mode) => vec![mode],
        None => modes,
    };
    match modes[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        _ => Err(wrong(
            path,
            format!(
                "pools by {}, but known are the mean (`mean_tokens`) and the first token (`cls_token`)",
                if modes.is_empty() {
                    "nothing".to_owned()
                } else {
                    format!("`{}`", modes.join("`, `"))
                }
            ),
        )),
    }
}

fn dense(path: &Path, place: &str) -> Result<Dense, NnError> {
    let settings: Value = json::read(path)?;
    let size = |name: &str| {
        let found = settings[name]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok());
        found
            .filter(|&n| n > 0)
            .ok_or_else(|| wrong(path, format!("has no `{name}` of at least 1")))
    };
    let name = settings["activation_function"].as_str().unwrap_or("");
    let after = match name.rsplit('.').next().unwrap_or("") {
        "Identity" => None,
        "Tanh" => Some(After::Tanh),
        "ReLU" => Some(After::Named(Activation::Relu)),
        "GELU" => Some(After::Named(Activation::Gelu)),
        _ => {
            return Err(wrong(
                path,
                format!("has the activation `{name}`, but known are Identity, Tanh, ReLU and GELU"),
            ));
        }
    };
    Ok(Dense {
        path: PathBuf::from(place),
        inputs: size("in_features")?,
        outputs: size("out_features")?,
        bias: settings["bias"].as_bool().unwrap_or(true),
        after,
    })
}

/// How many tokens a text may have, and whether it is lower-cased first: from the first file that says so.
fn limits(place: &Path, model: &Value) -> Result<(usize, bool), NnError> {
    let read = |name: &str| -> Result<Value, NnError> {
        let path = place.join(name);
        if path.is_file() {
            Ok(json::read(&path)?)
        } else {
            Ok(Value::Null)
        }
    };
    let settings = read("sentence_bert_config.json")?;
    // Where nobody set a length, transformers writes 10^30.
    let told = read("tokenizer_config.json")?["model_max_length"]
        .as_u64()
        .filter(|&limit| limit < 1 << 20);
    let positions = model["max_position_embeddings"].as_u64();
    let limit = settings["max_seq_length"]
        .as_u64()
        .or(told)
        .unwrap_or(LIMIT);
    let limit = positions.map_or(limit, |positions| limit.min(positions));
    if limit < 3 {
        return Err(wrong(
            &place.join("sentence_bert_config.json"),
            format!("cuts texts to {limit} tokens, but at least 3 are needed"),
        ));
    }
    Ok((
        limit as usize,
        settings["do_lower_case"] == Value::Bool(true),
    ))
}
