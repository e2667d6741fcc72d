//! The operations composed of dfdx's own, on any of its devices: the path on CUDA.
//!
//! Forward and backward are written by hand on tensors without tapes, so that nothing is computed for an input that takes no gradient. Results
//! agree with the fused operations of the CPU to rounding; the tests compare the two, number by number, and so does `gpu-check`.
//!
//! # What it costs on CUDA
//! Every dfdx operation is one kernel and one allocation, where a fused one would be a single pass: attention writes its scores four times,
//! a normalisation reads its rows six times. Products are cuBLAS. The gradient of [`gather_rows`] and every sum over rows add atomically
//! there, so the last bits of two runs may differ. dfdx compiles the kernel of copies to row-major order when it is first used.

mod attention;
mod elementwise;
mod norm;
mod products;
mod rows;

pub(super) use attention::{attention, biased_attention, rotary, rotary_at};
pub(super) use elementwise::{add_row, binary, div_scalar, keep, unary};
pub(super) use norm::{layer_norm, normalize_rows, rms_norm, row_distance};
pub(super) use products::{cross_entropy, linear, matmul};
pub(super) use rows::{
    columns, concat_rows, gather_rows, max_groups, mean_groups, replace_rows, sum_all, transpose,
};

use super::matrix::Target;
use super::{Backend, Graph, Matrix, NnError};
use attention::{Angles, Hidden};
use dfdx::shapes::{Axis, HasShape as _, Rank0};
use dfdx::tensor::Tensor;
use dfdx::tensor_ops::{BroadcastTo as _, ReshapeTo as _, SumTo as _};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A result for callers.
type Made<D> = Result<Matrix<D>, NnError>;
/// A result of dfdx.
type Result1<T, D> = Result<T, <D as dfdx::tensor::HasErr>::Err>;
/// A dfdx matrix.
type Flat<D> = Tensor<(usize, usize), f32, D>;
/// A dfdx tensor of any shape.
type Tensor1<D> = Tensor<(usize,), f32, D>;

thread_local! {
    static ON_THE_CPU: Cell<bool> = const { Cell::new(false) };
}

/// Whether graphs on the CPU that start now are composed.
pub(super) fn chosen_on_the_cpu() -> bool {
    ON_THE_CPU.get()
}

/// Runs `work` with every graph on the CPU that it starts in this thread composed of dfdx's operations.
pub(crate) fn on_the_cpu<T>(work: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            ON_THE_CPU.set(self.0);
        }
    }
    let _back = Back(ON_THE_CPU.replace(true));
    work()
}

/// What the composed operations of one graph share.
#[derive(Debug)]
pub(crate) struct Composed<D: Backend> {
    /// Gradients by the number of their matrix; each row-major.
    gradients: RefCell<BTreeMap<u64, Flat<D>>>,
    /// Masks and angles of this graph so far: the layers of a network ask for the same.
    hidden: RefCell<Vec<Hidden<D>>>,
    angles: RefCell<Vec<Rc<Angles<D>>>>,
}

impl<D: Backend> Default for Composed<D> {
    fn default() -> Self {
        Self {
            gradients: RefCell::default(),
            hidden: RefCell::default(),
            angles: RefCell::default(),
        }
    }
}

impl<D: Backend> Composed<D> {
    /// Starts a backward pass: the gradient of the loss is 1.
    pub(super) fn start(&self, device: &D, loss: &Matrix<D>) -> Result1<(), D> {
        let one = device.try_tensor_from_vec(vec![1.0], (1, 1))?;
        self.add(&loss.target(), one)
    }

    /// Takes a gradient out to the host, row-major; zeros where none flowed.
    pub(super) fn take(&self, of: &Matrix<D>) -> Vec<f32> {
        match self.take_tensor(of) {
            Some(gradient) => gradient.as_vec(),
            None => vec![0.0; of.target().count()],
        }
    }

    /// Takes a gradient out; `None` where none flowed.
    pub(super) fn take_tensor(&self, of: &Matrix<D>) -> Option<Flat<D>> {
        self.gradients.borrow_mut().remove(&of.target().number())
    }

    /// Adds a part of the gradient of an input, if it takes one.
    fn add(&self, of: &Target<D>, part: Flat<D>) -> Result1<(), D> {
        if !of.needs_gradient() {
            return Ok(());
        }
        let part = part.try_contiguous()?;
        let mut gradients = self.gradients.borrow_mut();
        if let Some(sum) = gradients.get_mut(&of.number()) {
            return sum.try_axpy(1.0, &part, 1.0);
        }
        gradients.insert(of.number(), part);
        Ok(())
    }
}

/// Makes the result of an operation on `inputs`: a constant when no gradient can flow through it.
fn made<D: Backend>(g: &Graph<D>, result: Result1<Flat<D>, D>, inputs: &[&Matrix<D>]) -> Made<D> {
    let result = result.and_then(dfdx::tensor_ops::ReshapeTo::try_contiguous);
    Matrix::hold(result.map_err(NnError::device)?, !g.records(inputs))
}

/// Records what is to be done with the gradient of a result. Nothing is done when none flows.
fn record<D: Backend>(
    g: &Graph<D>,
    result: &Matrix<D>,
    step: impl FnOnce(Flat<D>, &Composed<D>) -> Result1<(), D> + 'static,
) {
    let (true, Some(composed)) = (result.needs_gradient(), g.composed()) else {
        return;
    };
    let (number, composed) = (result.target().number(), Rc::clone(composed));
    g.record(move |_| {
        let gradient = composed.gradients.borrow_mut().remove(&number);
        match gradient {
            Some(gradient) => step(gradient, &composed),
            None => Ok(()),
        }
    });
}

/// A row `[1, d]` as `rows` equal rows.
fn spread<D: Backend>(row: &Flat<D>, rows: usize) -> Result1<Flat<D>, D> {
    let width = row.shape().1;
    row.clone()
        .try_reshape_like(&(width,))?
        .try_broadcast_like::<_, Axis<0>>(&(rows, width))
}

/// One number a row as `width` equal columns.
fn widen<D: Backend>(column: &Tensor1<D>, width: usize) -> Result1<Flat<D>, D> {
    let rows = column.shape().0;
    column
        .clone()
        .try_broadcast_like::<_, Axis<1>>(&(rows, width))
}

/// A single number everywhere.
fn fill<D: Backend>(number: &Flat<D>, shape: (usize, usize)) -> Result1<Flat<D>, D> {
    number
        .clone()
        .try_reshape_like(&())?
        .try_broadcast_like::<_, dfdx::shapes::Axes2<0, 1>>(&shape)
}

/// The sum of all numbers, `[1, 1]`: row by row first, as the rounding of one long sum grows with its length.
fn total<D: Backend>(x: Flat<D>) -> Result1<Flat<D>, D> {
    x.try_sum::<(usize,), Axis<1>>()?
        .try_sum::<Rank0, _>()?
        .try_reshape_like(&(1, 1))
}

/// The sum of the rows, `[1, d]`.
fn sum_of_rows<D: Backend>(x: Flat<D>) -> Result1<Flat<D>, D> {
    let width = x.shape().1;
    x.try_sum::<(usize,), Axis<0>>()?
        .try_reshape_like(&(1, width))
}
