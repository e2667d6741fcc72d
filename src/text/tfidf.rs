//! Weights of features in texts: sublinear term frequency times smooth inverse document frequency.
//!
//! As scikit-learn's `TfidfVectorizer(sublinear_tf=True, smooth_idf=True, norm="l2")`: a feature that occurs `n` times
//! in a text has the weight `(1 + ln n) * (ln((1 + N) / (1 + df)) + 1)`, where `N` is the number of fitted texts and `df`
//! the number of those that have the feature; a text's weights are scaled to length 1.

use super::TextError;
use super::words::Features;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Which features are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// Fewest texts that a feature must be in.
    pub min_df: usize,
    /// Largest share of the texts that a feature may be in.
    pub max_df: f64,
    /// At most this many features: the most frequent, of equals the alphabetically first.
    pub max_features: usize,
}

/// A fitted vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct TfIdf {
    features: Features,
    /// Feature -> place; places are in alphabetical order.
    places: BTreeMap<String, u32>,
    /// The inverse document frequency of each place.
    idf: Vec<f32>,
}

/// How often a feature was seen.
#[derive(Clone, Copy, Default)]
struct Seen {
    texts: usize,
    times: usize,
}

impl TfIdf {
    /// Counts the features of `texts` and keeps those that `filter` lets through.
    pub fn fit(texts: &[String], features: Features, filter: &Filter) -> Result<Self, TextError> {
        if texts.is_empty() {
            return Err(TextError::NoTexts);
        }
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        for text in texts {
            for (feature, times) in counts(features.of(text)) {
                let seen = seen.entry(feature).or_default();
                seen.texts += 1;
                seen.times += times;
            }
        }
        let most = (filter.max_df * texts.len() as f64).floor() as usize;
        let mut kept: Vec<(String, Seen)> = seen
            .into_iter()
            .filter(|(_, seen)| seen.texts >= filter.min_df && seen.texts <= most)
            .collect();
        if kept.is_empty() || filter.max_features == 0 {
            return Err(TextError::NoFeatures {
                texts: texts.len(),
                min_df: filter.min_df,
                max_df: filter.max_df,
                most,
            });
        }
        // Stable: equals stay in alphabetical order.
        kept.sort_by_key(|(_, seen)| Reverse(seen.times));
        kept.truncate(filter.max_features);
        kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        let n = texts.len() as f64;
        let idf = kept
            .iter()
            .map(|(_, seen)| (((1.0 + n) / (1.0 + seen.texts as f64)).ln() + 1.0) as f32)
            .collect();
        let names = kept.into_iter().map(|(feature, _)| feature).collect();
        Ok(Self::from_parts(features, names, idf))
    }

    /// Puts together what was saved: names in alphabetical order and their inverse document frequencies.
    pub fn from_parts(features: Features, names: Vec<String>, idf: Vec<f32>) -> Self {
        Self {
            features,
            places: names.into_iter().zip(0..).collect(),
            idf,
        }
    }

    /// The number of features.
    pub fn len(&self) -> usize {
        self.idf.len()
    }

    /// Whether there are no features; never after a fit.
    pub fn is_empty(&self) -> bool {
        self.idf.is_empty()
    }

    /// The features in the order of their places.
    pub fn names(&self) -> Vec<&str> {
        self.places.keys().map(String::as_str).collect()
    }

    /// The inverse document frequency of each feature.
    pub fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// Returns a text's weights by place, ascending, of length 1; nothing when no feature is known.
    pub fn weigh(&self, text: &str) -> Vec<(u32, f64)> {
        let mut weights: Vec<(u32, f64)> = counts(self.features.of(text))
            .into_iter()
            .filter_map(|(feature, times)| {
                let place = *self.places.get(&feature)?;
                let frequency = 1.0 + (times as f64).ln();
                Some((place, frequency * f64::from(self.idf[place as usize])))
            })
            .collect();
        // Already in order: places are alphabetical, and so are the counts.
        let length = weights.iter().map(|(_, x)| x * x).sum::<f64>().sqrt();
        for (_, weight) in &mut weights {
            *weight /= length;
        }
        weights
    }

    /// Returns [`TfIdf::weigh`] of every text.
    pub fn weigh_all(&self, texts: &[String]) -> Vec<Vec<(u32, f64)>> {
        texts.par_iter().map(|text| self.weigh(text)).collect()
    }
}

/// Counts equal features, in alphabetical order.
fn counts(features: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for feature in features {
        *counts.entry(feature).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Features = Features {
        word_ngrams: 1,
        char_ngrams: 0,
    };

    fn all() -> Filter {
        Filter {
            min_df: 1,
            max_df: 1.0,
            max_features: 100,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn weights_by_hand() {
        let texts = texts(&["red red car", "blue car", "red sky"]);
        let fitted = TfIdf::fit(&texts, WORDS, &all()).unwrap();
        assert_eq!(fitted.names(), ["blue", "car", "red", "sky"]);
        // Three texts: `car` and `red` are in two of them, `blue` and `sky` in one.
        let common = (4.0_f64 / 3.0).ln() + 1.0;
        let rare = (4.0_f64 / 2.0).ln() + 1.0;
        let red = (1.0 + 2.0_f64.ln()) * common;
        let length = common.hypot(red);
        let wanted = [(1, common / length), (2, red / length)];
        for ((place, weight), (wanted_place, wanted)) in fitted.weigh(&texts[0]).iter().zip(wanted)
        {
            assert_eq!(*place, wanted_place);
            // The idf is kept as f32.
            assert!((weight - wanted).abs() < 1e-7, "{weight} and {wanted}");
        }
        assert!((f64::from(fitted.idf()[0]) - rare).abs() < 1e-7);
        assert!(fitted.weigh("green").is_empty());
        assert!(fitted.weigh("").is_empty());
    }

    #[test]
    fn filters_keep_what_they_say() {
        let texts = texts(&["a b c", "a b d", "a e e e", "a d"]);
        let names = |filter: Filter| -> Vec<String> {
            let fitted = TfIdf::fit(&texts, WORDS, &filter).unwrap();
            fitted.names().into_iter().map(str::to_owned).collect()
        };
        assert_eq!(names(Filter { min_df: 2, ..all() }), ["a", "b", "d"]);
        assert_eq!(
            names(Filter {
                max_df: 0.5,
                ..all()
            }),
            ["b", "c", "d", "e"]
        );
        // `a` 4 times, `e` 3, then `b` before `d`.
        assert_eq!(
            names(Filter {
                max_features: 3,
                ..all()
            }),
            ["a", "b", "e"]
        );
    }

    #[test]
    fn nothing_left_is_an_error() {
        let filter = Filter {
            min_df: 3,
            max_df: 0.5,
            ..all()
        };
        let error = TfIdf::fit(&texts(&["a", "b"]), WORDS, &filter).unwrap_err();
        insta::assert_snapshot!(error, @"no word is left of 2 texts: `min_df` is 3 and `max_df` is 0.5, so a word must be in 3 to 1 texts");
        assert!(matches!(
            TfIdf::fit(&[], WORDS, &all()),
            Err(TextError::NoTexts)
        ));
    }
}
