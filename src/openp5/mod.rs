//! `OpenP5`'s way of asking a language model for recommendations: ids for users and items, prompts, examples.
//!
//! Source: Xu, Hua & Zhang 2024 (SIGIR, arXiv 2306.11134) and its code, <https://github.com/agiresearch/OpenP5>. Ids are
//! made by [`Index`] (random, sequential, collaborative), prompts come from a file or are ours ([`Prompts`]), and
//! [`Examples`] has every training, validation and test example without holding any in memory.

mod clusters;
mod examples;
mod files;
mod index;
mod prompts;
mod sequences;
mod spectral;

pub use clusters::{Collaborative, LastToken};
pub use examples::{Example, ExampleConfig, Examples, Names, Part};
pub use files::{Folder, FolderError, write_json, write_jsonl};
pub use index::{How, Index, Order, user_ids};
pub use prompts::{Prompts, PromptsError, TaskPrompts, Template};
pub use sequences::Sequences;
pub use spectral::cluster;
