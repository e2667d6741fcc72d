//! Training as a whole: against a hand-written optimiser, stopped and resumed, and broken.

mod accumulating;
mod grouped;
mod judged;
mod reference;

use super::*;
use crate::nn::layers::{Embedding, LayerNorm, Linear};
use crate::nn::testing::random;
use crate::nn::{
    Backend, Graph, Matrix, Module, NnError, Param, ParamGrads, ops, set_trainable, weights,
};
use crate::progress::{Progress, Report, Silent, Stopped};
use crate::seed::Seed;
use dfdx::tensor::Cpu;
use std::cell::{Cell, RefCell};

/// A little of everything: embedding, norm, two layers, dropout.
pub(super) struct Toy<D: Backend> {
    table: Embedding<D>,
    norm: LayerNorm<D>,
    up: Linear<D>,
    down: Linear<D>,
}

crate::module!(Toy {
    table: "table",
    norm: "norm",
    up: "up",
    down: "down"
});

fn toy(seed: u64) -> Toy<Cpu> {
    let device = Cpu::default();
    let seed = Seed::new(seed);
    Toy {
        table: Embedding::new(&device, 11, 8, 1.0, seed.child("table")).unwrap(),
        norm: LayerNorm::new(&device, 8, 1e-5).unwrap(),
        up: Linear::new(&device, 8, 16, true, 0.3, seed.child("up")).unwrap(),
        down: Linear::new(&device, 16, 11, true, 0.3, seed.child("down")).unwrap(),
    }
}

/// Predicts `3·id + 1` modulo 11; at `broken_at` the loss is not a number, and evaluations are, too, where `blind` is set.
#[derive(Default)]
struct Task {
    broken_at: Option<u64>,
    blind: bool,
    calls: Cell<u64>,
}

fn ids_of(step: u64, seed: Seed) -> Vec<u32> {
    let first = seed.at(step).value() % 11;
    (0..6).map(|i| ((first + i * i) % 11) as u32).collect()
}

fn targets_of(ids: &[u32]) -> Vec<Option<u32>> {
    ids.iter().map(|id| Some((3 * id + 1) % 11)).collect()
}

impl<D: Backend> Toy<D> {
    fn scores(&self, g: &Graph<D>, ids: &[u32]) -> Result<Matrix<D>, NnError> {
        let x = self.norm.forward(g, &self.table.forward(g, ids)?)?;
        let x = ops::gelu(g, &self.up.forward(g, &x)?)?;
        let x = ops::dropout(g, &x, 0.1)?;
        self.down.forward(g, &x)
    }
}

impl<D: Backend> Objective<D> for Task {
    type Model = Toy<D>;

    fn loss(
        &self,
        g: &Graph<D>,
        model: &Toy<D>,
        step: u64,
        seed: Seed,
    ) -> Result<Losses<D>, NnError> {
        self.calls.set(self.calls.get() + 1);
        let ids = ids_of(step, seed);
        let mut total = ops::cross_entropy(g, &model.scores(g, &ids)?, &targets_of(&ids), 0.0)?;
        if self.broken_at == Some(step) {
            total = ops::scale(g, &total, f32::NAN)?;
        }
        let parts = vec![("double", 2.0 * f64::from(total.item()?))];
        Ok(Losses {
            total,
            parts,
            weight: 6.0,
        })
    }

    fn examples(&self, step: u64, seed: Seed) -> Vec<String> {
        let ids = ids_of(step, seed);
        ids.iter().map(|id| format!("id {id}")).collect()
    }

    fn evaluate(&self, model: &Toy<D>, device: &D) -> Result<Vec<(String, f64)>, NnError> {
        let g = Graph::inference(device);
        let y = model.table.forward(&g, &[3])?;
        let ids: Vec<u32> = (0..11).collect();
        let loss = ops::cross_entropy(&g, &model.scores(&g, &ids)?, &targets_of(&ids), 0.0)?;
        let mut found = vec![("first".to_owned(), f64::from(y.to_vec()[0]))];
        if !self.blind {
            found.push(("loss".to_owned(), f64::from(loss.item()?)));
        }
        Ok(found)
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: 23,
        learning_rate: 0.01,
        warmup_steps: 4,
        eval_every: 5,
        log_every: 3,
        checkpoint_every: 4,
        accumulate: 2,
        ..TrainConfig::default()
    }
}

fn run(
    model: &mut Toy<Cpu>,
    config: &TrainConfig,
    scratch: &std::path::Path,
    progress: &dyn Progress,
) -> Result<Trained, NnError> {
    let device = Cpu::default();
    let seed = Seed::new(9);
    train(
        &Task::default(),
        model,
        config,
        seed,
        &device,
        scratch,
        progress,
    )
}

fn bits(model: &Toy<Cpu>) -> Vec<u32> {
    let arrays = weights::to_arrays(model);
    let values = arrays.values().flat_map(|array| &array.data);
    values.map(|value| value.to_bits()).collect()
}

/// Says stop from its `after`-th answer on, and keeps what it is told to show.
struct Impatient {
    after: usize,
    answers: Cell<usize>,
    warnings: RefCell<Vec<String>>,
}

impl Impatient {
    fn new(after: usize) -> Self {
        Self {
            after,
            answers: Cell::new(0),
            warnings: RefCell::default(),
        }
    }
}

impl Progress for Impatient {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if let Report::Warning { text } = report {
            self.warnings.borrow_mut().push(text);
        }
        self.answers.set(self.answers.get() + 1);
        if self.answers.get() > self.after {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_training_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let mut expected = toy(1);
    let trained = run(&mut expected, &config(), whole.path(), &Silent).unwrap();
    assert_eq!(trained.steps, 23);
    for after in (0..40).step_by(3) {
        let scratch = tempfile::tempdir().unwrap();
        let mut first = toy(1);
        let stopped = run(
            &mut first,
            &config(),
            scratch.path(),
            &Impatient::new(after),
        );
        assert!(matches!(stopped, Err(NnError::Stopped(_))), "after {after}");
        let mut second = toy(1);
        let resumed = run(&mut second, &config(), scratch.path(), &Silent).unwrap();
        assert_eq!(bits(&second), bits(&expected), "stopped after {after}");
        assert_eq!(resumed, trained, "stopped after {after}");
    }
}

#[test]
fn a_training_killed_between_checkpoints_ends_with_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let mut expected = toy(1);
    let trained = run(&mut expected, &config(), whole.path(), &Silent).unwrap();
    // The checkpoint of update 20 is what a kill at update 22 leaves.
    let mut resumed = toy(1);
    let again = run(&mut resumed, &config(), whole.path(), &Silent).unwrap();
    assert_eq!(bits(&resumed), bits(&expected));
    assert_eq!(again, trained);
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_ignored_with_a_warning() {
    let scratch = tempfile::tempdir().unwrap();
    let mut expected = toy(1);
    run(&mut expected, &config(), scratch.path(), &Silent).unwrap();
    let path = Checkpoint::path(scratch.path());
    let bytes = fs_err::read(&path).unwrap();
    fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let progress = Impatient::new(usize::MAX);
    let mut model = toy(1);
    run(&mut model, &config(), scratch.path(), &progress).unwrap();
    assert_eq!(bits(&model), bits(&expected));
    assert!(
        progress.warnings.borrow()[0].ends_with("is damaged; training starts from the beginning")
    );

    let progress = Impatient::new(usize::MAX);
    let faster = TrainConfig {
        learning_rate: 0.02,
        ..config()
    };
    run(&mut toy(1), &faster, scratch.path(), &progress).unwrap();
    assert!(progress.warnings.borrow()[0].contains("is of another training"));
}

#[test]
fn a_loss_that_is_not_a_number_names_step_examples_and_gradient() {
    let scratch = tempfile::tempdir().unwrap();
    let task = Task {
        broken_at: Some(15),
        ..Task::default()
    };
    let (seed, device) = (Seed::new(9), Cpu::default());
    let progress = Impatient::new(usize::MAX);
    let result = train(
        &task,
        &mut toy(1),
        &config(),
        seed,
        &device,
        scratch.path(),
        &progress,
    );
    // Two batches an update: batch 15 belongs to update 7.
    insta::assert_snapshot!(result.unwrap_err(), @"loss is NaN at step 7, in a batch of 6: id 4; id 5; id 8; id 2; id 9; id 7; the largest gradient is NaN, of `table.weight` and 6 of 6 others (the update before: 6.929e-1, of `down.weight`); try a lower `learning_rate` or `clip_norm`");
    assert_eq!(task.calls.get(), 16);
}

#[test]
fn training_learns_and_logs() {
    let scratch = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        steps: 150,
        eval_every: 0,
        accumulate: 1,
        ..config()
    };
    let trained = run(&mut toy(2), &config, scratch.path(), &Silent).unwrap();
    let first = trained
        .metrics
        .iter()
        .find(|m| m.name == "train.loss")
        .unwrap();
    assert_eq!(first.step, 3);
    assert!(trained.last("train.loss").unwrap() < 0.2 * first.value);
    let double = trained.last("train.double").unwrap();
    assert!((double - 2.0 * trained.last("train.loss").unwrap()).abs() < 1e-9);
    let evaluated: Vec<u64> = trained
        .metrics
        .iter()
        .filter(|metric| metric.name == "eval.first")
        .map(|metric| metric.step)
        .collect();
    assert_eq!(evaluated, [0, 150]);
    assert_eq!(
        trained.last("train.learning_rate"),
        Some(config.schedule().rate(149))
    );
}

#[test]
fn frozen_parameters_stay_and_get_no_gradient() {
    let scratch = tempfile::tempdir().unwrap();
    let mut model = toy(3);
    set_trainable(&mut model.table, false);
    set_trainable(&mut model.norm, false);
    let before = weights::to_arrays(&model);
    run(&mut model, &config(), scratch.path(), &Silent).unwrap();
    let after = weights::to_arrays(&model);
    for (name, array) in &before {
        let frozen = name.starts_with("table") || name.starts_with("norm");
        assert_eq!(after[name] == *array, frozen, "{name}");
    }
    // Everything before the first trainable weight is a constant: nothing is recorded for it.
    let g = Graph::training(&Cpu::default(), Seed::new(1));
    let x = model.table.forward(&g, &[1, 2]).unwrap();
    let x = model.norm.forward(&g, &x).unwrap();
    assert!(x.is_constant());
    assert!(!model.up.forward(&g, &x).unwrap().is_constant());
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new();
        let pool = pool.num_threads(threads).build().unwrap();
        pool.install(|| {
            let scratch = tempfile::tempdir().unwrap();
            let mut model = toy(4);
            run(&mut model, &config(), scratch.path(), &Silent).unwrap();
            bits(&model)
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// A single parameter, to drive the optimiser by hand.
struct Single {
    param: Param<Cpu>,
}

impl Module<Cpu> for Single {
    fn visit(&self, _: &str, f: &mut dyn FnMut(&str, &Param<Cpu>)) {
        f("param", &self.param);
    }

    fn visit_mut(&mut self, _: &str, f: &mut dyn FnMut(&str, &mut Param<Cpu>)) {
        f("param", &mut self.param);
    }
}

#[test]
fn adamw_follows_the_formulas_over_many_steps() {
    let config = TrainConfig {
        weight_decay: 0.1,
        ..TrainConfig::default()
    };
    for vector in [false, true] {
        let start = random(37, Seed::new(1));
        let value = Matrix::variable(&Cpu::default(), start.clone(), (1, 37)).unwrap();
        let mut model = Single {
            param: if vector {
                Param::vector(value)
            } else {
                Param::matrix(value)
            },
        };
        let mut adam = AdamW::new(&model, &config);
        let mut p: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let (mut m, mut v) = (vec![0.0; 37], vec![0.0; 37]);
        let decay = if vector { 0.0 } else { 0.1 };
        for step in 1..=60 {
            let gradient = random(37, Seed::new(2).at(step));
            let rate = 0.01 * step as f64;
            let gradients = ParamGrads {
                values: vec![gradient.clone()],
            };
            adam.step(&mut model, &gradients, rate).unwrap();
            for i in 0..37 {
                let g = f64::from(gradient[i]);
                p[i] *= 1.0 - rate * decay;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.98 * v[i] + 0.02 * g * g;
                let mean: f64 = m[i] / (1.0 - 0.9_f64.powf(step as f64));
                let square: f64 = v[i] / (1.0 - 0.98_f64.powf(step as f64));
                p[i] -= rate * mean / (square.sqrt() + 1e-8);
            }
        }
        assert_eq!(adam.steps(), 60);
        // f32 against f64: sixty updates of up to 0.6, each rounded to 1e-7 of numbers below ten.
        for (found, expected) in model.param.value.to_vec().iter().zip(&p) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5,
                "{found}, {expected}"
            );
        }
    }
}

#[test]
fn adamw_refuses_gradients_of_another_model() {
    let value = || Matrix::variable(&Cpu::default(), vec![1.0; 4], (2, 2)).unwrap();
    let mut model = Single {
        param: Param::matrix(value()),
    };
    let mut adam = AdamW::new(&model, &TrainConfig::default());
    for values in [vec![], vec![vec![0.0; 3]]] {
        let gradients = ParamGrads { values };
        assert!(adam.step(&mut model, &gradients, 0.1).is_err());
    }
}

#[test]
fn clipping_shortens_long_gradients_only() {
    let mut gradients = ParamGrads {
        values: vec![vec![3.0], vec![0.0, 4.0]],
    };
    assert_eq!(gradients.clip(10.0), 5.0);
    assert_eq!(gradients.values, [vec![3.0], vec![0.0, 4.0]]);
    assert_eq!(gradients.clip(1.0), 5.0);
    assert!((gradients.norm() - 1.0).abs() < 1e-6);
    gradients.accumulate(&gradients.clone());
    assert!((gradients.norm() - 2.0).abs() < 1e-6);
}
