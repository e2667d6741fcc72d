//! Film lists.

use super::input::{Input, Rows};
use super::lines::{self, Fields, Layout};
use super::reading::Reading;
use super::title::split_title;
use crate::data::{DataError, Problems, RawFilm};
use std::collections::BTreeMap;
use std::path::Path;

/// The genre flags of `u.item`, in order (`u.genre`). `unknown` is no genre; `Children's` is called `Children` as
/// in the later data sets.
const FLAGS: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Reads `u.item` of 100K. A title without a year (`unknown`, film 267) takes the year of the release date.
pub fn read_hundred(input: Input<'_>, reading: &Reading<'_>) -> Result<Vec<RawFilm>, DataError> {
    const LAYOUT: Layout = Layout {
        separator: "|",
        columns: &[
            "id",
            "title",
            "release date",
            "video release date",
            "IMDb URL",
        ],
        more: Some((FLAGS.len(), "genre flags")),
        csv: false,
    };
    let row = |fields: &Fields<'_>| {
        let [id, title, release, _, _, flags @ ..] = fields else {
            return Err("has too few fields".to_owned());
        };
        let mut genres = Vec::new();
        for (flag, genre) in flags.iter().zip(FLAGS) {
            match flag.as_ref() {
                b"0" => {}
                b"1" if genre == FLAGS[0] => {}
                b"1" => genres.push(genre.to_owned()),
                other => return Err(lines::wrong(other, &format!("{genre} flag"), "0 or 1")),
            }
        }
        let mut film = film(id, LAYOUT.columns[0], title, LAYOUT, genres)?;
        if film.year.is_none() {
            let release = lines::text(release, LAYOUT.columns[2], LAYOUT)?;
            film.year = release
                .rsplit_once('-')
                .and_then(|(_, year)| year.parse().ok());
        }
        Ok(film)
    };
    let path = input.path().to_owned();
    unique(&path, lines::read(input, LAYOUT, reading, row)?, reading)
}

/// Reads `movies.dat` of 1M.
pub fn read_million(input: Input<'_>, reading: &Reading<'_>) -> Result<Vec<RawFilm>, DataError> {
    read_three(
        input,
        Layout {
            separator: "::",
            columns: &["id", "title", "genres"],
            more: None,
            csv: false,
        },
        reading,
    )
}

/// Reads `movies.csv`.
pub fn read_csv(input: Input<'_>, reading: &Reading<'_>) -> Result<Vec<RawFilm>, DataError> {
    read_three(
        input,
        Layout {
            separator: ",",
            columns: &["movieId", "title", "genres"],
            more: None,
            csv: true,
        },
        reading,
    )
}

fn read_three(
    input: Input<'_>,
    layout: Layout,
    reading: &Reading<'_>,
) -> Result<Vec<RawFilm>, DataError> {
    let row = |fields: &Fields<'_>| {
        let [id, title, genres] = fields else {
            return Err("has too few fields".to_owned());
        };
        let genres = lines::text(genres, layout.columns[2], layout)?;
        let genres = genres
            .split('|')
            .map(str::trim)
            .filter(|genre| !genre.is_empty() && *genre != "(no genres listed)")
            .map(|genre| {
                if genre == "Children's" {
                    "Children"
                } else {
                    genre
                }
                .to_owned()
            })
            .collect();
        film(id, layout.columns[0], title, layout, genres)
    };
    let path = input.path().to_owned();
    unique(&path, lines::read(input, layout, reading, row)?, reading)
}

fn film(
    id: &[u8],
    id_name: &str,
    title: &[u8],
    layout: Layout,
    genres: Vec<String>,
) -> Result<RawFilm, String> {
    let id = lines::whole(id, id_name)?;
    let raw_title = lines::text(title, "title", layout)?;
    let (title, year) = split_title(&raw_title);
    if title.is_empty() {
        let expected = "the film's title, with its year in brackets where it is known";
        return Err(lines::wrong(raw_title.as_bytes(), "title", expected));
    }
    Ok(RawFilm {
        id,
        title,
        year,
        genres,
        ..RawFilm::default()
    })
}

/// Sorts films by id; an id may occur once.
fn unique(
    path: &Path,
    read: Rows<RawFilm>,
    reading: &Reading<'_>,
) -> Result<Vec<RawFilm>, DataError> {
    let mut first: BTreeMap<u32, usize> = BTreeMap::new();
    let mut problems = Problems::new(path);
    let lines: Vec<usize> = read.lines().collect();
    let mut films = Vec::with_capacity(read.rows.len());
    for (film, line) in read.rows.into_iter().zip(lines) {
        if let Some(before) = first.get(&film.id) {
            problems.add(
                line,
                format!(
                    "film {} is listed already, on line {before}; a film may be listed once",
                    film.id
                ),
            );
        } else {
            first.insert(film.id, line);
            films.push(film);
        }
    }
    reading.settle(problems)?;
    films.sort_by_key(|film| film.id);
    Ok(films)
}
