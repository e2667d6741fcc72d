//! What tests of networks share: random matrices and finite differences.

use super::composed::on_the_cpu;
use super::{Graph, Matrix, NnError, ops};
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use rand::Rng as _;

/// The result of a function under test.
pub(crate) type Made = Result<Matrix<Cpu>, NnError>;

/// Numbers between `−1` and `1`.
pub(crate) fn random(n: usize, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..n).map(|_| rng.gen_range(-1.0..1.0)).collect()
}

/// A random matrix that takes gradients.
pub(crate) fn variable(shape: (usize, usize), seed: Seed) -> Matrix<Cpu> {
    Matrix::variable(&Cpu::default(), random(shape.0 * shape.1, seed), shape).unwrap()
}

/// The result and the gradients of `Σ weights·f(inputs)`.
pub(crate) fn backward(
    inputs: &[Matrix<Cpu>],
    weights: &[f32],
    f: impl Fn(&Graph<Cpu>, &[Matrix<Cpu>]) -> Made,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let g = Graph::training(&Cpu::default(), Seed::new(5));
    let y = f(&g, inputs).unwrap();
    let weights = g.constant(weights.to_vec(), y.shape()).unwrap();
    let loss = ops::sum_all(&g, &ops::mul(&g, &y, &weights).unwrap()).unwrap();
    let mut grads = g.backward(&loss).unwrap();
    let gradients = inputs.iter().map(|x| grads.take(x).unwrap()).collect();
    (y.to_vec(), gradients)
}

/// Compares the gradients of `Σ w·f(inputs)`, with random `w`, with central differences.
///
/// The forward pass is `f32`, with errors around 1e-6; over a step of 1e-2 they become 1e-4 times the size of the sum, and the third derivative
/// adds 2e-5 times itself. So gradients must agree within 3e-3 of the greatest, plus 1e-3. Both the fused and the composed operations are tried.
pub(crate) fn check_gradients(
    name: &str,
    inputs: &[Matrix<Cpu>],
    f: impl Fn(&Graph<Cpu>, &[Matrix<Cpu>]) -> Made,
) {
    check(name, inputs, &f);
    on_the_cpu(|| check(&format!("{name}, composed"), inputs, &f));
}

fn check(name: &str, inputs: &[Matrix<Cpu>], f: &impl Fn(&Graph<Cpu>, &[Matrix<Cpu>]) -> Made) {
    const STEP: f32 = 1e-2;
    // A training graph with the same seed: dropout drops the same numbers each time.
    let run = |inputs: &[Matrix<Cpu>]| {
        let g = Graph::training(&Cpu::default(), Seed::new(5));
        f(&g, inputs).unwrap().to_vec()
    };
    let n = run(inputs).len();
    let weights = random(n, Seed::new(99).child(name));
    let (_, gradients) = backward(inputs, &weights, f);
    for (index, gradient) in gradients.iter().enumerate() {
        let values = inputs[index].to_vec();
        assert_eq!(gradient.len(), values.len(), "{name}: input {index}");
        let greatest = gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for at in 0..values.len() {
            let sum = |delta: f32| {
                let mut moved = values.clone();
                moved[at] += delta;
                let mut inputs = inputs.to_vec();
                inputs[index] =
                    Matrix::variable(&Cpu::default(), moved, inputs[index].shape()).unwrap();
                run(&inputs)
                    .iter()
                    .zip(&weights)
                    .map(|(y, w)| f64::from(*y) * f64::from(*w))
                    .sum::<f64>()
            };
            let width = f64::from(values[at] + STEP) - f64::from(values[at] - STEP);
            let expected = (sum(STEP) - sum(-STEP)) / width;
            let error = (f64::from(gradient[at]) - expected).abs();
            assert!(
                error < 1e-3 + 3e-3 * f64::from(greatest),
                "{name}: input {index}, number {at}: {} by the backward step, {expected} by differences",
                gradient[at]
            );
        }
    }
}
