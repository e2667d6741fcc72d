use super::*;
use crate::nn::training::{TrainConfig, train};
use crate::progress::Silent;
#[test]
fn demo_size() {
    let mut rng = Seed::new(20).rng();
    let n = 240u32;
    let texts = (0..n)
        .map(|i| {
            let body: Vec<u32> = (0..24).map(|_| rng.gen_range(6..2048)).collect();
            text(i, &body, i % 10 == 0)
        })
        .collect();
    let pairs = PairSet::new((0..4000).map(|i| (i * 7 % n, (i * 13 + i / 240) % n, i % 10 == 0)));
    let data = Phase1Data::new(
        normal_table(240, 2, 64, 1),
        normal_table(10, 1, 64, 2),
        texts,
        pairs.clone(),
        PairSet::default(),
        0,
        4,
    )
    .unwrap();
    let sizes = QformerConfig::default();
    let device = Cpu::default();
    let config = Phase1Config {
        batch: 32,
        pair_batch: 64,
        ..settings(&[Loss::Itc, Loss::Itm, Loss::Itg, Loss::Iic])
    };
    for loss in [
        vec![Loss::Itc],
        vec![Loss::Itm],
        vec![Loss::Itg],
        vec![Loss::Iic],
        vec![Loss::Itc, Loss::Itm, Loss::Itg, Loss::Iic],
    ] {
        let mut model = Qformer::new(&sizes, &device, Seed::new(1)).unwrap();
        let phase1 = Phase1::new(
            data.clone(),
            Phase1Config {
                losses: loss.clone(),
                ..config.clone()
            },
            &sizes,
            Seed::new(2),
        )
        .unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let t = std::time::Instant::now();
        let training = TrainConfig {
            steps: 10,
            warmup_steps: 2,
            ..TrainConfig::default()
        };
        train(
            &phase1,
            &mut model,
            &training,
            Seed::new(3),
            &device,
            scratch.path(),
            &Silent,
        )
        .unwrap();
        eprintln!("{loss:?}: {:?} for 10 steps", t.elapsed());
    }
}
