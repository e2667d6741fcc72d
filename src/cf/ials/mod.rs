//! Implicit alternating least squares (iALS) with frequency-scaled regularisation.
//!
//! Minimises, over user vectors `w` and item vectors `h` of width `d`,
//!
//! ```text
//! L = sum over (u,i) in S of (<w_u, h_i> - 1)²
//!   + alpha0 * sum over all u, i of <w_u, h_i>²
//!   + lambda * [ sum over u of (|I_u| + alpha0 |I|)^nu ‖w_u‖²  +  sum over i of (|U_i| + alpha0 |U|)^nu ‖h_i‖² ]
//! ```
//!
//! where `S` is the set of observed pairs (they take part in both of the first two sums), `I_u` the items of user `u`
//! and `U_i` the users of item `i` (Rendle, Krichene, Zhang, Koren: *Revisiting the Performance of iALS on Item
//! Recommendation Benchmarks*, RecSys 2022, arXiv 2110.14037; program in google-research/google-research, `ials/`).
//! With the items held, the best vector of a user solves
//!
//! ```text
//! ( sum over i in I_u of h_i h_iᵀ + alpha0 HᵀH + lambda_u 1 ) w_u = sum over i in I_u of h_i
//! ```
//!
//! and likewise for items. An epoch of [`Solver::Exact`] solves all users, then all items; `HᵀH` is computed once per half
//! epoch. That costs `|S| d² + (|U| + |I|) d³`; [`Solver::Subspace`] is iALS++, which improves a block of `b` columns of a
//! row at a time and costs `|S| d b + (|U| + |I|) (d² + d b²)`.
//!
//! Differs from that program: rows without a history are zero from the start (it leaves their random start in, where it
//! adds noise to the Gramians); a pair that occurs several times counts once.

mod exact;
mod subspace;
#[cfg(test)]
mod tests;

use super::gram::{Gram, Rows};
use super::tiles::{Lane, NotPositiveDefinite, SIDE, n_lanes};
use super::{CfError, Csr, Factors};
use crate::progress::Progress;
use crate::seed::Seed;
use rand::Rng as _;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::ops::Range;

/// How iALS runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IalsConfig {
    /// How an epoch improves the vectors.
    pub solver: Solver,
    /// The width `d` of the vectors; at least 1.
    pub factors: usize,
    /// How often users and items are improved.
    pub epochs: usize,
    /// `lambda`; above 0.
    pub regularization: f64,
    /// `nu`: 1 scales the regularisation of a row by its frequency, 0 makes it the same for all.
    pub nu: f64,
    /// `alpha0`: the weight of every pair, observed or not; above 0.
    pub alpha0: f64,
    /// Vectors start from a normal distribution with this standard deviation divided by `sqrt(d)`.
    pub init_std: f64,
}

/// How an epoch improves the vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solver {
    /// Each row's best vector, by Cholesky.
    Exact,
    /// iALS++: for each row, a Newton step of each block of columns.
    Subspace {
        /// Columns of a block; a multiple of [`BLOCK_STEP`].
        block: usize,
    },
}

/// What the width of a block is a multiple of: the columns that are computed together.
pub const BLOCK_STEP: usize = SIDE;

/// What a fit left besides the factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The vectors.
    pub factors: Factors,
    /// `L` at the start and after each epoch: `epochs + 1` numbers that never rise (but for rounding, relative 1e-6).
    pub objective: Vec<f64>,
}

/// Rows that one task solves; a constant, because it must not depend on the number of threads.
const ROWS_A_TASK: usize = 16;

/// Fits users and items to the observed pairs (`interactions`: users x items).
///
/// Reports the metric `train.objective` for step 0 (the start) and each epoch. The result is the same bit for bit
/// whatever the number of threads.
pub fn fit(
    interactions: &Csr,
    config: &IalsConfig,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Fit, CfError> {
    if interactions.n_entries() == 0 {
        return Err(CfError::Empty);
    }
    let by_item = interactions.transpose();
    let mut users = initial(interactions, config, seed.child("users"));
    let mut items = initial(&by_item, config, seed.child("items"));
    let mut grams = [Gram::of(&users), Gram::of(&items)];
    let user = Side {
        name: "user",
        histories: interactions,
    };
    let item = Side {
        name: "item",
        histories: &by_item,
    };
    let blocks = match config.solver {
        Solver::Exact => Vec::new(),
        Solver::Subspace { block } => blocks(config.factors, block),
    };
    let mut steps = 0;
    let mut tick = || {
        steps += 1;
        progress.tick("half-epoch", steps, 2 * config.epochs as u64)
    };

    let mut objective = Vec::with_capacity(config.epochs + 1);
    for epoch in 0..=config.epochs {
        let mut errors = None;
        if epoch > 0 {
            half(&user, &items, &grams[1], &blocks, config, &mut users)?;
            grams[0] = Gram::of(&users);
            tick()?;
            errors = half(&item, &users, &grams[0], &blocks, config, &mut items)?;
            grams[1] = Gram::of(&items);
            tick()?;
        }
        let observed = errors.unwrap_or_else(|| observed_error(interactions, &users, &items));
        let value = observed
            + config.alpha0 * grams[0].inner(&grams[1])
            + penalty(interactions, &users, config)
            + penalty(&by_item, &items, config);
        if !value.is_finite() {
            return Err(CfError::NotFinite { epoch, value });
        }
        progress.metric(epoch as u64, "train.objective", value)?;
        objective.push(value);
    }
    Ok(Fit {
        factors: Factors {
            users: users.to_array(),
            items: items.to_array(),
        },
        objective,
    })
}

/// One side of the matrix.
struct Side<'a> {
    /// `user` or `item`.
    name: &'static str,
    /// Who chose what, by rows of this side.
    histories: &'a Csr,
}

/// Improves every row of a side. Returns the first sum of `L` where the solver knows it.
fn half(
    side: &Side<'_>,
    others: &Rows,
    others_gram: &Gram,
    blocks: &[Range<usize>],
    config: &IalsConfig,
    solved: &mut Rows,
) -> Result<Option<f64>, CfError> {
    match config.solver {
        Solver::Exact => {
            exact::solve_side(side, others, others_gram, config, solved)?;
            Ok(None)
        }
        Solver::Subspace { .. } => {
            let errors = subspace::sweep_side(side, others, others_gram, blocks, config, solved)?;
            Ok(Some(errors.iter().sum()))
        }
    }
}

/// The lanes of each block of `block` columns; the last is narrower when `block` does not divide the width.
fn blocks(factors: usize, block: usize) -> Vec<Range<usize>> {
    let lanes = n_lanes(factors);
    (0..lanes)
        .step_by((block / BLOCK_STEP).max(1))
        .map(|start| start..lanes.min(start + block / BLOCK_STEP))
        .collect()
}

/// Random vectors for rows with a history, zero for the others.
fn initial(histories: &Csr, config: &IalsConfig, seed: Seed) -> Rows {
    let std = config.init_std / (config.factors as f64).sqrt();
    let mut rng = seed.rng();
    let mut rows = Rows::zeros(histories.n_rows(), config.factors);
    for row in 0..histories.n_rows() {
        // Drawn for every row, so that a row's start does not depend on the histories of others.
        for place in 0..config.factors {
            let x: f64 = rng.sample(StandardNormal);
            rows.row_mut(row)[place / SIDE][place % SIDE] = (x * std) as f32;
        }
        if histories.row(row).is_empty() {
            rows.row_mut(row).fill([0.0; SIDE]);
        }
    }
    rows
}

/// `lambda (|history| + alpha0 |others|)^nu`.
fn ridge(history: usize, others: usize, config: &IalsConfig) -> f64 {
    config.regularization * (history as f64 + config.alpha0 * others as f64).powf(config.nu)
}

/// Solves every row of one side that has a history, in parallel: `solve` gets the row's number, its regularisation and its
/// vector. A row's result depends on nothing that another row's does. Returns what `solve` returned, in the order of the rows.
fn solve_rows<W, T: Send>(
    side: &Side<'_>,
    others: usize,
    config: &IalsConfig,
    solved: &mut Rows,
    workspace: impl Fn() -> W + Sync + Send,
    solve: impl Fn(usize, f32, &mut W, &mut [Lane]) -> Result<T, NotPositiveDefinite> + Sync + Send,
) -> Result<Vec<T>, CfError> {
    let lanes = solved.lanes();
    let tasks: Vec<Result<Vec<T>, usize>> = solved
        .lanes_mut()
        .par_chunks_mut(lanes * ROWS_A_TASK)
        .enumerate()
        .map_init(workspace, |workspace, (task, rows)| {
            let mut results = Vec::new();
            for (place, row) in rows.chunks_exact_mut(lanes).enumerate() {
                let index = task * ROWS_A_TASK + place;
                let history = side.histories.row(index).len();
                if history == 0 {
                    continue;
                }
                let lambda = ridge(history, others, config) as f32;
                results.push(solve(index, lambda, workspace, row).map_err(|_| index)?);
            }
            Ok(results)
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.extend(task.map_err(|row| CfError::NotPositiveDefinite {
            side: side.name,
            row,
        })?);
    }
    Ok(results)
}

/// The first sum of `L`. One number a user, added in the order of the users.
fn observed_error(interactions: &Csr, users: &Rows, items: &Rows) -> f64 {
    let by_user: Vec<f64> = (0..interactions.n_rows())
        .into_par_iter()
        .with_min_len(ROWS_A_TASK)
        .map(|user| {
            let w = users.row(user);
            interactions
                .row(user)
                .iter()
                .map(|&item| {
                    let error = dot(w, items.row(item as usize)) - 1.0;
                    error * error
                })
                .sum()
        })
        .collect();
    by_user.iter().sum()
}

/// One side's part of the third sum of `L`.
fn penalty(histories: &Csr, rows: &Rows, config: &IalsConfig) -> f64 {
    (0..histories.n_rows())
        .map(|row| {
            let lambda = ridge(histories.row(row).len(), histories.n_columns(), config);
            lambda * dot(rows.row(row), rows.row(row))
        })
        .sum()
}

/// The inner product: products in `f32`, one `f64` sum a place of a lane, added in order at the end.
fn dot(a: &[Lane], b: &[Lane]) -> f64 {
    let mut sums = [0.0_f64; SIDE];
    for (a, b) in a.iter().zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(*x) * f64::from(*y);
        }
    }
    sums.iter().sum()
}
