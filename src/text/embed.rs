//! One vector an item from the vectors of its several short texts.

use crate::formats::tensors::Array;

/// Returns, for each item, the mean of its texts' vectors: `[n_items, dim]`. `vectors` has a row for each text, item after item.
///
/// The mean of unit vectors is shorter than they are, the more so the less they agree. `renormalize` scales it to
/// length 1 again, so that an item with many different tags is not a small one. An item whose texts have no known word
/// has the zero vector.
pub fn mean_of_texts(vectors: &Array, items: &[Vec<String>], renormalize: bool) -> Array {
    let dim = vectors.shape[1];
    let mut rows = vectors.data.chunks_exact(dim);
    let mut data = Vec::with_capacity(items.len() * dim);
    for texts in items {
        let mut mean = vec![0.0_f64; dim];
        for row in rows.by_ref().take(texts.len()) {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
        let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
        let divisor = if renormalize {
            length
        } else {
            texts.len() as f64
        };
        data.extend(mean.iter().map(|x| {
            if length > 0.0 {
                (x / divisor) as f32
            } else {
                0.0
            }
        }));
    }
    Array::new(&[items.len(), dim], data)
}

#[cfg(test)]
mod tests {
    use super::super::tfidf::Filter;
    use super::super::words::Features;
    use super::super::{EncoderConfig, TextEncoder};
    use super::*;
    use crate::progress::Silent;
    use crate::seed::Seed;

    #[test]
    fn an_item_is_the_mean_of_its_texts() {
        let config = EncoderConfig {
            dim: 2,
            features: Features {
                word_ngrams: 1,
                char_ngrams: 0,
            },
            filter: Filter {
                min_df: 1,
                max_df: 1.0,
                max_features: 9,
            },
        };
        let own = |texts: &[&str]| -> Vec<String> { texts.iter().map(|&x| x.to_owned()).collect() };
        let encoder =
            TextEncoder::fit(&own(&["war", "love"]), &config, Seed::new(1), &Silent).unwrap();
        let items = [own(&["war", "love"]), own(&["love"]), own(&["?"]), own(&[])];
        let love = encoder.encode(&items[1]).data;
        let war = encoder.encode(&own(&["war"])).data;

        let vectors = encoder.encode(&items.concat());
        let plain = mean_of_texts(&vectors, &items, false);
        assert_eq!(plain.shape, [4, 2]);
        for k in 0..2 {
            assert!((plain.data[k] - 0.5 * (war[k] + love[k])).abs() < 1e-7);
            assert_eq!(plain.data[2 + k], love[k]);
        }
        assert_eq!(plain.data[4..], [0.0; 4]);

        let unit = mean_of_texts(&vectors, &items, true);
        // The two words are orthogonal: their mean is sqrt(1/2) long.
        for k in 0..2 {
            assert!((unit.data[k] - plain.data[k] * 2.0_f32.sqrt()).abs() < 1e-6);
        }
        assert_eq!(unit.data[4..], [0.0; 4]);
    }
}
