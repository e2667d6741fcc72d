//! The numbers behind a dfdx tensor and its gradient, without copies.

use crate::nn::Matrix;
use dfdx::shapes::HasShape as _;
use dfdx::tensor::{Cpu, CpuError, Gradients, Tensor};
use std::borrow::Cow;

/// The numbers of a matrix, row-major.
pub(super) fn read(x: &Matrix<Cpu>) -> Cow<'_, [f32]> {
    numbers(x.tensor())
}

/// The numbers of a tensor, row-major: borrowed, or copied when it is a permuted or broadcast view of another.
fn numbers(tensor: &Tensor<(usize, usize), f32, Cpu>) -> Cow<'_, [f32]> {
    let (rows, columns) = *tensor.shape();
    if rows * columns == 0 {
        return Cow::Borrowed(&[]);
    }
    let first: *const f32 = &raw const tensor[[0, 0]];
    let right: *const f32 = &raw const tensor[[0, columns - 1]];
    let last: *const f32 = &raw const tensor[[rows - 1, columns - 1]];
    let contiguous = right.addr() == first.addr() + (columns - 1) * size_of::<f32>()
        && last.addr() == first.addr() + (rows * columns - 1) * size_of::<f32>();
    if !contiguous {
        return Cow::Owned(tensor.as_vec());
    }
    // dfdx indexes a CPU tensor but does not lend its slice; without it every operation would copy every input, twice when training.
    // SAFETY: a dfdx CPU tensor keeps its numbers in one `Vec<f32>`. The indexing above is bounds-checked by dfdx, and the
    // addresses of the first, the rightmost and the last element show strides of `columns` and 1 (or an axis of one), so the
    // `rows · columns` numbers from `first` on are inside that `Vec`. The slice borrows `tensor`, which keeps the `Vec` alive and, being
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

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::shapes::{Axes2, Axis};
    use dfdx::tensor::TensorFromVec as _;
    use dfdx::tensor_ops::{BroadcastTo as _, PermuteTo as _};

    #[test]
    fn permuted_and_broadcast_tensors_are_read_in_order() {
        let device = Cpu::default();
        for (rows, columns) in [(1, 1), (1, 5), (5, 1), (2, 2), (3, 4)] {
            let values: Vec<f32> = (0..rows * columns).map(|x| x as f32).collect();
            let tensor = device.tensor_from_vec(values.clone(), (rows, columns));
            assert!(matches!(numbers(&tensor), Cow::Borrowed(found) if found == values));
            let turned = tensor.permute::<_, Axes2<1, 0>>();
            let expected: Vec<f32> = (0..rows * columns)
                .map(|at| values[at % rows * columns + at / rows])
                .collect();
            assert_eq!(*numbers(&turned), expected);
            let copied = Matrix::from_tensor(&turned).unwrap();
            assert!(matches!(read(&copied), Cow::Borrowed(found) if found == expected));
        }
        let row = device.tensor_from_vec(vec![1.0, 2.0], (2,));
        let wide = row.broadcast_like::<_, Axis<0>>(&(3, 2));
        assert_eq!(*numbers(&wide), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    }
}
