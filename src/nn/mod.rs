//! Networks on dfdx tensors: matrices, operations, layers, weights and training.
//!
//! Everything is a [`Matrix`] `[rows, features]`. Operations ([`ops`]) take a [`Graph`] first, which records the backward pass
//! when it trains and nothing when it infers. Models are generic over the device, `D: `[`Backend`]; the CPU has fused operations.
//!
//! # CUDA
//! With the cargo feature `cuda` the same models run on dfdx's `Cuda`, where every operation is composed of dfdx's own. The composed
//! operations run on the CPU, too, and the tests compare them with the fused ones: operation by operation, model by model and through whole
//! trainings (`selfcheck`). Gradients leave the device for each update: clipping and AdamW run on the host, which
//! costs a copy of the gradients and two of the trainable parameters a step.
//!
//! # What costs no gradient
//! A matrix is a *constant* or takes gradients. Data made with [`Graph::constant`] are constants, so are the values of frozen parameters
//! ([`Param::set_trainable`], [`set_trainable`]) and everything computed from constants alone. Operations record no backward step for
//! a constant result and compute no gradient for a constant input, so a frozen part of a model costs its forward pass and the gradients that
//! flow through it, never those of its weights. [`Matrix::detached`] cuts a gradient.
//!
//! # A model
//! ```
//! use dfdx::tensor::Cpu;
//! use ilm_pipe::module;
//! use ilm_pipe::nn::layers::{LayerNorm, Linear};
//! use ilm_pipe::nn::training::{Losses, Objective, TrainConfig, train};
//! use ilm_pipe::nn::{Backend, Graph, Matrix, NnError, ops};
//! use ilm_pipe::progress::Silent;
//! use ilm_pipe::seed::Seed;
//!
//! struct Mlp<D: Backend> {
//!     norm: LayerNorm<D>,
//!     up: Linear<D>,
//!     down: Linear<D>,
//! }
//!
//! // Field: name in the weight file. The parameters are `norm.weight`, `norm.bias`, `fc1.weight`, …
//! module!(Mlp { norm: "norm", up: "fc1", down: "fc2" });
//!
//! impl<D: Backend> Mlp<D> {
//!     fn new(device: &D, width: usize, seed: Seed) -> Result<Self, NnError> {
//!         Ok(Self {
//!             norm: LayerNorm::new(device, width, 1e-5)?,
//!             up: Linear::new(device, width, 4 * width, true, 0.1, seed.child("fc1"))?,
//!             down: Linear::new(device, 4 * width, 1, true, 0.1, seed.child("fc2"))?,
//!         })
//!     }
//!
//!     fn forward(&self, g: &Graph<D>, x: &Matrix<D>) -> Result<Matrix<D>, NnError> {
//!         let x = self.norm.forward(g, x)?;
//!         let x = ops::gelu(g, &self.up.forward(g, &x)?)?;
//!         let x = ops::dropout(g, &x, 0.1)?;
//!         self.down.forward(g, &x)
//!     }
//! }
//!
//! /// Learns the sum of each row.
//! struct Sums;
//!
//! impl<D: Backend> Objective<D> for Sums {
//!     type Model = Mlp<D>;
//!
//!     fn loss(&self, g: &Graph<D>, model: &Mlp<D>, step: u64, seed: Seed) -> Result<Losses<D>, NnError> {
//!         // The batch follows from the seed and the step alone.
//!         let offset = (seed.at(step).value() % 5) as f32;
//!         let rows: Vec<f32> = (0..32).map(|i| ((i * 7 % 11) as f32 + offset) / 11.0).collect();
//!         let sums = rows.chunks(4).map(|row| row.iter().sum()).collect();
//!         let x = g.constant(rows, (8, 4))?;
//!         let error = ops::sub(g, &model.forward(g, &x)?, &g.constant(sums, (8, 1))?)?;
//!         let total = ops::mean_all(g, &ops::square(g, &error)?)?;
//!         Ok(Losses { total, parts: vec![], weight: 8.0 })
//!     }
//!
//!     fn examples(&self, step: u64, _: Seed) -> Vec<String> {
//!         vec![format!("the eight rows of step {step}")]
//!     }
//!
//!     fn evaluate(&self, _: &Mlp<D>, _: &D) -> Result<Vec<(String, f64)>, NnError> {
//!         Ok(vec![])
//!     }
//! }
//!
//! let device = Cpu::default();
//! let mut model = Mlp::new(&device, 4, Seed::new(1))?;
//! let config = TrainConfig { steps: 30, learning_rate: 0.01, warmup_steps: 2, ..TrainConfig::default() };
//! let scratch = tempfile::tempdir()?;
//! let trained = train(&Sums, &mut model, &config, Seed::new(2), &device, scratch.path(), &Silent)?;
//! assert!(trained.last("train.loss") < trained.metrics.first().map(|first| first.value));
//!
//! let g = Graph::inference(&device);
//! let y = model.forward(&g, &g.constant(vec![0.1, 0.2, 0.3, 0.4], (1, 4))?)?;
//! assert_eq!(y.shape(), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Determinism
//! On the CPU the bits of every result are the same on any number of threads: work is split in pieces of fixed size and sums over pieces run
//! in order. Random numbers come from [`crate::seed::Seed`] only.

mod backend;
#[cfg(any(test, feature = "cuda"))]
mod composed;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
mod error;
mod graph;
pub mod init;
pub mod layers;
pub mod low_rank;
mod matrix;
pub mod models;
mod module;
pub mod ops;
#[cfg(any(test, feature = "cuda"))]
pub mod selfcheck;
#[cfg(test)]
pub(crate) mod testing;
pub mod training;
pub mod weights;

pub use backend::Backend;
pub use error::NnError;
pub use graph::{Grads, Graph, ParamGrads};
pub use matrix::Matrix;
pub use module::{Module, Param, count, join, set_trainable};
