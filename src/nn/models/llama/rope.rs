//! The rotary frequencies of a config, rescaled or not.

use super::LlamaConfig;
use serde_json::Value;

/// What may scale frequencies; others are refused.
const KNOWN: &str = "`default`, `linear`, `llama3` and `divisors`";

impl LlamaConfig {
    /// The base of the frequencies, from `rope_parameters` (transformers 5) or `rope_theta`.
    pub fn rope_base(&self) -> f64 {
        self.rope_parameters
            .as_ref()
            .and_then(|parameters| parameters["rope_theta"].as_f64())
            .unwrap_or(self.rope_theta)
    }

    /// How frequencies are rescaled: `rope_parameters`, or `rope_scaling`.
    fn scaling(&self) -> Option<&Value> {
        self.rope_parameters
            .as_ref()
            .or(self.rope_scaling.as_ref())
            .filter(|value| !value.is_null())
    }

    /// Angle per position of each pair of features, `[head_dim / 2]`.
    ///
    /// `θ_j = base^(−2j/d_h)`, then rescaled: `linear` divides all by `factor`; `llama3` divides those with a wavelength longer than
    /// `original_max_position_embeddings / low_freq_factor` and blends up to `… / high_freq_factor` (Llama 3.1); `divisors` divides
    /// each by its own number, which is how GGUF files store `llama3`.
    ///
    /// # Errors
    /// What is wrong with the scaling, to follow "`rope_scaling` ".
    pub fn rope_frequencies(&self) -> Result<Vec<f32>, String> {
        let half = self.head_dim() / 2;
        let base = self.rope_base();
        let plain: Vec<f64> = (0..half)
            .map(|j| base.powf(-(j as f64) / half as f64))
            .collect();
        let scaled = match self.scaling() {
            None => plain,
            Some(scaling) => rescaled(plain, scaling)?,
        };
        Ok(scaled.into_iter().map(|f| f as f32).collect())
    }
}

fn rescaled(plain: Vec<f64>, scaling: &Value) -> Result<Vec<f64>, String> {
    // Older configs say `type`.
    let kind = scaling["rope_type"]
        .as_str()
        .or_else(|| scaling["type"].as_str())
        .ok_or("has no `rope_type`")?;
    let number = |name: &str| -> Result<f64, String> {
        let value = scaling[name].as_f64().filter(|value| *value > 0.0);
        value.ok_or_else(|| format!("is `{kind}`, but has no `{name}` above 0"))
    };
    match kind {
        "default" => Ok(plain),
        "linear" => {
            let factor = number("factor")?;
            Ok(plain.into_iter().map(|f| f / factor).collect())
        }
        "llama3" => {
            let factor = number("factor")?;
            let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
            let trained = number("original_max_position_embeddings")?;
            if high <= low {
                return Err(
                    "has a `high_freq_factor` that is not above its `low_freq_factor`".to_owned(),
                );
            }
            let one = |f: f64| {
                let wavelength = std::f64::consts::TAU / f;
                if wavelength < trained / high {
                    f
                } else if wavelength > trained / low {
                    f / factor
                } else {
                    let smooth = (trained / wavelength - low) / (high - low);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            };
            Ok(plain.into_iter().map(one).collect())
        }
        "divisors" => {
            let divisors: Option<Vec<f64>> = scaling["divisors"].as_array().map(|all| {
                all.iter()
                    .map(|value| value.as_f64().unwrap_or(0.0))
                    .collect()
            });
            match divisors {
                Some(divisors)
                    if divisors.len() == plain.len() && divisors.iter().all(|&d| d > 0.0) =>
                {
                    Ok(plain.iter().zip(divisors).map(|(f, d)| f / d).collect())
                }
                _ => Err(format!(
                    "is `divisors`, but has no {} numbers above 0",
                    plain.len()
                )),
            }
        }
        other => Err(format!("is `{other}`, but known are {KNOWN}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(scaling: Value) -> LlamaConfig {
        LlamaConfig {
            rope_scaling: Some(scaling),
            ..LlamaConfig::default()
        }
    }

    #[test]
    fn low_frequencies_are_divided_and_high_ones_kept() {
        let plain = LlamaConfig::default().rope_frequencies().unwrap();
        let llama3 = with(
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256}),
        );
        let scaled = llama3.rope_frequencies().unwrap();
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[15], plain[15] / 8.0);
        assert!(scaled.windows(2).all(|pair| pair[0] > pair[1]));
        let linear = with(json!({"type": "linear", "factor": 2.0}));
        assert_eq!(linear.rope_frequencies().unwrap()[3], plain[3] / 2.0);
        let divisors: Vec<f32> = plain.iter().zip(&scaled).map(|(a, b)| a / b).collect();
        let same = with(json!({"rope_type": "divisors", "divisors": divisors}));
        for (a, b) in same.rope_frequencies().unwrap().iter().zip(&scaled) {
            assert!((a - b).abs() < 1e-6 * b, "{a} {b}");
        }
    }

    #[test]
    fn unknown_and_unfinished_scalings_are_refused() {
        let says = |scaling| with(scaling).rope_frequencies().unwrap_err();
        assert_eq!(
            says(json!({"rope_type": "yarn"})),
            "is `yarn`, but known are `default`, `linear`, `llama3` and `divisors`"
        );
        assert_eq!(
            says(json!({"type": "linear", "factor": 0.0})),
            "is `linear`, but has no `factor` above 0"
        );
        assert_eq!(
            says(json!({"rope_type": "divisors", "divisors": [1.0]})),
            "is `divisors`, but has no 16 numbers above 0"
        );
    }
}
