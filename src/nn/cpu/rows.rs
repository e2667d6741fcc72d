//! Moving rows and columns, and sums over them.

use super::{Made, parallel, storage};
use crate::nn::{Graph, Matrix};
use dfdx::tensor::Cpu;

/// For each row of a matrix, the places that were filled from it, in order.
struct Readers {
    /// Where the places of each row start in `places`.
    starts: Vec<usize>,
    places: Vec<usize>,
}

impl Readers {
    fn new(rows: &[usize], count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        for &row in rows {
            starts[row + 1] += 1;
        }
        for row in 0..count {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut places = vec![0; rows.len()];
        for (place, &row) in rows.iter().enumerate() {
            places[next[row]] = place;
            next[row] += 1;
        }
        Self { starts, places }
    }

    fn of(&self, row: usize) -> &[usize] {
        &self.places[self.starts[row]..self.starts[row + 1]]
    }
}

pub(super) fn gather_rows(g: &Graph<Cpu>, x: &Matrix<Cpu>, rows: &[usize]) -> Made {
    let width = x.columns();
    let y = {
        let x = storage::read(x);
        parallel::new_rows(rows.len(), width, |row, y| {
            y.copy_from_slice(&x[rows[row] * width..][..width]);
        })
    };
    let out = g.output(y, (rows.len(), width), &[x])?;
    if out.needs_gradient() {
        let (into, count) = (x.target(), x.rows());
        let readers = Readers::new(rows, count);
        storage::record(g, &out, move |gy, gradients| {
            let into = storage::place(gradients, &into)?;
            // Rows may repeat, and the order of their sum is part of the result.
            parallel::add_rows(into, count, width, |row, gx| {
                for &place in readers.of(row) {
                    for (gx, gy) in gx.iter_mut().zip(&gy[place * width..][..width]) {
                        *gx += gy;
                    }
                }
            });
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
    let parts: Vec<_> = parts.iter().map(|part| part.target()).collect();
    storage::record(g, &out, move |gy, gradients| {
        let mut start = 0;
        for part in &parts {
            let count = part.count();
            if part.needs_gradient() {
                let gy = &gy[start..start + count];
                storage::place(gradients, part)?.part(
                    |_| parallel::map(gy, |gy| gy),
                    |into| parallel::accumulate(into, gy, |gy| gy),
                );
            }
            start += count;
        }
        Ok(())
    });
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
    let (base, values, rows) = (base.target(), values.target(), rows.to_vec());
    storage::record(g, &out, move |mut gy, gradients| {
        if values.needs_gradient() {
            let into = storage::place(gradients, &values)?;
            parallel::add_rows(into, rows.len(), width, |row, into| {
                for (into, gy) in into.iter_mut().zip(&gy[rows[row] * width..][..width]) {
                    *into += gy;
                }
            });
        }
        if base.needs_gradient() {
            for &row in &rows {
                gy[row * width..][..width].fill(0.0);
            }
            storage::place(gradients, &base)?.put(gy);
        }
        Ok(())
    });
    Ok(out)
}

pub(super) fn overwrite_rows(base: &mut Matrix<Cpu>, rows: &[usize], values: &Matrix<Cpu>) {
    let width = base.columns();
    let values = storage::read(values);
    storage::update(base, |base| {
        for (&row, value) in rows.iter().zip(values.chunks_exact(width)) {
            base[row * width..][..width].copy_from_slice(value);
        }
    });
}

pub(super) fn columns(g: &Graph<Cpu>, x: &Matrix<Cpu>, start: usize, count: usize) -> Made {
    let (rows, width) = x.shape();
    let y = {
        let x = storage::read(x);
        parallel::new_rows(rows, count, |row, y| {
            y.copy_from_slice(&x[row * width + start..][..count]);
        })
    };
    let out = g.output(y, (rows, count), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, rows, width, |row, gx| {
            let gy = &gy[row * count..][..count];
            for (gx, gy) in gx[start..][..count].iter_mut().zip(gy) {
                *gx += gy;
            }
        });
        Ok(())
    });
    Ok(out)
}

pub(super) fn mean_groups(g: &Graph<Cpu>, x: &Matrix<Cpu>, group: usize) -> Made {
    let (rows, width) = x.shape();
    let share = 1.0 / group as f32;
    let y = {
        let x = storage::read(x);
        parallel::new_rows(rows / group, width, |row, y| {
            for x in x[row * group * width..][..group * width].chunks_exact(width) {
                for (y, x) in y.iter_mut().zip(x) {
                    *y += x;
                }
            }
            for y in y {
                *y *= share;
            }
        })
    };
    let out = g.output(y, (rows / group, width), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, rows, width, |row, gx| {
            for (gx, gy) in gx.iter_mut().zip(&gy[row / group * width..][..width]) {
                *gx += share * gy;
            }
        });
        Ok(())
    });
    Ok(out)
}

pub(super) fn max_groups(g: &Graph<Cpu>, x: &Matrix<Cpu>, group: usize) -> Made {
    let (rows, width) = x.shape();
    let groups = width / group;
    let mut chosen = vec![0_u32; rows * groups];
    let y = {
        let x = storage::read(x);
        parallel::new_rows_with(rows, groups, &mut chosen, groups, |row, y, chosen| {
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
        })
    };
    let out = g.output(y, (rows, groups), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, rows, width, |row, gx| {
            let gy = &gy[row * groups..][..groups];
            let chosen = &chosen[row * groups..][..groups];
            for ((gx, gy), &best) in gx.chunks_exact_mut(group).zip(gy).zip(chosen) {
                gx[best as usize] += gy;
            }
        });
        Ok(())
    });
    Ok(out)
}

pub(super) fn transpose(g: &Graph<Cpu>, x: &Matrix<Cpu>) -> Made {
    let (rows, width) = x.shape();
    let y = {
        let x = storage::read(x);
        parallel::new_rows(width, rows, |column, y| {
            for (y, x) in y.iter_mut().zip(x.chunks_exact(width)) {
                *y = x[column];
            }
        })
    };
    let out = g.output(y, (width, rows), &[x])?;
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, rows, width, |row, gx| {
            for (gx, gy) in gx.iter_mut().zip(gy.chunks_exact(rows)) {
                *gx += gy[row];
            }
        });
        Ok(())
    });
    Ok(out)
}

pub(super) fn sum_all(g: &Graph<Cpu>, x: &Matrix<Cpu>, factor: f32) -> Made {
    let sum = {
        let x = storage::read(x);
        parallel::sum2(&x, &x, |x, _| x)
    };
    let out = g.output(vec![(sum * f64::from(factor)) as f32], (1, 1), &[x])?;
    let (rows, width) = x.shape();
    let into = x.target();
    storage::record(g, &out, move |gy, gradients| {
        let gy = gy[0] * factor;
        let into = storage::place(gradients, &into)?;
        parallel::add_rows(into, rows, width, |_, gx| {
            for gx in gx {
                *gx += gy;
            }
        });
        Ok(())
    });
    Ok(out)
}
