//! AdamW, clipping, groups and schedules against PyTorch: `tests/reference/adamw.json`, made by `adamw.py` beside it.

use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Reference {
    x: Vec<f32>,
    y: Vec<f32>,
    start: BTreeMap<String, Vec<f32>>,
    trained: BTreeMap<String, Run>,
}

#[derive(Deserialize)]
struct Run {
    rates: Vec<f64>,
    losses: Vec<f64>,
    norms: Vec<f64>,
    end: BTreeMap<String, Vec<f32>>,
}

struct Small<D: Backend> {
    up: Linear<D>,
    down: Linear<D>,
}

crate::module!(Small {
    up: "up",
    down: "down"
});

impl<D: Backend> Objective<D> for Reference {
    type Model = Small<D>;

    fn loss(&self, g: &Graph<D>, model: &Small<D>, _: u64, _: Seed) -> Result<Losses<D>, NnError> {
        let x = g.constant(self.x.clone(), (8, 5))?;
        let x = ops::gelu(g, &model.up.forward(g, &x)?)?;
        let y = g.constant(self.y.clone(), (8, 3))?;
        let error = ops::sub(g, &model.down.forward(g, &x)?, &y)?;
        Ok(Losses {
            total: ops::mean_all(g, &ops::square(g, &error)?)?,
            parts: Vec::new(),
            weight: 8.0,
        })
    }

    fn examples(&self, _: u64, _: Seed) -> Vec<String> {
        Vec::new()
    }

    fn evaluate(&self, _: &Small<D>, _: &D) -> Result<Vec<(String, f64)>, NnError> {
        Ok(Vec::new())
    }
}

#[test]
fn twenty_steps_are_those_of_pytorch() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/adamw.json");
    let reference: Reference = crate::formats::json::read(std::path::Path::new(path)).unwrap();
    let device = Cpu::default();
    let schedules = [
        ("cosine", Fall::Cosine),
        ("linear", Fall::Linear),
        ("constant", Fall::Constant),
    ];
    for (name, schedule) in schedules {
        let expected = &reference.trained[name];
        let layer =
            |inputs, outputs| Linear::new(&device, inputs, outputs, true, 1.0, Seed::new(0));
        let mut model = Small {
            up: layer(5, 7).unwrap(),
            down: layer(7, 3).unwrap(),
        };
        model.visit_mut("", &mut |name, param| {
            param.value.overwrite(&reference.start[name]).unwrap();
        });
        let config = TrainConfig {
            steps: 20,
            learning_rate: 0.05,
            warmup_steps: 4,
            schedule,
            min_lr_ratio: 0.2,
            weight_decay: 0.1,
            clip_norm: 0.3,
            log_every: 1,
            groups: vec![Group {
                lr_scale: 0.5,
                weight_decay: Some(0.0),
                ..Group::of("up.*")
            }],
            ..TrainConfig::default()
        };
        let scratch = tempfile::tempdir().unwrap();
        let (seed, path) = (Seed::new(0), scratch.path());
        let trained = train(
            &reference, &mut model, &config, seed, &device, path, &Silent,
        )
        .unwrap();
        let logged = |name: &str| -> Vec<f64> {
            let found = trained.metrics.iter().filter(|m| m.name == name);
            found.map(|m| m.value).collect()
        };
        // Rates are f64 on both sides; losses and norms are f32 after up to twenty updates.
        for (what, theirs, tolerance) in [
            ("train.learning_rate", &expected.rates, 1e-12),
            ("train.loss", &expected.losses, 1e-5),
            ("train.gradient_norm", &expected.norms, 1e-5),
        ] {
            let ours = logged(what);
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(theirs) {
                assert!(
                    (a - b).abs() < tolerance * b.abs().max(1.0),
                    "{name}, {what}: {a} {b}"
                );
            }
        }
        assert!(expected.norms.iter().all(|&norm| norm > 0.3));
        for (parameter, array) in weights::to_arrays(&model) {
            for (a, b) in array.data.iter().zip(&expected.end[&parameter]) {
                // Numbers of size 1 that twenty updates of up to 0.05 moved, rounded to 1e-7 each.
                assert!((a - b).abs() < 2e-6, "{name}, {parameter}: {a} {b}");
            }
        }
    }
}
