//! Batches whose gradients make one update.

use super::*;

/// A training whose batches have from one to seven ids, in `parts` batches an update or all in one.
struct Uneven {
    parts: u64,
    whole: bool,
}

impl Uneven {
    fn ids(batch: u64) -> Vec<u32> {
        let hash = Seed::new(4).at(batch).value();
        (0..=hash % 7)
            .map(|i| ((hash / 7 + i * i) % 11) as u32)
            .collect()
    }
}

impl<D: Backend> Objective<D> for Uneven {
    type Model = Toy<D>;

    fn loss(&self, g: &Graph<D>, model: &Toy<D>, step: u64, _: Seed) -> Result<Losses<D>, NnError> {
        let ids = if self.whole {
            let batches = step * self.parts..(step + 1) * self.parts;
            batches.flat_map(Self::ids).collect()
        } else {
            Self::ids(step)
        };
        // No dropout: it would drop other numbers.
        let x = model.norm.forward(g, &model.table.forward(g, &ids)?)?;
        let x = ops::gelu(g, &model.up.forward(g, &x)?)?;
        let logits = model.down.forward(g, &x)?;
        Ok(Losses {
            total: ops::cross_entropy(g, &logits, &targets_of(&ids), 0.1)?,
            parts: Vec::new(),
            weight: ids.len() as f64,
        })
    }

    fn examples(&self, _: u64, _: Seed) -> Vec<String> {
        Vec::new()
    }

    fn evaluate(&self, _: &Toy<D>, _: &D) -> Result<Vec<(String, f64)>, NnError> {
        Ok(Vec::new())
    }
}

#[test]
fn unequal_batches_make_the_update_of_the_large_one() {
    let run = |whole: bool| {
        let task = Uneven { parts: 4, whole };
        let config = TrainConfig {
            steps: 12,
            log_every: 1,
            accumulate: if whole { 1 } else { 4 },
            ..config()
        };
        let scratch = tempfile::tempdir().unwrap();
        let mut model = toy(5);
        let (seed, device, path) = (Seed::new(9), Cpu::default(), scratch.path());
        let trained = train(&task, &mut model, &config, seed, &device, path, &Silent).unwrap();
        (weights::to_arrays(&model), trained)
    };
    let sizes: Vec<usize> = (0..4).map(|batch| Uneven::ids(batch).len()).collect();
    assert!(sizes.iter().any(|&size| size != sizes[0]), "{sizes:?}");
    let ((large, logged), (small, logged_too)) = (run(true), run(false));
    // Adam divides by the gradient's own size: where that is near 0, rounding may turn an update of up to the rate, 0.01.
    for (name, array) in &large {
        for (a, b) in array.data.iter().zip(&small[name].data) {
            assert!((a - b).abs() < 2e-5, "{name}: {a} and {b}");
        }
    }
    for (a, b) in logged.metrics.iter().zip(&logged_too.metrics) {
        assert_eq!((&a.name, a.step), (&b.name, b.step));
        assert!((a.value - b.value).abs() < 2e-5, "{a:?} and {b:?}");
    }
}
