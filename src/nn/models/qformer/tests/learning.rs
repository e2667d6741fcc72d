//! Phase 1 learns on a catalogue with planted traits, and a run that was stopped ends where an unbroken one does.

use super::*;
use crate::nn::training::{TrainConfig, Trained, train};
use crate::progress::{Progress, Report, Silent, Stopped};
use rand::seq::SliceRandom as _;
use std::cell::Cell;
use std::collections::BTreeMap;

const GENRES: u32 = 4;
const MOODS: u32 = 3;

/// Items with a genre and a mood: two noisy tokens tell one each, the text names both, and items of one genre follow one another.
fn catalogue(count: u32) -> Phase1Data {
    let mut rng = Seed::new(20).rng();
    let width = 8;
    let mut normal =
        |n: usize| -> Vec<f32> { (0..n).map(|_| rng.sample(StandardNormal)).collect() };
    let genres: Vec<Vec<f32>> = (0..GENRES).map(|_| normal(width)).collect();
    let moods: Vec<Vec<f32>> = (0..MOODS).map(|_| normal(width)).collect();
    let mut vectors = Vec::new();
    let mut texts = Vec::new();
    let traits = |item: u32| (item % GENRES, item / GENRES % MOODS);
    for item in 0..count {
        let (genre, mood) = traits(item);
        for center in [&genres[genre as usize], &moods[mood as usize]] {
            let noise = normal(width);
            vectors.extend(center.iter().zip(noise).map(|(c, n)| c + 0.3 * n));
        }
        // A word of the genre, a word of the mood, and one word of the item's own.
        let body = [6 + genre, 6 + GENRES + mood, 6 + GENRES + MOODS + item % 5];
        texts.push(text(item, &body, item % 5 == 0));
    }
    let mut rng = Seed::new(21).rng();
    let mut pairs = Vec::new();
    for genre in 0..GENRES {
        let mut members: Vec<u32> = (0..count).filter(|i| traits(*i).0 == genre).collect();
        members.shuffle(&mut rng);
        for (index, pair) in members.windows(2).enumerate() {
            pairs.push((pair[0], pair[1], index % 5 == 0));
        }
    }
    let users = TokenTable {
        count: GENRES as usize * 3,
        tokens: 1,
        width,
        data: (0..GENRES * 3)
            .flat_map(|user| {
                let noise: Vec<f32> = (0..width).map(|_| rng.sample(StandardNormal)).collect();
                let genre = genres[(user % GENRES) as usize].clone();
                genre.into_iter().zip(noise).map(|(g, n)| g + 0.3 * n)
            })
            .collect(),
    };
    let mut chosen = Vec::new();
    for user in 0..GENRES * 3 {
        for item in (0..count).filter(|i| traits(*i).0 == user % GENRES) {
            if (user + item) % 2 == 0 {
                chosen.push((user, item, (user + item / GENRES).is_multiple_of(5)));
            }
        }
    }
    let items = TokenTable {
        count: count as usize,
        tokens: 2,
        width,
        data: vectors,
    };
    let (pairs, chosen) = (PairSet::new(pairs), PairSet::new(chosen));
    Phase1Data::new(items, users, texts, pairs, chosen, 0, 4).expect("the parts fit")
}

fn sizes() -> QformerConfig {
    QformerConfig {
        d_model: 32,
        layers: 2,
        heads: 2,
        d_ff: 64,
        queries: 4,
        d_item: 8,
        vocab: 18,
        max_text_tokens: 8,
        projection: 16,
        init_std: 0.1,
        ..QformerConfig::default()
    }
}

/// The first and the last value of each held-out loss.
fn ends(trained: &Trained) -> BTreeMap<String, (f64, f64)> {
    let mut found: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for metric in &trained.metrics {
        if let Some(name) = metric.name.strip_prefix("eval.") {
            found
                .entry(name.to_owned())
                .and_modify(|ends| ends.1 = metric.value)
                .or_insert((metric.value, metric.value));
        }
    }
    found
}

fn learns(pair_loss: PairLoss, losses: &[Loss], steps: u64) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let device = Cpu::default();
    let mut model = Qformer::new(&sizes(), &device, Seed::new(1)).expect("valid");
    let config = Phase1Config {
        pair_loss,
        batch: 16,
        pair_batch: 16,
        ..settings(losses)
    };
    let phase1 = Phase1::new(catalogue(60), config, &sizes(), Seed::new(2)).expect("has examples");
    let training = TrainConfig {
        steps,
        learning_rate: 3e-3,
        warmup_steps: 10,
        ..TrainConfig::default()
    };
    let (seed, path) = (Seed::new(3), scratch.path());
    let trained = train(&phase1, &mut model, &training, seed, &device, path, &Silent);
    let ends = ends(&trained.expect("trains"));
    let constants = phase1.constants(&model, &device).expect("evaluates");
    assert_eq!(constants.len(), losses.len());
    for (loss, constant) in constants {
        let (start, end) = ends[loss.name()];
        let name = loss.name();
        assert!(end < start, "{name}: {start} -> {end}");
        assert!(
            end < constant,
            "{name}: {end}, a constant predictor {constant}"
        );
    }
    let share = neighbours_of_the_same_genre(&model, phase1.data());
    let chance = 1.0 / f64::from(GENRES);
    assert!(
        share > 2.0 * chance,
        "{share} of the nearest neighbours, {chance} by chance"
    );
}

/// How often the item with the nearest mean query output has the same genre.
fn neighbours_of_the_same_genre(model: &Qformer<Cpu>, data: &Phase1Data) -> f64 {
    let device = Cpu::default();
    let g = Graph::inference(&device);
    let all: Vec<u32> = (0..data.items.count as u32).collect();
    let items = ItemBatch::new(&device, &data.items, &all).expect("fits");
    let outputs = model.items.forward(&g, &items).expect("fits");
    let q = model.config().queries;
    let cosines = contrast::similarity(&g, &outputs, &outputs, q, Pooling::Mean).expect("fits");
    let (cosines, n) = (cosines.to_vec(), all.len());
    let nearest = |item: usize| {
        let row = &cosines[item * n..(item + 1) * n];
        let others = (0..n).filter(|&other| other != item);
        others
            .max_by(|&a, &b| row[a].total_cmp(&row[b]))
            .expect("has others")
    };
    let same = |item: usize| (nearest(item) as u32) % GENRES == (item as u32) % GENRES;
    (0..n).filter(|&item| same(item)).count() as f64 / n as f64
}

#[test]
fn every_held_out_loss_ends_below_its_start_and_a_constant() {
    learns(PairLoss::Margin, &Loss::ALL, 240);
}

#[test]
fn info_nce_learns_too() {
    learns(PairLoss::InfoNce, &[Loss::Iic, Loss::Uic], 60);
}

#[test]
fn constants_are_those_of_the_formulas() {
    let device = Cpu::default();
    let model = Qformer::new(&sizes(), &device, Seed::new(1)).expect("valid");
    let config = Phase1Config {
        batch: 100,
        pair_batch: 100,
        ..settings(&[Loss::Itc, Loss::Itm, Loss::Iic])
    };
    let phase1 = Phase1::new(catalogue(60), config, &sizes(), Seed::new(2)).expect("has examples");
    let constants = phase1.constants(&model, &device).expect("evaluates");
    let found: BTreeMap<_, _> = constants.into_iter().collect();
    // 12 held-out texts; two negatives for each pair; one pair to two in-batch and one sampled negative with m = 1.
    assert!((found[&Loss::Itc] - 12f64.ln()).abs() < 1e-9);
    assert!((found[&Loss::Itm] - 0.636_514).abs() < 1e-6);
    assert!((found[&Loss::Iic] - 0.25 * 0.75 / 2.0).abs() < 1e-9);
}

/// Asks to stop at the given tick.
struct StopAt(Cell<i64>);

impl Progress for StopAt {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if let Report::Tick { .. } = report {
            self.0.set(self.0.get() - 1);
        }
        if self.0.get() < 0 {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

#[test]
fn a_stopped_run_ends_where_an_unbroken_one_does() {
    let device = Cpu::default();
    let training = TrainConfig {
        steps: 12,
        warmup_steps: 2,
        checkpoint_every: 2,
        eval_every: 5,
        log_every: 1,
        ..TrainConfig::default()
    };
    let run = |path: &Path, progress: &dyn Progress| {
        let mut model = Qformer::new(&tiny(), &device, Seed::new(1)).expect("valid");
        let phase1 = Phase1::new(small_data(), settings(&Loss::ALL), &tiny(), Seed::new(2))
            .expect("has examples");
        let trained = train(
            &phase1,
            &mut model,
            &training,
            Seed::new(3),
            &device,
            path,
            progress,
        )?;
        let metrics = serde_json::to_string(&trained.metrics).expect("plain data");
        Ok::<_, NnError>((weights::to_arrays(&model), metrics))
    };
    let unbroken = tempfile::tempdir().expect("a temporary folder");
    let whole = run(unbroken.path(), &Silent).expect("trains");
    for stop in [0, 3, 6, 9] {
        let broken = tempfile::tempdir().expect("a temporary folder");
        let stopped = run(broken.path(), &StopAt(Cell::new(stop)));
        assert!(matches!(stopped, Err(NnError::Stopped(_))), "at {stop}");
        assert!(
            run(broken.path(), &Silent).expect("continues") == whole,
            "at {stop}"
        );
    }
}
