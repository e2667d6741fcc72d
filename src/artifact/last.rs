//! The key of each stage's last success: a content-addressed store has no memory of "before".
//!
//! One file a pipeline, a line `["stage","key"]` a success, the last line of a stage counts. Appending costs the same
//! however many stages there are, and reading a thousand stages is one read. A line that cannot be read is skipped:
//! losing one costs a reason in `plan`, never a result.

use super::StoreError;
use crate::key::Hash;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file is rewritten when it has this many lines more than twice its stages.
const SLACK: usize = 256;

/// The last successes of one pipeline, as read at the start of a command.
#[derive(Debug)]
pub struct LastKeys {
    path: PathBuf,
    keys: BTreeMap<String, Hash>,
    lines: usize,
    file: Option<fs_err::File>,
}

/// Pipelines may be called anything: whatever is not plain is written as `%2f`.
fn file_name(text: &str) -> String {
    text.bytes().fold(String::new(), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.[]=,".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
        name
    })
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

impl LastKeys {
    pub(super) fn load(root: &Path, pipeline: &str) -> Self {
        let path = root.join(format!("{}.jsonl", file_name(pipeline)));
        let bytes = fs_err::read(&path).unwrap_or_default();
        let mut keys = BTreeMap::new();
        let mut lines = 0;
        for line in bytes.split(|&byte| byte == b'\n') {
            lines += 1;
            if let Ok((stage, key)) = serde_json::from_slice::<(String, Hash)>(line) {
                keys.insert(stage, key);
            }
        }
        Self {
            path,
            keys,
            lines,
            file: None,
        }
    }

    /// The key of a stage's last success.
    pub fn get(&self, stage: &str) -> Option<Hash> {
        self.keys.get(stage).copied()
    }

    /// Every stage that has succeeded, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Hash)> {
        self.keys.iter().map(|(stage, key)| (stage.as_str(), *key))
    }

    /// Notes the key of a stage's success; costs nothing when it is the one already noted.
    pub fn note(&mut self, stage: &str, key: Hash) -> Result<(), StoreError> {
        if self.keys.insert(stage.to_owned(), key) == Some(key) {
            return Ok(());
        }
        if self.file.is_none() && self.lines > 2 * self.keys.len() + SLACK {
            return self.rewrite();
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                fs_err::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?,
            ),
        };
        // One write, so that lines of two processes do not mix. It begins with an end of line, so that a line that a
        // killed process left half-written spoils nothing but itself. No fsync: see above.
        file.write_all(format!("\n{}", line(stage, key)).as_bytes())?;
        self.lines += 1;
        Ok(())
    }

    fn rewrite(&mut self) -> Result<(), StoreError> {
        let text: String = self
            .iter()
            .map(|(stage, key)| line(stage, key) + "\n")
            .collect();
        crate::formats::replace(&self.path, text.as_bytes())?;
        self.lines = self.keys.len();
        Ok(())
    }
}

fn line(stage: &str, key: Hash) -> String {
    serde_json::json!([stage, key]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Fingerprint;

    fn key(text: &str) -> Hash {
        let fingerprint: Fingerprint =
            serde_json::from_value(serde_json::json!({ "x": text })).unwrap();
        fingerprint.key()
    }

    #[test]
    fn the_last_success_of_each_stage_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = LastKeys::load(folder.path(), "a/b");
        assert_eq!(last.get("s[a=b/c]"), None);
        last.note("s[a=b/c]", key("1")).unwrap();
        last.note("t", key("2")).unwrap();
        last.note("t", key("3")).unwrap();
        let again = LastKeys::load(folder.path(), "a/b");
        assert_eq!(again.get("s[a=b/c]"), Some(key("1")));
        assert_eq!(again.get("t"), Some(key("3")));
        assert_eq!(LastKeys::load(folder.path(), "a").get("t"), None);
    }

    #[test]
    fn a_torn_or_corrupt_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        LastKeys::load(folder.path(), "p")
            .note("a", key("1"))
            .unwrap();
        let path = folder.path().join("p.jsonl");
        let mut bytes = fs_err::read(&path).unwrap();
        bytes.extend(b"\n[\"b\",\"12");
        fs_err::write(&path, bytes).unwrap();
        LastKeys::load(folder.path(), "p")
            .note("c", key("2"))
            .unwrap();
        let last = LastKeys::load(folder.path(), "p");
        let stages: Vec<&str> = last.iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages, ["a", "c"]);
    }

    #[test]
    fn nothing_is_written_when_nothing_changed_and_the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        for round in 0..600 {
            let mut last = LastKeys::load(folder.path(), "p");
            last.note("a", key(&round.to_string())).unwrap();
        }
        let before = fs_err::read(&path).unwrap();
        assert!(before.len() < 400 * 80, "{}", before.len());
        let mut last = LastKeys::load(folder.path(), "p");
        last.note("a", key("599")).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), before);
    }
}
