//! From a catalogue to examples: the split of films, prompts, targets and the language model's corpus.

use super::{Facts, ITEM, PROMPTS, Task, TaskError, nearest, prompt, target, wording};
use crate::data::Item;
use crate::formats::tensors::Array;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// How many films, tasks and wordings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskConfig {
    /// Share of films whose texts are never trained on; above 0, below 1.
    pub test_share: f64,
    /// Tasks drawn for each training film; 0 for all 24.
    pub examples_per_film: usize,
    /// Most training films; 0 for all.
    pub max_train_films: usize,
    /// Most test films; 0 for all.
    pub max_test_films: usize,
    /// Wordings of each task's prompt that are used, from 1 to [`PROMPTS`].
    pub prompts_per_task: usize,
}

/// A prompt with item places, and the text that answers it: a line of `train.jsonl` and `test.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Name of the task.
    pub task: String,
    /// The film of each place, in order.
    pub items: Vec<u32>,
    /// The prompt; its k-th [`ITEM`] is the place of `items[k]`.
    pub prompt: String,
    /// The answer.
    pub target: String,
}

/// Everything that the stage writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSet {
    /// Examples on training films.
    pub train: Vec<Example>,
    /// Examples on test films: all 24 tasks of each.
    pub test: Vec<Example>,
    /// Plain texts on training films only.
    pub corpus: Vec<String>,
    /// Training films, ascending.
    pub train_films: Vec<u32>,
    /// Test films, ascending.
    pub test_films: Vec<u32>,
}

/// Splits the films, and writes the examples and the corpus.
///
/// The two parts share no film, also not as the second of a pair. The corpus has, for every training example, the
/// same text with each item place filled with the film's [`Facts::attributes`] in place of soft tokens, then a line
/// break and the target: a language model trained on it has learned to use a film's description in its context before
/// the adapter replaces the description. The attributes alone follow, one line a film.
///
/// # Shapes
/// - `vectors`: `[n_items, d]`, for the neighbours
///
/// # Errors
/// When the vectors are not those of the items, or a part has fewer than two films.
pub fn build(
    items: &[Item],
    vectors: &Array,
    config: &TaskConfig,
    seed: Seed,
) -> Result<TaskSet, TaskError> {
    if vectors.shape.first() != Some(&items.len()) {
        return Err(TaskError::Vectors {
            found: vectors.shape.first().copied().unwrap_or(0),
            expected: items.len(),
        });
    }
    let facts: Vec<Facts> = items.iter().map(Facts::of).collect();
    let (train_films, test_films) = split(items, config, seed)?;
    let test_config = TaskConfig {
        examples_per_film: 0,
        ..*config
    };
    let train = examples(&facts, vectors, &train_films, config, seed.child("train"));
    let test = examples(
        &facts,
        vectors,
        &test_films,
        &test_config,
        seed.child("test"),
    );
    let corpus = train
        .iter()
        .map(|example| plain_text(example, &facts))
        .chain(
            train_films
                .iter()
                .map(|film| facts[*film as usize].attributes()),
        )
        .collect();
    Ok(TaskSet {
        train,
        test,
        corpus,
        train_films,
        test_films,
    })
}

/// Splits films by a hash of the source's id, so that a film stays in its part when others come or go.
fn split(
    items: &[Item],
    config: &TaskConfig,
    seed: Seed,
) -> Result<(Vec<u32>, Vec<u32>), TaskError> {
    let seed = seed.child("split");
    let mut hashed: Vec<(u64, u32)> = items
        .iter()
        .map(|item| (seed.child(&item.raw_id).value(), item.item))
        .collect();
    hashed.sort_unstable();
    // 2^64, which f64 holds exactly.
    let bound = config.test_share * 18_446_744_073_709_551_616.0;
    let is_test = |hash: u64| (hash as f64) < bound;
    let part = |test: bool, most: usize, name: &'static str| {
        // The lowest hashes first: a random choice that more films only extend.
        let mut films: Vec<u32> = hashed
            .iter()
            .filter(|(hash, _)| is_test(*hash) == test)
            .map(|(_, film)| *film)
            .take(if most == 0 { usize::MAX } else { most })
            .collect();
        films.sort_unstable();
        if films.len() < 2 {
            return Err(TaskError::TooFew {
                part: name,
                found: films.len(),
                films: items.len(),
            });
        }
        Ok(films)
    };
    let train = part(false, config.max_train_films, "train")?;
    let test = part(true, config.max_test_films, "test")?;
    Ok((train, test))
}

fn examples(
    facts: &[Facts],
    vectors: &Array,
    films: &[u32],
    config: &TaskConfig,
    seed: Seed,
) -> Vec<Example> {
    let neighbours = nearest(vectors, films);
    let mut all = Vec::new();
    for (place, film) in films.iter().enumerate() {
        let seed = seed.child("film").at(u64::from(*film));
        for task in drawn(config.examples_per_film, seed.child("tasks")) {
            let seed = seed.child(task.name());
            let items = if task.takes_neighbour() {
                vec![*film, neighbours[place]]
            } else if task.is_pair() {
                // Any other film of the part.
                let step = 1 + below(seed.child("second film"), films.len() - 1);
                vec![*film, films[(place + step) % films.len()]]
            } else {
                vec![*film]
            };
            let told: Vec<&Facts> = items.iter().map(|item| &facts[*item as usize]).collect();
            all.push(Example {
                task: task.name().to_owned(),
                prompt: prompt(
                    task,
                    below(
                        seed.child("prompt"),
                        config.prompts_per_task.clamp(1, PROMPTS),
                    ),
                )
                .to_owned(),
                target: target(task, &told, wording(task, &items, seed)),
                items,
            });
        }
    }
    all
}

/// A seeded choice of tasks, in table order; all for 0.
fn drawn(count: usize, seed: Seed) -> Vec<Task> {
    let mut tasks = Task::ALL.to_vec();
    if count > 0 {
        tasks.sort_by_key(|task| (seed.child(task.name()).value(), *task));
        tasks.truncate(count);
        tasks.sort_unstable();
    }
    tasks
}

fn below(seed: Seed, bound: usize) -> usize {
    (seed.value() % bound as u64) as usize
}

/// The example as plain text: places filled with attributes, a line break, the target.
fn plain_text(example: &Example, facts: &[Facts]) -> String {
    let mut text = String::new();
    let mut items = example.items.iter();
    for (index, piece) in example.prompt.split(ITEM).enumerate() {
        if index > 0 {
            if let Some(item) = items.next() {
                text.push_str(&facts[*item as usize].attributes());
            }
        }
        text.push_str(piece);
    }
    format!("{text}\n{}", example.target)
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{bare, rich};
    use super::*;
    use std::collections::BTreeSet;

    const CONFIG: TaskConfig = TaskConfig {
        test_share: 0.3,
        examples_per_film: 0,
        max_train_films: 0,
        max_test_films: 0,
        prompts_per_task: 4,
    };

    /// Films whose texts carry a word of their own.
    fn films(n: u32) -> (Vec<Item>, Array) {
        let items = (0..n)
            .map(|item| {
                let mut film = if item % 2 == 0 {
                    rich(item)
                } else {
                    bare(item)
                };
                film.raw_id = format!("raw{item}");
                film.title = format!("Title Number {item}");
                for name in ["theme", "mood"] {
                    let own = vec![format!("word{item}x")];
                    film.traits.insert(name.to_owned(), own);
                }
                film
            })
            .collect();
        let data = (0..n * 2)
            .map(|x| ((x * 7 + 3) % 11) as f32 - 5.0)
            .collect();
        (items, Array::new(&[n as usize, 2], data))
    }

    #[test]
    fn texts_of_test_films_are_in_no_training_text() {
        let (items, vectors) = films(40);
        let set = build(&items, &vectors, &CONFIG, Seed::new(1)).unwrap();
        assert!(set.test_films.len() > 4 && set.train_films.len() > 20);
        let train: BTreeSet<u32> = set.train.iter().flat_map(|e| e.items.clone()).collect();
        let test: BTreeSet<u32> = set.test.iter().flat_map(|e| e.items.clone()).collect();
        assert!(train.is_disjoint(&test));
        let texts: Vec<&str> = set
            .corpus
            .iter()
            .map(String::as_str)
            .chain(
                set.train
                    .iter()
                    .flat_map(|e| [e.prompt.as_str(), e.target.as_str()]),
            )
            .collect();
        for film in &set.test_films {
            let own = format!("word{film}x");
            assert!(texts.iter().all(|text| !text.contains(&own)), "{own}");
        }
        for film in &set.train_films {
            let own = format!("word{film}x");
            assert!(texts.iter().any(|text| text.contains(&own)), "{own}");
        }
    }

    #[test]
    fn no_text_names_a_title() {
        let (items, vectors) = films(12);
        let set = build(&items, &vectors, &CONFIG, Seed::new(1)).unwrap();
        let all = set.train.iter().chain(&set.test);
        assert!(
            all.clone()
                .all(|e| !e.target.contains("Title") && !e.prompt.contains("Title"))
        );
        assert!(set.corpus.iter().all(|text| !text.contains("Title")));
    }

    #[test]
    fn every_test_film_has_every_task_and_places_match() {
        let (items, vectors) = films(20);
        let config = TaskConfig {
            examples_per_film: 5,
            ..CONFIG
        };
        let set = build(&items, &vectors, &config, Seed::new(1)).unwrap();
        assert_eq!(set.test.len(), set.test_films.len() * 24);
        assert_eq!(set.train.len(), set.train_films.len() * 5);
        assert_eq!(set.corpus.len(), set.train.len() + set.train_films.len());
        for example in set.train.iter().chain(&set.test) {
            assert_eq!(example.prompt.matches(ITEM).count(), example.items.len());
            let distinct: BTreeSet<u32> = example.items.iter().copied().collect();
            assert_eq!(distinct.len(), example.items.len(), "{example:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_set_and_another_seed_another() {
        let (items, vectors) = films(20);
        let first = build(&items, &vectors, &CONFIG, Seed::new(1)).unwrap();
        assert_eq!(
            build(&items, &vectors, &CONFIG, Seed::new(1)).unwrap(),
            first
        );
        assert_ne!(
            build(&items, &vectors, &CONFIG, Seed::new(2)).unwrap(),
            first
        );
    }

    #[test]
    fn a_film_keeps_its_part_when_others_come() {
        let (items, _) = films(40);
        let (few, _) = split(&items[..20], &CONFIG, Seed::new(1)).unwrap();
        let (many, _) = split(&items, &CONFIG, Seed::new(1)).unwrap();
        assert!(few.iter().all(|film| many.contains(film)));
    }

    #[test]
    fn bounds_take_fewer_films() {
        let (items, vectors) = films(40);
        let config = TaskConfig {
            max_train_films: 6,
            max_test_films: 3,
            prompts_per_task: 1,
            ..CONFIG
        };
        let set = build(&items, &vectors, &config, Seed::new(1)).unwrap();
        assert_eq!((set.train_films.len(), set.test_films.len()), (6, 3));
        let prompts: BTreeSet<&str> = set.train.iter().map(|e| e.prompt.as_str()).collect();
        assert_eq!(prompts.len(), 24);
    }

    #[test]
    fn the_corpus_has_descriptions_in_place_of_items() {
        let (items, vectors) = films(20);
        let set = build(&items, &vectors, &CONFIG, Seed::new(1)).unwrap();
        assert!(set.corpus.iter().all(|text| !text.contains(ITEM)));
        let facts: Vec<Facts> = items.iter().map(Facts::of).collect();
        let example = &set.train[23];
        let text = plain_text(example, &facts);
        assert!(text.ends_with(&format!("\n{}", example.target)));
        for item in &example.items {
            assert!(text.contains(&facts[*item as usize].attributes()));
        }
    }

    #[test]
    fn too_few_films_and_wrong_vectors_are_named() {
        let (items, vectors) = films(3);
        let config = TaskConfig {
            test_share: 0.0001,
            ..CONFIG
        };
        let error = build(&items, &vectors, &config, Seed::new(1)).unwrap_err();
        insta::assert_snapshot!(error, @"the test part has 0 of 3 films, but must have at least 2; change `test_share` or take more films");
        let error = build(&items[..2], &vectors, &CONFIG, Seed::new(1)).unwrap_err();
        insta::assert_snapshot!(error, @"the neighbours have 3 item vectors, but the catalog has 2 items");
    }
}
