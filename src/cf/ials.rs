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
//! and likewise for items; an epoch solves all users, then all items. `HᵀH` is computed once per half epoch.
//!
//! Differs from that program: rows without a history are zero from the start (it leaves their random start in, where it
//! adds noise to the Gramians); a pair that occurs several times counts once.

use super::gram::{Gram, Rows};
use super::tiles::{self, Lane, SIDE, Tile, n_tiles};
use super::{CfError, Csr, Factors};
use crate::progress::Progress;
use crate::seed::Seed;
use rand::Rng as _;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// How iALS runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IalsConfig {
    /// The width `d` of the vectors; at least 1.
    pub factors: usize,
    /// How often users and items are solved.
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

/// Vectors that are gathered before a rank update: small enough that two panels stay in the L1 cache.
const BLOCK: usize = 128;

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
    let total = 2 * config.epochs as u64;

    let mut users_gram = Gram::of(&users);
    let mut items_gram = Gram::of(&items);
    let mut objective = Vec::with_capacity(config.epochs + 1);
    for epoch in 0..=config.epochs {
        if epoch > 0 {
            solve_side(
                "user",
                interactions,
                &items,
                &items_gram,
                config,
                &mut users,
            )?;
            users_gram = Gram::of(&users);
            progress.tick("half-epoch", 2 * epoch as u64 - 1, total)?;
            solve_side("item", &by_item, &users, &users_gram, config, &mut items)?;
            items_gram = Gram::of(&items);
            progress.tick("half-epoch", 2 * epoch as u64, total)?;
        }
        let value = observed_error(interactions, &users, &items)
            + config.alpha0 * users_gram.inner(&items_gram)
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

/// What a thread needs to solve a row.
struct Workspace {
    tiles: Vec<Tile>,
    panels: Vec<Lane>,
    inverse_diagonal: Vec<Lane>,
}

/// Replaces every row of `solved` that has a history by the best one, given the `others` and their Gramian.
fn solve_side(
    side: &'static str,
    histories: &Csr,
    others: &Rows,
    others_gram: &Gram,
    config: &IalsConfig,
    solved: &mut Rows,
) -> Result<(), CfError> {
    let lanes = others.lanes();
    let base = others_gram.scaled(config.alpha0);
    let workspace = || Workspace {
        tiles: vec![[[0.0; SIDE]; SIDE]; n_tiles(lanes)],
        panels: Vec::with_capacity(BLOCK * lanes),
        inverse_diagonal: vec![[0.0; SIDE]; lanes],
    };
    let failures: Vec<Option<usize>> = solved
        .lanes_mut()
        .par_chunks_mut(lanes * ROWS_A_TASK)
        .enumerate()
        .map_init(workspace, |workspace, (task, rows)| {
            for (place, row) in rows.chunks_exact_mut(lanes).enumerate() {
                let index = task * ROWS_A_TASK + place;
                let history = histories.row(index);
                if history.is_empty() {
                    continue;
                }
                let lambda = ridge(history.len(), others.len(), config);
                if solve_row(history, others, &base, lambda as f32, workspace, row).is_err() {
                    return Some(index);
                }
            }
            None
        })
        .collect();
    match failures.into_iter().flatten().next() {
        Some(row) => Err(CfError::NotPositiveDefinite { side, row }),
        None => Ok(()),
    }
}

/// Solves one row's normal equations into `row`.
fn solve_row(
    history: &[u32],
    others: &Rows,
    base: &[Tile],
    lambda: f32,
    workspace: &mut Workspace,
    row: &mut [Lane],
) -> Result<(), tiles::NotPositiveDefinite> {
    let Workspace {
        tiles,
        panels,
        inverse_diagonal,
    } = workspace;
    tiles.copy_from_slice(base);
    row.fill([0.0; SIDE]);
    for block in history.chunks(BLOCK) {
        panels.clear();
        for (lane, sum) in row.iter_mut().enumerate() {
            for &other in block {
                let values = &others.row(other as usize)[lane];
                for (total, x) in sum.iter_mut().zip(values) {
                    *total += x;
                }
                panels.push(*values);
            }
        }
        tiles::add_outer(panels, block.len(), tiles);
    }
    tiles::add_diagonal(tiles, others.width(), lambda);
    tiles::factorize(tiles, inverse_diagonal)?;
    tiles::solve(tiles, inverse_diagonal, row);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn config(factors: usize, epochs: usize) -> IalsConfig {
        IalsConfig {
            factors,
            epochs,
            regularization: 0.01,
            nu: 1.0,
            alpha0: 0.1,
            init_std: 0.1,
        }
    }

    /// Two groups of users, each with its own half of the items; user 20 and item 16 have no history.
    fn groups() -> Csr {
        let mut rng = Seed::new(5).rng();
        let mut pairs = Vec::new();
        for user in 0..20_u32 {
            for item in 0..16_u32 {
                let own = (user < 10) == (item < 8);
                if rng.gen_bool(if own { 0.7 } else { 0.05 }) {
                    pairs.push((user, item));
                }
            }
        }
        Csr::from_pairs(21, 17, pairs).unwrap()
    }

    /// `L` as it is written, over every pair.
    fn naive_objective(csr: &Csr, factors: &Factors, config: &IalsConfig) -> f64 {
        let d = factors.width();
        let users: Vec<&[f32]> = factors.users.data.chunks(d).collect();
        let items: Vec<&[f32]> = factors.items.data.chunks(d).collect();
        let mut loss = 0.0;
        for (u, w) in users.iter().enumerate() {
            for (i, h) in items.iter().enumerate() {
                let score: f64 = w
                    .iter()
                    .zip(*h)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum();
                loss += config.alpha0 * score * score;
                if csr.row(u).contains(&(i as u32)) {
                    loss += (score - 1.0) * (score - 1.0);
                }
            }
        }
        let by_item = csr.transpose();
        let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        for (u, w) in users.iter().enumerate() {
            let frequency = csr.row(u).len() as f64 + config.alpha0 * items.len() as f64;
            loss += config.regularization * frequency.powf(config.nu) * norm(w);
        }
        for (i, h) in items.iter().enumerate() {
            let frequency = by_item.row(i).len() as f64 + config.alpha0 * users.len() as f64;
            loss += config.regularization * frequency.powf(config.nu) * norm(h);
        }
        loss
    }

    /// One epoch of dense `f64` least squares from the same start, by Gaussian elimination.
    fn naive_side(csr: &Csr, others: &[Vec<f64>], config: &IalsConfig) -> Vec<Vec<f64>> {
        let d = config.factors;
        (0..csr.n_rows())
            .map(|row| {
                if csr.row(row).is_empty() {
                    return vec![0.0; d];
                }
                let frequency = csr.row(row).len() as f64 + config.alpha0 * others.len() as f64;
                let lambda = config.regularization * frequency.powf(config.nu);
                let mut a = vec![vec![0.0; d]; d];
                let mut b = vec![0.0; d];
                for (id, h) in others.iter().enumerate() {
                    let seen = csr.row(row).contains(&(id as u32));
                    let weight = config.alpha0 + if seen { 1.0 } else { 0.0 };
                    for i in 0..d {
                        for j in 0..d {
                            a[i][j] += weight * h[i] * h[j];
                        }
                        if seen {
                            b[i] += h[i];
                        }
                    }
                }
                for (i, line) in a.iter_mut().enumerate() {
                    line[i] += lambda;
                }
                tiles::tests::naive_solve(a, b)
            })
            .collect()
    }

    fn wide(array: &crate::formats::tensors::Array) -> Vec<Vec<f64>> {
        array
            .data
            .chunks(array.shape[1])
            .map(|row| row.iter().map(|&x| f64::from(x)).collect())
            .collect()
    }

    #[test]
    fn an_epoch_agrees_with_dense_least_squares() {
        let csr = groups();
        for nu in [0.0, 0.5, 1.0] {
            let config = IalsConfig {
                nu,
                // Large enough that the systems are well conditioned, so that f32 can be held to 1e-4.
                regularization: 0.1,
                ..config(18, 3)
            };
            let seed = Seed::new(11);
            let fitted = fit(&csr, &config, seed, &Silent).unwrap();
            let mut items =
                wide(&initial(&csr.transpose(), &config, seed.child("items")).to_array());
            let mut users = Vec::new();
            for _ in 0..config.epochs {
                users = naive_side(&csr, &items, &config);
                items = naive_side(&csr.transpose(), &users, &config);
            }
            for (ours, wanted) in [
                (&fitted.factors.users, &users),
                (&fitted.factors.items, &items),
            ] {
                for (row, (a, b)) in wide(ours).iter().zip(wanted).enumerate() {
                    for (x, y) in a.iter().zip(b) {
                        // Values are around 1; three epochs of f32 with condition numbers up to a hundred.
                        assert!((x - y).abs() < 1e-4, "nu {nu}, row {row}: {x} and {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_objective_is_the_written_sum_and_never_rises() {
        let csr = groups();
        for nu in [0.0, 1.0] {
            let config = IalsConfig { nu, ..config(7, 8) };
            let fitted = fit(&csr, &config, Seed::new(3), &Silent).unwrap();
            let naive = naive_objective(&csr, &fitted.factors, &config);
            let last = *fitted.objective.last().unwrap();
            assert!((last - naive).abs() < 1e-5 * naive, "{last} and {naive}");
            assert_eq!(fitted.objective.len(), 9);
            for pair in fitted.objective.windows(2) {
                assert!(pair[1] <= pair[0] * (1.0 + 1e-6), "{:?}", fitted.objective);
            }
        }
    }

    #[test]
    fn rows_without_history_are_zero_and_groups_are_recovered() {
        let csr = groups();
        let fitted = fit(&csr, &config(6, 10), Seed::new(3), &Silent).unwrap();
        let users = wide(&fitted.factors.users);
        let items = wide(&fitted.factors.items);
        assert!(users[20].iter().chain(&items[16]).all(|&x| x == 0.0));
        let score = |u: usize, i: usize| -> f64 {
            users[u].iter().zip(&items[i]).map(|(a, b)| a * b).sum()
        };
        for user in 0..20 {
            let mean = |items: std::ops::Range<usize>| -> f64 {
                items.clone().map(|i| score(user, i)).sum::<f64>() / items.len() as f64
            };
            let (own, other) = if user < 10 {
                (mean(0..8), mean(8..16))
            } else {
                (mean(8..16), mean(0..8))
            };
            assert!(own > other + 0.2, "user {user}: {own} and {other}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let mut rng = Seed::new(9).rng();
        let pairs: Vec<(u32, u32)> = (0..6000)
            .map(|_| (rng.gen_range(0..400), rng.gen_range(0..300)))
            .collect();
        let csr = Csr::from_pairs(400, 300, pairs).unwrap();
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| fit(&csr, &config(20, 2), Seed::new(1), &Silent).unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }

    #[test]
    #[ignore = "measures a MovieLens-1M-sized fit, seconds"]
    fn time_of_an_epoch() {
        let mut rng = Seed::new(4).rng();
        let pairs: Vec<(u32, u32)> = (0..805_000)
            .map(|_| {
                // Squaring skews the popularity of items and the activity of users.
                let (u, i): (f64, f64) = (rng.r#gen(), rng.r#gen());
                ((u * u * 6040.0) as u32, (i * i * 3416.0) as u32)
            })
            .collect();
        let csr = Csr::from_pairs(6040, 3416, pairs).unwrap();
        for factors in [64, 128] {
            let watch = crate::clock::Stopwatch::start();
            fit(&csr, &config(factors, 5), Seed::new(1), &Silent).unwrap();
            println!(
                "{} pairs, {factors} factors, {} threads: {:.3} s an epoch",
                csr.n_entries(),
                rayon::current_num_threads(),
                watch.seconds() / 5.0
            );
        }
    }

    #[test]
    fn nothing_to_learn_from_is_an_error() {
        let csr = Csr::from_pairs(3, 3, []).unwrap();
        let error = fit(&csr, &config(2, 1), Seed::new(1), &Silent).unwrap_err();
        insta::assert_snapshot!(error, @"there are no training interactions");
    }
}
