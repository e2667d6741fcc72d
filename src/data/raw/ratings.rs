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
            rating: lines::number(rating, layout.columns[2], lowest, MOST)?,
            timestamp: lines::seconds(timestamp, layout.columns[3])?,
        })
    };
    let separator = layout.separator.as_bytes();
    let quick = |text: &[u8]| quick(text, separator, lowest);
    let read = lines::read_quickly(input, layout, reading, quick, row)?;
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

/// Reads a line of two ids, a rating of one digit or two with a point between them, and a time, if that is what the text begins
/// with; and how long the line is.
fn quick(text: &[u8], separator: &[u8], lowest: f32) -> Option<(RawRating, usize)> {
    let mut rest = text;
    let user = u32::try_from(lines::leading_number(&mut rest)?).ok()?;
    rest = rest.strip_prefix(separator)?;
    let film = u32::try_from(lines::leading_number(&mut rest)?).ok()?;
    rest = rest.strip_prefix(separator)?;
    let length = match rest {
        [_, b'.', ..] => 3,
        _ => 1,
    };
    let (rating, after) = rest.split_at_checked(length)?;
    let rating = lines::number(rating, "", lowest, MOST).ok()?;
    rest = after.strip_prefix(separator)?;
    let timestamp = lines::leading_number(&mut rest)?;
    if timestamp > u64::from(lines::LATEST) {
        return None;
    }
    let end = match rest {
        [] => 0,
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => return None,
    };
    let rating = RawRating {
        user,
        film,
        rating,
        timestamp: timestamp as i64,
    };
    Some((rating, text.len() - rest.len() + end))
}

/// The greatest rating.
const MOST: f32 = 5.0;

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
    // As MovieLens sorts its files.
    if ratings.is_sorted_by(|a, b| key(a) < key(b)) {
        return Vec::new();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use proptest::prelude::*;

    /// The ratings of a file without `quick`: a column that is not wanted makes every line unusual.
    fn slowly(lines: &[String]) -> Result<Vec<RawRating>, String> {
        let text: String = lines.iter().map(|line| format!("{line},x\n")).collect();
        read_all(&format!("userId,movieId,rating,timestamp,more\n{text}"))
    }

    fn read_all(text: &str) -> Result<Vec<RawRating>, String> {
        let films: Vec<RawFilm> = (0..100)
            .map(|id| RawFilm {
                id,
                ..RawFilm::default()
            })
            .collect();
        read(
            Input::bytes("ratings.csv", text.as_bytes()),
            MovieLens::Csv,
            &films,
            Path::new("movies.csv"),
            &Reading::strict(&Silent),
        )
        .map_err(|error| error.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn the_short_cut_reads_what_the_long_way_reads(
            line in "[0-9]{1,2},[0-9]{1,3},[0-9\\.]{1,4},[0-9]{0,11}|[0-9]{1,2},7,3\\.[05],[0-9]{1,10}|[0-9,\\. x\"-]{0,12}",
            end in prop::sample::select(vec!["\n", "\r\n", ""]),
        ) {
            let quick = read_all(&format!("userId,movieId,rating,timestamp\n{line}{end}"));
            match slowly(std::slice::from_ref(&line)) {
                Ok(rows) => prop_assert_eq!(quick, Ok(rows)),
                Err(_) => prop_assert!(quick.is_err() || line.is_empty(), "{:?} of {:?}", quick, line),
            }
        }
    }

    #[test]
    fn usual_lines_take_the_short_cut() {
        let row =
            |text: &str| quick(text.as_bytes(), b",", 0.5).map(|(row, used)| (row.film, used));
        assert_eq!(row("1,31,2.5,1260759144\n1,"), Some((31, 20)));
        assert_eq!(row("1,31,2,1260759144\r\n"), Some((31, 19)));
        assert_eq!(row("1,31,2,1260759144"), Some((31, 17)));
        for unusual in [
            "",
            "\n",
            "1,31",
            "1,31,2.25,4\n",
            "1,31,9,4\n",
            "1,31,2,4,5\n",
            "1,31,2,9999999999\n",
            "01234567890,1,2,3\n",
        ] {
            assert_eq!(row(unusual), None, "{unusual}");
        }
    }
}
