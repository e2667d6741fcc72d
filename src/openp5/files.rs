//! `OpenP5`'s folder, written and read again, and its files of examples.

use super::examples::{Examples, Names, Part};
use super::{Index, Sequences, user_ids};
use crate::data::raw::openp5::{
    ATTRIBUTES, PROMPTS, Prompt, SEQUENCES, SHIPPED, USERS, attribute_lines, prompt_lines,
    read_index, read_prompts,
};
use crate::data::raw::{Input, Reading};
use crate::data::{Catalog, DataError};
use crate::progress::{Progress, Silent};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// A folder that does not belong to a catalogue, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file could not be read or written, or is damaged.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Something of the catalogue has no id.
    #[error("`{}` has no id for `{name}`; was it made from another catalog?", path.display())]
    Unknown {
        /// The index file.
        path: PathBuf,
        /// The user or item.
        name: String,
    },
}

/// A data folder of `OpenP5`.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder that keeps what a catalogue's source brought along; it need not be there.
    pub fn shipped(catalog: &Path) -> Self {
        Self(catalog.join(SHIPPED))
    }

    /// Writes sequences, ids of users, and the items' texts.
    pub fn write_catalog(
        &self,
        catalog: &Catalog,
        sequences: &Sequences,
        users: &[String],
    ) -> Result<(), FolderError> {
        let name = |item: u32| catalog.items[item as usize].raw_id.as_str();
        let raw: Vec<&str> = catalog
            .users
            .iter()
            .map(|user| user.raw_id.as_str())
            .collect();
        self.write_sequences(SEQUENCES, sequences, &raw, name)?;
        let pairs = raw.iter().copied().zip(users.iter().map(String::as_str));
        self.write_index(USERS, pairs)?;
        fs_err::write(self.0.join(ATTRIBUTES), attribute_lines(catalog))?;
        Ok(())
    }

    /// Writes the ids of items and the sequences in ids.
    pub fn write_items(
        &self,
        catalog: &Catalog,
        sequences: &Sequences,
        users: &[String],
        index: &Index,
    ) -> Result<(), FolderError> {
        let entries = index.entries.iter();
        let pairs =
            entries.map(|(item, id)| (catalog.items[*item as usize].raw_id.as_str(), id.as_str()));
        self.write_index(&format!("item_{}.txt", index.suffix), pairs)?;
        let ids = index.by_item(catalog.items.len());
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let file = format!("user_sequence_{}.txt", index.suffix);
        self.write_sequences(&file, sequences, &users, |item| ids[item as usize].as_str())
    }

    /// Writes `prompt.txt`.
    pub fn write_prompts(&self, prompts: &[Prompt]) -> Result<(), FolderError> {
        Ok(fs_err::write(self.0.join(PROMPTS), prompt_lines(prompts))?)
    }

    fn write_index<'n>(
        &self,
        file: &str,
        pairs: impl Iterator<Item = (&'n str, &'n str)>,
    ) -> Result<(), FolderError> {
        let mut out = BufWriter::new(fs_err::File::create(self.0.join(file))?);
        for (name, id) in pairs {
            writeln!(out, "{name} {id}")?;
        }
        Ok(out.flush()?)
    }

    fn write_sequences<'n>(
        &self,
        file: &str,
        sequences: &Sequences,
        users: &[&str],
        item_name: impl Fn(u32) -> &'n str,
    ) -> Result<(), FolderError> {
        let mut out = BufWriter::new(fs_err::File::create(self.0.join(file))?);
        for (user, name) in sequences.users().zip(users) {
            write!(out, "{name}")?;
            for &item in sequences.all(user) {
                write!(out, " {}", item_name(item))?;
            }
            writeln!(out)?;
        }
        Ok(out.flush()?)
    }

    /// The prompts, where there is a file of them.
    pub fn prompts(&self) -> Result<Option<Vec<Prompt>>, FolderError> {
        let path = self.0.join(PROMPTS);
        if !path.is_file() {
            return Ok(None);
        }
        let reading = Reading::strict(&Silent);
        Ok(Some(read_prompts(Input::open(&path)?, &reading)?))
    }

    /// The id of each user of a catalogue; `None` without a file of them.
    pub fn users(&self, catalog: &Catalog) -> Result<Option<Vec<String>>, FolderError> {
        let names = catalog.users.iter().map(|user| user.raw_id.as_str());
        let entries = self.read_entries(USERS, names)?;
        Ok(entries.map(|entries| {
            let mut ids = user_ids(catalog.users.len());
            for (user, id) in entries {
                ids[user as usize] = id;
            }
            ids
        }))
    }

    /// The ids of a catalogue's items; `None` without a file of them.
    pub fn items(&self, catalog: &Catalog, suffix: &str) -> Result<Option<Index>, FolderError> {
        let names = catalog.items.iter().map(|item| item.raw_id.as_str());
        let entries = self.read_entries(&format!("item_{suffix}.txt"), names)?;
        Ok(entries.map(|entries| Index {
            suffix: suffix.to_owned(),
            entries,
        }))
    }

    /// The entries for `names`, as positions in them and ids, in the order of the file.
    fn read_entries<'n>(
        &self,
        file: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Option<Vec<(u32, String)>>, FolderError> {
        let path = self.0.join(file);
        if !path.is_file() {
            return Ok(None);
        }
        let numbers: BTreeMap<&str, u32> = names.zip(0..).collect();
        let reading = Reading::strict(&Silent);
        let index = read_index(Input::open(&path)?, &reading)?;
        let mut found = vec![false; numbers.len()];
        let mut entries = Vec::with_capacity(index.len());
        for (name, id) in index {
            if let Some(&number) = numbers.get(name.as_str()) {
                found[number as usize] = true;
                entries.push((number, id));
            }
        }
        match numbers.iter().find(|(_, number)| !found[**number as usize]) {
            Some((name, _)) => Err(FolderError::Unknown {
                path,
                name: (*name).to_owned(),
            }),
            None => Ok(Some(entries)),
        }
    }
}

/// A line of our files of examples.
#[derive(Debug, Serialize)]
struct Line<'a> {
    task: &'a str,
    user: u32,
    history: &'a [u32],
    target: u32,
    input: &'a str,
    output: &'a str,
}

/// An element of `data` in `OpenP5`'s JSON. Its evaluation files have no `data_id`.
#[derive(Debug, Serialize)]
struct Datapoint<'a> {
    task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_id: Option<u64>,
    instruction: &'a str,
    input: &'a str,
    output: &'a str,
}

/// How many examples are written between two reports.
const REPORT: u64 = 1 << 16;

/// Writes examples as JSON lines: task, user, history and target as dense ids, input and output as text.
pub fn write_jsonl(
    path: &Path,
    examples: &Examples<'_>,
    most: Option<u64>,
    names: &Names<'_>,
    progress: &dyn Progress,
) -> Result<(), FolderError> {
    let mut out = BufWriter::new(fs_err::File::create(path)?);
    each(path, examples, most, progress, |number, _| {
        let example = examples
            .get(number)
            .expect("the number is below the length");
        let (input, output) = examples.render(&example, names);
        let line = Line {
            task: examples.task(&example),
            user: example.user,
            history: example.history,
            target: example.target,
            input: &input,
            output: &output,
        };
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")
    })?;
    Ok(out.flush()?)
}

/// Writes examples as `OpenP5`'s JSON: `{"arguments": …, "data": [{task, data_id, instruction, input, output}, …]}`.
pub fn write_json(
    path: &Path,
    arguments: &BTreeMap<String, serde_json::Value>,
    examples: &Examples<'_>,
    part: Part,
    names: &Names<'_>,
    progress: &dyn Progress,
) -> Result<(), FolderError> {
    let mut out = BufWriter::new(fs_err::File::create(path)?);
    out.write_all(b"{\"arguments\": ")?;
    serde_json::to_writer(&mut out, arguments).map_err(std::io::Error::from)?;
    out.write_all(b", \"data\": [")?;
    each(path, examples, None, progress, |number, first| {
        let example = examples
            .get(number)
            .expect("the number is below the length");
        let (input, output) = examples.render(&example, names);
        let point = Datapoint {
            task: format!("{} {}", names.dataset, examples.task(&example)),
            data_id: (part == Part::Train).then_some(example.sample),
            instruction: &examples.templates(&example).0.text,
            input: &input,
            output: &output,
        };
        out.write_all(if first { b"\n" } else { b",\n" })?;
        Ok(serde_json::to_writer(&mut out, &point)?)
    })?;
    out.write_all(b"\n]}\n")?;
    Ok(out.flush()?)
}

fn each(
    path: &Path,
    examples: &Examples<'_>,
    most: Option<u64>,
    progress: &dyn Progress,
    mut write: impl FnMut(u64, bool) -> std::io::Result<()>,
) -> Result<(), FolderError> {
    let total = examples.len().min(most.unwrap_or(u64::MAX));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let phase = format!("writing {name}");
    for number in 0..total {
        write(number, number == 0)?;
        if number % REPORT == 0 {
            progress
                .tick(&phase, number, total)
                .map_err(DataError::from)?;
        }
    }
    Ok(())
}
