//! The numbers behind a dfdx tensor and its gradient, without copies.

use crate::nn::Matrix;
use dfdx::tensor::{Cpu, CpuError, Gradients};
use std::borrow::Cow;

/// The numbers of a matrix, row-major: borrowed, or copied when the tensor is a permuted view of another.
pub(super) fn read(x: &Matrix<Cpu>) -> Cow<'_, [f32]> {
    let (rows, columns) = x.shape();
    if rows * columns == 0 {
        return Cow::Borrowed(&[]);
    }
    let tensor = x.tensor();
    let first: *const f32 = &raw const tensor[[0, 0]];
    let right: *const f32 = &raw const tensor[[0, columns - 1]];
    let last: *const f32 = &raw const tensor[[rows - 1, columns - 1]];
    let contiguous = right.addr() == first.addr() + (columns - 1) * size_of::<f32>()
        && last.addr() == first.addr() + (rows * columns - 1) * size_of::<f32>();
    if !contiguous {
        return Cow::Owned(tensor.as_vec());
    }
    // dfdx indexes a CPU tensor but does not lend its slice, and copying every activation costs a tenth of a training step.
    // SAFETY: a dfdx CPU tensor keeps its numbers in one `Vec<f32>`. The indexing above is bounds-checked by dfdx, and the
    // addresses of the first, the rightmost and the last element show strides of `columns` and 1 (or an axis of one), so the
    // `rows · columns` numbers from `first` on are inside that `Vec`. The slice borrows `x`, which keeps the `Vec` alive and, being
    // borrowed shared, unchanged.
    #[expect(unsafe_code, reason = "dfdx lends elements, not slices")]
    Cow::Borrowed(unsafe { std::slice::from_raw_parts(first, rows * columns) })
}

/// Moves the gradient of a matrix out; zeros when none flowed.
pub(super) fn take(
    gradients: &mut Gradients<f32, Cpu>,
    of: &Matrix<Cpu>,
) -> Result<Vec<f32>, CpuError> {
    Ok(std::mem::take(
        &mut **gradients.get_or_alloc_mut(of.tensor())?,
    ))
}

/// The gradient of an input, to add to.
pub(super) fn gradient<'a>(
    gradients: &'a mut Gradients<f32, Cpu>,
    of: &Matrix<Cpu>,
) -> Result<&'a mut [f32], CpuError> {
    Ok(gradients.get_or_alloc_mut(of.tensor())?.as_mut_slice())
}

/// Moves the gradient of an input out, to add to while others are out too; see [`give_back`].
///
/// The same matrix may be taken twice (attention of a matrix with itself): the second time gives fresh zeros.
pub(super) fn borrow(
    gradients: &mut Gradients<f32, Cpu>,
    of: &Matrix<Cpu>,
) -> Result<Option<Vec<f32>>, CpuError> {
    if of.is_constant() {
        return Ok(None);
    }
    let (rows, columns) = of.shape();
    let mut taken = take(gradients, of)?;
    taken.resize(rows * columns, 0.0);
    Ok(Some(taken))
}

/// Puts a gradient taken by [`borrow`] back, adding to one that was put back before.
pub(super) fn give_back(
    gradients: &mut Gradients<f32, Cpu>,
    of: &Matrix<Cpu>,
    taken: Option<Vec<f32>>,
) -> Result<(), CpuError> {
    if let Some(taken) = taken {
        let place = &mut **gradients.get_or_alloc_mut(of.tensor())?;
        if place.is_empty() {
            *place = taken;
        } else {
            super::parallel::accumulate(place, &taken, |x| x);
        }
    }
    Ok(())
}
