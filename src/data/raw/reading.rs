//! How lines that are wrong are dealt with, and how many there were.

use crate::data::{DataError, Problems};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What to do with a line that is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Stop, and tell the first ten problems of the file and how many there are.
    #[default]
    Fail,
    /// Leave the line out, count it and warn.
    Skip,
}

/// One pass over the files of a data set: the policy, where to report, and what was left out.
pub struct Reading<'a> {
    on_error: OnError,
    pub(super) progress: &'a dyn Progress,
    skipped: RefCell<BTreeMap<String, usize>>,
}

impl<'a> Reading<'a> {
    /// Starts a pass.
    pub fn new(on_error: OnError, progress: &'a dyn Progress) -> Self {
        Self {
            on_error,
            progress,
            skipped: RefCell::default(),
        }
    }

    /// Starts a pass in which every wrong line is an error.
    pub fn strict(progress: &'a dyn Progress) -> Self {
        Self::new(OnError::Fail, progress)
    }

    /// How many lines were left out, by the name of the file. Files without any are not listed.
    pub fn skipped(&self) -> BTreeMap<String, usize> {
        self.skipped.borrow().clone()
    }

    /// Deals with the wrong lines of one file: one problem a line.
    pub(super) fn settle(&self, problems: Problems) -> Result<(), DataError> {
        if problems.is_empty() {
            return Ok(());
        }
        match self.on_error {
            OnError::Fail => Err(problems.into()),
            OnError::Skip => {
                let name = problems.path().file_name().unwrap_or_default();
                *self
                    .skipped
                    .borrow_mut()
                    .entry(name.to_string_lossy().into_owned())
                    .or_default() += problems.total();
                let end = if problems.total() == 1 {
                    "; the line is left out"
                } else {
                    "\n  these lines are left out"
                };
                Ok(self.progress.warn(&format!("{problems}{end}"))?)
            }
        }
    }
}
