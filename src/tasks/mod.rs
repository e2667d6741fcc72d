//! The 24 ELM tasks: prompts with item places, and targets.
//!
//! The tasks are those of ELM (Tennenholtz et al. 2024, arXiv 2310.04475) that the ILM paper's tables list. Its targets
//! were written by PaLM 2 from the film's title and were never published. Ours are written by templates from what the
//! catalogue knows of a film (genres, year, tags, and the demo catalogue's traits): [`Facts`] gathers that and fills gaps
//! from a [`lexicon`] by genre, [`single`] and [`pairs`] hold the sentences. They are far more regular than PaLM 2's,
//! so scores on them say which adapter carries more of a film into the language model, not how well it would write.
//!
//! No prompt and no target names a film's title.

mod build;
mod error;
mod facts;
mod grammar;
mod lexicon;
mod neighbours;
mod pairs;
mod prompts;
mod single;
mod task;

pub use build::{Example, TaskConfig, TaskSet, build};
pub use error::TaskError;
pub use facts::Facts;
pub use neighbours::nearest;
pub use prompts::{ITEM, PROMPTS, prompt};
pub use task::Task;

use crate::seed::Seed;

/// Sentence templates of each task.
pub const WORDINGS: u64 = 3;

/// Returns which of the [`WORDINGS`] a target takes: a hash of task, films and seed.
pub fn wording(task: Task, films: &[u32], seed: Seed) -> u64 {
    let films = films
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(" ");
    let seed = seed.child("wording").child(task.name()).child(&films);
    seed.value() % WORDINGS
}

/// Writes the target of a task for one film, or two for a task on pairs.
///
/// # Panics
/// When the number of films is not the task's.
pub fn target(task: Task, films: &[&Facts], wording: u64) -> String {
    match *films {
        [film] if !task.is_pair() => single::target(task, film, wording),
        [first, second] if task.is_pair() => pairs::target(task, first, second, wording),
        _ => unreachable!(
            "{} takes {} films, not {}",
            task.name(),
            task.places(),
            films.len()
        ),
    }
}
