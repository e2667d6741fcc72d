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
    /// A device that was asked for cannot be had.
    #[error("`{name}` {message}")]
    NoDevice {
        /// What was asked for, for instance `cuda:1`.
        name: String,
        /// The rest of the sentence.
        message: String,
    },
    /// The device has too little memory.
    #[error(
        "the device has too little memory{}",
        batch.map(|batch| format!("; try a batch of {batch}")).unwrap_or_default()
    )]
    OutOfMemory {
        /// The batch to try instead, where it is known.
        batch: Option<usize>,
    },
    /// The device refused.
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
        let text = error.to_string();
        if is_out_of_memory(&text) {
            Self::OutOfMemory { batch: None }
        } else {
            Self::Device(text)
        }
    }

    /// The same error, with half of `batch` to try when it is a lack of memory.
    #[must_use]
    pub fn of_batch(self, batch: usize) -> Self {
        match self {
            Self::OutOfMemory { .. } => Self::OutOfMemory {
                batch: (batch > 1).then_some(batch / 2),
            },
            other => other,
        }
    }
}

/// Whether an error or a panic of dfdx speaks of memory. Its errors keep the driver's code in their text only, and its copies panic with it.
pub(crate) fn is_out_of_memory(text: &str) -> bool {
    const WORDS: [&str; 3] = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "CpuError::OutOfMemory",
    ];
    WORDS.iter().any(|words| text.contains(words))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_memory_is_told_with_the_batch_to_try() {
        let text = "Driver(DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"))";
        let error = NnError::device(text).of_batch(48);
        assert_eq!(
            error.to_string(),
            "the device has too little memory; try a batch of 24"
        );
        assert_eq!(
            error.of_batch(1).to_string(),
            "the device has too little memory"
        );
        let other = NnError::device("Blas(CublasError(CUBLAS_STATUS_EXECUTION_FAILED))");
        assert!(matches!(other.of_batch(48), NnError::Device(_)));
    }
}
