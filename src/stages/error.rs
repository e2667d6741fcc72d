//! Why a stage ended without an artifact.

use crate::nn::NnError;
use std::error::Error;
use std::fmt;
use std::io;

/// Anything that ended a stage; `?` turns every room's error into one.
///
/// It does not implement [`Error`] itself, so that the conversion can cover all errors.
pub struct StageError {
    error: Box<dyn Error + Send + Sync + 'static>,
    lasting: bool,
}

impl<E: Error + Send + Sync + 'static> From<E> for StageError {
    fn from(error: E) -> Self {
        let lasting = is_lasting(&error);
        Self {
            error: Box::new(error),
            lasting,
        }
    }
}

impl StageError {
    /// An error with only a sentence.
    pub fn message(text: impl Into<String>) -> Self {
        Self {
            error: text.into().into(),
            lasting: false,
        }
    }

    /// The same error as one that trying again cannot mend.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self {
            lasting: true,
            ..self
        }
    }

    /// The same error; where it is a lack of memory, with half of `batch` to try.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub fn of_batch(self, batch: usize) -> Self {
        let error = match self.error.downcast::<NnError>() {
            Ok(error) => Box::new(error.of_batch(batch)),
            Err(other) => other,
        };
        Self { error, ..self }
    }

    /// Whether trying again cannot mend it: a file or program that is not there or not allowed, a training that broke, or what the
    /// stage itself said so of.
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The sentence and, after a colon each, its causes.
    pub fn chain(&self) -> String {
        let mut text = self.error.to_string();
        let mut source = self.error.source();
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

fn is_lasting(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // The same seed leads to the same step.
        if let Some(NnError::NotFinite { .. }) = error.downcast_ref::<NnError>() {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            );
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_not_mended_by_trying_again() {
        let missing = fs_err::read("/no/such/file").expect_err("it is not there");
        assert!(StageError::from(missing).is_lasting());
        let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(!StageError::from(cut).is_lasting());
        let broken = NnError::NotFinite {
            step: 1,
            what: "loss".to_owned(),
            value: f64::NAN,
            examples: Vec::new(),
            gradient: String::new(),
        };
        assert!(StageError::from(broken).is_lasting());
        assert!(!StageError::from(NnError::Device("out of memory".to_owned())).is_lasting());
        assert!(!StageError::message("the server said 503").is_lasting());
        assert!(StageError::message("no").lasting().is_lasting());
    }
}
