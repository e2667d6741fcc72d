//! Ratings files.

use super::MovieLens;
use super::lines::{self, Fields, Layout};
use crate::data::{DataError, Problems, RawFilm, RawRating};
use crate::progress::Progress;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// 2100-01-01; a greater time is in milliseconds or wrong.
const LATEST: u32 = 4_102_444_800;

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
    path: &Path,
    format: MovieLens,
    films: &[RawFilm],
    films_path: &Path,
    progress: &dyn Progress,
) -> Result<Vec<RawRating>, DataError> {
    let layout = layout(format);
    let lowest = if format == MovieLens::Csv { 0.5 } else { 1.0 };
    let row = |fields: &Fields<'_>| {
        let [user, film, rating, timestamp] = fields else {
            return Err("has too few fields".to_owned());
        };
        let time = lines::whole(timestamp, layout.columns[3]).ok();
        let time = time.filter(|&time| time <= LATEST).ok_or_else(|| {
            let expected = format!("whole seconds since 1970, at most {LATEST}");
            lines::wrong(timestamp, layout.columns[3], &expected)
        });
        Ok(RawRating {
            user: lines::whole(user, layout.columns[0])?,
            film: lines::whole(film, layout.columns[1])?,
            rating: lines::number(rating, layout.columns[2], lowest, 5.0)?,
            timestamp: time?.into(),
        })
    };
    let read = lines::read(path, layout, progress, row)?;
    let mut problems = Problems::new(path);

    let listed = FilmSet::new(films);
    let known = |film: u32| listed.contains(film);
    let again = repeated(&read.rows);
    let all_known = read.rows.par_iter().all(|rating| known(rating.film));
    if all_known && again.is_empty() {
        return Ok(read.rows);
    }
    let mut seen: BTreeMap<(u32, u32), usize> = again.iter().map(|&pair| (pair, 0)).collect();
    for (rating, line) in read.rows.iter().zip(read.first_line..) {
        if !known(rating.film) {
            problems.add(
                line,
                format!(
                    "`{}` is `{}`, but must be the id of a film in `{}`",
                    layout.columns[1],
                    rating.film,
                    films_path.file_name().unwrap_or_default().to_string_lossy()
                ),
            );
        }
        match seen.get_mut(&(rating.user, rating.film)) {
            Some(first @ 0) => *first = line,
            Some(first) => problems.add(
                line,
                format!(
                    "user {} has rated film {} already, on line {first}; a user may rate a film once",
                    rating.user, rating.film
                ),
            ),
            None => {}
        }
    }
    problems.into_result()?;
    Ok(read.rows)
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
