//! A decoder language model, pre-trained on the pipeline's own text.

use super::device::on_device;
use super::language_io::read_tokenizer;
use super::training::{Recipe, Training, smoothing_problem, summarise, write_metrics};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::formats::json;
use crate::nn::models::llama::{Corpus, Llama, LlamaConfig, Pretraining};
use crate::nn::training::train;
use crate::nn::{Backend, count};
use crate::text::Specials;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pre-trains a Llama-family decoder from random weights.
///
/// The defaults are the demo's: under a minute on two cores. It stands where the paper has a large pre-trained model (PaLM 2): it knows the
/// language of the task texts and nothing of any item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backbone {
    /// Width of the residual stream. At least 2. Default: 128 (SmolLM2-135M: 576; sized for two cores).
    pub d_model: usize,
    /// Blocks. At least 1. Default: 2, the fewest with which attention can look up what stood where (on the demo's texts 2 blocks
    /// reach the loss of 4 in half the time).
    pub layers: usize,
    /// Query heads; must divide `d_model` into even widths. Default: 4.
    pub heads: usize,
    /// Key and value heads; must divide `heads`. Default: 2.
    pub kv_heads: usize,
    /// Width of the SwiGLU gate. At least 1. Default: 352 (8/3 of `d_model`, as in Llama, rounded up to a multiple of 32).
    pub d_ff: usize,
    /// Longest training sequence in tokens; longer documents are cut into parts. At least 2. Default: 192.
    pub context: usize,
    /// Base of the rotary frequencies. Above 1. Default: 10,000 (Su et al. 2021).
    pub rope_theta: f64,
    /// Standard deviation of the initial weights; those that write into the residual stream get it divided by `sqrt(2·layers)`. Above
    /// 0. Default: `sqrt(2 / (5·d_model))` (Nguyen & Salazar 2019), which is GPT-2's 0.02 at its smallest width of 768: with 0.02 at a
    /// width of 128, attention takes hundreds of steps to start.
    pub init_std: Option<f64>,
    /// Documents of a step. At least 1. Default: 16.
    pub batch: usize,
    /// Share of the documents that is kept out of training and measured on, chosen by a hash of the text. From 0 to below 1.
    /// Default: 0.1.
    pub held_out: f64,
    /// Held-out documents in an evaluation, at most. At least 1. Default: 128.
    pub eval_documents: usize,
    /// Training steps. At least 1. Default: 600: before about 300 the demo's model does not use the description in its context, and
    /// then no adapter can teach it anything while it is frozen.
    pub steps: u64,
    /// Steps between evaluations; there is one at the start and one at the end besides. Default: 200.
    pub eval_every: u64,
    /// Label smoothing of the training loss, from 0 to below 1; what is held out is measured without. Default: 0 (Llama).
    pub label_smoothing: f64,
    /// How it learns.
    pub training: Training<Self>,
}

impl Default for Backbone {
    fn default() -> Self {
        Self {
            d_model: 128,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            d_ff: 352,
            context: 192,
            rope_theta: 10_000.0,
            init_std: None,
            batch: 16,
            held_out: 0.1,
            eval_documents: 128,
            steps: 600,
            eval_every: 200,
            label_smoothing: 0.0,
            training: Training::default(),
        }
    }
}

impl Recipe for Backbone {
    /// Small decoders take a higher rate than the 6e-4 of GPT-3's smallest; the rest is Llama's.
    fn recipe() -> Training<Self> {
        Training {
            learning_rate: 6e-3,
            weight_decay: 0.1,
            checkpoint_every: 100,
            ..Training::common()
        }
    }
}

/// A line of `corpus.jsonl`.
#[derive(Clone, Debug, Deserialize)]
struct Document {
    text: String,
}

impl Stage for Backbone {
    const NAME: &'static str = "language-model";
    const ABOUT: &'static str =
        "pre-trains a decoder language model on the texts of the training items";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("tasks", &[ArtifactKind::Tasks]),
        Port::one("tokenizer", &[ArtifactKind::Tokenizer]),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::LanguageModel;
    const SEEDED: bool = true;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        // The model checks its own sizes; the size of the vocabulary comes from the tokenizer and is taken as right here.
        for (field, message) in self.model(1, &Specials::ours()).problems() {
            let field = match field {
                "hidden_size" => "d_model",
                "intermediate_size" => "d_ff",
                "num_hidden_layers" => "layers",
                "num_attention_heads" => "heads",
                "num_key_value_heads" => "kv_heads",
                other => other,
            };
            found.push(Problem::new(field, message));
        }
        found.extend(Problem::at_least("context", self.context, 2));
        found.extend(Problem::above("rope_theta", self.rope_theta, 1.0));
        if let Some(std) = self.init_std {
            found.extend(Problem::above("init_std", std, 0.0));
        }
        found.extend(Problem::at_least("batch", self.batch, 1));
        if !(0.0..1.0).contains(&self.held_out) {
            found.push(Problem::new(
                "held_out",
                format!("is {}, but must be from 0 to below 1", self.held_out),
            ));
        }
        found.extend(Problem::at_least("eval_documents", self.eval_documents, 1));
        found.extend(smoothing_problem("label_smoothing", self.label_smoothing));
        found.extend(self.training.problems(self.steps, self.eval_every));
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        on_device!(context, self.batch, |device| self.run_on(device, context))
    }
}

impl Backbone {
    fn model(&self, vocab_size: usize, specials: &Specials) -> LlamaConfig {
        LlamaConfig {
            hidden_size: self.d_model,
            intermediate_size: self.d_ff,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            vocab_size,
            max_position_embeddings: self.context,
            rope_theta: self.rope_theta,
            initializer_range: self
                .init_std
                .unwrap_or_else(|| (2.0 / (5.0 * self.d_model.max(1) as f64)).sqrt()),
            bos_token_id: specials.bos,
            eos_token_id: Some(specials.eos),
            pad_token_id: Some(specials.pad),
            ..LlamaConfig::default()
        }
    }

    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let tokenizer = read_tokenizer(context)?;
        let path = context.input("tasks")?.file("corpus.jsonl");
        let documents: Vec<Document> = json::read_lines(&path)?;
        let texts = documents.iter().map(|document| document.text.as_str());
        let corpus = Corpus::new(texts, &tokenizer, self.context, self.held_out);
        let (n_training, n_held_out) = (corpus.training_documents, corpus.held_out_documents);
        let tokens = corpus.training_tokens();
        let pretraining = Pretraining::new(corpus, self.batch, self.eval_documents)?
            .smoothed(self.label_smoothing as f32);
        let epochs =
            (self.steps * self.training.accumulate) as f64 / pretraining.steps_per_epoch() as f64;
        context.progress.note(&format!(
            "{n_training} documents of {tokens} tokens, read {epochs:.1} times; {n_held_out} documents held out"
        ))?;
        if n_held_out == 0 {
            context
                .progress
                .warn("no document is held out, so nothing measures this language model")?;
        }

        let config = self.model(tokenizer.vocab_size(), tokenizer.specials());
        let mut model = Llama::new(device, &config, context.seed.child("model"))?;
        let trained = train(
            &pretraining,
            &mut model,
            &self.training.config(self.steps, self.eval_every),
            context.seed.child("training"),
            device,
            &context.scratch,
            context.progress,
        )?;
        model.save(&context.output)?;
        write_metrics(context, &trained)?;

        let mut summary: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        summary.insert("documents".to_owned(), n_training.into());
        summary.insert("held_out_documents".to_owned(), n_held_out.into());
        summary.insert("tokens".to_owned(), tokens.into());
        summary.insert("epochs".to_owned(), epochs.into());
        summary.insert("parameters".to_owned(), count(&model).0.into());
        summarise(&trained, &mut summary);
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}
