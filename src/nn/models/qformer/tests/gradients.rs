//! Gradients of every parameter against central differences, loss by loss.

use super::*;
use crate::nn::models::qformer::losses::{Batch, PairLosses, TextLosses, token_surprise};
use crate::nn::training::Objective as _;

/// Checks each parameter of `model` along its gradient and along random directions.
///
/// Central differences of an `f32` loss near 1 with a step of 2e-3 are good to about 1e-4 (rounding 6e-8 / 4e-3 a few times over);
/// tolerance: 1 % of the slope plus 5e-4. Parameters listed in `untouched` must have no gradient at all.
fn check(
    model: &mut Qformer<Cpu>,
    untouched: &dyn Fn(&str) -> bool,
    loss: &dyn Fn(&Graph<Cpu>, &Qformer<Cpu>) -> Matrix<Cpu>,
) {
    const STEP: f32 = 2e-3;
    let device = Cpu::default();
    let g = Graph::training(&device, Seed::new(0));
    let value = loss(&g, model);
    let gradients = g.backward(&value).expect("a training graph");
    let gradients = gradients.collect(model).expect("on the host").values;
    let mut names = Vec::new();
    model.visit("", &mut |name, _| names.push(name.to_owned()));
    assert_eq!(names.len(), gradients.len());

    let set = |model: &mut Qformer<Cpu>, wanted: &str, values: &[f32]| {
        model.visit_mut("", &mut |name, param| {
            if name == wanted {
                param.value.overwrite(values).expect("the same shape");
            }
        });
    };
    let arrays = weights::to_arrays(model);
    for (name, gradient) in names.iter().zip(&gradients) {
        let start = arrays[name].data.clone();
        if untouched(name) {
            assert!(
                gradient.iter().all(|&x| x == 0.0),
                "`{name}` has a gradient"
            );
            continue;
        }
        let norm = gradient.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(norm > 0.0, "`{name}` has no gradient");
        let mut rng = Seed::new(3).child(name).rng();
        let along: Vec<f32> = gradient.iter().map(|x| x / norm).collect();
        let random: Vec<f32> = gradient
            .iter()
            .map(|_| rng.sample(StandardNormal))
            .collect();
        let length = random.iter().map(|x| x * x).sum::<f32>().sqrt();
        let random: Vec<f32> = random.iter().map(|x| x / length).collect();
        for direction in [along, random] {
            let mut at = |sign: f32| {
                let moved: Vec<f32> = start
                    .iter()
                    .zip(&direction)
                    .map(|(x, v)| x + sign * STEP * v)
                    .collect();
                set(model, name, &moved);
                let g = Graph::inference(&device);
                f64::from(loss(&g, model).item().expect("a scalar"))
            };
            let found = (at(1.0) - at(-1.0)) / f64::from(2.0 * STEP);
            let slope: f64 = gradient
                .iter()
                .zip(&direction)
                .map(|(g, v)| f64::from(g * v))
                .sum();
            assert!(
                (found - slope).abs() <= 0.01 * slope.abs() + 5e-4,
                "`{name}`: gradient {slope}, difference {found}"
            );
        }
        set(model, name, &start);
    }
}

fn model(seed: u64) -> Qformer<Cpu> {
    let mut model = Qformer::new(&tiny(), &Cpu::default(), Seed::new(seed)).expect("valid");
    set_trainable(&mut model, true);
    // Norms and biases away from 1 and 0, so that their gradients are tested where they matter.
    model.visit_mut("", &mut |name, param| {
        if param.vector && name != "temp" {
            let mut rng = Seed::new(seed).child(name).rng();
            let values: Vec<f32> = param
                .value
                .to_vec()
                .iter()
                .map(|x| x + 0.2 * rng.sample::<f32, _>(StandardNormal))
                .collect();
            param.value.overwrite(&values).expect("the same shape");
        }
    });
    model
}

fn batch(data: &Phase1Data) -> Batch<'_> {
    Batch {
        data,
        seed: Seed::new(11),
        evaluating: false,
    }
}

fn text_loss(
    data: &Phase1Data,
    loss: Loss,
    smoothing: f32,
) -> impl Fn(&Graph<Cpu>, &Qformer<Cpu>) -> Matrix<Cpu> + '_ {
    move |g, model| {
        let losses = TextLosses {
            wanted: &[loss],
            itc_smoothing: smoothing,
            itg_smoothing: smoothing,
            surprise: &token_surprise(data, 12),
        };
        let mut scores = losses
            .of(g, model, &batch(data), &[0, 1, 2, 3])
            .expect("fits");
        assert_eq!(scores.len(), 1);
        scores.remove(0).1.loss
    }
}

fn any_of(names: &'static [&'static str]) -> impl Fn(&str) -> bool {
    move |name| names.iter().any(|part| name.contains(part))
}

#[test]
fn itc() {
    let data = small_data();
    let untouched = any_of(&["cls.", "itm_head"]);
    check(&mut model(1), &untouched, &text_loss(&data, Loss::Itc, 0.1));
}

#[test]
fn itm() {
    let data = small_data();
    // The last layer's text outputs are not read, and matching looks at queries alone.
    let untouched = any_of(&[
        "cls.",
        "_projection",
        "temp",
        "layer.1.intermediate.",
        "layer.1.output.",
    ]);
    check(&mut model(2), &untouched, &text_loss(&data, Loss::Itm, 0.0));
}

#[test]
fn itg() {
    let data = small_data();
    let untouched = any_of(&[
        "itm_head",
        "_projection",
        "temp",
        "layer.1.intermediate_query.",
        "layer.1.output_query.",
    ]);
    check(&mut model(3), &untouched, &text_loss(&data, Loss::Itg, 0.1));
}

const TEXT_ONLY: &[&str] = &[
    "cls.",
    "embeddings.",
    ".intermediate.",
    ".layer.0.output.",
    ".layer.1.output.",
    "_projection",
    "itm_head",
    "temp",
];

fn pair_loss(loss: PairLoss, pooling: Pooling) -> PairLosses {
    PairLosses {
        loss,
        pooling,
        margin: 1.4,
        in_batch_negatives: 2,
        sampled_negatives: 1,
        temperature: 0.5,
    }
}

#[test]
fn iic() {
    let data = small_data();
    for loss in [PairLoss::Margin, PairLoss::InfoNce] {
        for pooling in [Pooling::Mean, Pooling::First, Pooling::MaxPair] {
            let losses = pair_loss(loss, pooling);
            check(&mut model(4), &any_of(TEXT_ONLY), &|g, model| {
                let pairs = data.item_item.train();
                losses
                    .of(
                        g,
                        model,
                        &batch(&data),
                        &data.item_item,
                        &data.items,
                        true,
                        pairs,
                    )
                    .expect("fits")
                    .expect("has positives")
                    .loss
            });
        }
    }
}

#[test]
fn uic() {
    let data = small_data();
    let losses = pair_loss(PairLoss::Margin, Pooling::Mean);
    check(&mut model(5), &any_of(TEXT_ONLY), &|g, model| {
        let pairs = data.user_item.train();
        losses
            .of(
                g,
                model,
                &batch(&data),
                &data.user_item,
                &data.users,
                false,
                pairs,
            )
            .expect("fits")
            .expect("has positives")
            .loss
    });
}

#[test]
fn one_token_an_item_leaves_cross_attention_without_choice() {
    // Softmax over one key is 1: whatever the query, so its query and key projections cannot matter.
    let model = model(6);
    let table = normal_table(3, 1, 4, 7);
    let device = Cpu::default();
    let g = Graph::training(&device, Seed::new(0));
    let items = ItemBatch::new(&device, &table, &[0, 1, 2]).expect("fits");
    let outputs = model.items.forward(&g, &items).expect("fits");
    let loss = ops::mean_all(
        &g,
        &ops::square(&g, &ops::gelu(&g, &outputs).expect("fits")).expect("fits"),
    );
    let loss = loss.expect("fits");
    let gradients = g
        .backward(&loss)
        .expect("trains")
        .collect(&model.items)
        .expect("on the host");
    let mut names = Vec::new();
    model
        .items
        .visit("", &mut |name, _| names.push(name.to_owned()));
    let mut seen = 0;
    for (name, gradient) in names.iter().zip(&gradients.values) {
        let dead = name.contains("crossattention.attention.query")
            || name.contains("crossattention.attention.key");
        if dead {
            seen += 1;
            assert!(gradient.iter().all(|&x| x == 0.0), "`{name}`: {gradient:?}");
        } else if name.contains("crossattention.attention.value.weight") {
            assert!(
                gradient.iter().any(|&x| x != 0.0),
                "`{name}` has no gradient"
            );
        }
    }
    assert_eq!(seen, 4, "weight and bias of query and key, in one layer");
}

#[test]
fn without_a_loss_that_needs_them_heads_get_no_gradient() {
    // Each loss really switches: ITG alone never touches the projections, ITC alone never the language head.
    let data = small_data();
    for (losses, absent) in [
        (&[Loss::Itc][..], &["cls.", "itm_head"][..]),
        (&[Loss::Itm], &["cls.", "_projection"]),
        (&[Loss::Itg], &["itm_head", "_projection"]),
        (&[Loss::Iic], TEXT_ONLY),
    ] {
        let model = model(7);
        let device = Cpu::default();
        let objective = Phase1::new(data.clone(), settings(losses), &tiny(), Seed::new(1))
            .expect("has examples");
        let g = Graph::training(&device, Seed::new(0));
        let found = objective.loss(&g, &model, 0, Seed::new(2)).expect("fits");
        let names: Vec<_> = found.parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, losses.iter().map(|l| l.name()).collect::<Vec<_>>());
        let gradients = g
            .backward(&found.total)
            .expect("trains")
            .collect(&model)
            .expect("host");
        let mut index = 0;
        model.visit("", &mut |name, _| {
            if any_of_slice(absent, name) {
                assert!(
                    gradients.values[index].iter().all(|&x| x == 0.0),
                    "`{name}`"
                );
            }
            index += 1;
        });
    }
}

fn any_of_slice(names: &[&str], name: &str) -> bool {
    names.iter().any(|part| name.contains(part))
}
