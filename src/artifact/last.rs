//! The key of each stage's last success: a content-addressed store has no memory of "before".
//!
//! One file a pipeline, a line with `stage` and `key` a success, the last line of a stage counts. Appending costs the same
//! however many stages there are, and reading a thousand stages is one read. Each line carries a check of its bytes; one
//! that is not as it was written is skipped, told, and gone with the next note: losing one costs a reason in `plan`, never
//! a result.

use super::{StoreError, leftovers};
use crate::formats::checked;
use crate::key::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file is rewritten when it has this many lines more than twice its stages.
const SLACK: usize = 256;

/// The last successes of one pipeline, as read at the start of a command.
#[derive(Debug)]
pub struct LastKeys {
    path: PathBuf,
    /// Where files are written aside.
    aside: PathBuf,
    keys: BTreeMap<String, Hash>,
    lines: usize,
    damaged: usize,
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

/// Reads what [`file_name`] wrote.
fn plain_name(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The files of all pipelines, sorted by file name, each with the pipeline's name.
pub(super) fn list(root: &Path, aside: &Path) -> Result<Vec<(String, LastKeys)>, StoreError> {
    let mut all = Vec::new();
    for path in super::folder::entries(root)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| plain_name(name.strip_suffix(".jsonl")?));
        if let Some(pipeline) = name {
            let keys = LastKeys::load(root, aside, &pipeline);
            all.push((pipeline, keys));
        }
    }
    Ok(all)
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    stage: std::borrow::Cow<'a, str>,
    key: Hash,
}

impl LastKeys {
    pub(super) fn load(root: &Path, aside: &Path, pipeline: &str) -> Self {
        let path = root.join(format!("{}.jsonl", file_name(pipeline)));
        let bytes = fs_err::read(&path).unwrap_or_default();
        let mut keys = BTreeMap::new();
        let mut lines = 0;
        let mut damaged = 0;
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            lines += 1;
            match checked::from_text::<Line<'_>>(line) {
                Some(Line { stage, key }) => {
                    keys.insert(stage.into_owned(), key);
                }
                None => damaged += 1,
            }
        }
        Self {
            path,
            aside: aside.to_owned(),
            keys,
            lines,
            damaged,
            file: None,
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines are not as they were written.
    pub fn damaged(&self) -> usize {
        self.damaged
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
        let known = self.keys.insert(stage.to_owned(), key) == Some(key);
        if self.damaged > 0 || (self.file.is_none() && self.lines > 2 * self.keys.len() + SLACK) {
            return self.rewrite();
        }
        if known {
            return Ok(());
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
        file.write_all(format!("\n{}", line(stage, key)?).as_bytes())?;
        self.lines += 1;
        Ok(())
    }

    fn rewrite(&mut self) -> Result<(), StoreError> {
        let mut text = String::new();
        for (stage, key) in self.iter() {
            text.push('\n');
            text.push_str(&line(stage, key)?);
        }
        leftovers::replace(&self.aside, &self.path, text.as_bytes(), false)?;
        self.lines = self.keys.len();
        self.damaged = 0;
        // It would go on writing to the file that was replaced.
        self.file = None;
        Ok(())
    }
}

fn line(stage: &str, key: Hash) -> Result<String, StoreError> {
    Ok(checked::to_text(&Line {
        stage: stage.into(),
        key,
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Fingerprint;

    fn load(folder: &tempfile::TempDir, pipeline: &str) -> LastKeys {
        LastKeys::load(folder.path(), folder.path(), pipeline)
    }

    fn key(text: &str) -> Hash {
        let fingerprint: Fingerprint =
            serde_json::from_value(serde_json::json!({ "x": text })).unwrap();
        fingerprint.key()
    }

    #[test]
    fn names_of_pipelines_read_back() {
        for name in ["cf", "a/b c%41ä", ""] {
            assert_eq!(plain_name(&file_name(name)).as_deref(), Some(name));
        }
        assert_eq!(plain_name("a%4"), None);
    }

    #[test]
    fn the_last_success_of_each_stage_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let mut last = load(&folder, "a/b");
        assert_eq!(last.get("s[a=b/c]"), None);
        last.note("s[a=b/c]", key("1")).unwrap();
        last.note("t", key("2")).unwrap();
        last.note("t", key("3")).unwrap();
        let again = load(&folder, "a/b");
        assert_eq!(again.get("s[a=b/c]"), Some(key("1")));
        assert_eq!(again.get("t"), Some(key("3")));
        assert_eq!(load(&folder, "a").get("t"), None);
    }

    #[test]
    fn a_torn_or_corrupt_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        load(&folder, "p").note("a", key("1")).unwrap();
        let path = folder.path().join("p.jsonl");
        let mut bytes = fs_err::read(&path).unwrap();
        bytes.extend(b"\n{\"check\":\"12");
        fs_err::write(&path, bytes).unwrap();
        assert_eq!(load(&folder, "p").damaged(), 1);
        load(&folder, "p").note("c", key("2")).unwrap();
        let last = load(&folder, "p");
        let stages: Vec<&str> = last.iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages, ["a", "c"]);
        assert_eq!(last.damaged(), 0, "gone with the next note");
    }

    #[test]
    fn nothing_is_written_when_nothing_changed_and_the_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.jsonl");
        for round in 0..600 {
            let mut last = load(&folder, "p");
            last.note("a", key(&round.to_string())).unwrap();
        }
        let before = fs_err::read(&path).unwrap();
        assert!(before.len() < 400 * 160, "{}", before.len());
        let mut last = load(&folder, "p");
        last.note("a", key("599")).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), before);
    }
}
