//! The files of `OpenP5` (<https://github.com/agiresearch/OpenP5>, `data/<name>/`).
//!
//! | file | a line |
//! | --- | --- |
//! | `user_sequence.txt` | user, then items in order of time; single spaces |
//! | `user_indexing.txt` | user, id |
//! | `item_<how>_indexing….txt` | item, id |
//! | `prompt.txt` | `task; seen or unseen; input; output` |
//! | `item_attributes.tsv` (ours) | header, then item and columns of its text, tab-separated |
//!
//! A sequence has no times: the position in it (0, 1, 2 …) stands for the time, and every rating is 1. Users are
//! numbered in the order of the file, items in the order of `item_attributes.tsv` and then of first mention.

mod attributes;

pub use attributes::{attribute_lines, read_attributes};

use super::input::{Input, each_line};
use super::lines::shorten;
use super::names::Names;
use super::reading::Reading;
use crate::data::{
    Catalog, DataError, ItemSort, Problems, RawCatalog, RawFilm, RawNames, RawRating,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The sequences.
pub const SEQUENCES: &str = "user_sequence.txt";
/// The users' ids.
pub const USERS: &str = "user_indexing.txt";
/// The prompts.
pub const PROMPTS: &str = "prompt.txt";
/// The items' texts.
pub const ATTRIBUTES: &str = "item_attributes.tsv";

/// The folder within a catalogue's artifact that keeps what a source brought: ids and prompts.
pub const SHIPPED: &str = "openp5";

/// The index files that `OpenP5`'s scripts and README name.
pub const INDEX_FILES: [&str; 12] = [
    "item_random_indexing.txt",
    "item_sequential_indexing_original.txt",
    "item_sequential_indexing_short2long.txt",
    "item_sequential_indexing_long2short.txt",
    "item_collaborative_indexing_100_10_sequential.txt",
    "item_collaborative_indexing_100_10_random.txt",
    "item_collaborative_indexing_100_20_sequential.txt",
    "item_collaborative_indexing_100_20_random.txt",
    "item_collaborative_indexing_200_20_sequential.txt",
    "item_collaborative_indexing_200_20_random.txt",
    "item_collaborative_indexing_500_20_sequential.txt",
    "item_collaborative_indexing_500_20_random.txt",
];

fn utf8(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line)
        .map_err(|error| format!("is not UTF-8 after byte {}", error.valid_up_to()))
}

/// Reads a line of `user_sequence.txt`: a user and at least one item.
pub fn parse_sequence(line: &[u8]) -> Result<(String, Vec<String>), String> {
    let line = utf8(line)?;
    let mut words = line.split(' ');
    let user = words.next().unwrap_or_default().to_owned();
    let items: Vec<String> = words.map(str::to_owned).collect();
    if line.is_empty() {
        return Err("is blank, but must have a user and items".to_owned());
    }
    if user.is_empty() || items.iter().any(String::is_empty) {
        return Err(
            "has a space at an end or two in a row, but must have single spaces between words"
                .to_owned(),
        );
    }
    if items.is_empty() {
        return Err(format!(
            "has only the user `{}`, but must have items after it",
            shorten(&user)
        ));
    }
    Ok((user, items))
}

/// Reads a line of an index file: a name and its id.
pub fn parse_index(line: &[u8]) -> Result<(String, String), String> {
    let line = utf8(line)?;
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        [name, id] if !name.is_empty() && !id.is_empty() => {
            Ok(((*name).to_owned(), (*id).to_owned()))
        }
        _ => Err(format!(
            "is `{}`, but must be a name, a space and an id",
            shorten(line)
        )),
    }
}

/// A template of `prompt.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// `sequential`, `straightforward`.
    pub task: String,
    /// Whether it is trained on.
    pub seen: bool,
    /// With the places `{dataset}`, `{user_id}`, `{history}`, `{target}`.
    pub input: String,
    /// With the same places.
    pub output: String,
}

/// The places that a template may have.
pub const PLACES: [&str; 4] = ["dataset", "user_id", "history", "target"];

/// Reads a line of `prompt.txt`.
pub fn parse_prompt(line: &[u8]) -> Result<Prompt, String> {
    let line = utf8(line)?;
    let parts: Vec<&str> = line.split(';').map(str::trim).collect();
    let [task, seen, input, output] = parts.as_slice() else {
        let plural = if parts.len() == 1 { "" } else { "s" };
        return Err(format!(
            "has {} part{plural}, but must have 4 separated by `;`: task, `seen` or `unseen`, input, output",
            parts.len()
        ));
    };
    let seen = match *seen {
        "seen" => true,
        "unseen" => false,
        other => {
            return Err(format!(
                "has `{}`, but must have `seen` or `unseen` there",
                shorten(other)
            ));
        }
    };
    if task.is_empty() {
        return Err("has an empty task, but must name one".to_owned());
    }
    for template in [input, output] {
        check_places(template)?;
    }
    Ok(Prompt {
        task: (*task).to_owned(),
        seen,
        input: (*input).to_owned(),
        output: (*output).to_owned(),
    })
}

/// A template is filled by Python's `str.format`: braces stand around known names only.
fn check_places(template: &str) -> Result<(), String> {
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let place = rest[at..].strip_prefix('{').and_then(|after| {
            let name = &after[..after.find('}')?];
            PLACES.contains(&name).then_some(name)
        });
        let Some(place) = place else {
            return Err(format!(
                "has `{}`, but braces must stand around one of `{}`",
                shorten(&rest[at..]),
                PLACES.join("`, `")
            ));
        };
        rest = &rest[at + place.len() + 2..];
    }
    Ok(())
}

/// Reads a file of prompts.
pub fn read_prompts(input: Input<'_>, reading: &Reading<'_>) -> Result<Vec<Prompt>, DataError> {
    Ok(each_line(input, reading, parse_prompt)?.rows)
}

/// Reads an index file; a name or an id may occur once.
pub fn read_index(
    input: Input<'_>,
    reading: &Reading<'_>,
) -> Result<Vec<(String, String)>, DataError> {
    let path = input.path().to_owned();
    let rows = each_line(input, reading, parse_index)?;
    let (mut names, mut ids) = (BTreeMap::new(), BTreeMap::new());
    let mut problems = Problems::new(&path);
    let mut good = Vec::with_capacity(rows.rows.len());
    for ((name, id), line) in rows.rows.iter().zip(rows.lines()) {
        if let Some(before) = names.get(name) {
            problems.add(
                line,
                format!("`{name}` has an id already, on line {before}"),
            );
        } else if let Some(before) = ids.get(id) {
            problems.add(
                line,
                format!("the id `{id}` is given already, on line {before}"),
            );
        } else {
            names.insert(name, line);
            ids.insert(id, line);
            good.push((name.clone(), id.clone()));
        }
    }
    reading.settle(problems)?;
    Ok(good)
}

/// What a folder brings beside users, items and interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// Index files: name -> (user or item, id), in the order of the file.
    pub indexes: BTreeMap<String, Vec<(String, String)>>,
    /// The prompts, where there are some.
    pub prompts: Option<Vec<Prompt>>,
}

/// Reads the sequences and the items' texts.
pub fn read_catalog(
    sequences: Input<'_>,
    attributes: Option<Input<'_>>,
    reading: &Reading<'_>,
) -> Result<RawCatalog, DataError> {
    let mut items = Names::default();
    let mut films: Vec<RawFilm> = Vec::new();
    if let Some(attributes) = attributes {
        for (item, film) in read_attributes(attributes, reading)? {
            let id = items.number(&item);
            films.push(RawFilm { id, ..film });
        }
    }
    let path = sequences.path().to_owned();
    let rows = each_line(sequences, reading, parse_sequence)?;
    let mut users = Names::default();
    let mut problems = Problems::new(&path);
    let mut first: Vec<usize> = Vec::new();
    let mut ratings = Vec::new();
    for ((name, sequence), line) in rows.rows.iter().zip(rows.lines()) {
        let user = users.number(name);
        if let Some(before) = first.get(user as usize) {
            problems.add(
                line,
                format!("user `{name}` has a line already, {before}; a user may have one"),
            );
            continue;
        }
        first.push(line);
        for (item, time) in sequence.iter().zip(0..) {
            ratings.push(RawRating {
                user,
                film: items.number(item),
                rating: 1.0,
                timestamp: time,
            });
        }
    }
    reading.settle(problems)?;
    let names = RawNames {
        users: users.into_names(),
        items: items.into_names(),
    };
    for id in films.len() as u32..names.items.len() as u32 {
        films.push(RawFilm {
            id,
            sort: ItemSort::Product,
            ..RawFilm::default()
        });
    }
    for (film, name) in films.iter_mut().zip(&names.items) {
        if film.title.is_empty() {
            film.title.clone_from(name);
        }
    }
    Ok(RawCatalog {
        films,
        ratings,
        names: Some(names),
    })
}

/// Reads the ids and prompts in `folder`; `more` are index files beside [`INDEX_FILES`].
pub fn read_shipped(
    folder: &Path,
    more: &[String],
    names: &RawNames,
    reading: &Reading<'_>,
) -> Result<Shipped, DataError> {
    let mut shipped = Shipped::default();
    let files: BTreeSet<&str> = INDEX_FILES
        .into_iter()
        .chain(more.iter().map(String::as_str))
        .chain([USERS])
        .collect();
    for name in files {
        let path = folder.join(name);
        if !path.is_file() {
            continue;
        }
        let index = read_index(Input::open(&path)?, reading)?;
        let (what, wanted) = if name == USERS {
            ("users", &names.users)
        } else {
            ("items", &names.items)
        };
        let known: BTreeSet<&str> = index.iter().map(|(name, _)| name.as_str()).collect();
        let mut missing = wanted.iter().filter(|name| !known.contains(name.as_str()));
        let first: Vec<String> = missing.by_ref().take(10).cloned().collect();
        let total = first.len() + missing.count();
        if total > 0 {
            return Err(DataError::Unnumbered {
                path,
                what,
                first,
                total,
            });
        }
        shipped.indexes.insert(name.to_owned(), index);
    }
    warn_of_others(folder, &shipped, reading)?;
    let path = folder.join(PROMPTS);
    if path.is_file() {
        shipped.prompts = Some(read_prompts(Input::open(&path)?, reading)?);
    }
    Ok(shipped)
}

/// Whether a file is called like an index of items: `item_…_indexing….txt`.
pub fn is_index_file(name: &str) -> bool {
    let inner = name
        .strip_prefix("item_")
        .and_then(|name| name.strip_suffix(".txt"));
    inner.is_some_and(|inner| inner.contains("_indexing") && !inner.contains(['/', '\\']))
}

/// Warns of index files that are there but not read: which files a stage reads must be known before it runs.
fn warn_of_others(
    folder: &Path,
    shipped: &Shipped,
    reading: &Reading<'_>,
) -> Result<(), DataError> {
    let mut others = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_index_file(&name) && !shipped.indexes.contains_key(&name) {
            others.push(name);
        }
    }
    others.sort();
    for name in others {
        reading.progress.warn(&format!(
            "`{}` is not read; to read it, name it in `index_files`",
            folder.join(name).display()
        ))?;
    }
    Ok(())
}

impl Shipped {
    /// Writes what concerns the users and items of `catalog` into [`SHIPPED`] in `folder`; nothing when there is nothing.
    pub fn write(&self, catalog: &Catalog, folder: &Path) -> Result<(), DataError> {
        if self.indexes.is_empty() && self.prompts.is_none() {
            return Ok(());
        }
        let folder = folder.join(SHIPPED);
        fs_err::create_dir_all(&folder)?;
        let items: BTreeSet<&str> = catalog
            .items
            .iter()
            .map(|item| item.raw_id.as_str())
            .collect();
        let users: BTreeSet<&str> = catalog
            .users
            .iter()
            .map(|user| user.raw_id.as_str())
            .collect();
        for (name, index) in &self.indexes {
            let kept = if name == USERS { &users } else { &items };
            let lines = index
                .iter()
                .filter(|(name, _)| kept.contains(name.as_str()));
            let text: String = lines.map(|(name, id)| format!("{name} {id}\n")).collect();
            fs_err::write(folder.join(name), text)?;
        }
        if let Some(prompts) = &self.prompts {
            fs_err::write(folder.join(PROMPTS), prompt_lines(prompts))?;
        }
        Ok(())
    }
}

/// Prompts as a file has them.
pub fn prompt_lines(prompts: &[Prompt]) -> String {
    let line = |prompt: &Prompt| {
        let seen = if prompt.seen { "seen" } else { "unseen" };
        format!(
            "{}; {seen}; {}; {}\n",
            prompt.task, prompt.input, prompt.output
        )
    };
    prompts.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
