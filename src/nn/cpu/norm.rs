//! Normalisations and distances of rows.

use super::{Made, math, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

pub(super) fn layer_norm(
    g: &Graph<Cpu>,
    x: &Matrix<Cpu>,
    weight: &Matrix<Cpu>,
    bias: &Matrix<Cpu>,
    eps: f32,
) -> Made {
    let (rows, width) = x.shape();
    let n = width as f32;
    // Mean and one over the deviation of each row.
    let mut stats = vec![[0.0_f32; 2]; rows];
    let y = {
        let (xv, w, b) = (storage::read(x), storage::read(weight), storage::read(bias));
        parallel::new_rows_with(rows, width, &mut stats, 1, |row, y, stats| {
            let x = &xv[row * width..][..width];
            let mean = math::sum(x, |x| x) / n;
            let variance = math::sum(x, |x| (x - mean) * (x - mean)) / n;
            let scale = 1.0 / (variance + eps).sqrt();
            stats[0] = [mean, scale];
            for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(w.iter()).zip(b.iter()) {
                *y = ((x - mean) * scale).mul_add(w, b);
            }
        })
    };
    let out = g.output(y, x.shape(), &[x, weight, bias])?;
    {
        let (x, weight, of_bias) = (x.clone(), weight.clone(), bias.target());
        let (of_x, of_weight) = (x.target(), weight.target());
        storage::record(g, &out, move |gy, gradients| {
            let (xv, w) = (storage::read(&x), storage::read(&weight));
            if of_x.needs_gradient() {
                let gx = storage::place(gradients, &of_x)?;
                parallel::add_rows(gx, rows, width, |row, gx| {
                    let x = &xv[row * width..][..width];
                    let gy = &gy[row * width..][..width];
                    let [mean, scale] = stats[row];
                    let along = math::dot(gy, &w) / n;
                    let across = {
                        let mut lanes = [0.0_f32; 16];
                        let ((x, xr), (gy, gyr)) = (x.as_chunks::<16>(), gy.as_chunks::<16>());
                        let (w, wr) = w.as_chunks::<16>();
                        for ((x, gy), w) in x.iter().zip(gy).zip(w) {
                            for i in 0..16 {
                                lanes[i] += gy[i] * w[i] * (x[i] - mean);
                            }
                        }
                        for (i, ((x, gy), w)) in xr.iter().zip(gyr).zip(wr).enumerate() {
                            lanes[i] += gy * w * (x - mean);
                        }
                        lanes.iter().sum::<f32>() * scale / n
                    };
                    for (((gx, &x), &gy), &w) in gx.iter_mut().zip(x).zip(gy).zip(w.iter()) {
                        *gx += scale * (gy * w - along - (x - mean) * scale * across);
                    }
                });
            }
            if of_weight.needs_gradient() {
                let gw = storage::place(gradients, &of_weight)?.sum();
                parallel::column_sums(gw, rows, |row, columns, sums| {
                    let [mean, scale] = stats[row];
                    let x = &xv[row * width..][columns.clone()];
                    let gy = &gy[row * width..][columns];
                    for ((sum, &x), &gy) in sums.iter_mut().zip(x).zip(gy) {
                        *sum += gy * ((x - mean) * scale);
                    }
                });
            }
            if of_bias.needs_gradient() {
                let gb = storage::place(gradients, &of_bias)?.sum();
                parallel::column_sums(gb, rows, |row, columns, sums| {
                    for (sum, gy) in sums.iter_mut().zip(&gy[row * width..][columns]) {
                        *sum += gy;
                    }
                });
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn rms_norm(g: &Graph<Cpu>, x: &Matrix<Cpu>, weight: &Matrix<Cpu>, eps: f32) -> Made {
    let (rows, width) = x.shape();
    let n = width as f32;
    let mut scales = vec![0.0_f32; rows];
    let y = {
        let (xv, w) = (storage::read(x), storage::read(weight));
        parallel::new_rows_with(rows, width, &mut scales, 1, |row, y, scales| {
            let x = &xv[row * width..][..width];
            let scale = 1.0 / (math::dot(x, x) / n + eps).sqrt();
            scales[0] = scale;
            for ((y, &x), &w) in y.iter_mut().zip(x).zip(w.iter()) {
                *y = x * scale * w;
            }
        })
    };
    let out = g.output(y, x.shape(), &[x, weight])?;
    {
        let (x, weight, y) = (x.clone(), weight.clone(), out.clone());
        let (of_x, of_weight) = (x.target(), weight.target());
        storage::record(g, &out, move |gy, gradients| {
            // `y = x·scale·w`, so that `Σ gy·w·x·scale = Σ gy·y`: the linear layers that follow keep the result anyway.
            let (xv, w, yv) = (storage::read(&x), storage::read(&weight), storage::read(&y));
            if of_x.needs_gradient() {
                let gx = storage::place(gradients, &of_x)?;
                parallel::add_rows(gx, rows, width, |row, gx| {
                    let x = &xv[row * width..][..width];
                    let gy = &gy[row * width..][..width];
                    let scale = scales[row];
                    let across = math::dot(gy, &yv[row * width..][..width]) / n * scale;
                    for (((gx, &x), &gy), &w) in gx.iter_mut().zip(x).zip(gy).zip(w.iter()) {
                        *gx += scale * (gy * w - x * across);
                    }
                });
            }
            if of_weight.needs_gradient() {
                let gw = storage::place(gradients, &of_weight)?.sum();
                parallel::column_sums(gw, rows, |row, columns, sums| {
                    let x = &xv[row * width..][columns.clone()];
                    let gy = &gy[row * width..][columns];
                    for ((sum, &x), &gy) in sums.iter_mut().zip(x).zip(gy) {
                        *sum += gy * x * scales[row];
                    }
                });
            }
            Ok(())
        });
    }
    Ok(out)
}

pub(super) fn normalize_rows(g: &Graph<Cpu>, x: &Matrix<Cpu>, eps: f32) -> Made {
    let (rows, width) = x.shape();
    let mut norms = vec![0.0_f32; rows];
    let y = {
        let xv = storage::read(x);
        parallel::new_rows_with(rows, width, &mut norms, 1, |row, y, norms| {
            let x = &xv[row * width..][..width];
            let norm = math::dot(x, x).sqrt();
            norms[0] = norm;
            let divisor = norm.max(eps);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x / divisor;
            }
        })
    };
    let out = g.output(y, x.shape(), &[x])?;
    let (into, y) = (x.target(), out.clone());
    storage::record(g, &out, move |gy, gradients| {
        let yv = storage::read(&y);
        let gx = storage::place(gradients, &into)?;
        parallel::add_rows(gx, rows, width, |row, gx| {
            let y = &yv[row * width..][..width];
            let gy = &gy[row * width..][..width];
            let norm = norms[row];
            // Below `eps` the divisor is a constant.
            let along = if norm > eps { math::dot(gy, y) } else { 0.0 };
            let divisor = norm.max(eps);
            for ((gx, &y), &gy) in gx.iter_mut().zip(y).zip(gy) {
                *gx += (gy - along * y) / divisor;
            }
        });
        Ok(())
    });
    Ok(out)
}

pub(super) fn row_distance(g: &Graph<Cpu>, a: &Matrix<Cpu>, b: &Matrix<Cpu>, eps: f32) -> Made {
    let (rows, width) = a.shape();
    let y = {
        let (av, bv) = (storage::read(a), storage::read(b));
        parallel::new_rows(rows, 1, |row, y| {
            let (a, b) = (&av[row * width..][..width], &bv[row * width..][..width]);
            y[0] = (math::sum2(a, b, |a, b| (a - b) * (a - b)) + eps).sqrt();
        })
    };
    let out = g.output(y, (rows, 1), &[a, b])?;
    let (a, b, y) = (a.clone(), b.clone(), out.clone());
    storage::record(g, &out, move |gy, gradients| {
        let yv = storage::read(&y);
        let (av, bv) = (storage::read(&a), storage::read(&b));
        for (of, sign) in [(&a, 1.0), (&b, -1.0)] {
            if of.needs_gradient() {
                let into = storage::place(gradients, &of.target())?;
                parallel::add_rows(into, rows, width, |row, into| {
                    let (a, b) = (&av[row * width..][..width], &bv[row * width..][..width]);
                    let factor = sign * gy[row] / yv[row];
                    for ((into, &a), &b) in into.iter_mut().zip(a).zip(b) {
                        *into += factor * (a - b);
                    }
                });
            }
        }
        Ok(())
    });
    Ok(out)
}
