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

/// Values longer than this are cut for people.
const LONGEST: usize = 60;

/// What is shown of a long value before the place where two of them begin to differ.
const LEAD: usize = 12;

impl Change {
    /// Old and new value for people: hashes by their first digits, long texts and lists around the place where they
    /// begin to differ. A value that is not there is a dash.
    pub fn shortened(&self) -> (String, String) {
        let dash = || "–".to_owned();
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                let (old, new) = (short_hash(old), short_hash(new));
                let same = old
                    .chars()
                    .zip(new.chars())
                    .take_while(|(a, b)| a == b)
                    .count();
                (around(old, same), around(new, same))
            }
            (None, Some(new)) => (dash(), around(short_hash(new), 0)),
            (Some(old), None) => (around(short_hash(old), 0), dash()),
            (None, None) => (dash(), dash()),
        }
    }
}

/// A leaf's value for people: hashes by their first digits, long texts cut at the end.
pub fn shortened(value: &str) -> String {
    around(short_hash(value), 0)
}

/// Hashes of content are 64 digits; a person needs to see that they differ, not all of them.
fn short_hash(value: &str) -> &str {
    let hash = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if hash { &value[..12] } else { value }
}

/// The part of a long text around the position `at`.
fn around(text: &str, at: usize) -> String {
    let n = text.chars().count();
    if n <= LONGEST {
        return text.to_owned();
    }
    let start = at.saturating_sub(LEAD).min(n - LONGEST);
    let start = if start <= 1 { 0 } else { start };
    let shown: String = text.chars().skip(start).take(LONGEST).collect();
    let (before, after) = (start > 0, start + LONGEST < n);
    let mark = |cut| if cut { "…" } else { "" };
    format!("{}{shown}{}", mark(before), mark(after))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let (old, new) = self.shortened();
        match (&self.old, &self.new) {
            (Some(_), Some(_)) => write!(f, "`{name}` changed from {old} to {new}"),
            (None, Some(_)) => write!(f, "`{name}` is new: {new}"),
            (Some(_), None) => write!(f, "`{name}` is gone (was {old})"),
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

    #[test]
    fn long_values_are_cut_around_what_differs() {
        let list = |last: &str| {
            let mut words: Vec<String> = (0..30).map(|n| format!("\"word{n}\"")).collect();
            words[20] = format!("\"{last}\"");
            format!("[{}]", words.join(","))
        };
        let change = |old: &str, new: &str| Change {
            name: "params.words".to_owned(),
            old: Some(old.to_owned()),
            new: Some(new.to_owned()),
        };
        let (old, new) = change(&list("one"), &list("other")).shortened();
        assert_eq!(
            old,
            "…,\"word19\",\"one\",\"word21\",\"word22\",\"word23\",\"word24\",\"word25\"…"
        );
        assert!(new.contains("\"other\""), "{new}");
        assert_eq!(new.chars().count(), LONGEST + 2);
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(change(&a, &b).shortened(), ("a".repeat(12), "b".repeat(12)));
        // Values that begin to differ only where the shorter one ends.
        let (x, y) = (format!("{}é", "x".repeat(70)), "x".repeat(70));
        let (x, y) = change(&x, &y).shortened();
        assert_ne!(x, y);
    }
}
