//! Moving rows and columns, and sums over them.

use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

pub(super) fn gather_rows(g: &Graph<Cpu>, x: &Matrix<Cpu>, rows: &[usize]) -> Made {
    let width = x.columns();
    let mut y = Vec::with_capacity(rows.len() * width);
    {
        let x = storage::read(x);
        for &row in rows {
            y.extend_from_slice(&x[row * width..][..width]);
        }
    }
    let out = g.output(y, (rows.len(), width), &[x])?;
    if out.needs_gradient() {
        let (x, y, rows) = (x.clone(), out.clone(), rows.to_vec());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let gx = storage::gradient(gradients, &x)?;
            // One after the other: rows may repeat, and the order of their sum is part of the result.
            for (&row, gy) in rows.iter().zip(gy.chunks_exact(width)) {
                for (gx, gy) in gx[row * width..][..width].iter_mut().zip(gy) {
                    *gx += gy;
                }
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn concat_rows(g: &Graph<Cpu>, parts: &[&Matrix<Cpu>]) -> Made {
    let width = parts[0].columns();
    let rows = parts.iter().map(|part| part.rows()).sum();
    let mut y = Vec::with_capacity(rows * width);
    for part in parts {
        y.extend_from_slice(&storage::read(part));
    }
    let out = g.output(y, (rows, width), parts)?;
    if out.needs_gradient() {
        let y = out.clone();
        let parts: Vec<Matrix<Cpu>> = parts.iter().map(|&part| part.clone()).collect();
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            let mut start = 0;
            for part in &parts {
                let count = part.rows() * width;
                if part.needs_gradient() {
                    let into = storage::gradient(gradients, part)?;
                    parallel::accumulate(into, &gy[start..start + count], |gy| gy);
                }
                start += count;
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn replace_rows(
    g: &Graph<Cpu>,
    base: &Matrix<Cpu>,
    rows: &[usize],
    values: &Matrix<Cpu>,
) -> Made {
    let width = base.columns();
    let mut y = storage::read(base).into_owned();
    for (&row, value) in rows.iter().zip(storage::read(values).chunks_exact(width)) {
        y[row * width..][..width].copy_from_slice(value);
    }
    let out = g.output(y, base.shape(), &[base, values])?;
    if out.needs_gradient() {
        let (base, values, y) = (base.clone(), values.clone(), out.clone());
        let rows = rows.to_vec();
        g.record(move |gradients| {
            let mut gy = storage::take(gradients, &y)?;
            if values.needs_gradient() {
                let into = storage::gradient(gradients, &values)?;
                for (&row, into) in rows.iter().zip(into.chunks_exact_mut(width)) {
                    for (into, gy) in into.iter_mut().zip(&gy[row * width..][..width]) {
                        *into += gy;
                    }
                }
            }
            if base.needs_gradient() {
                for &row in &rows {
                    gy[row * width..][..width].fill(0.0);
                }
                parallel::accumulate(storage::gradient(gradients, &base)?, &gy, |gy| gy);
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn columns(g: &Graph<Cpu>, x: &Matrix<Cpu>, start: usize, count: usize) -> Made {
    let (rows, width) = x.shape();
    let mut y = vec![0.0; rows * count];
    {
        let x = storage::read(x);
        parallel::rows(&mut y, count, |row, y| {
            y.copy_from_slice(&x[row * width + start..][..count]);
        });
    }
    let out = g.output(y, (rows, count), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            parallel::rows(storage::gradient(gradients, &x)?, width, |row, gx| {
                let gy = &gy[row * count..][..count];
                for (gx, gy) in gx[start..][..count].iter_mut().zip(gy) {
                    *gx += gy;
                }
            });
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn mean_groups(g: &Graph<Cpu>, x: &Matrix<Cpu>, group: usize) -> Made {
    let (rows, width) = x.shape();
    let share = 1.0 / group as f32;
    let mut y = vec![0.0; rows / group * width];
    {
        let x = storage::read(x);
        parallel::rows(&mut y, width, |row, y| {
            for x in x[row * group * width..][..group * width].chunks_exact(width) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y += x;
                }
            }
            for y in y {
                *y *= share;
            }
        });
    }
    let out = g.output(y, (rows / group, width), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            parallel::rows(storage::gradient(gradients, &x)?, width, |row, gx| {
                for (gx, gy) in gx.iter_mut().zip(&gy[row / group * width..][..width]) {
                    *gx += share * gy;
                }
            });
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn max_groups(g: &Graph<Cpu>, x: &Matrix<Cpu>, group: usize) -> Made {
    let (rows, width) = x.shape();
    let groups = width / group;
    let mut y = vec![0.0; rows * groups];
    let mut chosen = vec![0_u32; rows * groups];
    {
        let x = storage::read(x);
        parallel::rows_with(&mut y, groups, &mut chosen, groups, |row, y, chosen| {
            let x = x[row * width..][..width].chunks_exact(group);
            for ((y, chosen), x) in y.iter_mut().zip(chosen).zip(x) {
                let mut best = 0;
                for (index, &value) in x.iter().enumerate() {
                    // Strictly greater: of equals the first wins. NaN wins over all, to be seen.
                    if value > x[best] || value.is_nan() {
                        best = index;
                    }
                }
                *y = x[best];
                *chosen = best as u32;
            }
        });
    }
    let out = g.output(y, (rows, groups), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            parallel::rows(storage::gradient(gradients, &x)?, width, |row, gx| {
                let gy = &gy[row * groups..][..groups];
                let chosen = &chosen[row * groups..][..groups];
                for ((gx, gy), &best) in gx.chunks_exact_mut(group).zip(gy).zip(chosen) {
                    gx[best as usize] += gy;
                }
            });
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn transpose(g: &Graph<Cpu>, x: &Matrix<Cpu>) -> Made {
    let (rows, width) = x.shape();
    let mut y = vec![0.0; rows * width];
    {
        let x = storage::read(x);
        parallel::rows(&mut y, rows, |column, y| {
            for (y, x) in y.iter_mut().zip(x.chunks_exact(width)) {
                *y = x[column];
            }
        });
    }
    let out = g.output(y, (width, rows), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?;
            parallel::rows(storage::gradient(gradients, &x)?, width, |row, gx| {
                for (gx, gy) in gx.iter_mut().zip(gy.chunks_exact(rows)) {
                    *gx += gy[row];
                }
            });
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn sum_all(g: &Graph<Cpu>, x: &Matrix<Cpu>, factor: f32) -> Made {
    let sum = {
        let x = storage::read(x);
        parallel::sum2(&x, &x, |x, _| x)
    };
    let out = g.output(vec![(sum * f64::from(factor)) as f32], (1, 1), &[x])?;
    if out.needs_gradient() {
        let (x, y) = (x.clone(), out.clone());
        g.record(move |gradients| {
            let gy = storage::take(gradients, &y)?[0] * factor;
            parallel::rows(storage::gradient(gradients, &x)?, x.columns(), |_, gx| {
                for gx in gx {
                    *gx += gy;
                }
            });
            Ok(())
        });
    }
    Ok(out)
}
