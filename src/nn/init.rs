//! First values of parameters.

use super::{Backend, Matrix, NnError};
use crate::seed::Seed;
use rand::Rng as _;
use rand_distr::StandardNormal;

/// Independent normal numbers with mean 0 and standard deviation `std`; a `std` of 0 costs no random numbers.
pub fn normal<D: Backend>(
    device: &D,
    (rows, columns): (usize, usize),
    std: f32,
    seed: Seed,
) -> Result<Matrix<D>, NnError> {
    if std == 0.0 {
        return zeros(device, (rows, columns));
    }
    let mut rng = seed.rng();
    let values = (0..rows * columns)
        .map(|_| std * rng.sample::<f32, _>(StandardNormal))
        .collect();
    Matrix::variable(device, values, (rows, columns))
}

/// Xavier's uniform numbers in `±sqrt(6 / (rows + columns))` (Glorot & Bengio 2010, eq. 16).
pub fn xavier<D: Backend>(
    device: &D,
    (rows, columns): (usize, usize),
    seed: Seed,
) -> Result<Matrix<D>, NnError> {
    let limit = (6.0 / (rows + columns) as f32).sqrt();
    uniform(device, (rows, columns), limit, seed)
}

/// Independent uniform numbers in `±limit`.
pub fn uniform<D: Backend>(
    device: &D,
    (rows, columns): (usize, usize),
    limit: f32,
    seed: Seed,
) -> Result<Matrix<D>, NnError> {
    let mut rng = seed.rng();
    let values = (0..rows * columns)
        .map(|_| rng.gen_range(-limit..limit))
        .collect();
    Matrix::variable(device, values, (rows, columns))
}

/// The same number everywhere.
pub fn filled<D: Backend>(
    device: &D,
    (rows, columns): (usize, usize),
    value: f32,
) -> Result<Matrix<D>, NnError> {
    Matrix::variable(device, vec![value; rows * columns], (rows, columns))
}

/// Zeros.
pub fn zeros<D: Backend>(device: &D, shape: (usize, usize)) -> Result<Matrix<D>, NnError> {
    filled(device, shape, 0.0)
}

/// Ones.
pub fn ones<D: Backend>(device: &D, shape: (usize, usize)) -> Result<Matrix<D>, NnError> {
    filled(device, shape, 1.0)
}
