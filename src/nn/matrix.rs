//! The one value of networks: a matrix that knows whether gradients flow into it.

use super::{Backend, NnError};
use dfdx::shapes::HasShape as _;
use dfdx::tensor::Tensor;
#[cfg(any(test, feature = "cuda"))]
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of the next matrix.
#[cfg(any(test, feature = "cuda"))]
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A matrix `[rows, features]` of `f32` on the device `D`, row-major.
///
/// A batch of sequences `[B, T, d]` is held as `[B·T, d]`, a vector as `[1, d]`, a scalar as `[1, 1]`.
/// Clones share the numbers and the identity: gradients of all clones add up in one place.
///
/// A *constant* matrix takes no gradient: data, frozen parameters and everything computed from constants alone.
/// Operations skip the backward work of constants.
#[derive(Clone, Debug)]
pub struct Matrix<D: Backend> {
    tensor: Tensor<(usize, usize), f32, D>,
    /// The same for all clones and different for all others: under it composed operations keep the gradient.
    #[cfg(any(test, feature = "cuda"))]
    number: u64,
    /// Under whose id dfdx keeps the gradient; see [`Target`]. `None` on devices without fused operations.
    slot: Option<Tensor<(usize, usize), f32, D>>,
    constant: bool,
}

/// Where the gradient of a matrix goes, without the numbers of the matrix.
///
/// A backward step that only has to find a gradient keeps this and not the matrix, so that the numbers can be freed. The slot is a
/// tensor of one number whose id names the gradient in dfdx's gradients: dfdx makes room for a new gradient by the size of its tensor
/// and fills it with zeros, and a real one is better made by its first part, without zeros and without adding to them.
#[derive(Clone, Debug)]
pub(crate) struct Target<D: Backend> {
    #[cfg(any(test, feature = "cuda"))]
    number: u64,
    slot: Option<Tensor<(usize, usize), f32, D>>,
    count: usize,
    constant: bool,
}

impl<D: Backend> Target<D> {
    /// The tensor under whose id dfdx keeps the gradient.
    ///
    /// # Panics
    /// On a device without fused operations, see [`Backend::FUSED`].
    pub(crate) fn slot(&self) -> &Tensor<(usize, usize), f32, D> {
        self.slot
            .as_ref()
            .expect("fused operations run on devices that have them")
    }

    /// The number of the matrix.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many numbers the gradient has.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether a gradient is wanted.
    pub(crate) fn needs_gradient(&self) -> bool {
        !self.constant
    }
}

impl<D: Backend> Matrix<D> {
    /// Puts data on the device: a constant `[rows, columns]` matrix of `values`, row-major.
    pub fn constant(
        device: &D,
        values: Vec<f32>,
        (rows, columns): (usize, usize),
    ) -> Result<Self, NnError> {
        Self::place(device, values, (rows, columns), true)
    }

    /// Puts numbers on the device as a matrix that takes gradients, for instance a parameter.
    pub fn variable(
        device: &D,
        values: Vec<f32>,
        (rows, columns): (usize, usize),
    ) -> Result<Self, NnError> {
        Self::place(device, values, (rows, columns), false)
    }

    fn place(
        device: &D,
        values: Vec<f32>,
        (rows, columns): (usize, usize),
        constant: bool,
    ) -> Result<Self, NnError> {
        if values.len() != rows * columns {
            return Err(NnError::shape(
                "matrix",
                format!("{} values for the shape [{rows}, {columns}]", values.len()),
            ));
        }
        let tensor = device
            .try_tensor_from_vec(values, (rows, columns))
            .map_err(NnError::device)?;
        Self::hold(tensor, constant)
    }

    /// Makes a new matrix of a row-major tensor.
    pub(crate) fn hold(
        tensor: Tensor<(usize, usize), f32, D>,
        constant: bool,
    ) -> Result<Self, NnError> {
        let slot = if D::FUSED {
            let device = tensor.device();
            Some(device.try_zeros_like(&(1, 1)).map_err(NnError::device)?)
        } else {
            None
        };
        Ok(Self {
            tensor,
            #[cfg(any(test, feature = "cuda"))]
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            slot,
            constant,
        })
    }

    /// Copies a dfdx tensor, also a permuted or broadcast one, into a constant. A copy, because gradients are kept in the order of
    /// the numbers in memory, which must be row-major.
    pub fn from_tensor(tensor: &Tensor<(usize, usize), f32, D>) -> Result<Self, NnError> {
        Self::constant(tensor.device(), tensor.as_vec(), *tensor.shape())
    }

    /// The dfdx tensor.
    pub fn tensor(&self) -> &Tensor<(usize, usize), f32, D> {
        &self.tensor
    }

    /// `(rows, columns)`.
    pub fn shape(&self) -> (usize, usize) {
        *self.tensor.shape()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape().0
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.shape().1
    }

    /// Whether no gradient flows into this matrix.
    pub fn is_constant(&self) -> bool {
        self.constant
    }

    /// Whether a gradient flows into this matrix.
    pub(crate) fn needs_gradient(&self) -> bool {
        !self.constant
    }

    /// The same numbers as a constant: stops the gradient.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            constant: true,
            ..self.clone()
        }
    }

    /// Where the gradient goes.
    pub(crate) fn target(&self) -> Target<D> {
        Target {
            #[cfg(any(test, feature = "cuda"))]
            number: self.number,
            slot: self.slot.clone(),
            count: self.rows() * self.columns(),
            constant: self.constant,
        }
    }

    /// The dfdx tensor, to change its numbers.
    pub(crate) fn tensor_mut(&mut self) -> &mut Tensor<(usize, usize), f32, D> {
        &mut self.tensor
    }

    /// Changes the numbers where they are; the identity stays.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32])) -> Result<(), NnError> {
        D::update(self, change)
    }

    /// Sets whether gradients flow into this matrix.
    pub(crate) fn set_constant(&mut self, constant: bool) {
        self.constant = constant;
    }

    /// Copies the numbers to the host, row-major.
    pub fn to_vec(&self) -> Vec<f32> {
        D::to_host(self)
    }

    /// Overwrites the numbers; the identity stays.
    pub fn overwrite(&mut self, values: &[f32]) -> Result<(), NnError> {
        let (rows, columns) = self.shape();
        if values.len() != rows * columns {
            return Err(NnError::shape(
                "overwrite",
                format!("{} values for the shape [{rows}, {columns}]", values.len()),
            ));
        }
        self.tensor.copy_from(values);
        Ok(())
    }

    /// The number of a `[1, 1]` matrix.
    pub fn item(&self) -> Result<f32, NnError> {
        if self.shape() != (1, 1) {
            return Err(NnError::shape(
                "item",
                format!("the shape is {:?}, but must be (1, 1)", self.shape()),
            ));
        }
        Ok(self.to_vec()[0])
    }
}
