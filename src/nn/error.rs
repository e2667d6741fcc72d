//! What can go wrong in a network.

use crate::formats::FormatError;
use crate::progress::Stopped;
use std::path::PathBuf;

/// A network that could not be built, read, run or trained.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// An operation got matrices that do not fit together.
    #[error("`{operation}`: {message}")]
    Shape {
        /// The operation, for instance `linear`.
        operation: &'static str,
        /// What was found and what was expected.
        message: String,
    },
    /// A setting makes no sense.
    #[error("`{name}` {message}")]
    Setting {
        /// Name of the setting.
        name: String,
        /// The rest of the sentence, for instance `is 0, but must be at least 1`.
        message: String,
    },
    /// The device refused, for instance for lack of memory.
    #[error("the device failed: {0}")]
    Device(String),
    /// Weights in a file are not those of the model.
    #[error("`{}` does not fit the model: {}", path.display(), problems.join("; "))]
    Weights {
        /// The file.
        path: PathBuf,
        /// Every difference: missing, extra and wrongly shaped arrays.
        problems: Vec<String>,
    },
    /// A file or folder of a pre-trained model is not what it must be.
    #[error("`{}` {message}", path.display())]
    Pretrained {
        /// The file or folder.
        path: PathBuf,
        /// The rest of the sentence.
        message: String,
    },
    /// Training reached a number that is not finite.
    #[error(
        "{what} is {value} at step {step}{}; {gradient}; try a lower `learning_rate` or `clip_norm`",
        first_of(examples)
    )]
    NotFinite {
        /// Step, from 0.
        step: u64,
        /// The number, for instance `loss`.
        what: String,
        /// Its value.
        value: f64,
        /// What is in the batch, for instance `item 3`.
        examples: Vec<String>,
        /// A clause that names the largest gradient.
        gradient: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The operating system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The work was asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Something beneath failed in a way of its own, for instance a tokenizer.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl NnError {
    /// Makes an error about matrices that do not fit together.
    pub fn shape(operation: &'static str, message: impl Into<String>) -> Self {
        Self::Shape {
            operation,
            message: message.into(),
        }
    }

    /// Makes an error about a setting: `name` and the rest of the sentence.
    pub fn setting(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Setting {
            name: name.into(),
            message: message.into(),
        }
    }

    /// Wraps what a dfdx device says.
    pub(crate) fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(error.to_string())
    }
}

/// A clause that names the first examples of a batch.
fn first_of(examples: &[String]) -> String {
    const SHOWN: usize = 12;
    let first = examples[..examples.len().min(SHOWN)].join("; ");
    match examples.len() {
        0 => String::new(),
        1 => format!(", in a batch of {first}"),
        n if n <= SHOWN => format!(", in a batch of {n}: {first}"),
        n => format!(", in a batch of {n}: {first}; … (the log of the stage has all)"),
    }
}
