//! Prompts and targets as tokens, with every item place widened to the adapter's soft tokens.

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

/// The word in a prompt that stands for an item, a special token of the tokenizer.
pub const ITEM_PLACE: &str = "<item>";

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
    /// The tokenizer lacks a special token that the models need.
    #[error("the tokenizer has no token `{0}`")]
    NoSpecialToken(&'static str),
    /// The tokenizer refused a text.
    #[error("example {example}: the tokenizer failed: {message}")]
    Tokenizer {
        /// Position of the example in its file, from 0.
        example: usize,
        /// The tokenizer's words.
        message: String,
    },
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

/// Ids of the tokens that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Fills a batch.
    pub pad: u32,
    /// Starts every sequence.
    pub bos: u32,
    /// Ends every target.
    pub eos: u32,
    /// Stands for an item.
    pub item: u32,
}

impl SpecialTokens {
    /// Looks the tokens up.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self, ExampleError> {
        let id = |name| {
            tokenizer
                .token_to_id(name)
                .ok_or(ExampleError::NoSpecialToken(name))
        };
        Ok(Self {
            pad: id("<pad>")?,
            bos: id("<bos>")?,
            eos: id("<eos>")?,
            item: id(ITEM_PLACE)?,
        })
    }
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
    /// Token ids; at soft tokens the id of `<item>`, which nothing reads.
    pub ids: Vec<u32>,
    /// Where items stand, in order.
    pub places: Vec<Place>,
    /// Position of the first target token; the length of `ids` for a prompt alone.
    pub target_start: usize,
}

/// Turns texts into tokens, the same way for training and for generation.
///
/// A sequence is `<bos>` prompt `\n` target `<eos>`. Prompt and target are tokenised apart, so that generation continues
/// exactly what training saw.
#[derive(Clone, Debug)]
pub struct Sequencer<'a> {
    tokenizer: &'a Tokenizer,
    /// The tokens that are not text.
    pub special: SpecialTokens,
    /// Soft tokens that stand for one item.
    pub soft_tokens: usize,
    /// Number of items that have vectors.
    pub n_items: usize,
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
    pub fn new(
        tokenizer: &'a Tokenizer,
        soft_tokens: usize,
        n_items: usize,
    ) -> Result<Self, ExampleError> {
        Ok(Self {
            tokenizer,
            special: SpecialTokens::of(tokenizer)?,
            soft_tokens,
            n_items,
        })
    }

    /// `<bos>` prompt `\n`, ready to be continued. `index` is the example's position, for messages.
    pub fn prompt(&self, index: usize, example: &TaskExample) -> Result<Sequence, ExampleError> {
        let tokens = self.encode(index, &format!("{}\n", example.prompt))?;
        let places = tokens.iter().filter(|&&id| id == self.special.item).count();
        if places != example.items.len() {
            return Err(ExampleError::Places {
                example: index,
                task: example.task.clone(),
                places,
                items: example.items.len(),
            });
        }
        let mut sequence = Sequence {
            ids: vec![self.special.bos],
            places: Vec::with_capacity(places),
            target_start: 0,
        };
        let mut items = example.items.iter();
        for id in tokens {
            if id != self.special.item {
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
                .extend(std::iter::repeat_n(self.special.item, self.soft_tokens));
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
            sequence.ids.extend(self.encode(index, &example.target)?);
            sequence.ids.push(self.special.eos);
            if sequence.ids.len() > max_tokens {
                sequence.ids.truncate(max_tokens);
                all.truncated += 1;
            }
            all.sequences.push(sequence);
            all.examples.push(index);
        }
        Ok(all)
    }

    fn encode(&self, index: usize, text: &str) -> Result<Vec<u32>, ExampleError> {
        let encoding =
            self.tokenizer
                .encode_fast(text, false)
                .map_err(|error| ExampleError::Tokenizer {
                    example: index,
                    message: error.to_string(),
                })?;
        Ok(encoding.get_ids().to_vec())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tokenizer with one token a word and one for the line break, made in memory.
    pub(crate) fn word_tokenizer(words: &[&str]) -> Tokenizer {
        use tokenizers::{
            AddedToken, models::wordlevel::WordLevel, pre_tokenizers::split::Split,
            pre_tokenizers::split::SplitPattern, tokenizer::SplitDelimiterBehavior,
        };
        let special = ["<pad>", "<bos>", "<eos>", ITEM_PLACE, "<dec>", "<cls>"];
        let vocab = special
            .iter()
            .chain(["\n", "<unk>"].iter())
            .chain(words)
            .enumerate()
            .map(|(i, word)| ((*word).to_owned(), i as u32))
            .collect();
        let model = WordLevel::builder()
            .vocab(vocab)
            .unk_token("<unk>".to_owned())
            .build()
            .unwrap();
        let mut tokenizer = Tokenizer::new(model);
        tokenizer.with_pre_tokenizer(Some(
            Split::new(
                SplitPattern::Regex(r" |\n".to_owned()),
                SplitDelimiterBehavior::Isolated,
                false,
            )
            .unwrap(),
        ));
        tokenizer.add_special_tokens(&special.map(|word| AddedToken::from(word, true)));
        tokenizer
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
        let tokenizer = word_tokenizer(&[" ", "tell", "of", "good"]);
        let sequencer = Sequencer::new(&tokenizer, 3, 10).unwrap();
        let made = sequencer
            .training(&[example("tell of <item>", &[7], "good")], 100)
            .unwrap();
        let [sequence] = &made.sequences[..] else {
            panic!("one sequence");
        };
        let place = sequence.places[0];
        assert_eq!(place.item, 7);
        assert_eq!(sequence.ids[place.start..place.start + 3], [3, 3, 3]);
        assert_eq!(sequence.ids[place.start + 3], 6); // the line break
        assert_eq!(sequence.target_start, place.start + 4);
        assert_eq!(sequence.ids[sequence.target_start..], [11, 2]);
        assert_eq!(sequence.ids[0], 1);
    }

    #[test]
    fn a_prompt_alone_is_the_start_of_its_training_sequence() {
        let tokenizer = word_tokenizer(&[" ", "a", "b"]);
        let sequencer = Sequencer::new(&tokenizer, 2, 10).unwrap();
        let example = example("a <item> b <item>", &[1, 2], "b a");
        let prompt = sequencer.prompt(0, &example).unwrap();
        let whole = &sequencer
            .training(std::slice::from_ref(&example), 100)
            .unwrap()
            .sequences[0];
        assert_eq!(whole.ids[..whole.target_start], prompt.ids);
        assert_eq!(whole.places, prompt.places);
    }

    #[test]
    fn long_targets_are_cut_and_long_prompts_left_out() {
        let tokenizer = word_tokenizer(&["a", " "]);
        let sequencer = Sequencer::new(&tokenizer, 2, 10).unwrap();
        let made = sequencer
            .training(
                &[
                    example("a", &[], "a a a a"),
                    example("a a a a a", &[], "a"),
                    example("a", &[], "a"),
                ],
                6,
            )
            .unwrap();
        assert_eq!((made.truncated, made.dropped), (1, 1));
        assert_eq!(made.examples, [0, 2]);
        assert_eq!(made.sequences[0].ids.len(), 6);
        assert_ne!(made.sequences[0].ids[5], 2);
        assert_eq!(*made.sequences[1].ids.last().unwrap(), 2);
    }

    #[test]
    fn wrong_places_and_unknown_items_are_refused() {
        let tokenizer = word_tokenizer(&["a", " "]);
        let sequencer = Sequencer::new(&tokenizer, 2, 5).unwrap();
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
