//! The solver of iALS++: a block of columns at a time, a Newton step of each row in it.
//!
//! With `e` the residuals `<w_u, h_i> - 1` of the observed pairs, `b` the block's columns and `H` the other side, the
//! step of user `u` is (Rendle, Krichene, Zhang, Koren: *iALS++: Speeding up Matrix Factorization with Subspace
//! Optimization*, arXiv 2110.14044)
//!
//! ```text
//! w_u[b] -= ( sum over i in I_u of h_i[b] h_i[b]ᵀ + alpha0 H[b]ᵀH[b] + lambda_u 1 )⁻¹
//!           ( sum over i in I_u of h_i[b] e_ui    + alpha0 H[b]ᵀH w_u + lambda_u w_u[b] )
//! ```
//!
//! after which `e` is brought up to date. Order of the authors' program (google-research `ials/vae_benchmarks/
//! ialspp_main.cc`): for each block, all users and then all items. Differs from it: `e` is computed once, at the
//! start, not again before each epoch (`f32` rounding moves it by about 1e-7 an epoch).

use super::{IalsConfig, ROWS_A_TASK, solve_rows};
use crate::cf::gram::{Rows, Strip};
use crate::cf::tiles::{self, Lane, NotPositiveDefinite, Panels, SIDE, Tile, n_tiles};
use crate::cf::{CfError, Csr};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Pairs that one task sums; a constant, because it must not depend on the number of threads.
const PAIRS_A_TASK: usize = 1 << 14;

/// One side of the matrix.
pub(super) struct Side<'a> {
    /// `user` or `item`.
    pub(super) name: &'static str,
    /// Who chose what, by rows of this side.
    pub(super) histories: &'a Csr,
    /// Where this side's pairs are in [`Residuals`]; in their own order if not given.
    pub(super) places: Option<&'a [u32]>,
}

/// `<w_u, h_i> - 1` of every observed pair, in the order of the users x items matrix.
///
/// Atomic, because the items' steps write to places far apart; each place belongs to one row of a side, so there is no
/// race and the order of the threads changes nothing.
pub(super) struct Residuals(Vec<AtomicU32>);

impl Residuals {
    /// Computes them from scratch.
    pub(super) fn new(by_user: &Csr, users: &Rows, items: &Rows) -> Self {
        let mut values = Vec::new();
        values.resize_with(by_user.n_entries(), AtomicU32::default);
        let residuals = Self(values);
        (0..by_user.n_rows())
            .into_par_iter()
            .with_min_len(ROWS_A_TASK)
            .for_each(|user| {
                for (place, &item) in by_user.places(user).zip(by_user.row(user)) {
                    let score = super::dot(users.row(user), items.row(item as usize));
                    residuals.set(place, (score - 1.0) as f32);
                }
            });
        residuals
    }

    fn get(&self, place: usize) -> f32 {
        f32::from_bits(self.0[place].load(Ordering::Relaxed))
    }

    fn set(&self, place: usize, value: f32) {
        self.0[place].store(value.to_bits(), Ordering::Relaxed);
    }

    /// The sum of their squares: pieces of fixed size in `f64`, added in order.
    pub(super) fn sum_of_squares(&self) -> f64 {
        let pieces: Vec<f64> = self
            .0
            .par_chunks(PAIRS_A_TASK)
            .map(|piece| {
                piece
                    .iter()
                    .map(|x| f64::from(f32::from_bits(x.load(Ordering::Relaxed))).powi(2))
                    .sum()
            })
            .collect();
        pieces.iter().sum()
    }
}

/// What a thread needs for the step of a row.
struct Workspace {
    tiles: Vec<Tile>,
    panels: Panels,
    inverse_diagonal: Vec<Lane>,
    /// The gradient's halves, then the step.
    step: Vec<Lane>,
    /// The sum of a block of vectors, then the unobserved pairs' part of the gradient.
    sums: Vec<Lane>,
    /// The row's residuals.
    errors: Vec<f32>,
}

/// What all rows' steps share.
struct Step<'a> {
    side: &'a Side<'a>,
    /// The lanes of the block.
    block: &'a Range<usize>,
    /// The block's columns of the other side: `[others, block]`. A copy of their own fits the cache where whole vectors
    /// do not.
    others: Vec<Lane>,
    /// The columns of the block that are not padding.
    width: usize,
    /// `alpha0 H[b]ᵀH`.
    strip: Strip,
    /// `alpha0 H[b]ᵀH[b]`.
    base: Vec<Tile>,
    residuals: &'a Residuals,
}

/// Moves the columns of the lanes `block` of every row of `solved` that has a history to where they are best, given all
/// else, and brings the residuals up to date.
pub(super) fn step_side(
    side: &Side<'_>,
    others: &Rows,
    block: &Range<usize>,
    residuals: &Residuals,
    config: &IalsConfig,
    solved: &mut Rows,
) -> Result<(), CfError> {
    let strip = Strip::of(others, block.clone(), config.alpha0);
    let step = Step {
        side,
        others: (0..others.len())
            .flat_map(|other| &others.row(other)[block.clone()])
            .copied()
            .collect(),
        width: others.width().min(block.end * SIDE) - block.start * SIDE,
        base: strip.triangle(),
        strip,
        residuals,
        block,
    };
    // The usual widths as constants: their loops unroll.
    let run = match block.len() {
        1 => Step::run::<1>,
        2 => Step::run::<2>,
        4 => Step::run::<4>,
        _ => Step::run::<0>,
    };
    let workspace = || Workspace {
        tiles: vec![[[0.0; SIDE]; SIDE]; n_tiles(block.len())],
        panels: Panels::new(block.len()),
        inverse_diagonal: vec![[0.0; SIDE]; block.len()],
        step: vec![[0.0; SIDE]; block.len()],
        sums: vec![[0.0; SIDE]; block.len()],
        errors: Vec::new(),
    };
    let solve = |index, lambda, workspace: &mut Workspace, row: &mut [Lane]| {
        run(&step, index, lambda, workspace, row)
    };
    solve_rows(side, others.len(), config, solved, workspace, solve)
}

impl Step<'_> {
    /// Moves one row. `LANES` is the width of the block, or 0 when it is only known here.
    fn run<const LANES: usize>(
        &self,
        index: usize,
        lambda: f32,
        workspace: &mut Workspace,
        row: &mut [Lane],
    ) -> Result<(), NotPositiveDefinite> {
        let Workspace {
            tiles,
            panels,
            inverse_diagonal,
            step,
            sums,
            errors,
        } = workspace;
        let history = self.side.histories.row(index);
        let first = self.side.histories.places(index).start;

        // Loads from far apart, in loops of their own: they overlap.
        errors.clear();
        errors.extend((first..first + history.len()).map(|k| self.residuals.get(self.place(k))));

        tiles.copy_from_slice(&self.base);
        step.fill([0.0; SIDE]);
        for (block, errors) in history
            .chunks(Panels::MOST)
            .zip(errors.chunks(Panels::MOST))
        {
            panels.clear();
            for &other in block {
                panels.push(self.vector::<LANES>(other));
            }
            for (lane, sum) in step.iter_mut().enumerate() {
                tiles::add(
                    std::slice::from_mut(sum),
                    &[weighted(panels.lane(lane), errors)],
                );
            }
            tiles::add_outer(panels, tiles);
        }
        self.strip.multiply(row, sums);
        tiles::add(step, sums);
        let own = &mut row[self.block.clone()];
        tiles::add_scaled(step, lambda, own);

        tiles::add_diagonal(tiles, self.width, lambda);
        tiles::factorize(tiles, inverse_diagonal)?;
        tiles::solve(tiles, inverse_diagonal, step);

        tiles::add_scaled(own, -1.0, step);
        for ((k, &other), error) in (first..).zip(history).zip(errors) {
            let change = tiles::dot(step, self.vector::<LANES>(other));
            self.residuals.set(self.place(k), *error - change);
        }
        Ok(())
    }

    /// The block's columns of a vector of the other side.
    #[inline]
    fn vector<const LANES: usize>(&self, other: u32) -> &[Lane] {
        let lanes = if LANES == 0 { self.block.len() } else { LANES };
        &self.others[other as usize * lanes..][..lanes]
    }

    /// Where the residual of a pair of this side is.
    fn place(&self, entry: usize) -> usize {
        self.side
            .places
            .map_or(entry, |places| places[entry] as usize)
    }
}

/// Returns the sum of the lanes, each times its factor. Four sums, as one would wait for each fused multiply-add.
fn weighted(lanes: &[Lane], factors: &[f32]) -> Lane {
    let mut sums = [[0.0_f32; SIDE]; 4];
    for (lanes, factors) in lanes.chunks(4).zip(factors.chunks(4)) {
        for ((sum, lane), factor) in sums.iter_mut().zip(lanes).zip(factors) {
            for (total, x) in sum.iter_mut().zip(lane) {
                *total = factor.mul_add(*x, *total);
            }
        }
    }
    std::array::from_fn(|r| (sums[0][r] + sums[1][r]) + (sums[2][r] + sums[3][r]))
}
