//! Writes a text for each test prompt.

use super::device::on_device;
use super::language_io::{read_examples, read_items, read_tokenizer};
use super::{ArtifactKind, Port, Problem, Stage, StageContext, StageError};
use crate::clock::Stopwatch;
use crate::formats::json;
use crate::nn::models::adapter::Adapter;
use crate::nn::models::item_language::{
    Greedy, ItemLanguage, ItemLanguageConfig, Sequence, Sequencer, TaskExample, greedy,
};
use crate::nn::models::language_model::LanguageModel;
use crate::nn::models::llama::unit_hash;
use crate::nn::{Backend, weights};
use crate::seed::Seed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Decodes greedily: the most likely token, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Generate {
    /// Tokens after which a text ends by itself. At least 1. Default: 96.
    pub max_new_tokens: usize,
    /// Prompts that are continued at the same time: speed against memory. A text does not depend on its company, up to the rounding
    /// of matrix products of another size. At least 1. Default: 32.
    pub batch: usize,
    /// Examples of each task, the first by a hash of task, items and prompt. At least 1. Default: all.
    pub examples_per_task: Option<usize>,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            max_new_tokens: 96,
            batch: 32,
            examples_per_task: None,
        }
    }
}

/// A line of `generations.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Generation<'a> {
    task: &'a str,
    items: &'a [u32],
    prompt: &'a str,
    target: &'a str,
    generated: String,
}

impl Stage for Generate {
    const NAME: &'static str = "generate";
    const ABOUT: &'static str = "writes a text for each test prompt with an item language model";
    const VERSION: u32 = 2;
    const PORTS: &'static [Port] = &[
        Port::one("model", &[ArtifactKind::ItemLanguageModel]),
        Port::one("items", &[ArtifactKind::ItemTokens]),
        Port::one("tasks", &[ArtifactKind::Tasks]),
        Port::one("language_model", &[ArtifactKind::LanguageModel]),
        Port::one(
            "tokenizer",
            &[ArtifactKind::Tokenizer, ArtifactKind::LanguageModel],
        ),
    ];
    const OUTPUT: ArtifactKind = ArtifactKind::Generations;
    const SEEDED: bool = false;
    const NETWORKS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        found.extend(Problem::at_least("max_new_tokens", self.max_new_tokens, 1));
        found.extend(Problem::at_least("batch", self.batch, 1));
        if let Some(examples) = self.examples_per_task {
            found.extend(Problem::at_least("examples_per_task", examples, 1));
        }
        found
    }

    fn run(&self, context: &StageContext<'_>) -> Result<(), StageError> {
        on_device!(context, self.batch, |device| self.run_on(device, context))
    }
}

impl Generate {
    fn run_on<D: Backend>(&self, device: &D, context: &StageContext<'_>) -> Result<(), StageError> {
        let table = read_items(context)?;
        let model = load_model(device, context)?;
        let tokenizer = read_tokenizer(context)?;
        let sequencer = Sequencer::new(&tokenizer, model.adapter.soft_tokens(), table.count)
            .apart(model.language.reads_prompts_apart());
        let examples = chosen(
            read_examples(context, "test.jsonl")?,
            self.examples_per_task,
        );
        let prompts = examples
            .iter()
            .enumerate()
            .map(|(index, example)| sequencer.prompt(index, example))
            .collect::<Result<Vec<Sequence>, _>>()?;

        let longest = prompts.iter().map(|p| p.ids.len()).max().unwrap_or(0);
        if let Some(limit) = model.language.limit() {
            if longest > limit {
                return Err(StageError::message(format!(
                    "the longest prompt has {longest} tokens, but the language model reads {limit} at most"
                )));
            }
            if longest + self.max_new_tokens > limit {
                context.progress.warn(&format!(
                    "prompt and text have {limit} tokens at most in this language model: some texts may end before `max_new_tokens`"
                ))?;
            }
        }

        let settings = Greedy {
            max_new_tokens: self.max_new_tokens,
            batch: self.batch,
            eos: tokenizer.specials().eos,
            forbidden: tokenizer.specials().forbidden.clone(),
        };
        let watch = Stopwatch::start();
        let texts = greedy(
            &model,
            &table,
            &prompts,
            &settings,
            device,
            context.progress,
        )?;
        let tokens: usize = texts.iter().map(Vec::len).sum();
        context.progress.note(&format!(
            "{} texts of {tokens} tokens, {:.0} tokens a second",
            texts.len(),
            tokens as f64 / watch.seconds().max(1e-9)
        ))?;

        let cut = texts
            .iter()
            .filter(|text| text.len() == self.max_new_tokens)
            .count();
        let empty = texts.iter().filter(|text| text.is_empty()).count();
        let generations = examples
            .iter()
            .zip(&texts)
            .map(|(example, text)| Generation {
                task: &example.task,
                items: &example.items,
                prompt: &example.prompt,
                target: &example.target,
                generated: tokenizer.decode(text),
            });
        json::write_lines(&context.out("generations.jsonl"), generations)?;
        let summary: BTreeMap<&str, usize> = [
            ("texts", texts.len()),
            ("tokens", tokens),
            ("texts_cut_at_max_new_tokens", cut),
            ("empty_texts", empty),
        ]
        .into();
        json::write(&context.out("summary.json"), &summary)?;
        Ok(())
    }
}

/// Loads the adapter, and the language model as phase 2 left it.
fn load_model<D: Backend>(
    device: &D,
    context: &StageContext<'_>,
) -> Result<ItemLanguage<D>, StageError> {
    let tuned = context.input("model")?;
    let config: ItemLanguageConfig = json::read(&tuned.file("config.json"))?;
    let mut language = LanguageModel::load(device, &context.input("language_model")?.folder)?;
    if config.language_model_tuned {
        weights::load(&mut language, &tuned.file("language_model.safetensors"))?;
    }
    if config.lora {
        // Merged, the matrices cost nothing in each of the many small steps of decoding.
        language.load_lora(device, &tuned.file("lora"))?;
        language.merge_lora(device)?;
    }
    // Every number is overwritten; the seed does not matter.
    let mut adapter = Adapter::new(device, &config.adapter, Seed::new(0))?;
    weights::load(&mut adapter, &tuned.file("adapter.safetensors"))?;
    let (writes, reads) = (config.adapter.d_language, language.width());
    if writes != reads {
        return Err(StageError::message(format!(
            "the adapter of `model` writes {writes} numbers a token, but `language_model` reads {reads}"
        )));
    }
    Ok(ItemLanguage { adapter, language })
}

/// The first `count` examples of each task by a hash of their content, in the order of the file.
fn chosen(examples: Vec<TaskExample>, count: Option<usize>) -> Vec<TaskExample> {
    let Some(count) = count else {
        return examples;
    };
    let mut by_task: BTreeMap<&str, Vec<(f64, usize)>> = BTreeMap::new();
    for (index, example) in examples.iter().enumerate() {
        let content = format!("{} {:?} {}", example.task, example.items, example.prompt);
        let hash = unit_hash("ilm-pipe test example v1", content.as_bytes());
        by_task
            .entry(&example.task)
            .or_default()
            .push((hash, index));
    }
    let mut kept = vec![false; examples.len()];
    for ranked in by_task.values_mut() {
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(_, index) in ranked.iter().take(count) {
            kept[index] = true;
        }
    }
    let mut kept = kept.into_iter();
    let mut examples = examples;
    examples.retain(|_| kept.next().unwrap_or(false));
    examples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_examples_are_chosen_whatever_their_order() {
        let example = |task: &str, item: u32| TaskExample {
            task: task.to_owned(),
            items: vec![item],
            prompt: "<item>".to_owned(),
            target: String::new(),
        };
        let examples: Vec<_> = (0..20)
            .flat_map(|i| [example("summary", i), example("pitch", i)])
            .collect();
        let few = chosen(examples.clone(), Some(3));
        assert_eq!(few.len(), 6);
        let backwards: Vec<_> = examples.iter().rev().cloned().collect();
        let mut again = chosen(backwards, Some(3));
        again.reverse();
        assert_eq!(few, again);
        assert_eq!(
            chosen(examples.clone(), Some(5))
                .iter()
                .filter(|e| few.contains(e))
                .count(),
            6,
            "more examples include the fewer"
        );
        assert_eq!(chosen(examples.clone(), None), examples);
    }
}
