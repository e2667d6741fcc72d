//! The solver of iALS++: for each row, a Newton step of a block of columns after the other.
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
//! after which `e` is brought up to date. The authors' program (google-research `ials/vae_benchmarks/ialspp_main.cc`) takes, for
//! each block, all users and then all items, and keeps `e` of all pairs in memory. Here a row goes through all blocks before the next row:
//! the same steps in another order. The row's vectors are then fetched once, not twice a block, and its residuals
//! live only as long as it is worked on. On 6,040 x 3,416 with 740,000 pairs, 128 factors and blocks of 16 the objective is
//! behind that of the other order for the first epochs (3 % after three), and level from the tenth on.

use super::{IalsConfig, Side, solve_rows};
use crate::cf::CfError;
use crate::cf::gram::{Gram, Rows, Strip};
use crate::cf::tiles::{self, Lane, NotPositiveDefinite, Panels, SIDE, Tile, n_tiles};
use std::ops::Range;

/// What a thread needs for the steps of a row.
struct Workspace {
    tiles: Vec<Tile>,
    /// The vectors of the row's history. They grow with the longest one: at most a copy of the other side.
    panels: Vec<Panels>,
    inverse_diagonal: Vec<Lane>,
    /// The gradient's halves, then the step.
    step: Vec<Lane>,
    /// The unobserved pairs' part of the gradient.
    sums: Vec<Lane>,
    /// The row's residuals.
    errors: Vec<f32>,
}

/// What the steps of all rows share, of one block.
struct Block {
    lanes: Range<usize>,
    /// The columns that are not padding.
    width: usize,
    /// `alpha0 H[b]ᵀH`.
    strip: Strip,
    /// `alpha0 H[b]ᵀH[b]`.
    base: Vec<Tile>,
}

/// Moves the columns of each block, one block after the other, of every row of `solved` that has a history to where they are
/// best, given all else. Returns the sum of the squared residuals of each row.
pub(super) fn sweep_side(
    side: &Side<'_>,
    others: &Rows,
    others_gram: &Gram,
    blocks: &[Range<usize>],
    config: &IalsConfig,
    solved: &mut Rows,
) -> Result<Vec<f64>, CfError> {
    let shared: Vec<Block> = blocks
        .iter()
        .map(|lanes| {
            let strip = others_gram.strip(others.lanes(), lanes.clone(), config.alpha0);
            Block {
                lanes: lanes.clone(),
                width: others.width().min(lanes.end * SIDE) - lanes.start * SIDE,
                base: strip.triangle(),
                strip,
            }
        })
        .collect();
    let widest = blocks.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let workspace = || Workspace {
        tiles: vec![[[0.0; SIDE]; SIDE]; n_tiles(widest)],
        panels: Vec::new(),
        inverse_diagonal: vec![[0.0; SIDE]; widest],
        step: vec![[0.0; SIDE]; widest],
        sums: vec![[0.0; SIDE]; widest],
        errors: Vec::new(),
    };
    let solve = |index, lambda, workspace: &mut Workspace, row: &mut [Lane]| {
        let history = side.histories.row(index);
        gather(history, others, workspace);
        for (panels, errors) in workspace
            .panels
            .iter()
            .zip(workspace.errors.chunks_mut(Panels::MOST))
        {
            tiles::add_products(panels, 0..others.lanes(), row, errors);
        }
        for block in &shared {
            step(block, lambda, workspace, row)?;
        }
        Ok(workspace.errors.iter().map(|e| f64::from(*e).powi(2)).sum())
    };
    solve_rows(side, others.len(), config, solved, workspace, solve)
}

/// Fetches a row's vectors and starts its residuals from -1.
fn gather(history: &[u32], others: &Rows, workspace: &mut Workspace) {
    let Workspace { panels, errors, .. } = workspace;
    let needed = history.len().div_ceil(Panels::MOST);
    if panels.len() < needed {
        panels.resize_with(needed, || Panels::new(others.lanes()));
    }
    for (part, panels) in history.chunks(Panels::MOST).zip(panels) {
        panels.clear();
        for &other in part {
            panels.push(others.row(other as usize));
        }
    }
    errors.clear();
    errors.resize(history.len(), -1.0);
}

/// Moves the columns of a block of one row and brings its residuals up to date.
fn step(
    block: &Block,
    lambda: f32,
    workspace: &mut Workspace,
    row: &mut [Lane],
) -> Result<(), NotPositiveDefinite> {
    let width = block.lanes.len();
    let tiles = &mut workspace.tiles[..n_tiles(width)];
    let inverse_diagonal = &mut workspace.inverse_diagonal[..width];
    let step = &mut workspace.step[..width];
    let sums = &mut workspace.sums[..width];

    tiles.copy_from_slice(&block.base);
    block.strip.multiply(row, step);
    for (panels, errors) in (workspace.panels.iter()).zip(workspace.errors.chunks(Panels::MOST)) {
        for (lane, sum) in block.lanes.clone().zip(&mut *sums) {
            *sum = tiles::weighted_sum(panels.lane(lane), errors);
        }
        tiles::add(step, sums);
        tiles::add_outer(panels, block.lanes.clone(), tiles);
    }
    let own = &mut row[block.lanes.clone()];
    tiles::add_scaled(step, lambda, own);

    tiles::add_diagonal(tiles, block.width, lambda);
    tiles::factorize(tiles, inverse_diagonal)?;
    tiles::solve(tiles, inverse_diagonal, step);

    for value in step.as_flattened_mut() {
        *value = -*value;
    }
    tiles::add(own, step);
    for (panels, errors) in (workspace.panels.iter()).zip(workspace.errors.chunks_mut(Panels::MOST))
    {
        tiles::add_products(panels, block.lanes.clone(), step, errors);
    }
    Ok(())
}
