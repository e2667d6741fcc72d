//! The activations that pre-trained models name.

use crate::nn::ops;
use crate::nn::{Backend, Graph, Matrix, NnError};

/// A function of each number between two linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU through the error function.
    Gelu,
    /// GELU's tanh approximation.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x·σ(x)`.
    Silu,
}

/// Hugging Face's names.
const NAMES: [(&str, Activation); 7] = [
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
];

impl Activation {
    /// The activation of one of Hugging Face's names.
    pub fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, activation)| *activation)
    }

    /// What is wrong with a name that is not known: continues "`hidden_act` …".
    pub(super) fn unknown(name: &str) -> String {
        let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
        format!("is `{name}`, but must be one of {}", known.join(", "))
    }

    /// Applies it to each number.
    pub fn apply<D: Backend>(self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
        match self {
            Self::Gelu => ops::gelu(g, x),
            Self::GeluTanh => ops::gelu_tanh(g, x),
            Self::Relu => ops::relu(g, x),
            Self::Silu => ops::silu(g, x),
        }
    }
}
