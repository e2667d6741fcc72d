//! exp
#[cfg(test)]
mod tests {
    use crate::seed::Seed;
    use rand::Rng as _;
    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::{Model, Trainer};

    #[test]
    fn experiment() {
        for seed in 0..30 {
            let mut rng = Seed::new(seed).rng();
            let words: Vec<String> = (0..300)
                .map(|_| {
                    (0..rng.gen_range(2..12))
                        .map(|_| if rng.gen_bool(0.8) { 'a' } else { 'b' })
                        .collect()
                })
                .collect();
            let mut outs = std::collections::BTreeSet::new();
            for _ in 0..20 {
                let mut trainer = BpeTrainer::builder()
                    .show_progress(false)
                    .vocab_size(120)
                    .min_frequency(2)
                    .build();
                trainer
                    .feed(words.iter(), |s| Ok(vec![s.to_owned()]))
                    .unwrap();
                let mut model = BPE::default();
                trainer.train(&mut model).unwrap();
                outs.insert(serde_json::to_string(&model).unwrap());
            }
            println!("seed {seed}: {} different", outs.len());
        }
    }
}
