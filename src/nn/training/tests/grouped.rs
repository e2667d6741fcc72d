//! Parameters that learn otherwise than the rest.

use super::*;

fn grouped(groups: Vec<Group>) -> TrainConfig {
    TrainConfig {
        groups,
        weight_decay: 0.5,
        steps: 3,
        warmup_steps: 0,
        ..config()
    }
}

#[test]
fn a_group_has_its_own_rate_and_decay_and_the_first_counts() {
    let start = weights::to_arrays(&toy(1));
    let after = |groups: Vec<Group>| {
        let scratch = tempfile::tempdir().unwrap();
        let mut model = toy(1);
        run(&mut model, &grouped(groups), scratch.path(), &Silent).unwrap();
        weights::to_arrays(&model)
    };
    let still = Group {
        lr_scale: 0.0,
        ..Group::of("up.*")
    };
    let all = Group {
        lr_scale: 0.5,
        ..Group::of("*")
    };
    let found = after(vec![still.clone(), all.clone()]);
    for (name, array) in &start {
        assert_eq!(found[name] == *array, name.starts_with("up."), "{name}");
    }
    // A group that says nothing of its own changes nothing.
    assert_eq!(after(vec![Group::of("*")]), after(vec![]));
    // Decay is decoupled: after one update from the same gradient, the difference is the decay alone.
    let one = |groups: Vec<Group>| {
        let scratch = tempfile::tempdir().unwrap();
        let mut model = toy(1);
        let config = TrainConfig {
            steps: 1,
            ..grouped(groups)
        };
        run(&mut model, &config, scratch.path(), &Silent).unwrap();
        weights::to_arrays(&model)
    };
    let undecayed = Group {
        weight_decay: Some(0.0),
        ..Group::of("*.weight")
    };
    let (with, without) = (one(vec![]), one(vec![undecayed]));
    for (name, array) in &start {
        let vector = name.ends_with("bias") || name.starts_with("norm");
        let decay = if vector { 0.0 } else { 0.01 * 0.5 };
        for ((a, b), p) in with[name]
            .data
            .iter()
            .zip(&without[name].data)
            .zip(&array.data)
        {
            assert!((b - a - decay * p).abs() < 1e-6, "{name}: {a} {b} {p}");
        }
    }
}

#[test]
fn a_group_without_parameters_is_an_error_that_names_what_there_is() {
    let error = |patterns: &[&str]| {
        let scratch = tempfile::tempdir().unwrap();
        let groups = patterns.iter().map(|pattern| Group::of(pattern)).collect();
        let trained = run(&mut toy(1), &grouped(groups), scratch.path(), &Silent);
        trained.unwrap_err().to_string()
    };
    insta::assert_snapshot!(error(&["up.*", "language.*"]), @"`groups[1].match` is `language.*`, which is the name of no parameter; there are `table.weight`, `norm.weight`, `norm.bias`, `up.weight`, `up.bias`, `down.weight`, `down.bias`");
    insta::assert_snapshot!(error(&["*", "up.*"]), @"`groups[1].match` is `up.*`, but all that it matches belongs to groups before it");
}
