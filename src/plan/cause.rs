//! Why a stage runs.

use crate::artifact::Damage;
use crate::key::Change;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One reason. A verdict carries all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// This stage of this pipeline has not run yet, and there is no intact result of anybody else's.
    New,
    /// Something that the result depends on is not what it was at the last success.
    Changed(Change),
    /// The result is in the cache, but not as it was stored.
    Damaged(Damage),
    /// Nothing changed, but the cache no longer has the result.
    Forgotten,
    /// The last success is known, but its record is gone: what changed since cannot be told.
    HistoryGone,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Changed(change) => change.fmt(f),
            Self::Damaged(damage) => damage.fmt(f),
            Self::Forgotten => f.write_str("its result is no longer in the cache"),
            Self::HistoryGone => f.write_str(
                "changed since its last success, whose record is no longer in the cache",
            ),
        }
    }
}
