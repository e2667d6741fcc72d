//! What an evaluation of a network writes down for its backward pass.

#[cfg(any(test, feature = "cuda"))]
use super::composed::Composed;
use super::{Backend, Matrix, Module, NnError};
use crate::seed::Seed;
use dfdx::prelude::Backward as _;
use dfdx::tensor::{Gradients, OwnedTape, PutTape as _, Tape as _};
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
#[cfg(any(test, feature = "cuda"))]
use std::rc::Rc;

/// Numbers of a piece of a sum over gradients.
const PIECE: usize = 1 << 14;

/// One evaluation of a network: the device, and, when training, dfdx's tape and the seed of dropout.
///
/// Every operation of [`super::ops`] takes it first. An inference graph writes nothing down.
pub struct Graph<D: Backend> {
    device: D,
    tape: RefCell<Option<OwnedTape<f32, D>>>,
    seed: Option<Seed>,
    dropouts: Cell<u64>,
    /// What composed operations share; `None` where operations are fused.
    #[cfg(any(test, feature = "cuda"))]
    composed: Option<Rc<Composed<D>>>,
}

impl<D: Backend> Graph<D> {
    /// Starts an evaluation whose gradients will be asked for. `seed` feeds dropout.
    pub fn training(device: &D, seed: Seed) -> Self {
        super::cpu::keep_freed();
        Self {
            device: device.clone(),
            tape: RefCell::new(Some(OwnedTape::default())),
            seed: Some(seed),
            dropouts: Cell::new(0),
            #[cfg(any(test, feature = "cuda"))]
            composed: D::composes().then(Rc::default),
        }
    }

    /// Starts an evaluation without gradients and without dropout.
    pub fn inference(device: &D) -> Self {
        super::cpu::keep_freed();
        Self {
            device: device.clone(),
            tape: RefCell::new(None),
            seed: None,
            dropouts: Cell::new(0),
            #[cfg(any(test, feature = "cuda"))]
            composed: D::composes().then(Rc::default),
        }
    }

    /// The device of every matrix of this evaluation.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// Whether this evaluation trains: gradients are recorded and dropout drops.
    pub fn is_training(&self) -> bool {
        self.seed.is_some()
    }

    /// Puts data on the device: see [`Matrix::constant`].
    pub fn constant(&self, values: Vec<f32>, shape: (usize, usize)) -> Result<Matrix<D>, NnError> {
        Matrix::constant(&self.device, values, shape)
    }

    /// The seed of the next dropout, or `None` when this evaluation does not train.
    pub(crate) fn next_dropout(&self) -> Option<Seed> {
        let number = self.dropouts.get();
        self.dropouts.set(number + 1);
        self.seed.map(|seed| seed.child("dropout").at(number))
    }

    /// What composed operations share; `None` where operations are fused.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn composed(&self) -> Option<&Rc<Composed<D>>> {
        self.composed.as_ref()
    }

    /// Whether the result of an operation on `inputs` takes a gradient.
    pub(crate) fn records(&self, inputs: &[&Matrix<D>]) -> bool {
        self.tape.borrow().is_some() && inputs.iter().any(|input| input.needs_gradient())
    }

    /// Makes the result of an operation on `inputs`: a constant when no gradient can flow through it.
    ///
    /// When the result is not a constant, the operation must [`Graph::record`] its backward step.
    pub(crate) fn output(
        &self,
        values: Vec<f32>,
        shape: (usize, usize),
        inputs: &[&Matrix<D>],
    ) -> Result<Matrix<D>, NnError> {
        if self.records(inputs) {
            Matrix::variable(&self.device, values, shape)
        } else {
            Matrix::constant(&self.device, values, shape)
        }
    }

    /// Records a backward step. Steps run in reverse order of their recording, each is dropped with all that it keeps once it has run.
    pub(crate) fn record(
        &self,
        step: impl FnOnce(&mut Gradients<f32, D>) -> Result<(), D::Err> + 'static,
    ) {
        if let Some(tape) = self.tape.borrow_mut().as_mut() {
            tape.add_backward_op(step);
        }
    }

    /// Runs the backward pass from `loss`, a `[1, 1]` matrix.
    pub fn backward(self, loss: &Matrix<D>) -> Result<Grads<D>, NnError> {
        if loss.shape() != (1, 1) {
            return Err(NnError::shape(
                "backward",
                format!("the loss is {:?}, but must be (1, 1)", loss.shape()),
            ));
        }
        let Some(mut tape) = self.tape.into_inner() else {
            return Err(NnError::shape(
                "backward",
                "an inference graph has no gradients",
            ));
        };
        let device = self.device;
        #[cfg(any(test, feature = "cuda"))]
        let fused = self.composed.is_none();
        #[cfg(not(any(test, feature = "cuda")))]
        let fused = true;
        if fused {
            let (loss, filler) = (loss.target(), device.clone());
            tape.add_backward_op(move |gradients| {
                filler.try_fill_with_ones(gradients.get_or_alloc_mut(loss.slot())?)
            });
        }
        #[cfg(any(test, feature = "cuda"))]
        if let Some(composed) = &self.composed {
            composed.start(&device, loss).map_err(NnError::device)?;
        }
        // dfdx starts a backward pass from a tensor without axes; this one feeds nothing but the step above.
        let start = device.try_zeros().map_err(NnError::device)?;
        let inner = start
            .put_tape(tape)
            .try_backward()
            .map_err(NnError::device)?;
        Ok(Grads {
            inner,
            #[cfg(any(test, feature = "cuda"))]
            composed: self.composed,
        })
    }
}

/// Gradients after a backward pass.
pub struct Grads<D: Backend> {
    inner: Gradients<f32, D>,
    #[cfg(any(test, feature = "cuda"))]
    composed: Option<Rc<Composed<D>>>,
}

impl<D: Backend> Grads<D> {
    /// The gradients of fused operations.
    pub(crate) fn buffers(&mut self) -> &mut Gradients<f32, D> {
        &mut self.inner
    }

    /// The gradients of composed operations; `None` where operations are fused.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn composed(&self) -> Option<&Rc<Composed<D>>> {
        self.composed.as_ref()
    }

    /// Takes the gradient of a parameter or an input, row-major; zeros when the loss does not depend on it.
    ///
    /// A second call for the same matrix gives zeros, and so do intermediate results: the backward pass itself uses their gradients
    /// up.
    pub fn take(&mut self, of: &Matrix<D>) -> Result<Vec<f32>, NnError> {
        D::take_gradient(self, of)
    }

    /// Takes the gradients of every trainable parameter of `model`, in the order of its visit.
    pub fn collect<M: Module<D> + ?Sized>(mut self, model: &M) -> Result<ParamGrads, NnError> {
        let mut values = Vec::new();
        let mut failed = None;
        model.visit("", &mut |_, param| {
            if param.trainable() && failed.is_none() {
                match self.take(&param.value) {
                    Ok(gradient) => values.push(gradient),
                    Err(error) => failed = Some(error),
                }
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(ParamGrads { values }),
        }
    }
}

/// Gradients of the trainable parameters of one model, in the order of its visit, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamGrads {
    /// One row-major array a parameter.
    pub values: Vec<Vec<f32>>,
}

impl ParamGrads {
    /// Adds the gradients of another batch of the same model.
    ///
    /// # Panics
    /// When `other` is of another model.
    pub fn accumulate(&mut self, other: &Self) {
        assert_eq!(self.values.len(), other.values.len(), "another model");
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            assert_eq!(mine.len(), theirs.len(), "another model");
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
    }

    /// Multiplies every gradient.
    pub fn scale(&mut self, factor: f32) {
        for values in &mut self.values {
            values
                .par_chunks_mut(PIECE)
                .for_each(|values| values.iter_mut().for_each(|value| *value *= factor));
        }
    }

    /// The sum of squares of each parameter's gradient, in `f64`: pieces of fixed size, added in order.
    pub fn squares(&self) -> Vec<f64> {
        let square = |x: f32| f64::from(x) * f64::from(x);
        let piece = |values: &[f32]| {
            let mut lanes = [0.0; 8];
            let (full, rest) = values.as_chunks::<8>();
            for values in full {
                for (lane, &value) in lanes.iter_mut().zip(values) {
                    *lane += square(value);
                }
            }
            lanes.iter().sum::<f64>() + rest.iter().map(|&x| square(x)).sum::<f64>()
        };
        let of_one = |values: &Vec<f32>| {
            let pieces: Vec<f64> = values.par_chunks(PIECE).map(piece).collect();
            pieces.into_iter().sum::<f64>()
        };
        self.values.iter().map(of_one).collect()
    }

    /// The Euclidean norm over all gradients.
    pub fn norm(&self) -> f64 {
        self.squares().into_iter().sum::<f64>().sqrt()
    }

    /// Scales the gradients so that their norm is at most `limit` and returns the norm before.
    pub fn clip(&mut self, limit: f64) -> f64 {
        let norm = self.norm();
        if norm > limit {
            self.scale((limit / norm) as f32);
        }
        norm
    }
}
