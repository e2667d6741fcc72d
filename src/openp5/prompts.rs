//! Prompts with places, and the texts they give.

use crate::data::raw::openp5::{PLACES, Prompt};

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// As written.
    pub text: String,
    /// Plain texts around the places: one more than there are places.
    plain: Vec<String>,
    /// Positions in [`PLACES`].
    places: Vec<usize>,
}

impl Template {
    /// Cuts a text at its places. Braces that stand around no known name are plain.
    pub fn new(text: &str) -> Self {
        let mut template = Self {
            text: text.to_owned(),
            plain: vec![String::new()],
            places: Vec::new(),
        };
        let mut rest = text;
        while !rest.is_empty() {
            let place = PLACES.iter().position(|name| {
                let inner = rest.strip_prefix('{').and_then(|r| r.strip_prefix(*name));
                inner.is_some_and(|after| after.starts_with('}'))
            });
            if let Some(place) = place {
                template.places.push(place);
                template.plain.push(String::new());
                rest = &rest[PLACES[place].len() + 2..];
            } else {
                let first = rest.chars().next().map_or(1, char::len_utf8);
                let next = rest[first..].find('{').map_or(rest.len(), |at| at + first);
                if let Some(last) = template.plain.last_mut() {
                    last.push_str(&rest[..next]);
                }
                rest = &rest[next..];
            }
        }
        template
    }

    /// Writes the text with `values` (in the order of [`PLACES`]) in the places.
    pub fn fill(&self, values: [&str; 4], out: &mut String) {
        for (index, plain) in self.plain.iter().enumerate() {
            if let Some(place) = index.checked_sub(1) {
                out.push_str(values[self.places[place]]);
            }
            out.push_str(plain);
        }
    }

    /// Whether it has this place.
    pub fn has(&self, place: &str) -> bool {
        self.places.iter().any(|&at| PLACES[at] == place)
    }
}

/// The templates of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPrompts {
    /// `sequential`, `straightforward`.
    pub task: String,
    /// Input and output of the prompts that are trained on.
    pub seen: Vec<(Template, Template)>,
    /// Those that are not.
    pub unseen: Vec<(Template, Template)>,
}

/// The templates of the wanted tasks, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// One for each task.
    pub tasks: Vec<TaskPrompts>,
}

/// What is wrong with prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptsError {
    /// A task has none.
    #[error("the task `{task}` has no {kind} prompt; the prompts are for `{}`", known.join("`, `"))]
    None {
        /// The task.
        task: String,
        /// `seen` or `unseen`.
        kind: &'static str,
        /// Tasks with prompts.
        known: Vec<String>,
    },
}

impl Prompts {
    /// Takes the prompts of `tasks`.
    pub fn new(all: &[Prompt], tasks: &[String]) -> Result<Self, PromptsError> {
        let tasks = tasks.iter().map(|task| {
            let of = |seen: bool| -> Vec<(Template, Template)> {
                let prompts = all.iter().filter(|p| p.task == *task && p.seen == seen);
                prompts
                    .map(|p| (Template::new(&p.input), Template::new(&p.output)))
                    .collect()
            };
            let found = TaskPrompts {
                task: task.clone(),
                seen: of(true),
                unseen: of(false),
            };
            if found.seen.is_empty() {
                let mut known: Vec<String> = all.iter().map(|p| p.task.clone()).collect();
                known.sort();
                known.dedup();
                return Err(PromptsError::None {
                    task: task.clone(),
                    kind: "seen",
                    known,
                });
            }
            Ok(found)
        });
        Ok(Self {
            tasks: tasks.collect::<Result<_, _>>()?,
        })
    }

    /// How many seen prompts there are in all: the training examples of one target.
    pub fn n_seen(&self) -> usize {
        self.tasks.iter().map(|task| task.seen.len()).sum()
    }

    /// Our own prompts: for each of the two tasks ten seen ones and one unseen.
    ///
    /// For sources that bring no `prompt.txt`; `OpenP5`'s wording is its own. Ours keep its habits: the data set stands before
    /// users and items, and punctuation after a place stands apart, so that ids are words of their own.
    pub fn own() -> Vec<Prompt> {
        let prompt = |task: &str, number: usize, input: &str| Prompt {
            task: task.to_owned(),
            seen: number < 10,
            input: input.to_owned(),
            output: "{dataset} {target}".to_owned(),
        };
        let all = [
            ("sequential", SEQUENTIAL),
            ("straightforward", STRAIGHTFORWARD),
        ];
        all.into_iter()
            .flat_map(|(task, inputs)| {
                let inputs = inputs.into_iter().enumerate();
                inputs.map(move |(number, input)| prompt(task, number, input))
            })
            .collect()
    }
}

const SEQUENTIAL: [&str; 11] = [
    "{dataset} user_{user_id} took these {dataset} items in order : {history} . Which item comes next ?",
    "So far {dataset} user_{user_id} has chosen {dataset} items {history} . Name the item that follows .",
    "The record of {dataset} user_{user_id} reads {dataset} items {history} . Continue it by one item .",
    "Given {dataset} items {history} , what will {dataset} user_{user_id} pick after them ?",
    "{dataset} items {history} are the latest choices of {dataset} user_{user_id} . What should be offered now ?",
    "Look at what {dataset} user_{user_id} had before : {dataset} items {history} . What do you expect next ?",
    "First to last , {dataset} user_{user_id} went through {dataset} items {history} . Guess the following one .",
    "Having had {dataset} items {history} , {dataset} user_{user_id} wants one more . Which one ?",
    "Complete the list of {dataset} user_{user_id} : {dataset} items {history} , and then ?",
    "After {dataset} items {history} , which item suits {dataset} user_{user_id} ?",
    "If {dataset} user_{user_id} has just finished {dataset} items {history} , where would you point next ?",
];

const STRAIGHTFORWARD: [&str; 11] = [
    "Which item would {dataset} user_{user_id} like ?",
    "Name an item for {dataset} user_{user_id} .",
    "{dataset} user_{user_id} asks for a suggestion . What do you say ?",
    "Choose something that fits {dataset} user_{user_id} .",
    "What is a good pick for {dataset} user_{user_id} ?",
    "Suggest one item to {dataset} user_{user_id} .",
    "Think of {dataset} user_{user_id} and of what to offer . What is it ?",
    "Among all items , which one is meant for {dataset} user_{user_id} ?",
    "An item that {dataset} user_{user_id} will enjoy is wanted . Which one ?",
    "Knowing {dataset} user_{user_id} , what would you put first ?",
    "What should be shown to {dataset} user_{user_id} today ?",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::raw::openp5::{parse_prompt, prompt_lines};
    use std::collections::BTreeSet;

    #[test]
    fn our_prompts_are_ten_seen_and_one_unseen_a_task_and_survive_a_file() {
        let own = Prompts::own();
        let tasks = ["sequential".to_owned(), "straightforward".to_owned()];
        let prompts = Prompts::new(&own, &tasks).unwrap();
        assert_eq!(prompts.n_seen(), 20);
        for task in &prompts.tasks {
            assert_eq!((task.seen.len(), task.unseen.len()), (10, 1));
            for (input, output) in task.seen.iter().chain(&task.unseen) {
                assert!(input.has("user_id") && input.has("dataset"), "{input:?}");
                assert_eq!(input.has("history"), task.task == "sequential");
                assert!(output.has("target") && !input.has("target"));
            }
        }
        let different: BTreeSet<&str> = own.iter().map(|prompt| prompt.input.as_str()).collect();
        assert_eq!(different.len(), 22);
        let again: Vec<Prompt> = prompt_lines(&own)
            .lines()
            .map(|line| parse_prompt(line.as_bytes()).unwrap())
            .collect();
        assert_eq!(again, own);
        assert_eq!(
            Prompts::new(&own, &["rating".to_owned()])
                .unwrap_err()
                .to_string(),
            "the task `rating` has no seen prompt; the prompts are for `sequential`, `straightforward`"
        );
    }

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        let template = Template::new("é{history}, {x} {dataset}{dataset}{");
        let mut out = String::new();
        template.fill(["D", "7", "item_1 , item_2", "t"], &mut out);
        assert_eq!(out, "éitem_1 , item_2, {x} DD{");
    }
}
