//! A sentence encoder fitted on the pipeline's own texts.

use super::TextError;
use super::sparse::Sparse;
use super::svd;
use super::tfidf::{Filter, TfIdf};
use super::words::Features;
use crate::formats::json;
use crate::formats::tensors::{self, Array};
use crate::progress::Progress;
use crate::seed::Seed;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the files; raised when their meaning changes.
const FORMAT: u32 = 1;

/// The name of the JSON file in an encoder's folder.
const JSON: &str = "encoder.json";

/// The name of the array file in an encoder's folder.
const ARRAYS: &str = "encoder.safetensors";

/// How an encoder is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderConfig {
    /// The width of the vectors; at least 1.
    pub dim: usize,
    /// Which features a text has.
    pub features: Features,
    /// Which of them are kept.
    pub filter: Filter,
}

/// TF-IDF and a truncated SVD (latent semantic analysis, Deerwester et al. 1990), with unit vectors.
///
/// A text's vector is its TF-IDF weights times the right singular vectors of the fitted texts' weights, scaled to
/// length 1; the inner product of two vectors is their cosine. A text without a known feature has the zero vector: its
/// cosine with everything is 0. When the fitted texts span fewer than `dim` dimensions the last places are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoder {
    tfidf: TfIdf,
    features: Features,
    /// `[n_features, dim]`.
    components: Array,
    /// `[dim]`, descending.
    singular_values: Array,
    explained: f64,
}

/// `encoder.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    features: Features,
    /// The share of the fitted weights' squares that the components keep.
    explained: f64,
    /// In the order of the components' rows: alphabetical.
    vocabulary: Vec<String>,
}

impl TextEncoder {
    /// Fits an encoder; `seed` starts the SVD's random subspace. Texts count once each, so give every text once.
    pub fn fit(
        texts: &[String],
        config: &EncoderConfig,
        seed: Seed,
        progress: &dyn Progress,
    ) -> Result<Self, TextError> {
        let tfidf = TfIdf::fit(texts, config.features, &config.filter)?;
        let weights = Sparse::from_rows(tfidf.len(), &tfidf.weigh_all(texts));
        let svd = svd::truncated(&weights, config.dim, seed.child("svd"), progress)?;
        // Every text with a known feature has length 1.
        let total = (0..weights.n_rows())
            .filter(|&row| !weights.row(row).is_empty())
            .count();
        let kept: f64 = svd.singular_values.iter().map(|x| x * x).sum();
        let narrow = |values: &[f64]| values.iter().map(|&x| x as f32).collect();
        Ok(Self {
            components: Array::new(&[tfidf.len(), config.dim], narrow(&svd.vectors)),
            singular_values: Array::new(&[config.dim], narrow(&svd.singular_values)),
            explained: kept / total as f64,
            features: config.features,
            tfidf,
        })
    }

    /// The width of the vectors.
    pub fn dim(&self) -> usize {
        self.components.shape[1]
    }

    /// The number of features in the vocabulary.
    pub fn n_features(&self) -> usize {
        self.tfidf.len()
    }

    /// The share of the fitted weights' squares that the components keep, from 0 to 1.
    pub fn explained(&self) -> f64 {
        self.explained
    }

    /// Returns one vector a text: `[n, dim]`, each of length 1, or zero when the text has no known feature.
    pub fn encode(&self, texts: &[String]) -> Array {
        let dim = self.dim();
        let data = texts
            .par_iter()
            .flat_map_iter(|text| self.encode_one(text))
            .collect();
        Array::new(&[texts.len(), dim], data)
    }

    fn encode_one(&self, text: &str) -> Vec<f32> {
        let dim = self.dim();
        let mut sums = vec![0.0_f64; dim];
        for (place, weight) in self.tfidf.weigh(text) {
            let row = &self.components.data[place as usize * dim..][..dim];
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum = weight.mul_add(f64::from(*x), *sum);
            }
        }
        let length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
        // The weights have length 1: what is left of them below this is rounding noise without direction.
        if length < 1e-6 {
            return vec![0.0; dim];
        }
        sums.into_iter().map(|x| (x / length) as f32).collect()
    }

    /// Writes `encoder.json` and `encoder.safetensors` into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), TextError> {
        let header = Header {
            format: FORMAT,
            features: self.features,
            explained: self.explained,
            vocabulary: self.tfidf.names().into_iter().map(str::to_owned).collect(),
        };
        json::write(&folder.join(JSON), &header)?;
        let idf = Array::new(&[self.tfidf.len()], self.tfidf.idf().to_vec());
        let arrays = BTreeMap::from([
            ("components".to_owned(), self.components.clone()),
            ("idf".to_owned(), idf),
            ("singular_values".to_owned(), self.singular_values.clone()),
        ]);
        tensors::write(&folder.join(ARRAYS), &arrays)?;
        Ok(())
    }

    /// Reads what [`TextEncoder::save`] wrote.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let path = folder.join(JSON);
        let header: Header = json::read(&path)?;
        let wrong = |path: &Path, message: String| TextError::File {
            path: path.to_owned(),
            message,
        };
        if header.format != FORMAT {
            let found = header.format;
            return Err(wrong(
                &path,
                format!("`format` is {found}, but this program reads {FORMAT}"),
            ));
        }
        let n = header.vocabulary.len();
        if !header.vocabulary.is_sorted_by(|a, b| a < b) {
            return Err(wrong(
                &path,
                "`vocabulary` is not in alphabetical order without repeats".to_owned(),
            ));
        }
        let path = folder.join(ARRAYS);
        let components = tensors::read_one(&path, "components", 2)?;
        let idf = tensors::read_one(&path, "idf", 1)?;
        let singular_values = tensors::read_one(&path, "singular_values", 1)?;
        for (name, found) in [("components", components.shape[0]), ("idf", idf.shape[0])] {
            if found != n {
                return Err(wrong(
                    &path,
                    format!("`{name}` has {found} rows, but `{JSON}` has {n} features"),
                ));
            }
        }
        Ok(Self {
            tfidf: TfIdf::from_parts(header.features, header.vocabulary, idf.data),
            features: header.features,
            components,
            singular_values,
            explained: header.explained,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn config(dim: usize) -> EncoderConfig {
        EncoderConfig {
            dim,
            features: Features {
                word_ngrams: 1,
                char_ngrams: 0,
            },
            filter: Filter {
                min_df: 1,
                max_df: 1.0,
                max_features: 1000,
            },
        }
    }

    /// Two themes that share no word, with words that meet only through others.
    fn corpus() -> Vec<String> {
        texts(&[
            "space ship crew",
            "ship crew alien",
            "alien planet space",
            "planet crew",
            "love wedding letter",
            "wedding letter paris",
            "paris love dance",
            "dance letter",
        ])
    }

    fn cosine(vectors: &Array, a: usize, b: usize) -> f32 {
        let d = vectors.shape[1];
        let row = |k: usize| &vectors.data[k * d..(k + 1) * d];
        row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn words_that_never_meet_are_near_when_their_company_is() {
        let encoder = TextEncoder::fit(&corpus(), &config(2), Seed::new(1), &Silent).unwrap();
        // No text has both `ship` and `planet`.
        let vectors = encoder.encode(&texts(&["Ship!", "the planet", "wedding", "", "zebra"]));
        assert_eq!(vectors.shape, [5, 2]);
        assert!(cosine(&vectors, 0, 1) > 0.9);
        assert!(cosine(&vectors, 0, 2).abs() < 0.1);
        for row in 0..3 {
            assert!((cosine(&vectors, row, row) - 1.0).abs() < 1e-6);
        }
        // Nothing known: zero, and a cosine of 0 with everything.
        assert!(vectors.data[3 * 2..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn with_every_dimension_cosines_are_those_of_tfidf() {
        let corpus = corpus();
        let encoder = TextEncoder::fit(&corpus, &config(20), Seed::new(1), &Silent).unwrap();
        assert!((encoder.explained() - 1.0).abs() < 1e-9);
        let vectors = encoder.encode(&corpus);
        let tfidf = TfIdf::fit(&corpus, config(1).features, &config(1).filter).unwrap();
        for a in 0..corpus.len() {
            for b in 0..corpus.len() {
                let other = tfidf.weigh(&corpus[b]);
                let wanted: f64 = tfidf
                    .weigh(&corpus[a])
                    .iter()
                    .filter_map(|(place, x)| {
                        let found = other.iter().find(|(other, _)| other == place)?;
                        Some(x * found.1)
                    })
                    .sum();
                let found = f64::from(cosine(&vectors, a, b));
                // The vectors are f32.
                assert!(
                    (found - wanted).abs() < 1e-5,
                    "{a}, {b}: {found} and {wanted}"
                );
            }
        }
    }

    #[test]
    fn an_encoder_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let encoder = TextEncoder::fit(&corpus(), &config(3), Seed::new(1), &Silent).unwrap();
        encoder.save(folder.path()).unwrap();
        let loaded = TextEncoder::load(folder.path()).unwrap();
        assert_eq!(loaded, encoder);
        assert_eq!(loaded.encode(&corpus()), encoder.encode(&corpus()));
    }

    #[test]
    fn files_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let encoder = TextEncoder::fit(&corpus(), &config(3), Seed::new(1), &Silent).unwrap();
        encoder.save(folder.path()).unwrap();
        let path = folder.path().join(JSON);
        let text = fs_err::read_to_string(&path).unwrap();
        let message = |text: &str| {
            fs_err::write(&path, text).unwrap();
            let message = TextEncoder::load(folder.path()).unwrap_err().to_string();
            message.replace(&folder.path().display().to_string(), "F")
        };
        insta::assert_snapshot!(
            message(&text.replace("\"format\": 1", "\"format\": 2")),
            @"`F/encoder.json`: `format` is 2, but this program reads 1"
        );
        insta::assert_snapshot!(
            message(&text.replace("    \"alien\",\n", "")),
            @"`F/encoder.safetensors`: `components` has 10 rows, but `encoder.json` has 9 features"
        );
        insta::assert_snapshot!(
            message(&text.replace("\"alien\"", "\"zoo\"")),
            @"`F/encoder.json`: `vocabulary` is not in alphabetical order without repeats"
        );
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| TextEncoder::fit(&corpus(), &config(4), Seed::new(1), &Silent).unwrap())
        };
        assert_eq!(run(1), run(3));
    }
}
