use super::*;
use crate::progress::Silent;
use dfdx::tensor::Cpu;

fn sides(device: &Cpu) -> [Side<'_, Cpu>; 2] {
    [false, true].map(|composed| Side {
        device,
        composed,
        peak: &|_| Ok(None),
    })
}

#[test]
fn the_composed_operations_compute_and_learn_what_the_fused_ones_do() {
    let device = Cpu::default();
    let [fused, composed] = sides(&device);
    let found = run(
        &fused,
        &composed,
        &Limits::EXACT,
        Extent::Small,
        10,
        &Silent,
    )
    .unwrap();
    let differences = found.operations.iter().chain(&found.models);
    let wrong: Vec<_> = differences.filter(|d| !d.passes()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let wrong: Vec<_> = found.trainings.iter().filter(|t| !t.passes()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(found.pass());
    // The two do not take the same way: some last bits differ.
    let differ = found
        .operations
        .iter()
        .filter(|difference| difference.error > 0.0);
    assert!(differ.count() > 10);
}

#[test]
fn a_difference_is_told_with_its_place() {
    let parts = |last: f32| -> Parts {
        vec![
            ("result".to_owned(), vec![1.0, 2.0]),
            ("gradient of input 0".to_owned(), vec![0.5, last]),
        ]
    };
    let same = difference("x", &parts(0.25), &parts(0.25), 1e-5);
    assert!(same.passes() && same.error == 0.0);
    let other = difference("x", &parts(0.25), &parts(0.26), 1e-5);
    assert!(!other.passes());
    assert_eq!(other.place, "gradient of input 0");
    assert!((other.error - 0.02).abs() < 1e-6, "{}", other.error);
    let broken = difference("x", &parts(0.25), &parts(f32::NAN), 1e-5);
    assert!(!broken.passes());
    let short = difference("x", &parts(0.25), &parts(0.25)[..1].to_vec(), 1e-5);
    assert!(!short.passes());
}
