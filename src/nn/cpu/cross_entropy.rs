//! Softmax and cross-entropy in one.

use super::{Made, math, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;
use rayon::prelude::*;

/// Rows that one task takes; each row is summed by itself, so this does not change a bit.
const ROWS: usize = 8;

pub(super) fn cross_entropy(
    g: &Graph<Cpu>,
    logits: &Matrix<Cpu>,
    targets: &[Option<u32>],
    smoothing: f32,
) -> Made {
    let (_, classes) = logits.shape();
    let count = targets.iter().flatten().count() as f64;
    let spread = smoothing / classes as f32;
    // The logarithm of the sum of exponentials, and the loss, of each row with a target.
    let rows: Vec<(f32, f64)> = {
        let x = storage::read(logits);
        x.par_chunks(classes)
            .zip(targets)
            .with_min_len(ROWS)
            .map(|(x, target)| {
                let Some(target) = target else {
                    return (0.0, 0.0);
                };
                let greatest = math::max(x);
                let log_sum = greatest + math::sum(x, |x| math::exp(x - greatest)).ln();
                let mut loss =
                    f64::from(1.0 - smoothing) * f64::from(log_sum - x[*target as usize]);
                if smoothing > 0.0 {
                    loss += f64::from(spread) * f64::from(math::sum(x, |x| log_sum - x));
                }
                (log_sum, loss)
            })
            .collect()
    };
    let loss = rows.iter().map(|row| row.1).sum::<f64>() / count;
    let out = g.output(vec![loss as f32], (1, 1), &[logits])?;
    let (into, logits, targets) = (logits.target(), logits.clone(), targets.to_vec());
    storage::record(g, &out, move |gy, gradients| {
        let factor = (f64::from(gy[0]) / count) as f32;
        let x = storage::read(&logits);
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, targets.len(), classes, |row, into| {
            if let Some(target) = targets[row] {
                let log_sum = rows[row].0;
                for (into, x) in into.iter_mut().zip(&x[row * classes..][..classes]) {
                    *into += factor * (math::exp(x - log_sum) - spread);
                }
                into[target as usize] -= factor * (1.0 - smoothing);
            }
        });
        Ok(())
    });
    Ok(out)
}
