//! BPR-MF: vectors that put what a user chose before what they did not (Rendle, Freudenthaler, Gantner & Schmidt-Thieme,
//! UAI 2009).
//!
//! One step takes a pair `(u, i)` that was observed and an item `j` that `u` has not, drawn evenly, and climbs
//! `ln σ(⟨w_u, h_i − h_j⟩) − λ/2·(‖w_u‖² + ‖h_i‖² + ‖h_j‖²)`; an epoch takes every observed pair once, in a new order.
//! Each step needs the outcome of the one before, so that it runs on one thread and its result depends on the seed alone.

use super::RecommendError;
use crate::cf::{Csr, Factors};
use crate::formats::tensors::Array;
use crate::progress::Progress;
use crate::seed::Seed;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// How BPR-MF runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BprConfig {
    /// The width of the vectors; at least 1.
    pub factors: usize,
    /// How often every observed pair is used.
    pub epochs: usize,
    /// The size of a step; above 0.
    pub learning_rate: f32,
    /// `λ`; at least 0.
    pub regularization: f32,
    /// Vectors start normal with this standard deviation.
    pub init_std: f32,
}

/// What a fit left.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The vectors; zero for users and items without an observed pair.
    pub factors: Factors,
    /// The mean of `−ln σ` over the steps of each epoch, taken before each step.
    pub losses: Vec<f64>,
}

/// Fits vectors to who chose what, a users x items matrix.
///
/// # Errors
/// Nothing observed; asked to stop.
pub fn fit(
    interactions: &Csr,
    config: &BprConfig,
    seed: Seed,
    progress: &dyn Progress,
) -> Result<Fit, RecommendError> {
    let (n_users, n_items) = (interactions.n_rows(), interactions.n_columns());
    let d = config.factors;
    let mut order: Vec<(u32, u32)> = (0..n_users)
        .flat_map(|user| {
            let items = interactions.row(user).iter();
            items.map(move |&item| (user as u32, item))
        })
        // Who has every item prefers none to another.
        .filter(|&(user, _)| interactions.row(user as usize).len() < n_items)
        .collect();
    if order.is_empty() {
        return Err(RecommendError::Empty(
            "there are no training interactions to fit on",
        ));
    }
    let mut users = start(n_users, config, seed.child("users"));
    let mut items = start(n_items, config, seed.child("items"));
    let mut losses = Vec::with_capacity(config.epochs);
    for epoch in 0..config.epochs {
        progress.tick("epoch", epoch as u64, config.epochs as u64)?;
        let seed = seed.child("epoch").at(epoch as u64);
        order.shuffle(&mut seed.child("order").rng());
        let mut rng = seed.child("negatives").rng();
        let mut loss = 0.0;
        for &(user, item) in &order {
            let other = unseen(interactions.row(user as usize), n_items, &mut rng);
            let user = &mut users[user as usize * d..][..d];
            let (item, other) = two_rows(&mut items, d, item as usize, other as usize);
            loss += step(user, item, other, config);
        }
        losses.push(loss / order.len() as f64);
        progress.metric(epoch as u64 + 1, "loss", losses[epoch])?;
    }
    progress.tick("epoch", config.epochs as u64, config.epochs as u64)?;
    let turned = interactions.transpose();
    clear_empty(interactions, &mut users, d);
    clear_empty(&turned, &mut items, d);
    Ok(Fit {
        factors: Factors {
            users: Array::new(&[n_users, d], users),
            items: Array::new(&[n_items, d], items),
        },
        losses,
    })
}

fn start(rows: usize, config: &BprConfig, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..rows * config.factors)
        .map(|_| config.init_std * rng.sample::<f32, _>(StandardNormal))
        .collect()
}

/// Vectors that no step moved are the noise they started from.
fn clear_empty(rows: &Csr, vectors: &mut [f32], d: usize) {
    for (row, vector) in vectors.chunks_exact_mut(d).enumerate() {
        if rows.row(row).is_empty() {
            vector.fill(0.0);
        }
    }
}

/// An item that is not among the user's, each with equal chance.
fn unseen(seen: &[u32], n_items: usize, rng: &mut ChaCha8Rng) -> u32 {
    // Rejection takes two draws on average even where half of all items are seen; beyond that one draw counts the gaps.
    if seen.len() * 2 <= n_items {
        loop {
            let item = rng.gen_range(0..n_items as u32);
            if seen.binary_search(&item).is_err() {
                return item;
            }
        }
    }
    let mut item = rng.gen_range(0..(n_items - seen.len()) as u32);
    for &own in seen {
        if own <= item {
            item += 1;
        }
    }
    item
}

/// Two different rows of a matrix, both to be changed.
fn two_rows(rows: &mut [f32], d: usize, a: usize, b: usize) -> (&mut [f32], &mut [f32]) {
    if a < b {
        let (left, right) = rows.split_at_mut(b * d);
        (&mut left[a * d..][..d], &mut right[..d])
    } else {
        let (left, right) = rows.split_at_mut(a * d);
        (&mut right[..d], &mut left[b * d..][..d])
    }
}

/// One step; returns `−ln σ(x)` before it.
fn step(user: &mut [f32], item: &mut [f32], other: &mut [f32], config: &BprConfig) -> f64 {
    let x = margin(user, item, other);
    // σ(−x), and ln(1 + e⁻ˣ) without overflow.
    let pull = 1.0 / (1.0 + x.exp());
    let loss = f64::from((-x.abs()).exp().ln_1p() + (-x).max(0.0));
    let rate = config.learning_rate;
    let (gain, keep) = (rate * pull, 1.0 - rate * config.regularization);
    for ((w, h), o) in user.iter_mut().zip(item).zip(other) {
        let (old, better, worse) = (*w, *h, *o);
        *w = keep * old + gain * (better - worse);
        *h = keep * better + gain * old;
        *o = keep * worse - gain * old;
    }
    loss
}

/// `⟨w, h_i − h_j⟩` in eight running sums, so that it vectorises.
fn margin(user: &[f32], item: &[f32], other: &[f32]) -> f32 {
    let (w, w_rest) = user.as_chunks::<8>();
    let (h, h_rest) = item.as_chunks::<8>();
    let (o, o_rest) = other.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for ((w, h), o) in w.iter().zip(h).zip(o) {
        for lane in 0..8 {
            sums[lane] += w[lane] * (h[lane] - o[lane]);
        }
    }
    let rest: f32 = w_rest
        .iter()
        .zip(h_rest.iter().zip(o_rest))
        .map(|(w, (h, o))| w * (h - o))
        .sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    const CONFIG: BprConfig = BprConfig {
        factors: 9,
        epochs: 60,
        learning_rate: 0.1,
        regularization: 0.001,
        init_std: 0.1,
    };

    /// Two groups of users who choose within their own half of the items; item 9 is chosen by nobody.
    fn groups() -> Csr {
        let pairs = (0..20_u32).flat_map(|user| {
            let first = if user < 10 { 0 } else { 4 };
            (0..4)
                .filter(move |i| (user + i) % 4 != 0)
                .map(move |i| (user, first + i))
        });
        Csr::from_pairs(20, 10, pairs).unwrap()
    }

    #[test]
    fn users_come_to_prefer_the_items_of_their_group() {
        let users = groups();
        let fit = fit(&users, &CONFIG, Seed::new(1), &Silent).unwrap();
        assert!(fit.losses[59] < 0.3 * fit.losses[0], "{:?}", fit.losses);
        let d = CONFIG.factors;
        let f = &fit.factors;
        for user in 0..20 {
            let score = |item: usize| -> f32 {
                let (w, h) = (
                    &f.users.data[user * d..][..d],
                    &f.items.data[item * d..][..d],
                );
                w.iter().zip(h).map(|(a, b)| a * b).sum()
            };
            // Also the item of the group that the user never chose.
            let (own, others) = if user < 10 {
                (0..4, 4..8)
            } else {
                (4..8, 0..4)
            };
            let least = own.map(score).fold(f32::INFINITY, f32::min);
            let most = others.map(score).fold(f32::NEG_INFINITY, f32::max);
            assert!(least > most, "user {user}: {least} and {most}");
        }
        assert!(f.items.data[9 * d..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn the_seed_decides_every_bit() {
        let run = |seed| fit(&groups(), &CONFIG, Seed::new(seed), &Silent).unwrap();
        assert_eq!(run(4), run(4));
        assert_ne!(run(4).factors, run(5).factors);
    }

    #[test]
    fn a_step_climbs_its_gradient() {
        let config = BprConfig {
            learning_rate: 1e-3,
            regularization: 0.5,
            ..CONFIG
        };
        let start = || {
            let row = |shift: f32| (0..9).map(|i| (i as f32 * 0.7 + shift).sin()).collect();
            let rows: [Vec<f32>; 3] = [row(0.0), row(1.0), row(2.5)];
            rows
        };
        let value = |[w, h, o]: &[Vec<f32>; 3]| {
            let x = f64::from(margin(w, h, o));
            let square = |v: &Vec<f32>| v.iter().map(|&a| f64::from(a * a)).sum::<f64>();
            -(-x).exp().ln_1p() - 0.25 * (square(w) + square(h) + square(o))
        };
        let mut moved = start();
        let [w, h, o] = &mut moved;
        let loss = step(w, h, o, &config);
        assert!(
            (loss
                - (-f64::from(margin(&start()[0], &start()[1], &start()[2])))
                    .exp()
                    .ln_1p())
            .abs()
                < 1e-6
        );
        for row in 0..3 {
            for place in 0..9 {
                let mut nudged = [start(), start()];
                nudged[0][row][place] += 1e-2;
                nudged[1][row][place] -= 1e-2;
                let slope = (value(&nudged[0]) - value(&nudged[1])) / 2e-2;
                let change = f64::from(moved[row][place] - start()[row][place]) / 1e-3;
                assert!(
                    (slope - change).abs() < 2e-3,
                    "{row} {place}: {slope} and {change}"
                );
            }
        }
    }

    #[test]
    fn negatives_are_every_unseen_item_and_no_other() {
        let mut rng = Seed::new(2).rng();
        for seen in [&[1_u32, 4][..], &[0, 1, 3, 4, 6]] {
            let mut drawn = [0_usize; 7];
            for _ in 0..7000 {
                drawn[unseen(seen, 7, &mut rng) as usize] += 1;
            }
            let expected = 7000 / (7 - seen.len());
            for item in 0..7_u32 {
                let found = drawn[item as usize];
                if seen.contains(&item) {
                    assert_eq!(found, 0);
                } else {
                    assert!(
                        found.abs_diff(expected) < expected / 8,
                        "{item}: {found} of {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn without_interactions_there_is_nothing_to_fit() {
        let empty = Csr::from_pairs(2, 3, []).unwrap();
        let error = fit(&empty, &CONFIG, Seed::new(1), &Silent).unwrap_err();
        insta::assert_snapshot!(error, @"there are no training interactions to fit on");
    }
}
