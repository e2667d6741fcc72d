//! Rotary positions.

use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    /// The angles that were computed last: all blocks of a model ask for the same.
    static LAST: RefCell<Option<Rc<Angles>>> = const { RefCell::new(None) };
}

/// Cosines and sines `[distinct positions, half]` and, for each row, the number of its position.
struct Angles {
    positions: Vec<u32>,
    frequencies: Vec<f32>,
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
            positions: positions.to_vec(),
            frequencies: frequencies.to_vec(),
            cosines,
            sines,
            row,
        }
    }

    fn of(positions: &[u32], frequencies: &[f32]) -> Rc<Self> {
        let known = LAST.with_borrow(Clone::clone);
        known
            .filter(|last| last.positions == positions && last.frequencies == frequencies)
            .unwrap_or_else(|| {
                let new = Rc::new(Self::new(positions, frequencies));
                LAST.set(Some(new.clone()));
                new
            })
    }

    /// Rotates row number `row`, `direction` 1 forward and −1 backward.
    fn rotate(&self, row: usize, y: &mut [f32], head_dim: usize, direction: f32) {
        let half = head_dim / 2;
        let at = self.row[row] * half;
        let (cosines, sines) = (&self.cosines[at..][..half], &self.sines[at..][..half]);
        for y in y.chunks_exact_mut(head_dim) {
            let (y1, y2) = y.split_at_mut(half);
            for i in 0..half {
                let (a, b, sine) = (y1[i], y2[i], direction * sines[i]);
                y1[i] = a * cosines[i] - b * sine;
                y2[i] = b * cosines[i] + a * sine;
            }
        }
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
    let angles = Angles::of(positions, frequencies);
    let (rows, width) = (x.rows(), heads * head_dim);
    let y = {
        let (x, angles) = (storage::read(x), &*angles);
        parallel::new_rows(rows, width, |row, y| {
            y.copy_from_slice(&x[row * width..][..width]);
            angles.rotate(row, y, head_dim, 1.0);
        })
    };
    let out = g.output(y, x.shape(), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |mut gy, gradients| {
        let angles = &*angles;
        parallel::rows(&mut gy, width, |row, gy| {
            angles.rotate(row, gy, head_dim, -1.0);
        });
        storage::place(gradients, &into)?.put(gy);
        Ok(())
    });
    Ok(out)
}
