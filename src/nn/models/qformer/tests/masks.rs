//! Who sees whom.

use super::*;

fn model() -> Qformer<Cpu> {
    Qformer::new(&tiny(), &Cpu::default(), Seed::new(5)).expect("valid")
}

fn items(count: usize, tokens: usize) -> ItemBatch<Cpu> {
    let all: Vec<u32> = (0..count as u32).collect();
    ItemBatch::new(&Cpu::default(), &normal_table(count, tokens, 4, 9), &all).expect("fits")
}

fn rows(matrix: &Matrix<Cpu>, from: usize, to: usize) -> Vec<f32> {
    let d = matrix.columns();
    matrix.to_vec()[from * d..to * d].to_vec()
}

#[test]
fn generation_never_sees_what_comes_later() {
    let (model, items) = (model(), items(1, 2));
    let g = Graph::inference(&Cpu::default());
    let before = TextBatch::new(&[&[4, 6, 7, 8, 2]], 0, None);
    let after = TextBatch::new(&[&[4, 6, 7, 9, 2]], 0, None);
    let a = model.causal_text(&g, &items, &before).expect("fits");
    let b = model.causal_text(&g, &items, &after).expect("fits");
    assert_eq!(rows(&a, 0, 3), rows(&b, 0, 3), "places before the change");
    assert_ne!(rows(&a, 3, 4), rows(&b, 3, 4), "the place of the change");
}

#[test]
fn under_the_mask_of_generation_queries_see_no_text() {
    let (model, items) = (model(), items(2, 2));
    let g = Graph::inference(&Cpu::default());
    let text = TextBatch::new(&[&[4, 6, 7], &[4, 8, 2]], 0, None);
    let kind = MaskKind::PrefixCausal { prefix: 3 };
    let joint = model
        .joint(&g, &items, &text, kind, Side::Queries)
        .expect("fits");
    let alone = model.items.forward(&g, &items).expect("fits");
    // The same sums in the same order but for rows that are not seen: rounding only.
    let worst = joint
        .to_vec()
        .iter()
        .zip(alone.to_vec())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn matching_sees_everything() {
    let (model, items) = (model(), items(1, 2));
    let g = Graph::inference(&Cpu::default());
    let read = |tokens: &[u32]| {
        let text = TextBatch::new(&[tokens], 0, None);
        model
            .joint_queries(&g, &items, &text)
            .expect("fits")
            .to_vec()
    };
    assert_ne!(read(&[5, 6, 7, 2]), read(&[5, 6, 8, 2]));
}

#[test]
fn padding_changes_nothing() {
    let model = model();
    let g = Graph::inference(&Cpu::default());
    let (short, long): (&[u32], &[u32]) = (&[5, 6, 2], &[5, 7, 8, 9, 10, 2]);
    let alone = TextBatch::new(&[short], 0, None);
    let padded = TextBatch::new(&[short, long], 0, None);
    let (one, two) = (items(1, 2), items(2, 2));
    let close = |a: Vec<f32>, b: Vec<f32>| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    };
    close(
        rows(&model.text(&g, &alone).expect("fits"), 0, 3),
        rows(&model.text(&g, &padded).expect("fits"), 0, 3),
    );
    close(
        rows(&model.joint_queries(&g, &one, &alone).expect("fits"), 0, 3),
        rows(&model.joint_queries(&g, &two, &padded).expect("fits"), 0, 3),
    );
    close(
        rows(&model.causal_text(&g, &one, &alone).expect("fits"), 0, 3),
        rows(&model.causal_text(&g, &two, &padded).expect("fits"), 0, 3),
    );
}

#[test]
fn what_is_in_the_padding_does_not_matter() {
    let model = model();
    let g = Graph::inference(&Cpu::default());
    let items = items(2, 2);
    let zeros = TextBatch::new(&[&[5, 6, 2], &[5, 7, 8, 9, 2]], 0, None);
    let junk = TextBatch::new(&[&[5, 6, 2], &[5, 7, 8, 9, 2]], 11, None);
    let read = |text| {
        model
            .joint_queries(&g, &items, text)
            .expect("fits")
            .to_vec()
    };
    assert_eq!(read(&zeros), read(&junk));
}
