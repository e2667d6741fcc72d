//! Early stopping and what is kept.

use super::*;

/// A training that overshoots: its best evaluation is not its last.
fn jumpy() -> TrainConfig {
    TrainConfig {
        steps: 40,
        learning_rate: 0.15,
        schedule: Fall::Constant,
        warmup_steps: 2,
        eval_every: 3,
        keep: Keep::Best,
        ..config()
    }
}

fn evaluated(trained: &Trained) -> Vec<(u64, f64)> {
    let losses = trained.metrics.iter().filter(|m| m.name == "eval.loss");
    losses.map(|m| (m.step, m.value)).collect()
}

#[test]
fn the_best_parameters_are_those_of_a_training_that_ended_there() {
    let scratch = tempfile::tempdir().unwrap();
    let mut best = toy(1);
    let trained = run(&mut best, &jumpy(), scratch.path(), &Silent).unwrap();
    let losses = evaluated(&trained);
    let least = losses
        .iter()
        .copied()
        .reduce(|a, b| if b.1 < a.1 { b } else { a })
        .unwrap();
    assert_eq!(
        (trained.kept, trained.kept("eval.loss")),
        (least.0, Some(least.1))
    );
    assert!(trained.kept > 0 && trained.kept < 40, "{losses:?}");
    assert_eq!((trained.steps, trained.ended), (40, Ended::Steps));
    // The rate is constant, so a shorter training takes the same steps.
    let short = TrainConfig {
        steps: trained.kept,
        keep: Keep::Last,
        ..jumpy()
    };
    let scratch = tempfile::tempdir().unwrap();
    let mut last = toy(1);
    let trained = run(&mut last, &short, scratch.path(), &Silent).unwrap();
    assert_eq!(trained.kept, trained.steps);
    assert_eq!(bits(&best), bits(&last));
}

#[test]
fn training_ends_when_evaluations_bring_nothing_better_for_long() {
    let scratch = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        patience: 3,
        min_delta: 0.05,
        steps: 400,
        log_every: 7,
        ..jumpy()
    };
    let trained = run(&mut toy(1), &config, scratch.path(), &Silent).unwrap();
    assert_eq!(trained.ended, Ended::Patience);
    let losses = evaluated(&trained);
    assert_eq!(losses.last().unwrap().0, trained.steps);
    // What was not logged yet is.
    let logged = trained.metrics.iter().rfind(|m| m.name == "train.loss");
    assert_eq!(logged.unwrap().step, trained.steps);
    let (before, waited) = losses.split_at(losses.len() - 3);
    let least = |losses: &[(u64, f64)]| losses.iter().map(|l| l.1).fold(f64::MAX, f64::min);
    assert!(least(waited) >= least(before) - 0.05, "{losses:?}");
    // Without patience it goes on.
    let scratch = tempfile::tempdir().unwrap();
    let endless = TrainConfig {
        patience: 0,
        ..config
    };
    let trained = run(&mut toy(1), &endless, scratch.path(), &Silent).unwrap();
    assert_eq!((trained.steps, trained.ended), (400, Ended::Steps));
}

#[test]
fn what_is_kept_and_when_it_ends_survives_being_stopped_anywhere() {
    let config = TrainConfig {
        patience: 4,
        min_delta: 0.05,
        ..jumpy()
    };
    let whole = tempfile::tempdir().unwrap();
    let mut expected = toy(1);
    let trained = run(&mut expected, &config, whole.path(), &Silent).unwrap();
    assert_eq!(trained.ended, Ended::Patience);
    assert!(trained.kept < trained.steps);
    let mut again = toy(1);
    let resumed = run(&mut again, &config, whole.path(), &Silent).unwrap();
    assert_eq!((bits(&again), &resumed), (bits(&expected), &trained));
    for after in (1..45).step_by(4) {
        let scratch = tempfile::tempdir().unwrap();
        let stop = Impatient::new(after);
        let stopped = run(&mut toy(1), &config, scratch.path(), &stop);
        assert!(matches!(stopped, Err(NnError::Stopped(_))), "after {after}");
        let mut second = toy(1);
        let resumed = run(&mut second, &config, scratch.path(), &Silent).unwrap();
        assert_eq!(bits(&second), bits(&expected), "stopped after {after}");
        assert_eq!(resumed, trained, "stopped after {after}");
    }
}

#[test]
fn nothing_to_go_by_is_said_before_the_first_step() {
    let task = Task {
        blind: true,
        ..Task::default()
    };
    let error = |config: &TrainConfig| {
        let scratch = tempfile::tempdir().unwrap();
        let (seed, device, path) = (Seed::new(9), Cpu::default(), scratch.path());
        let trained = train(&task, &mut toy(1), config, seed, &device, path, &Silent);
        trained.unwrap_err().to_string()
    };
    let patient = TrainConfig {
        patience: 3,
        ..config()
    };
    insta::assert_snapshot!(error(&patient), @"`patience` is 3, which needs `eval.loss`, but nothing is held out to evaluate");
    insta::assert_snapshot!(error(&jumpy()), @"`keep` is `best`, which needs `eval.loss`, but nothing is held out to evaluate");
    assert_eq!(task.calls.get(), 0);
}
