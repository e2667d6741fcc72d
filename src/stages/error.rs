//! Why a stage ended without an artifact.

use std::error::Error;
use std::fmt;

/// Anything that ended a stage; `?` turns every room's error into one.
///
/// It does not implement [`Error`] itself, so that the conversion can cover all errors.
pub struct StageError(Box<dyn Error + Send + Sync + 'static>);

impl<E: Error + Send + Sync + 'static> From<E> for StageError {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl StageError {
    /// An error with only a sentence.
    pub fn message(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The sentence and, after a colon each, its causes.
    pub fn chain(&self) -> String {
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    }
}

impl fmt::Debug for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}
