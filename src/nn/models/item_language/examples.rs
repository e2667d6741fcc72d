//! Prompts and targets as tokens, with every item place widened to the adapter's soft tokens.

use crate::text::Tokenizer;
use serde::{Deserialize, Serialize};

/// One line of `train.jsonl` or `test.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskExample {
    /// Name of the task, for instance `summary`.
    pub task: String,
    /// Dense item ids; the k-th `<item>` of the prompt is the k-th of them.
    pub items: Vec<u32>,
    /// The instruction, with `<item>` where an item stands.
    pub prompt: String,
    /// What the model should write.
    pub target: String,
}

/// Why an example cannot be turned into tokens.
#[derive(Debug, thiserror::Error)]
pub enum ExampleError {
    /// Places and items differ in number.
    #[error(
        "example {example} of task `{task}` has {places} `<item>` places in its prompt, but {items} items"
    )]
    Places {
        /// Position of the example in its file, from 0.
        example: usize,
        /// Its task.
        task: String,
        /// Places in the prompt.
        places: usize,
        /// Length of `items`.
        items: usize,
    },
    /// An item that has no vectors.
    #[error(
        "example {example} of task `{task}` names item {item}, but only {items} items have vectors"
    )]
    UnknownItem {
        /// Position of the example in its file, from 0.
        example: usize,
        /// Its task.
        task: String,
        /// The item.
        item: u32,
        /// Number of items with vectors.
        items: usize,
    },
}

/// The vectors of one item in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of its first soft token.
    pub start: usize,
    /// The item.
    pub item: u32,
}

/// A prompt, and for training its target, as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids; at soft tokens one that nothing reads.
    pub ids: Vec<u32>,
    /// Where items stand, in order.
    pub places: Vec<Place>,
    /// Position of the first target token; the length of `ids` for a prompt alone.
    pub target_start: usize,
}

/// Turns texts into tokens, the same way for training and for generation.
///
/// A sequence is `<bos>` prompt `\n` target `<eos>`, or for an encoder that reads prompts apart, prompt `<eos>` target `<eos>`. Prompt
/// and target are tokenised apart, so that generation continues exactly what training saw.
#[derive(Clone, Debug)]
pub struct Sequencer<'a> {
    tokenizer: &'a Tokenizer,
    /// Soft tokens that stand for one item.
    pub soft_tokens: usize,
    /// Number of items that have vectors.
    pub n_items: usize,
    /// A prompt ends with `<eos>`, not with a new line.
    pub apart: bool,
}

/// Sequences for training, and how many did not fit.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    /// One for each example that was kept, in the order of the examples.
    pub sequences: Vec<Sequence>,
    /// For each of them, the position of its example.
    pub examples: Vec<usize>,
    /// Targets that were cut at the end, and so have no `<eos>`.
    pub truncated: usize,
    /// Examples that were left out, because their prompt leaves no room for a target.
    pub dropped: usize,
}

impl<'a> Sequencer<'a> {
    /// Prepares to turn texts into tokens with `soft_tokens` places for an item, of which there are `n_items`.
    pub fn new(tokenizer: &'a Tokenizer, soft_tokens: usize, n_items: usize) -> Self {
        Self {
            tokenizer,
            soft_tokens,
            n_items,
            apart: false,
        }
    }

    /// Prepares prompts for a model that reads them by an encoder (`true`), or goes on with them.
    #[must_use]
    pub fn apart(self, apart: bool) -> Self {
        Self { apart, ..self }
    }

    /// `<bos>` prompt `\n`, ready to be continued, or prompt `<eos>`, ready to be read. `index` is the example's position, for messages.
    pub fn prompt(&self, index: usize, example: &TaskExample) -> Result<Sequence, ExampleError> {
        let end = if self.apart { "" } else { "\n" };
        let tokens = self.tokenizer.encode(&format!("{}{end}", example.prompt));
        let specials = self.tokenizer.specials();
        let places = tokens.iter().filter(|&&id| id == specials.item).count();
        if places != example.items.len() {
            return Err(ExampleError::Places {
                example: index,
                task: example.task.clone(),
                places,
                items: example.items.len(),
            });
        }
        let mut sequence = Sequence {
            ids: specials.bos.into_iter().collect(),
            places: Vec::with_capacity(places),
            target_start: 0,
        };
        let mut items = example.items.iter();
        for id in tokens {
            if id != specials.item {
                sequence.ids.push(id);
                continue;
            }
            let item = *items.next().expect("counted above");
            if item as usize >= self.n_items {
                return Err(ExampleError::UnknownItem {
                    example: index,
                    task: example.task.clone(),
                    item,
                    items: self.n_items,
                });
            }
            sequence.places.push(Place {
                start: sequence.ids.len(),
                item,
            });
            sequence
                .ids
                .extend(std::iter::repeat_n(specials.filler, self.soft_tokens));
        }
        if self.apart {
            sequence.ids.push(specials.eos);
        }
        sequence.target_start = sequence.ids.len();
        Ok(sequence)
    }

    /// Sequences with targets, of at most `max_tokens` tokens each: a longer target is cut at its end, an example whose
    /// prompt leaves no room for one target token is left out. Both are counted.
    pub fn training(
        &self,
        examples: &[TaskExample],
        max_tokens: usize,
    ) -> Result<Sequences, ExampleError> {
        let mut all = Sequences::default();
        for (index, example) in examples.iter().enumerate() {
            let mut sequence = self.prompt(index, example)?;
            if sequence.ids.len() >= max_tokens {
                all.dropped += 1;
                continue;
            }
            sequence.ids.extend(self.tokenizer.encode(&example.target));
            sequence.ids.push(self.tokenizer.specials().eos);
            if sequence.ids.len() > max_tokens {
                sequence.ids.truncate(max_tokens);
                all.truncated += 1;
            }
            all.sequences.push(sequence);
            all.examples.push(index);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{BOS, EOS, ITEM, TokenizerConfig};

    fn tokenizer() -> Tokenizer {
        let config = TokenizerConfig {
            vocab_size: 270,
            min_frequency: 1,
        };
        Tokenizer::train(&["tell of a good film".to_owned()], &config).unwrap()
    }

    fn example(prompt: &str, items: &[u32], target: &str) -> TaskExample {
        TaskExample {
            task: "summary".to_owned(),
            items: items.to_vec(),
            prompt: prompt.to_owned(),
            target: target.to_owned(),
        }
    }

    #[test]
    fn an_item_place_becomes_soft_tokens_in_place() {
        let tokenizer = tokenizer();
        let sequencer = Sequencer::new(&tokenizer, 3, 10);
        let made = sequencer
            .training(&[example("tell of <item> now", &[7], "good")], 100)
            .unwrap();
        let [sequence] = &made.sequences[..] else {
            panic!("one sequence");
        };
        let mut expected = vec![BOS];
        expected.extend(tokenizer.encode("tell of "));
        let start = expected.len();
        expected.extend([ITEM; 3]);
        expected.extend(tokenizer.encode(" now\n"));
        assert_eq!(sequence.places, [Place { start, item: 7 }]);
        assert_eq!(sequence.target_start, expected.len());
        expected.extend(tokenizer.encode("good"));
        expected.push(EOS);
        assert_eq!(sequence.ids, expected);
    }

    #[test]
    fn a_prompt_alone_is_the_start_of_its_training_sequence() {
        let tokenizer = tokenizer();
        let sequencer = Sequencer::new(&tokenizer, 2, 10);
        let example = example("a <item> b <item>", &[1, 2], "b a");
        let prompt = sequencer.prompt(0, &example).unwrap();
        let made = sequencer
            .training(std::slice::from_ref(&example), 100)
            .unwrap();
        let whole = &made.sequences[0];
        assert_eq!(whole.ids[..whole.target_start], prompt.ids);
        assert_eq!(whole.places, prompt.places);
        assert_eq!(prompt.places.len(), 2);
    }

    #[test]
    fn a_prompt_for_an_encoder_ends_like_a_text() {
        let tokenizer = tokenizer();
        let sequencer = Sequencer::new(&tokenizer, 1, 10).apart(true);
        let made = sequencer.training(&[example("tell", &[], "good")], 100);
        let sequence = &made.unwrap().sequences[0];
        let expected = [
            vec![BOS],
            tokenizer.encode("tell"),
            vec![EOS],
            tokenizer.encode("good"),
            vec![EOS],
        ];
        assert_eq!(sequence.ids, expected.concat());
        assert_eq!(sequence.target_start, 2 + tokenizer.encode("tell").len());
    }

    #[test]
    fn long_targets_are_cut_and_long_prompts_left_out() {
        let tokenizer = tokenizer();
        let sequencer = Sequencer::new(&tokenizer, 2, 10);
        // Letters that no merge joins: one token each.
        let made = sequencer
            .training(
                &[
                    example("x", &[], "zzzz"),
                    example("xxxxx", &[], "z"),
                    example("x", &[], "z"),
                ],
                6,
            )
            .unwrap();
        assert_eq!((made.truncated, made.dropped), (1, 1));
        assert_eq!(made.examples, [0, 2]);
        assert_eq!(made.sequences[0].ids.len(), 6);
        assert_ne!(made.sequences[0].ids[5], EOS);
        assert_eq!(*made.sequences[1].ids.last().unwrap(), EOS);
    }

    #[test]
    fn wrong_places_and_unknown_items_are_refused() {
        let tokenizer = tokenizer();
        let sequencer = Sequencer::new(&tokenizer, 2, 5);
        let error = sequencer
            .prompt(4, &example("a <item>", &[], ""))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "example 4 of task `summary` has 1 `<item>` places in its prompt, but 0 items"
        );
        let error = sequencer
            .prompt(0, &example("a <item>", &[5], ""))
            .unwrap_err();
        assert!(error.to_string().contains("names item 5, but only 5 items"));
    }
}
