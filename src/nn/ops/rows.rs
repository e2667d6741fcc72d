//! Moving rows and columns, and sums over them.

use super::expect;
use crate::nn::{Backend, Graph, Matrix, NnError};

/// Checks that every row number exists.
fn in_range(operation: &'static str, rows: &[usize], count: usize) -> Result<(), NnError> {
    match rows.iter().find(|&&row| row >= count) {
        Some(row) => Err(NnError::shape(
            operation,
            format!("row {row}, but there are {count} rows"),
        )),
        None => Ok(()),
    }
}

/// One row of `table` `[ids, d]` for each id: `[n, d]`.
pub fn embedding<D: Backend>(
    g: &Graph<D>,
    table: &Matrix<D>,
    ids: &[u32],
) -> Result<Matrix<D>, NnError> {
    let rows: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
    in_range("embedding", &rows, table.rows())?;
    D::gather_rows(g, table, &rows)
}

/// Rows of `x` by number, repeats allowed: `[rows.len(), d]`.
pub fn gather_rows<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    rows: &[usize],
) -> Result<Matrix<D>, NnError> {
    in_range("gather_rows", rows, x.rows())?;
    D::gather_rows(g, x, rows)
}

/// Matrices with the same number of columns below one another.
pub fn concat_rows<D: Backend>(g: &Graph<D>, parts: &[&Matrix<D>]) -> Result<Matrix<D>, NnError> {
    let Some(first) = parts.first() else {
        return Err(NnError::shape("concat_rows", "no matrices"));
    };
    for part in parts {
        expect(
            "concat_rows",
            "a part",
            part,
            (part.rows(), first.columns()),
        )?;
    }
    D::concat_rows(g, parts)
}

/// `base` `[R, d]` with row `rows[i]` replaced by row `i` of `values` `[n, d]`. Row numbers must differ.
pub fn replace_rows<D: Backend>(
    g: &Graph<D>,
    base: &Matrix<D>,
    rows: &[usize],
    values: &Matrix<D>,
) -> Result<Matrix<D>, NnError> {
    can_replace("replace_rows", base, rows, values)?;
    D::replace_rows(g, base, rows, values)
}

/// [`replace_rows`] in place, for what takes no gradient, as the keys and values of earlier tokens. Clones keep the old numbers.
pub fn overwrite_rows<D: Backend>(
    base: &mut Matrix<D>,
    rows: &[usize],
    values: &Matrix<D>,
) -> Result<(), NnError> {
    can_replace("overwrite_rows", base, rows, values)?;
    D::overwrite_rows(base, rows, values)
}

fn can_replace<D: Backend>(
    operation: &'static str,
    base: &Matrix<D>,
    rows: &[usize],
    values: &Matrix<D>,
) -> Result<(), NnError> {
    let shape = (rows.len(), base.columns());
    expect(operation, "the replacement", values, shape)?;
    in_range(operation, rows, base.rows())?;
    let mut taken = vec![false; base.rows()];
    for &row in rows {
        if std::mem::replace(&mut taken[row], true) {
            return Err(NnError::shape(
                operation,
                format!("row {row} is replaced twice"),
            ));
        }
    }
    Ok(())
}

/// Columns `start .. start + count` of `x`: `[R, count]`.
pub fn columns<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    start: usize,
    count: usize,
) -> Result<Matrix<D>, NnError> {
    if start + count > x.columns() {
        return Err(NnError::shape(
            "columns",
            format!(
                "columns {start} to {}, but there are {}",
                start + count,
                x.columns()
            ),
        ));
    }
    D::columns(g, x, start, count)
}

/// Mean of every `group` consecutive rows: `[n·group, d]` to `[n, d]`.
pub fn mean_groups<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    group: usize,
) -> Result<Matrix<D>, NnError> {
    if group == 0 || !x.rows().is_multiple_of(group) {
        return Err(NnError::shape(
            "mean_groups",
            format!("{} rows in groups of {group}", x.rows()),
        ));
    }
    D::mean_groups(g, x, group)
}

/// Greatest of every `group` consecutive columns: `[R, n·group]` to `[R, n]`. The gradient goes to the first of equals.
pub fn max_groups<D: Backend>(
    g: &Graph<D>,
    x: &Matrix<D>,
    group: usize,
) -> Result<Matrix<D>, NnError> {
    if group == 0 || !x.columns().is_multiple_of(group) {
        return Err(NnError::shape(
            "max_groups",
            format!("{} columns in groups of {group}", x.columns()),
        ));
    }
    D::max_groups(g, x, group)
}

/// The transpose: `[R, C]` to `[C, R]`.
pub fn transpose<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::transpose(g, x)
}

/// Sum of all numbers: `[1, 1]`.
pub fn sum_all<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    D::sum_all(g, x, 1.0)
}

/// Mean of all numbers: `[1, 1]`.
pub fn mean_all<D: Backend>(g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
    let count = x.rows() * x.columns();
    if count == 0 {
        return Err(NnError::shape("mean_all", "the matrix is empty"));
    }
    D::sum_all(g, x, 1.0 / count as f32)
}

/// `Σ wᵢ·xᵢ` of `[1, 1]` matrices, for instance the parts of a loss.
pub fn weighted_sum<D: Backend>(
    g: &Graph<D>,
    terms: &[(f32, &Matrix<D>)],
) -> Result<Matrix<D>, NnError> {
    let mut sum: Option<Matrix<D>> = None;
    for (weight, term) in terms {
        expect("weighted_sum", "a term", term, (1, 1))?;
        let term = super::scale(g, term, *weight)?;
        sum = Some(match sum {
            None => term,
            Some(sum) => super::add(g, &sum, &term)?,
        });
    }
    sum.ok_or_else(|| NnError::shape("weighted_sum", "no terms"))
}
