//! Operations on matrices: free functions whose first argument is the graph.
//!
//! Each checks that its inputs fit together, computes, and, when the graph trains and a gradient can flow, records its backward step. A
//! wrong shape is an [`NnError::Shape`] that names the operation, never a panic.

mod attention;
mod elementwise;
#[cfg(test)]
mod plain;
mod positions;
mod products;
mod rows;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twins;

pub use attention::{AttentionShape, Mask, MaskKind, attention, rotary};
pub use elementwise::{
    Binary, Unary, add, add_row, div_scalar, dropout, exp, gelu, gelu_tanh, ln, mul, relu, scale,
    sigmoid, silu, silu_gate, sqrt, square, sub, tanh,
};
pub use positions::{biased_attention, rotary_at};
pub use products::{
    cross_entropy, layer_norm, linear, matmul, matmul_nt, normalize_rows, rms_norm, row_distance,
};
pub use rows::{
    columns, concat_rows, embedding, gather_rows, max_groups, mean_all, mean_groups,
    overwrite_rows, replace_rows, sum_all, transpose, weighted_sum,
};

use super::{Backend, Matrix, NnError};

/// Checks that two matrices have the same shape.
fn same<D: Backend>(operation: &'static str, a: &Matrix<D>, b: &Matrix<D>) -> Result<(), NnError> {
    if a.shape() == b.shape() {
        Ok(())
    } else {
        Err(NnError::shape(
            operation,
            format!(
                "the matrices are {:?} and {:?}, but must be alike",
                a.shape(),
                b.shape()
            ),
        ))
    }
}

/// Checks that a matrix has an expected shape.
fn expect<D: Backend>(
    operation: &'static str,
    what: &str,
    x: &Matrix<D>,
    shape: (usize, usize),
) -> Result<(), NnError> {
    if x.shape() == shape {
        Ok(())
    } else {
        Err(NnError::shape(
            operation,
            format!("{what} is {:?}, but must be {shape:?}", x.shape()),
        ))
    }
}
