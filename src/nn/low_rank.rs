//! Low-rank adaptation of a linear layer.

use super::layers::Linear;
use super::{Backend, Graph, Matrix, NnError, Param, init, ops};
use crate::module;
use crate::seed::Seed;

/// What a linear layer learns beside frozen weights: `x·Wᵀ + (α/r)·(x·Aᵀ)·Bᵀ` (Hu et al. 2021, eq. 3; dropout on the `x` of `A` as
/// Hugging Face's PEFT has it).
#[derive(Debug)]
pub struct LowRank<D: Backend> {
    /// `A`, `[r, in]`.
    pub a: Param<D>,
    /// `B`, `[out, r]`.
    pub b: Param<D>,
    /// `α/r`.
    pub scale: f32,
    /// Share of the input that `A` does not see in training.
    pub dropout: f32,
}

// PEFT's names.
module!(LowRank {
    a: "lora_A.weight",
    b: "lora_B.weight"
});

impl<D: Backend> LowRank<D> {
    /// Makes the pair for a layer: `A` uniform in `±1/√in` as PEFT starts it, `B` zero, so that nothing changes at first.
    pub fn new(
        device: &D,
        layer: &Linear<D>,
        rank: usize,
        scale: f32,
        dropout: f32,
        seed: Seed,
    ) -> Result<Self, NnError> {
        let (outputs, inputs) = layer.weight.value.shape();
        let limit = 1.0 / (inputs as f32).sqrt();
        Ok(Self {
            a: Param::matrix(init::uniform(device, (rank, inputs), limit, seed)?),
            b: Param::matrix(init::zeros(device, (outputs, rank))?),
            scale,
            dropout,
        })
    }

    /// `[R, in]` to `[R, out]`: what is added to the layer's output. The scale is applied where the matrix is smallest.
    pub fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let x = ops::dropout(g, x, self.dropout)?;
        let low = ops::linear(g, &x, &self.a.value, None)?;
        let low = ops::scale(g, &low, self.scale)?;
        ops::linear(g, &low, &self.b.value, None)
    }

    /// `(α/r)·B·A`, `[out, in]`: what merging adds to the weight.
    pub fn product(&self, device: &D) -> Result<Matrix<D>, NnError> {
        let g = Graph::inference(device);
        let product = ops::matmul(&g, &self.b.value, &self.a.value)?;
        ops::scale(&g, &product, self.scale)
    }
}

impl<D: Backend> Linear<D> {
    /// Adds the low-rank pair to the weight and drops it: the same layer, up to rounding, without its cost.
    pub fn merge(&mut self, device: &D) -> Result<(), NnError> {
        let Some(pair) = self.lora.take() else {
            return Ok(());
        };
        let g = Graph::inference(device);
        let merged = ops::add(&g, &self.weight.value, &pair.product(device)?)?;
        self.weight.value.overwrite(&merged.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::testing::{check_gradients, random, variable};
    use dfdx::tensor::Cpu;

    fn pair(inputs: &[Matrix<Cpu>], dropout: f32) -> LowRank<Cpu> {
        LowRank {
            a: Param::matrix(inputs[1].clone()),
            b: Param::matrix(inputs[2].clone()),
            scale: 1.5,
            dropout,
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        let shapes = [(5, 7), (2, 7), (4, 2)];
        let inputs: Vec<_> = (0..3)
            .map(|i| variable(shapes[i], Seed::new(i as u64)))
            .collect();
        check_gradients("low rank", &inputs, |g, inputs| {
            pair(inputs, 0.0).forward(g, &inputs[0])
        });
        check_gradients("low rank with dropout", &inputs, |g, inputs| {
            pair(inputs, 0.4).forward(g, &inputs[0])
        });
    }

    #[test]
    fn a_merged_layer_is_the_same_layer() {
        let device = Cpu::default();
        let mut layer = Linear::new(&device, 24, 17, true, 0.3, Seed::new(1)).unwrap();
        let mut lora = LowRank::new(&device, &layer, 3, 2.0, 0.5, Seed::new(2)).unwrap();
        lora.b
            .value
            .overwrite(&random(17 * 3, Seed::new(3)))
            .unwrap();
        let g = Graph::inference(&device);
        let x = g.constant(random(24 * 9, Seed::new(4)), (9, 24)).unwrap();
        let before = layer.forward(&g, &x).unwrap().to_vec();
        layer.lora = Some(Box::new(lora));
        let apart = layer.forward(&g, &x).unwrap().to_vec();
        layer.merge(&device).unwrap();
        assert!(layer.lora.is_none());
        let merged = layer.forward(&g, &x).unwrap().to_vec();
        let worst = |a: &[f32], b: &[f32]| {
            let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            differences.fold(0.0_f32, f32::max)
        };
        // Sums of two dozen products of size 1 in another order.
        assert!(worst(&apart, &merged) < 5e-6, "{}", worst(&apart, &merged));
        assert!(worst(&apart, &before) > 0.1);
    }
}
