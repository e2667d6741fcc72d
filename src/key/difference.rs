//! The difference of two fingerprints, in words.

use super::Fingerprint;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One leaf that differs between two fingerprints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Dotted name of the leaf.
    pub name: String,
    /// Value before; none when the leaf is new.
    pub old: Option<String>,
    /// Value now; none when the leaf is gone.
    pub new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        let short = |value: &str| {
            // Hashes of content are 64 digits; a person needs to see that they differ, not all of them.
            if name.starts_with("inputs.") || name.starts_with("files.") {
                value.get(..12).unwrap_or(value).to_owned()
            } else {
                value.to_owned()
            }
        };
        match (old, new) {
            (Some(old), Some(new)) => {
                write!(f, "`{name}` changed from {} to {}", short(old), short(new))
            }
            (None, Some(new)) => write!(f, "`{name}` is new: {}", short(new)),
            (Some(old), None) => write!(f, "`{name}` is gone (was {})", short(old)),
            (None, None) => write!(f, "`{name}` is unchanged"),
        }
    }
}

/// Every leaf that differs, sorted by name.
pub fn difference(old: &Fingerprint, new: &Fingerprint) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, value) in new.leaves() {
        let before = old.leaves().get(name);
        if before != Some(value) {
            changes.push(Change {
                name: name.clone(),
                old: before.cloned(),
                new: Some(value.clone()),
            });
        }
    }
    for (name, value) in old.leaves() {
        if !new.leaves().contains_key(name) {
            changes.push(Change {
                name: name.clone(),
                old: Some(value.clone()),
                new: None,
            });
        }
    }
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_listed_with_old_and_new() {
        let read = |text: &str| serde_json::from_str::<Fingerprint>(text).expect("a fingerprint");
        let old = read(r#"{"params.factors":"64","params.gone":"1","seed":"1"}"#);
        let new = read(r#"{"params.factors":"128","params.new":"true","seed":"1"}"#);
        let text: Vec<String> = difference(&old, &new)
            .iter()
            .map(Change::to_string)
            .collect();
        assert_eq!(
            text,
            [
                "`params.factors` changed from 64 to 128",
                "`params.gone` is gone (was 1)",
                "`params.new` is new: true",
            ]
        );
        assert!(difference(&old, &old).is_empty());
    }
}
