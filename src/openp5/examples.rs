//! Every example of `OpenP5`'s two tasks, counted and made without being held.

use super::Sequences;
use super::prompts::{Prompts, Template};

/// Which part an example is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Targets within the training part of each user, with every seen prompt.
    Train,
    /// The second to last item of each user, with one prompt.
    Validation,
    /// The last item of each user, with one prompt; the history has the second to last.
    Test,
}

/// What an example has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleConfig {
    /// Most items of a history: the last ones; 0 for all.
    pub max_history: usize,
    /// Whether the first item of a user, which has no history, is left out as a training target (of both tasks).
    pub skip_empty_history: bool,
    /// Which prompt validation and test take: of the seen ones, and its number.
    pub seen: bool,
    /// See `seen`.
    pub prompt: usize,
}

/// One example: numbers only. [`Examples::render`] writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// Number of the (user, target) sample; all prompts of a sample share it.
    pub sample: u64,
    /// Position in [`Prompts::tasks`].
    pub task: usize,
    /// The number of the prompt among those of its task.
    pub prompt: usize,
    /// The user.
    pub user: u32,
    /// The items before, oldest first; at most [`ExampleConfig::max_history`].
    pub history: &'a [u32],
    /// The item to name.
    pub target: u32,
}

/// All examples of a part, in `OpenP5`'s order: by user, target, task, prompt.
///
/// Source: `generate_dataset.py` (training) and `generate_dataset_eval.py` of `src/src_llama`.
#[derive(Clone, Debug)]
pub struct Examples<'a> {
    sequences: &'a Sequences,
    prompts: &'a Prompts,
    config: ExampleConfig,
    part: Part,
    /// Samples of the users before each user; one longer than there are users.
    before: Vec<u64>,
}

impl<'a> Examples<'a> {
    /// The examples of a part.
    pub fn new(
        sequences: &'a Sequences,
        prompts: &'a Prompts,
        config: ExampleConfig,
        part: Part,
    ) -> Self {
        let mut before = vec![0];
        let mut total = 0;
        for user in sequences.users() {
            total += match part {
                Part::Train => {
                    let targets = sequences.train(user).len();
                    targets.saturating_sub(usize::from(config.skip_empty_history)) as u64
                }
                Part::Validation | Part::Test => u64::from(!sequences.held(user).is_empty()),
            };
            before.push(total);
        }
        Self {
            sequences,
            prompts,
            config,
            part,
            before,
        }
    }

    /// How many (user, target) samples there are.
    pub fn n_samples(&self) -> u64 {
        self.before.last().copied().unwrap_or(0)
    }

    /// Examples of one sample: every seen prompt of each task, or one prompt of each task.
    pub fn per_sample(&self) -> u64 {
        match self.part {
            Part::Train => self.prompts.n_seen() as u64,
            Part::Validation | Part::Test => self.prompts.tasks.len() as u64,
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.n_samples() * self.per_sample()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Example number `index`, without those before it.
    pub fn get(&self, index: u64) -> Option<Example<'a>> {
        if index >= self.len() {
            return None;
        }
        let sample = index / self.per_sample();
        let user = self.before.partition_point(|&before| before <= sample) - 1;
        Some(self.place(user, sample, index % self.per_sample()))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Example<'a>> + '_ {
        self.sequences.users().flat_map(move |user| {
            (self.before[user]..self.before[user + 1]).flat_map(move |sample| {
                (0..self.per_sample()).map(move |rest| self.place(user, sample, rest))
            })
        })
    }

    /// Number `rest` of a sample of a user.
    fn place(&self, user: usize, sample: u64, rest: u64) -> Example<'a> {
        let (task, prompt) = self.prompt(rest as usize);
        let all = self.sequences.all(user);
        let target = match self.part {
            Part::Train => {
                let skipped = usize::from(self.config.skip_empty_history);
                (sample - self.before[user]) as usize + skipped
            }
            Part::Validation => all.len() - 2,
            Part::Test => all.len() - 1,
        };
        let history = &all[..target];
        let first = match self.config.max_history {
            0 => 0,
            most => history.len().saturating_sub(most),
        };
        Example {
            sample,
            task,
            prompt,
            user: user as u32,
            history: &history[first..],
            target: all[target],
        }
    }

    fn prompt(&self, mut rest: usize) -> (usize, usize) {
        if self.part != Part::Train {
            return (rest, self.config.prompt);
        }
        for (task, prompts) in self.prompts.tasks.iter().enumerate() {
            if rest < prompts.seen.len() {
                return (task, rest);
            }
            rest -= prompts.seen.len();
        }
        (0, 0)
    }

    /// The templates of an example.
    pub fn templates(&self, example: &Example<'_>) -> &'a (Template, Template) {
        let task = &self.prompts.tasks[example.task];
        let seen = self.part == Part::Train || self.config.seen;
        &(if seen { &task.seen } else { &task.unseen })[example.prompt]
    }

    /// The name of an example's task.
    pub fn task(&self, example: &Example<'_>) -> &'a str {
        &self.prompts.tasks[example.task].task
    }

    /// Writes an example: input and output.
    pub fn render(&self, example: &Example<'_>, names: &Names<'_>) -> (String, String) {
        let templates = self.templates(example);
        let mut history = String::new();
        if templates.0.has("history") {
            for (place, &item) in example.history.iter().enumerate() {
                if place > 0 {
                    history.push_str(names.separator);
                }
                history.push_str(names.prefix);
                history.push_str(&names.items[item as usize]);
            }
        }
        let target = format!("{}{}", names.prefix, names.items[example.target as usize]);
        let values = [
            names.dataset,
            names.users[example.user as usize].as_str(),
            history.as_str(),
            target.as_str(),
        ];
        let (mut input, mut output) = (String::new(), String::new());
        templates.0.fill(values, &mut input);
        templates.1.fill(values, &mut output);
        (input, output)
    }
}

/// What users, items and the data set are called in texts.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The data set: `Beauty`.
    pub dataset: &'a str,
    /// The id of each user.
    pub users: &'a [String],
    /// The id of each item.
    pub items: &'a [String],
    /// Before each item: `item_`.
    pub prefix: &'a str,
    /// Between the items of a history: ` , `.
    pub separator: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::index::user_ids;
    use super::super::sequences::tests::sequences;
    use super::*;
    use proptest::prelude::*;

    const CONFIG: ExampleConfig = ExampleConfig {
        max_history: 2,
        skip_empty_history: true,
        seen: true,
        prompt: 0,
    };

    fn prompts() -> Prompts {
        let tasks = ["sequential".to_owned(), "straightforward".to_owned()];
        Prompts::new(&Prompts::own(), &tasks).unwrap()
    }

    fn texts(part: Part, config: &ExampleConfig) -> Vec<(String, String)> {
        let (sequences, prompts) = (sequences(&[&[0, 1, 2, 3, 4, 5], &[5, 4]]), prompts());
        let examples = Examples::new(&sequences, &prompts, config.clone(), part);
        let (users, items) = (user_ids(2), user_ids(6));
        let names = Names {
            dataset: "D",
            users: &users,
            items: &items,
            prefix: "item_",
            separator: " , ",
        };
        examples
            .iter()
            .map(|example| examples.render(&example, &names))
            .collect()
    }

    #[test]
    fn histories_are_cut_to_their_end_and_never_hold_the_target() {
        let train = texts(Part::Train, &CONFIG);
        // Three targets of the first user, one of the second, 20 prompts each.
        assert_eq!(train.len(), 80);
        assert_eq!(
            train[40].0,
            "D user_1 took these D items in order : item_2 , item_3 . Which item comes next ?"
        );
        assert_eq!(train[40].1, "D item_4");
        assert_eq!(train[50].0, "Which item would D user_1 like ?");
        let test = texts(Part::Test, &CONFIG);
        assert_eq!(test.len(), 2);
        assert!(test[0].0.contains("item_4 , item_5 ."), "{}", test[0].0);
        assert_eq!(test[0].1, "D item_6");
        let unseen = ExampleConfig {
            seen: false,
            max_history: 0,
            ..CONFIG
        };
        let validation = texts(Part::Validation, &unseen);
        assert_eq!(
            validation[0].0,
            "If D user_1 has just finished D items item_1 , item_2 , item_3 , item_4 , where would you point next ?"
        );
        assert_eq!(validation[0].1, "D item_5");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn counts_and_places_are_those_of_a_naive_walk(
            lengths in prop::collection::vec(1usize..9, 1..8), max_history in 0usize..4, skip in any::<bool>(),
        ) {
            let all: Vec<Vec<u32>> = lengths.iter().map(|&n| (0..n as u32).collect()).collect();
            let all: Vec<&[u32]> = all.iter().map(Vec::as_slice).collect();
            let (sequences, prompts) = (sequences(&all), prompts());
            let config = ExampleConfig { max_history, skip_empty_history: skip, ..CONFIG };
            let mut expected = Vec::new();
            for (user, items) in all.iter().enumerate() {
                let train = if items.len() < 3 { items } else { &items[..items.len() - 2] };
                for target in usize::from(skip)..train.len() {
                    for (task, prompt) in (0..2).flat_map(|task| (0..10).map(move |prompt| (task, prompt))) {
                        let from = if max_history == 0 { 0 } else { target.saturating_sub(max_history) };
                        expected.push((task, prompt, user as u32, train[from..target].to_vec(), train[target]));
                    }
                }
            }
            let examples = Examples::new(&sequences, &prompts, config, Part::Train);
            prop_assert_eq!(examples.len(), expected.len() as u64);
            let found: Vec<_> = examples.iter().map(|e| (e.task, e.prompt, e.user, e.history.to_vec(), e.target)).collect();
            prop_assert_eq!(&found, &expected);
            for (index, example) in examples.iter().enumerate() {
                prop_assert_eq!(examples.get(index as u64), Some(example));
            }
            prop_assert_eq!(examples.get(examples.len()), None);
        }
    }
}
