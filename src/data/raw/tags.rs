//! Tags of users and of the tag genome.

use super::TagConfig;
use super::input::Input;
use super::lines::{self, Fields, Layout};
use super::reading::Reading;
use crate::data::{DataError, Problems, RawFilm};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

const fn csv(columns: &'static [&'static str]) -> Layout {
    Layout {
        separator: ",",
        columns,
        more: None,
        csv: true,
    }
}

const TAGS: Layout = csv(&["userId", "movieId", "tag"]);
const GENOME_TAGS: Layout = csv(&["tagId", "tag"]);
const GENOME_SCORES: Layout = csv(&["movieId", "tagId", "relevance"]);

/// The files that hold tags, each where it is there.
#[derive(Default)]
pub struct TagFiles<'a> {
    /// `tags.csv`.
    pub user_tags: Option<Input<'a>>,
    /// `genome-scores.csv`.
    pub genome_scores: Option<Input<'a>>,
    /// `genome-tags.csv`.
    pub genome_tags: Option<Input<'a>>,
}

/// Gives `films` (by ascending id, listed in `films_path`) the tags of `files`.
pub fn add_tags(
    films: &mut [RawFilm],
    files: TagFiles<'_>,
    config: TagConfig,
    films_path: &Path,
    reading: &Reading<'_>,
) -> Result<(), DataError> {
    if let Some(input) = files.user_tags {
        for (index, tag) in user_tags(films, input, films_path, reading)? {
            push(&mut films[index].tags, tag, config.max_tags);
        }
    }
    match (files.genome_scores, files.genome_tags) {
        (Some(scores), Some(names)) => {
            let tags = genome(films, scores, names, config, films_path, reading)?;
            for (index, tag) in tags {
                push(&mut films[index].tags, tag, config.max_tags);
            }
        }
        (None, None) => {}
        (Some(only), None) | (None, Some(only)) => reading.progress.warn(&format!(
            "`{}` is not read: `genome-scores.csv` and `genome-tags.csv` are needed together",
            only.path().display()
        ))?,
    }
    Ok(())
}

fn push(tags: &mut Vec<String>, tag: String, most: usize) {
    if tags.len() < most && !tags.contains(&tag) {
        tags.push(tag);
    }
}

/// Lower case, one space between words.
fn normalised(tag: &str) -> String {
    let words: Vec<String> = tag.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

/// (position of the film, tag), by film, then by falling number of users, then by tag. Empty tags are left out.
fn user_tags(
    films: &[RawFilm],
    input: Input<'_>,
    films_path: &Path,
    reading: &Reading<'_>,
) -> Result<Vec<(usize, String)>, DataError> {
    let row = |fields: &Fields<'_>| {
        let [user, film, tag] = fields else {
            return Err("has too few fields".to_owned());
        };
        Ok((
            lines::whole(film, TAGS.columns[1])?,
            normalised(&lines::text(tag, TAGS.columns[2], TAGS)?),
            lines::whole(user, TAGS.columns[0])?,
        ))
    };
    let path = input.path().to_owned();
    let read = lines::read(input, TAGS, reading, row)?;
    let mut problems = Problems::new(&path);
    let mut uses: Vec<(usize, String, u32)> = Vec::with_capacity(read.rows.len());
    let lines: Vec<usize> = read.lines().collect();
    for ((film, tag, user), line) in read.rows.into_iter().zip(lines) {
        match position(films, film) {
            Some(_) if tag.is_empty() => {}
            Some(index) => uses.push((index, tag, user)),
            None => problems.add(line, unknown(film, films_path)),
        }
    }
    reading.settle(problems)?;
    uses.sort_unstable();
    uses.dedup();
    let mut counted: Vec<(usize, Reverse<usize>, String)> = uses
        .chunk_by(|a, b| (a.0, &a.1) == (b.0, &b.1))
        .map(|same| (same[0].0, Reverse(same.len()), same[0].1.clone()))
        .collect();
    counted.sort();
    Ok(counted
        .into_iter()
        .map(|(index, _, tag)| (index, tag))
        .collect())
}

/// (position of the film, tag), by film, then by falling relevance, then by tag.
fn genome(
    films: &[RawFilm],
    scores: Input<'_>,
    names: Input<'_>,
    config: TagConfig,
    films_path: &Path,
    reading: &Reading<'_>,
) -> Result<Vec<(usize, String)>, DataError> {
    let row = |fields: &Fields<'_>| {
        let [id, tag] = fields else {
            return Err("has too few fields".to_owned());
        };
        Ok((
            lines::whole(id, GENOME_TAGS.columns[0])?,
            normalised(&lines::text(tag, GENOME_TAGS.columns[1], GENOME_TAGS)?),
        ))
    };
    let tags: BTreeMap<u32, String> = lines::read(names, GENOME_TAGS, reading, row)?
        .rows
        .into_iter()
        .collect();
    let row = |fields: &Fields<'_>| {
        let [film, tag, relevance] = fields else {
            return Err("has too few fields".to_owned());
        };
        Ok((
            lines::whole(film, GENOME_SCORES.columns[0])?,
            lines::whole(tag, GENOME_SCORES.columns[1])?,
            lines::number(relevance, GENOME_SCORES.columns[2], 0.0, 1.0)?,
        ))
    };
    let scores_path = scores.path().to_owned();
    let read = lines::read(scores, GENOME_SCORES, reading, row)?;
    let mut problems = Problems::new(&scores_path);
    let mut relevant: Vec<(usize, f32, &str)> = Vec::new();
    for (&(film, tag, relevance), line) in read.rows.iter().zip(read.lines()) {
        let Some(index) = position(films, film) else {
            problems.add(line, unknown(film, films_path));
            continue;
        };
        let Some(name) = tags.get(&tag) else {
            problems.add(
                line,
                format!("`tagId` is `{tag}`, but must be the id of a tag in `genome-tags.csv`"),
            );
            continue;
        };
        if relevance >= config.min_relevance {
            relevant.push((index, relevance, name));
        }
    }
    reading.settle(problems)?;
    relevant.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
    Ok(relevant
        .into_iter()
        .map(|(index, _, tag)| (index, tag.to_owned()))
        .collect())
}

fn position(films: &[RawFilm], id: u32) -> Option<usize> {
    films.binary_search_by_key(&id, |film| film.id).ok()
}

fn unknown(film: u32, films_path: &Path) -> String {
    format!(
        "`movieId` is `{film}`, but must be the id of a film in `{}`",
        films_path.file_name().unwrap_or_default().to_string_lossy()
    )
}
