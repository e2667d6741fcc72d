//! How much the cache may hold, and for how long.

use super::{Store, StoreError};
use crate::spec::amounts;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Limits of a cache. None is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of outputs and checkpoints together. What a pipeline or a process needs stays, also above it.
    pub max_size: Option<u64>,
    /// Time since the last use of an entry.
    pub max_age: Option<Duration>,
}

impl Default for Limits {
    /// 20 GiB and 90 days: a dozen sweeps of the shipped pipelines, and longer than a paper's review takes.
    fn default() -> Self {
        Self {
            max_size: Some(20 << 30),
            max_age: Some(Duration::from_hours(90 * 24)),
        }
    }
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        max_size: None,
        max_age: None,
    };
}

/// One limit as a person writes it: an amount, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

/// The word for "no limit".
const NO_LIMIT: &str = "none";

impl Limit<u64> {
    /// Reads `50GiB` or `none`.
    pub fn size(text: &str) -> Result<Self, String> {
        if text.trim() == NO_LIMIT {
            return Ok(Self(None));
        }
        let bytes = amounts::memory(text);
        bytes.map(|bytes| Self(Some(bytes))).ok_or_else(|| {
            format!("`{text}` is no size; write it as `512MiB` or `50GiB`, or `none` for no limit")
        })
    }
}

impl Limit<Duration> {
    /// Reads `60d` or `none`.
    pub fn age(text: &str) -> Result<Self, String> {
        if text.trim() == NO_LIMIT {
            return Ok(Self(None));
        }
        let time = amounts::duration(text);
        time.map(|time| Self(Some(time))).ok_or_else(|| {
            format!("`{text}` is no age; write it as `12h` or `60d`, or `none` for no limit")
        })
    }
}

impl fmt::Display for Limit<u64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .0
                .map_or_else(|| NO_LIMIT.to_owned(), amounts::memory_text),
        )
    }
}

impl fmt::Display for Limit<Duration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .0
                .map_or_else(|| NO_LIMIT.to_owned(), amounts::duration_text),
        )
    }
}

/// Limits that were set, each or none: in the cache, in the environment, on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetLimits {
    /// The limit of size.
    pub max_size: Option<Limit<u64>>,
    /// The limit of age.
    pub max_age: Option<Limit<Duration>>,
}

impl SetLimits {
    /// These limits, and the others where nothing is set.
    #[must_use]
    pub fn over(self, others: Limits) -> Limits {
        Limits {
            max_size: self.max_size.map_or(others.max_size, |limit| limit.0),
            max_age: self.max_age.map_or(others.max_age, |limit| limit.0),
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
}

const FILE: &str = "limits.json";

impl Store {
    /// The limits that were set for this cache.
    pub fn set_limits(&self) -> Result<SetLimits, StoreError> {
        let path = self.root().join(FILE);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(SetLimits::default());
            }
            Err(error) => return Err(error.into()),
        };
        let wrong = |what: String| StoreError::Limits {
            path: path.clone(),
            what,
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(SetLimits {
            max_size: stored
                .max_size
                .map(|text| Limit::size(&text))
                .transpose()
                .map_err(wrong)?,
            max_age: stored
                .max_age
                .map(|text| Limit::age(&text))
                .transpose()
                .map_err(wrong)?,
        })
    }

    /// Keeps limits for this cache.
    pub fn keep_limits(&self, limits: SetLimits) -> Result<(), StoreError> {
        self.prepare()?;
        let stored = Stored {
            max_size: limits.max_size.map(|limit| limit.to_string()),
            max_age: limits.max_age.map(|limit| limit.to_string()),
        };
        let text = serde_json::to_vec_pretty(&stored).map_err(std::io::Error::from)?;
        self.write(&self.root().join(FILE), &text, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::testing;

    #[test]
    fn limits_read_back_and_none_is_no_limit() {
        assert_eq!(
            Limit::size("50GiB").map(|l| l.to_string()),
            Ok("50GiB".into())
        );
        assert_eq!(Limit::age("60d").map(|l| l.to_string()), Ok("60d".into()));
        assert_eq!(Limit::size("none"), Ok(Limit(None)));
        assert_eq!(Limit::<Duration>(None).to_string(), "none");
    }

    #[test]
    fn wrong_limits_say_how_they_are_written() {
        let messages = [
            Limit::size("50").expect_err("no unit"),
            Limit::age("2 weeks").expect_err("no such unit"),
        ];
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn kept_limits_are_found_again_and_lie_over_the_defaults() {
        let (_folder, store) = testing::store();
        assert!(store.set_limits().expect("read").is_empty());
        let set = SetLimits {
            max_size: Some(Limit(None)),
            max_age: None,
        };
        store.keep_limits(set).expect("kept");
        assert_eq!(store.set_limits().expect("read"), set);
        let limits = set.over(Limits::default());
        assert_eq!(limits.max_size, None);
        assert_eq!(limits.max_age, Limits::default().max_age);
    }
}
