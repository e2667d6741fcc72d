//! The layers that every network shares.

use super::low_rank::LowRank;
use super::{Backend, Graph, Matrix, NnError, Param, init, ops};
use crate::module;
use crate::seed::Seed;

/// `y = x·Wᵀ + b`.
#[derive(Debug)]
pub struct Linear<D: Backend> {
    /// `[out, in]`, the layout of PyTorch and Hugging Face.
    pub weight: Param<D>,
    /// `[out]`.
    pub bias: Option<Param<D>>,
    /// What it learns beside its weight, where that is frozen.
    pub lora: Option<Box<LowRank<D>>>,
}

module!(Linear {
    weight: "weight",
    bias: "bias",
    lora: ""
});

impl<D: Backend> Linear<D> {
    /// Makes a layer with normal weights of standard deviation `std` and a zero bias.
    pub fn new(
        device: &D,
        inputs: usize,
        outputs: usize,
        bias: bool,
        std: f32,
        seed: Seed,
    ) -> Result<Self, NnError> {
        Ok(Self {
            weight: Param::matrix(init::normal(device, (outputs, inputs), std, seed)?),
            bias: if bias {
                Some(Param::vector(init::zeros(device, (1, outputs))?))
            } else {
                None
            },
            lora: None,
        })
    }

    /// `[R, in]` to `[R, out]`.
    pub fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        let bias = self.bias.as_ref().map(|bias| &bias.value);
        let y = ops::linear(g, x, &self.weight.value, bias)?;
        match &self.lora {
            Some(lora) => ops::add(g, &y, &lora.forward(g, x)?),
            None => Ok(y),
        }
    }
}

/// Layer normalisation with affine parameters (Ba, Kiros & Hinton 2016).
#[derive(Debug)]
pub struct LayerNorm<D: Backend> {
    /// `[d]`, ones at first.
    pub weight: Param<D>,
    /// `[d]`, zeros at first.
    pub bias: Param<D>,
    /// Added to the variance.
    pub eps: f32,
}

module!(LayerNorm {
    weight: "weight",
    bias: "bias"
});

impl<D: Backend> LayerNorm<D> {
    /// Makes the identity normalisation of `width` features.
    pub fn new(device: &D, width: usize, eps: f32) -> Result<Self, NnError> {
        Ok(Self {
            weight: Param::vector(init::ones(device, (1, width))?),
            bias: Param::vector(init::zeros(device, (1, width))?),
            eps,
        })
    }

    /// `[R, d]` to `[R, d]`.
    pub fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::layer_norm(g, x, &self.weight.value, &self.bias.value, self.eps)
    }
}

/// Root-mean-square normalisation (Zhang & Sennrich 2019).
#[derive(Debug)]
pub struct RmsNorm<D: Backend> {
    /// `[d]`, ones at first.
    pub weight: Param<D>,
    /// Added to the mean square.
    pub eps: f32,
}

module!(RmsNorm { weight: "weight" });

impl<D: Backend> RmsNorm<D> {
    /// Makes the normalisation of `width` features.
    pub fn new(device: &D, width: usize, eps: f32) -> Result<Self, NnError> {
        Ok(Self {
            weight: Param::vector(init::ones(device, (1, width))?),
            eps,
        })
    }

    /// `[R, d]` to `[R, d]`.
    pub fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        ops::rms_norm(g, x, &self.weight.value, self.eps)
    }
}

/// A vector for each id.
#[derive(Debug)]
pub struct Embedding<D: Backend> {
    /// `[ids, d]`.
    pub weight: Param<D>,
}

module!(Embedding { weight: "weight" });

impl<D: Backend> Embedding<D> {
    /// Makes a table of normal numbers of standard deviation `std`.
    pub fn new(
        device: &D,
        ids: usize,
        width: usize,
        std: f32,
        seed: Seed,
    ) -> Result<Self, NnError> {
        Ok(Self {
            weight: Param::matrix(init::normal(device, (ids, width), std, seed)?),
        })
    }

    /// `[n, d]`: one row for each id.
    pub fn forward(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        ops::embedding(g, &self.weight.value, ids)
    }
}
