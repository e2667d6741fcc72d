//! Rotary positions.

use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

/// Cosines and sines `[distinct positions, half]` and, for each row, the number of its position.
struct Angles {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    row: Vec<usize>,
}

impl Angles {
    fn new(positions: &[u32], frequencies: &[f32]) -> Self {
        let half = frequencies.len();
        let mut distinct = positions.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut cosines = Vec::with_capacity(distinct.len() * half);
        let mut sines = Vec::with_capacity(distinct.len() * half);
        // Angles are rounded to f32, as Hugging Face's Llama does.
        for &position in &distinct {
            for frequency in frequencies {
                let angle = f64::from(position as f32 * frequency);
                cosines.push(angle.cos() as f32);
                sines.push(angle.sin() as f32);
            }
        }
        let row = positions
            .iter()
            .map(|position| distinct.partition_point(|known| known < position))
            .collect();
        Self {
            cosines,
            sines,
            row,
        }
    }

    /// Adds the rotation of `x` to `y`, `direction` 1 forward and −1 backward.
    fn rotate(&self, x: &[f32], y: &mut [f32], heads: usize, head_dim: usize, direction: f32) {
        let half = head_dim / 2;
        let width = heads * head_dim;
        parallel::rows(y, width, |row, y| {
            let at = self.row[row] * half;
            let (cosines, sines) = (&self.cosines[at..][..half], &self.sines[at..][..half]);
            let x = &x[row * width..][..width];
            for (x, y) in x.chunks_exact(head_dim).zip(y.chunks_exact_mut(head_dim)) {
                let ((x1, x2), (y1, y2)) = (x.split_at(half), y.split_at_mut(half));
                for i in 0..half {
                    let sine = direction * sines[i];
                    y1[i] += x1[i] * cosines[i] - x2[i] * sine;
                    y2[i] += x2[i] * cosines[i] + x1[i] * sine;
                }
            }
        });
    }
}

pub(super) fn rotary(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    heads: usize,
    head_dim: usize,
    positions: &[u32],
    base: f32,
) -> Made {
    // Frequencies are rounded to f32, as Hugging Face's Llama does.
    let half = head_dim / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|i| f64::from(base).powf(-(i as f64) / half as f64) as f32)
        .collect();
    rotary_at(g, x, heads, positions, &frequencies)
}

pub(super) fn rotary_at(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    heads: usize,
    positions: &[u32],
    frequencies: &[f32],
) -> Made {
    let head_dim = 2 * frequencies.len();
    let angles = Angles::new(positions, frequencies);
    let mut y = vec![0.0; x.rows() * x.columns()];
    angles.rotate(&storage::read(x), &mut y, heads, head_dim, 1.0);
    let out = g.output(y, x.shape(), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let gx = storage::gradient(gradients, &x)?;
            angles.rotate(&gy, gx, heads, head_dim, -1.0);
            Ok(())
        });
    }
    Ok(out)
}
