//! The exact solver: each row's normal equations by Cholesky.

use super::{IalsConfig, Side, solve_rows};
use crate::cf::CfError;
use crate::cf::gram::{Gram, Rows};
use crate::cf::tiles::{self, Lane, NotPositiveDefinite, Panels, SIDE, Tile, n_tiles};

/// What a thread needs to solve a row.
struct Workspace {
    tiles: Vec<Tile>,
    panels: Panels,
    inverse_diagonal: Vec<Lane>,
    /// The sum of a block of vectors.
    sums: Vec<Lane>,
}

/// Replaces every row of `solved` that has a history by the best one, given the `others` and their Gramian.
pub(super) fn solve_side(
    side: &Side<'_>,
    others: &Rows,
    others_gram: &Gram,
    config: &IalsConfig,
    solved: &mut Rows,
) -> Result<(), CfError> {
    let lanes = others.lanes();
    let base = others_gram.scaled(config.alpha0);
    let workspace = || Workspace {
        tiles: vec![[[0.0; SIDE]; SIDE]; n_tiles(lanes)],
        panels: Panels::new(lanes),
        inverse_diagonal: vec![[0.0; SIDE]; lanes],
        sums: vec![[0.0; SIDE]; lanes],
    };
    let solve = |index, lambda, workspace: &mut Workspace, row: &mut [Lane]| {
        let history = side.histories.row(index);
        solve_row(history, others, &base, lambda, workspace, row)
    };
    solve_rows(side, others.len(), config, solved, workspace, solve)?;
    Ok(())
}

/// Solves one row's normal equations into `row`.
fn solve_row(
    history: &[u32],
    others: &Rows,
    base: &[Tile],
    lambda: f32,
    workspace: &mut Workspace,
    row: &mut [Lane],
) -> Result<(), NotPositiveDefinite> {
    let Workspace {
        tiles,
        panels,
        inverse_diagonal,
        sums,
    } = workspace;
    tiles.copy_from_slice(base);
    row.fill([0.0; SIDE]);
    for block in history.chunks(Panels::MOST) {
        panels.clear();
        // By blocks, as the matrix: the rounding of one long sum would grow with the history.
        sums.fill([0.0; SIDE]);
        for &other in block {
            let vector = others.row(other as usize);
            panels.push(vector);
            tiles::add(sums, vector);
        }
        tiles::add(row, sums);
        tiles::add_outer(panels, 0..others.lanes(), tiles);
    }
    tiles::add_diagonal(tiles, others.width(), lambda);
    tiles::factorize(tiles, inverse_diagonal)?;
    tiles::solve(tiles, inverse_diagonal, row);
    Ok(())
}
