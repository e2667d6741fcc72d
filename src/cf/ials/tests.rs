//! Both solvers against dense `f64` twins.

use super::*;
use crate::cf::tiles::Panels;
use crate::cf::tiles::tests::naive_solve;
use crate::progress::Silent;

/// Exact, one block of everything, and blocks that leave a narrower last one.
const SOLVERS: [Solver; 3] = [
    Solver::Exact,
    Solver::Subspace { block: 64 },
    Solver::Subspace { block: 16 },
];

/// `lambda` for [`groups`] and [`crowd`]: large enough that the systems are well conditioned even where `nu` is 0, so that
/// `f32` can be held to 1e-4.
const WELL_CONDITIONED: [f64; 2] = [0.1, 5.0];

fn config(factors: usize, epochs: usize) -> IalsConfig {
    IalsConfig {
        solver: Solver::Exact,
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

/// So many users that the items' histories are longer than the vectors that are gathered at a time.
fn crowd() -> Csr {
    let mut rng = Seed::new(6).rng();
    let pairs: Vec<(u32, u32)> = (0..180)
        .flat_map(|user| (0..5).map(move |item| (user, item)))
        .filter(|&(user, item)| rng.gen_bool(if user % 2 == item % 2 { 0.95 } else { 0.75 }))
        .collect();
    let csr = Csr::from_pairs(180, 5, pairs).unwrap();
    assert!((0..5).all(|item| csr.transpose().row(item).len() > Panels::MOST));
    csr
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
            naive_solve(a, b)
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
    for (csr, regularization, nu) in [groups(), crowd()]
        .iter()
        .zip(WELL_CONDITIONED)
        .flat_map(|(csr, regularization)| [0.0, 0.5, 1.0].map(|nu| (csr, regularization, nu)))
    {
        let config = IalsConfig {
            regularization,
            nu,
            ..config(18, 3)
        };
        let seed = Seed::new(11);
        let fitted = fit(csr, &config, seed, &Silent).unwrap();
        let mut items = wide(&initial(&csr.transpose(), &config, seed.child("items")).to_array());
        let mut users = Vec::new();
        for _ in 0..config.epochs {
            users = naive_side(csr, &items, &config);
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

/// The step of iALS++ as it is written, dense and in `f64`: each row's columns `block`, all else held.
fn naive_step(
    csr: &Csr,
    others: &[Vec<f64>],
    block: Range<usize>,
    config: &IalsConfig,
    rows: &mut [Vec<f64>],
) {
    for (index, row) in rows.iter_mut().enumerate() {
        let history = csr.row(index);
        if history.is_empty() {
            continue;
        }
        let frequency = history.len() as f64 + config.alpha0 * others.len() as f64;
        let lambda = config.regularization * frequency.powf(config.nu);
        let n = block.len();
        let mut hessian = vec![vec![0.0; n]; n];
        let mut gradient = vec![0.0; n];
        for (id, h) in others.iter().enumerate() {
            let score: f64 = row.iter().zip(h).map(|(a, b)| a * b).sum();
            let seen = history.contains(&(id as u32));
            let (weight, pull) = if seen {
                (1.0 + config.alpha0, score - 1.0 + config.alpha0 * score)
            } else {
                (config.alpha0, config.alpha0 * score)
            };
            let h = &h[block.clone()];
            for i in 0..n {
                gradient[i] += h[i] * pull;
                for j in 0..n {
                    hessian[i][j] += weight * h[i] * h[j];
                }
            }
        }
        for i in 0..n {
            hessian[i][i] += lambda;
            gradient[i] += lambda * row[block.start + i];
        }
        for (x, step) in row[block.clone()]
            .iter_mut()
            .zip(naive_solve(hessian, gradient))
        {
            *x -= step;
        }
    }
}

#[test]
fn an_epoch_of_ials_plus_plus_agrees_with_dense_newton_steps() {
    // One block, blocks of one width, and a narrower last one.
    let [small, large] = WELL_CONDITIONED;
    for (csr, regularization, factors, block) in [
        (groups(), small, 18, 32),
        (groups(), small, 32, 16),
        (groups(), small, 18, 16),
        (crowd(), large, 18, 16),
    ] {
        let by_item = csr.transpose();
        for nu in [0.0, 0.5, 1.0] {
            let config = IalsConfig {
                solver: Solver::Subspace { block },
                nu,
                regularization,
                ..config(factors, 3)
            };
            let seed = Seed::new(11);
            let fitted = fit(&csr, &config, seed, &Silent).unwrap();
            let mut users = wide(&initial(&csr, &config, seed.child("users")).to_array());
            let mut items = wide(&initial(&by_item, &config, seed.child("items")).to_array());
            for _ in 0..config.epochs {
                let blocks = || (0..factors).step_by(block);
                let columns = |start| start..factors.min(start + block);
                for start in blocks() {
                    naive_step(&csr, &items, columns(start), &config, &mut users);
                }
                for start in blocks() {
                    naive_step(&by_item, &users, columns(start), &config, &mut items);
                }
            }
            for (ours, wanted) in [
                (&fitted.factors.users, &users),
                (&fitted.factors.items, &items),
            ] {
                for (row, (a, b)) in wide(ours).iter().zip(wanted).enumerate() {
                    for (x, y) in a.iter().zip(b) {
                        // Values are around 1; three epochs of f32 with condition numbers up to a hundred.
                        assert!(
                            (x - y).abs() < 1e-4,
                            "{factors} by {block}, nu {nu}, row {row}: {x} and {y}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_cover_every_lane_once() {
    assert_eq!(blocks(64, 32), [0..2, 2..4]);
    assert_eq!(blocks(65, 32), [0..2, 2..4, 4..5]);
    assert_eq!(blocks(5, 128), vec![0..1; 1]);
}

#[test]
fn the_objective_is_the_written_sum_and_never_rises() {
    let csr = groups();
    for solver in SOLVERS {
        for nu in [0.0, 1.0] {
            let config = IalsConfig {
                solver,
                nu,
                ..config(37, 8)
            };
            let fitted = fit(&csr, &config, Seed::new(3), &Silent).unwrap();
            let naive = naive_objective(&csr, &fitted.factors, &config);
            let last = *fitted.objective.last().unwrap();
            assert!((last - naive).abs() < 1e-5 * naive, "{last} and {naive}");
            assert_eq!(fitted.objective.len(), 9);
            for pair in fitted.objective.windows(2) {
                // Equal but for the rounding of f32.
                assert!(pair[1] <= pair[0] * (1.0 + 1e-6), "{:?}", fitted.objective);
            }
            assert!(last < 0.5 * fitted.objective[0]);
        }
    }
}

#[test]
fn rows_without_history_are_zero_and_groups_are_recovered() {
    let csr = groups();
    for solver in SOLVERS {
        let config = IalsConfig {
            solver,
            ..config(6, 10)
        };
        let fitted = fit(&csr, &config, Seed::new(3), &Silent).unwrap();
        let users = wide(&fitted.factors.users);
        let items = wide(&fitted.factors.items);
        assert!(users[20].iter().chain(&items[16]).all(|&x| x == 0.0));
        let score = |u: usize, i: usize| -> f64 {
            users[u].iter().zip(&items[i]).map(|(a, b)| a * b).sum()
        };
        for user in 0..20 {
            let mean = |items: Range<usize>| -> f64 {
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
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut rng = Seed::new(9).rng();
    let pairs: Vec<(u32, u32)> = (0..6000)
        .map(|_| (rng.gen_range(0..400), rng.gen_range(0..300)))
        .collect();
    let csr = Csr::from_pairs(400, 300, pairs).unwrap();
    for solver in SOLVERS {
        let config = IalsConfig {
            solver,
            ..config(20, 2)
        };
        let run = |threads: usize| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| fit(&csr, &config, Seed::new(1), &Silent).unwrap())
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(5));
    }
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let csr = Csr::from_pairs(3, 3, []).unwrap();
    let error = fit(&csr, &config(2, 1), Seed::new(1), &Silent).unwrap_err();
    insta::assert_snapshot!(error, @"there are no training interactions");
}
