//! Ratings files.

use super::MovieLens;
use super::input::{Input, Rows};
use super::lines::{self, Fields, Layout};
use super::reading::Reading;
use crate::data::{DataError, Problems, RawFilm, RawRating};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn layout(format: MovieLens) -> Layout {
    let plain = Layout {
        separator: "\t",
        columns: &["user", "film", "rating", "timestamp"],
        more: None,
        csv: false,
    };
    match format {
        MovieLens::Hundred => plain,
        MovieLens::Million => Layout {
            separator: "::",
            ..plain
        },
        MovieLens::Csv => Layout {
            separator: ",",
            columns: &["userId", "movieId", "rating", "timestamp"],
            more: None,
            csv: true,
        },
    }
}

/// Reads the ratings, in the order of the file, and checks them against the film list.
pub fn read(
    input: Input<'_>,
    format: MovieLens,
    films: &[RawFilm],
    films_path: &Path,
    reading: &Reading<'_>,
) -> Result<Vec<RawRating>, DataError> {
    let layout = layout(format);
    let path = input.path().to_owned();
    let lowest = if format == MovieLens::Csv { 0.5 } else { 1.0 };
    let row = |fields: &Fields<'_>| {
        let [user, film, rating, timestamp] = fields else {
            return Err("has too few fields".to_owned());
        };
        Ok(RawRating {
            user: lines::whole(user, layout.columns[0])?,
            film: lines::whole(film, layout.columns[1])?,
            rating: lines::number(rating, layout.columns[2], lowest, 5.0)?,
            timestamp: lines::seconds(timestamp, layout.columns[3])?,
        })
    };
    let read = lines::read(input, layout, reading, row)?;
    let listed = FilmSet::new(films);
    let films_name = films_path.file_name().unwrap_or_default();
    check(
        read,
        &path,
        reading,
        |rating| {
            (!listed.contains(rating.film)).then(|| {
                format!(
                    "`{}` is `{}`, but must be the id of a film in `{}`",
                    layout.columns[1],
                    rating.film,
                    films_name.to_string_lossy()
                )
            })
        },
        |rating, first| {
            format!(
                "user {} has rated film {} already, on line {first}; a user may rate a film once",
                rating.user, rating.film
            )
        },
    )
}

/// Keeps the ratings that are right: `wrong` says what is wrong with one by itself, `repeats` what is wrong with a second
/// rating of the same item by the same user, given the line of the first.
pub(super) fn check(
    read: Rows<RawRating>,
    path: &Path,
    reading: &Reading<'_>,
    wrong: impl Fn(&RawRating) -> Option<String> + Sync,
    repeats: impl Fn(&RawRating, usize) -> String,
) -> Result<Vec<RawRating>, DataError> {
    let again = repeated(&read.rows);
    if again.is_empty() && read.rows.par_iter().all(|rating| wrong(rating).is_none()) {
        return Ok(read.rows);
    }
    let mut problems = Problems::new(path);
    let mut seen: BTreeMap<(u32, u32), usize> = again.iter().map(|&pair| (pair, 0)).collect();
    let mut good = Vec::with_capacity(read.rows.len());
    for (&rating, line) in read.rows.iter().zip(read.lines()) {
        if let Some(message) = wrong(&rating) {
            problems.add(line, message);
            continue;
        }
        match seen.get_mut(&(rating.user, rating.film)) {
            None => {}
            Some(first @ 0) => *first = line,
            Some(first) => {
                problems.add(line, repeats(&rating, *first));
                continue;
            }
        }
        good.push(rating);
    }
    reading.settle(problems)?;
    Ok(good)
}

/// The listed film ids: a bit each, where they are small.
struct FilmSet<'a> {
    films: &'a [RawFilm],
    bits: Vec<bool>,
}

impl<'a> FilmSet<'a> {
    fn new(films: &'a [RawFilm]) -> Self {
        let mut bits = vec![false; 1 << 20];
        for film in films {
            if let Some(bit) = bits.get_mut(film.id as usize) {
                *bit = true;
            }
        }
        Self { films, bits }
    }

    fn contains(&self, id: u32) -> bool {
        self.bits
            .get(id as usize)
            .copied()
            .unwrap_or_else(|| self.films.binary_search_by_key(&id, |film| film.id).is_ok())
    }
}

/// The (user, film) pairs that occur more than once.
fn repeated(ratings: &[RawRating]) -> Vec<(u32, u32)> {
    let key = |rating: &RawRating| u64::from(rating.user) << 32 | u64::from(rating.film);
    let mut keys: Vec<u64> = ratings.par_iter().map(key).collect();
    keys.par_sort_unstable();
    let mut again: Vec<u64> = keys
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
        .collect();
    again.dedup();
    again
        .into_iter()
        .map(|key| ((key >> 32) as u32, key as u32))
        .collect()
}
