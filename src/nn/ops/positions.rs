//! Positions as pre-trained models have them: rotary frequencies of any kind, and a bias by distance.

use super::expect;
use super::{AttentionShape, Mask, attention};
use crate::nn::{Backend, Graph, Matrix, NnError};

/// Like [`super::rotary`], with the angle of each pair of features given: pair `i` turns by `position·frequencies[i]`.
///
/// `x` `[R, heads·head_dim]`, one position a row; `head_dim` is twice the number of frequencies.
pub fn rotary_at<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    heads: usize,
    positions: &[u32],
    frequencies: &[f32],
) -> Result<Matrix<D>, NnError> {
    let width = heads * 2 * frequencies.len();
    expect("rotary_at", "the input", x, (positions.len(), width))?;
    if frequencies.is_empty() {
        return Err(NnError::shape("rotary_at", "there are no frequencies"));
    }
    D::rotary_at(g, x, heads, positions, frequencies)
}

/// `softmax(q·kᵀ + bias)·v` in each head, masked: T5's attention, whose scores are not divided by `√head_dim` (Raffel et al. 2020,
/// section 2.1).
///
/// `q` `[B·queries, heads·head_dim]`, `k` and `v` `[B·keys, heads·head_dim]`, result like `q`; every head has keys of its own.
/// `bias` `[queries·keys, heads]`, row `query·keys + key`, the same for every sequence. A query that sees no key gets zeros.
pub fn biased_attention<D: Backend>(
    g: &Graph<D>,
    q: &Matrix<D>,
    k: &Matrix<D>,
    v: &Matrix<D>,
    bias: &Matrix<D>,
    shape: &AttentionShape,
    mask: &Mask,
) -> Result<Matrix<D>, NnError> {
    let s = shape;
    if s.kv_heads != s.heads {
        return Err(NnError::shape(
            "biased_attention",
            format!("{} heads over {} key heads", s.heads, s.kv_heads),
        ));
    }
    attention::check("biased_attention", q, k, v, shape, mask)?;
    expect(
        "biased_attention",
        "the bias",
        bias,
        (s.queries * s.keys, s.heads),
    )?;
    D::biased_attention(g, q, k, v, bias, shape, mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_gradients, random, variable};
    use crate::seed::Seed;
    use dfdx::tensor::Cpu;

    const SHAPE: AttentionShape = AttentionShape {
        batch: 2,
        queries: 3,
        keys: 4,
        heads: 2,
        kv_heads: 2,
        head_dim: 3,
    };

    fn inputs() -> Vec<Matrix<Cpu>> {
        [(6, 6), (8, 6), (8, 6), (12, 2)]
            .into_iter()
            .enumerate()
            .map(|(i, shape)| variable(shape, Seed::new(3).at(i as u64)))
            .collect()
    }

    fn masks() -> Vec<Mask> {
        vec![
            Mask::full(),
            Mask::causal(),
            Mask::padding(vec![4, 2]),
            Mask::padding(vec![0, 3]),
        ]
    }

    #[test]
    fn biased_attention_is_its_definition() {
        let g = &Graph::inference(&Cpu::default());
        let x = inputs();
        let [q, k, v, bias] = [0, 1, 2, 3].map(|i| x[i].to_vec());
        let s = SHAPE;
        for mask in masks() {
            let found = biased_attention(g, &x[0], &x[1], &x[2], &x[3], &s, &mask).unwrap();
            let found = found.to_vec();
            for row in 0..s.batch {
                for query in 0..s.queries {
                    for head in 0..s.heads {
                        let at = |i: usize| (row * s.keys + i) * 6 + head * 3;
                        let ours = (row * s.queries + query) * 6 + head * 3;
                        let seen = mask.limit(&s, row, query);
                        let scores: Vec<f64> = (0..seen)
                            .map(|key| {
                                let dot: f32 = (0..3).map(|j| q[ours + j] * k[at(key) + j]).sum();
                                f64::from(dot + bias[(query * s.keys + key) * 2 + head]).exp()
                            })
                            .collect();
                        let total: f64 = scores.iter().sum();
                        for j in 0..3 {
                            let expected: f64 = (0..seen)
                                .map(|key| scores[key] / total * f64::from(v[at(key) + j]))
                                .sum();
                            let error = (f64::from(found[ours + j]) - expected).abs();
                            assert!(error < 1e-5, "{mask:?} {error}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_of_biased_attention() {
        for mask in masks() {
            check_gradients(&format!("biased, {mask:?}"), &inputs(), |g, x| {
                biased_attention(g, &x[0], &x[1], &x[2], &x[3], &SHAPE, &mask)
            });
        }
    }

    #[test]
    fn rotary_at_the_usual_frequencies_is_rotary() {
        let g = &Graph::inference(&Cpu::default());
        let x = &[variable((4, 12), Seed::new(1))];
        let positions = [0, 3, 1, 9];
        let frequencies = [
            1.0,
            1.0 / 10_f32.powf(2.0 / 3.0),
            1.0 / 10_f32.powf(4.0 / 3.0),
        ];
        let one = super::super::rotary(g, &x[0], 2, 6, &positions, 100.0).unwrap();
        let two = rotary_at(g, &x[0], 2, &positions, &frequencies).unwrap();
        for (a, b) in one.to_vec().iter().zip(two.to_vec()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        check_gradients("rotary_at", x, |g, x| {
            rotary_at(g, &x[0], 2, &positions, &[0.5, 0.1, 0.0])
        });
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let g = &Graph::inference(&Cpu::default());
        let x = inputs();
        let says = |made: Result<Matrix<Cpu>, NnError>| made.unwrap_err().to_string();
        assert_eq!(
            says(biased_attention(
                g,
                &x[0],
                &x[1],
                &x[2],
                &x[0],
                &SHAPE,
                &Mask::full()
            )),
            "`biased_attention`: the bias is (6, 6), but must be (12, 2)"
        );
        assert_eq!(
            says(rotary_at(g, &x[0], 2, &[0; 6], &random(2, Seed::new(1)))),
            "`rotary_at`: the input is (6, 6), but must be (6, 8)"
        );
    }
}
