//! The numbers behind a dfdx tensor and its gradient, without copies.

use crate::nn::matrix::Target;
use crate::nn::{Graph, Matrix};
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

/// Changes the numbers of a matrix where they are.
pub(super) fn update(x: &mut Matrix<Cpu>, change: impl FnOnce(&mut [f32])) {
    let (rows, columns) = x.shape();
    if rows * columns == 0 {
        return change(&mut []);
    }
    let contiguous = matches!(read(x), Cow::Borrowed(_));
    assert!(contiguous, "a matrix of networks is row-major");
    let first: *mut f32 = &raw mut x.tensor_mut()[[0, 0]];
    // SAFETY: as in `numbers`; writing through an index makes dfdx copy a `Vec` that others share, so this one is ours alone, and `x` is
    // borrowed mutably for as long as the slice lives.
    #[expect(unsafe_code, reason = "dfdx lends elements, not slices")]
    change(unsafe { std::slice::from_raw_parts_mut(first, rows * columns) });
}

/// Records what is to be done with the gradient of a result. Nothing is done when none flows: the loss does not depend on the result.
pub(super) fn record(
    g: &Graph<Cpu>,
    result: &Matrix<Cpu>,
    step: impl FnOnce(Vec<f32>, &mut Gradients<f32, Cpu>) -> Result<(), CpuError> + 'static,
) {
    if !result.needs_gradient() {
        return;
    }
    let target = result.target();
    g.record(move |gradients| match take(gradients, &target)? {
        Some(gradient) => step(gradient, gradients),
        None => Ok(()),
    });
}

/// Moves a gradient out; `None` when none flowed.
pub(super) fn take(
    gradients: &mut Gradients<f32, Cpu>,
    of: &Target<Cpu>,
) -> Result<Option<Vec<f32>>, CpuError> {
    let gradient = std::mem::take(&mut **gradients.get_or_alloc_mut(of.slot())?);
    Ok((gradient.len() == of.count()).then_some(gradient))
}

/// The place of the gradient of an input.
pub(super) fn place<'a>(
    gradients: &'a mut Gradients<f32, Cpu>,
    of: &Target<Cpu>,
) -> Result<Place<'a>, CpuError> {
    Ok(Place {
        numbers: gradients.get_or_alloc_mut(of.slot())?,
        count: of.count(),
    })
}

/// The place of a gradient that comes in parts.
pub(super) struct Place<'a> {
    numbers: &'a mut Vec<f32>,
    count: usize,
}

impl<'a> Place<'a> {
    /// Writes the first part with `first`, or adds a later one to those before with `later`.
    pub(super) fn part(
        self,
        first: impl FnOnce(usize) -> Vec<f32>,
        later: impl FnOnce(&mut [f32]),
    ) {
        if self.numbers.len() == self.count {
            later(self.numbers);
        } else {
            *self.numbers = first(self.count);
        }
    }

    /// Changes a gradient of the same size with `first` and moves it here, or adds it to the parts before with `later`.
    pub(super) fn part_of(
        self,
        gradient: &mut Vec<f32>,
        first: impl FnOnce(&mut [f32]),
        later: impl FnOnce(&mut [f32], &[f32]),
    ) {
        if self.numbers.len() == self.count {
            later(self.numbers, gradient);
        } else {
            first(gradient);
            *self.numbers = std::mem::take(gradient);
        }
    }

    /// Puts a part that is ready.
    pub(super) fn put(self, part: Vec<f32>) {
        if self.numbers.len() == self.count {
            super::parallel::accumulate(self.numbers, &part, |x| x);
        } else {
            *self.numbers = part;
        }
    }

    /// What is there so far; zeros at first.
    pub(super) fn sum(self) -> &'a mut [f32] {
        if self.numbers.len() != self.count {
            *self.numbers = super::parallel::zeros(self.count);
        }
        self.numbers
    }
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
