//! Every format from files written here, and every message that bad files get.

use super::*;
use crate::data::RawFilm;
use crate::progress::{Progress, Report, Silent, Stopped};
use std::cell::RefCell;
use tempfile::TempDir;

const TAGS: TagConfig = TagConfig {
    max_tags: 8,
    min_relevance: 0.8,
};

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs_err::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn read(format: MovieLens, files: &[(&str, &[u8])]) -> RawCatalog {
    format
        .read(folder(files).path(), TAGS, &Reading::strict(&Silent))
        .unwrap()
}

fn said(folder: &TempDir, error: &DataError) -> String {
    error
        .to_string()
        .replace(&folder.path().display().to_string(), "F")
}

/// The message for files of a format.
fn message(format: MovieLens, files: &[(&str, &[u8])]) -> String {
    let folder = folder(files);
    said(
        &folder,
        &format
            .read(folder.path(), TAGS, &Reading::strict(&Silent))
            .unwrap_err(),
    )
}

fn film(films: &[RawFilm], id: u32) -> &RawFilm {
    films.iter().find(|film| film.id == id).unwrap()
}

const MOVIES: (&str, &[u8]) = (
    "movies.csv",
    "movieId,title,genres\n\
     1,Toy Story (1995),Adventure|Animation\n\
     29,\"City of Lost Children, The (Cité des enfants perdus, La) (1995)\",Sci-Fi\r\n\
     3,\"Say \"\"Hi\"\"\",(no genres listed)"
        .as_bytes(),
);
const RATINGS: (&str, &[u8]) = (
    "ratings.csv",
    b"userId,movieId,rating,timestamp\n7,1,4.5,1000\n7,29,0.5,900\n2,3,5.0,2000000000\n",
);

#[test]
fn csv_is_read_with_its_quotes() {
    let raw = read(MovieLens::Csv, &[MOVIES, RATINGS]);
    let titles: Vec<&str> = raw.films.iter().map(|film| film.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Toy Story",
            "Say \"Hi\"",
            "The City of Lost Children (La Cité des enfants perdus)"
        ]
    );
    assert_eq!(film(&raw.films, 1).genres, ["Adventure", "Animation"]);
    assert_eq!(film(&raw.films, 3).genres, [""; 0]);
    assert_eq!(film(&raw.films, 29).year, Some(1995));
    let ratings: Vec<(u32, u32, f32, i64)> = raw
        .ratings
        .iter()
        .map(|rating| (rating.user, rating.film, rating.rating, rating.timestamp))
        .collect();
    assert_eq!(
        ratings,
        [
            (7, 1, 4.5, 1000),
            (7, 29, 0.5, 900),
            (2, 3, 5.0, 2_000_000_000)
        ]
    );
}

#[test]
fn csv_columns_may_stand_in_another_order_after_a_byte_order_mark() {
    let raw = read(
        MovieLens::Csv,
        &[
            MOVIES,
            (
                "ratings.csv",
                "\u{feff}rating,userId,movieId,timestamp\n4,7,1,9\n".as_bytes(),
            ),
        ],
    );
    assert_eq!((raw.ratings[0].user, raw.ratings[0].rating), (7, 4.0));
}

#[test]
fn columns_without_a_name_are_ignored_with_a_warning() {
    let spilled: &[u8] = b"userId,movieId,rating,timestamp,,\n7,1,4,9,,\n7,3,4,9,,3.45\n";
    let folder = folder(&[MOVIES, ("ratings.csv", spilled)]);
    let warnings = Warnings(RefCell::default());
    let raw = MovieLens::Csv
        .read(folder.path(), TAGS, &Reading::strict(&warnings))
        .unwrap();
    assert_eq!(raw.ratings.len(), 2);
    let texts = warnings.0.into_inner().join("\n");
    assert_eq!(
        texts.replace(&folder.path().display().to_string(), "F"),
        "`F/ratings.csv`: 1 lines hold something in a column without a name; it is ignored"
    );
}

#[test]
fn tags_go_by_users_then_genome_by_relevance() {
    let raw = read(
        MovieLens::Csv,
        &[
            MOVIES,
            RATINGS,
            (
                "tags.csv",
                b"userId,movieId,tag,timestamp\n1,1,Pixar,5\n2,1, pixar ,6\n1,1,fun,5\n2,1,\"boys, toys\",5\n1,1,fun,7\n",
            ),
            ("genome-tags.csv", b"tagId,tag\n1,toys\n2,Pixar\n3,war\n4,3d  film\n"),
            (
                "genome-scores.csv",
                b"movieId,tagId,relevance\n1,1,0.85\n1,2,0.99\n1,3,0.1\n1,4,0.90000\n3,3,0.8\n",
            ),
        ],
    );
    assert_eq!(
        film(&raw.films, 1).tags,
        ["pixar", "boys, toys", "fun", "3d film", "toys"]
    );
    assert_eq!(film(&raw.films, 3).tags, ["war"]);
}

const ITEM: &[u8] =
    b"1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n\
    267|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n\
    543|Mis\xe9rables, Les (1995)|01-Jan-1995||http://x|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n\
    9|Lost Tape (V)|02-Feb-1996||http://x|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|1\n";

#[test]
fn movielens_100k_is_latin_1_with_genre_flags() {
    let raw = read(
        MovieLens::Hundred,
        &[
            ("u.item", ITEM),
            (
                "u.data",
                b"196\t543\t3\t881250949\n196\t267\t1\t881250950\n",
            ),
        ],
    );
    assert_eq!(
        film(&raw.films, 1).genres,
        ["Animation", "Children", "Comedy"]
    );
    let unknown = film(&raw.films, 267);
    assert_eq!(
        (unknown.title.as_str(), unknown.year, unknown.genres.len()),
        ("unknown", None, 0)
    );
    assert_eq!(film(&raw.films, 543).title, "Les Misérables");
    assert_eq!(film(&raw.films, 543).genres, ["Drama", "Musical"]);
    let tape = film(&raw.films, 9);
    assert_eq!((tape.title.as_str(), tape.year), ("Lost Tape", Some(1996)));
    assert_eq!(raw.ratings[0].film, 543);
}

const DAT: (&str, &[u8]) = (
    "movies.dat",
    b"1::Toy Story (1995)::Animation|Children's|Comedy\n2::Cit\xe9, La (1990)::Drama\n",
);

#[test]
fn movielens_1m_is_latin_1_with_double_colons() {
    let raw = read(
        MovieLens::Million,
        &[
            DAT,
            ("ratings.dat", b"1::2::5::978300760\n6040::1::1::978300761"),
        ],
    );
    assert_eq!(film(&raw.films, 2).title, "La Cité");
    assert_eq!(
        film(&raw.films, 1).genres,
        ["Animation", "Children", "Comedy"]
    );
    assert_eq!(raw.ratings[1].user, 6040);
}

fn wanted(category: Option<&str>) -> Where {
    Where {
        tags: TAGS,
        category: category.map(str::to_owned),
        index_files: Vec::new(),
    }
}

#[test]
fn the_format_is_seen_from_the_files() {
    let two = folder(&[MOVIES, RATINGS]);
    let here = wanted(None);
    assert_eq!(
        RawFormat::detect(two.path(), &here).unwrap(),
        RawFormat::MovieLens(MovieLens::Csv)
    );
    let amazon = folder(&[("reviews_Beauty_5.json.gz", b"")]);
    assert_eq!(
        RawFormat::detect(amazon.path(), &wanted(Some("Beauty"))).unwrap(),
        RawFormat::AmazonReviews
    );
    let expected = "but must hold the files of exactly one data set: `u.data` and `u.item` (movielens-100k), or \
        `ratings.dat` and `movies.dat` (movielens-1m), or `ratings.csv` and `movies.csv` (movielens-csv), or \
        `user_sequence.txt` (openp5)";
    for (files, found) in [
        ([].as_slice(), "holds none of them"),
        (&[MOVIES, DAT], "holds only `movies.dat`, `movies.csv`"),
        (
            &[MOVIES, RATINGS, DAT, ("ratings.dat", b"")],
            "holds `ratings.dat` and `movies.dat` (movielens-1m), and `ratings.csv` and `movies.csv` (movielens-csv)",
        ),
    ] {
        let folder = folder(files);
        let error = RawFormat::detect(folder.path(), &here).unwrap_err();
        assert_eq!(said(&folder, &error), format!("`F` {found}, {expected}"));
    }
    let folder = folder(&[]);
    let error = RawFormat::detect(&folder.path().join("no"), &here).unwrap_err();
    assert_eq!(
        said(&folder, &error),
        format!("`F/no` is not there, {expected}")
    );
}

#[test]
fn a_missing_file_is_named() {
    assert_eq!(
        message(MovieLens::Csv, &[MOVIES]),
        "`F/ratings.csv` is missing; a movielens-csv data set must have `ratings.csv` and `movies.csv`"
    );
}

/// Bad lines of `ratings.csv`, each with its message.
#[test]
fn each_bad_rating_line_is_told() {
    for (line, expected) in [
        (
            "7,1,abc,5",
            "`rating` is `abc`, but must be a number from 0.5 to 5",
        ),
        (
            "7,1,NaN,5",
            "`rating` is `NaN`, but must be a number from 0.5 to 5",
        ),
        (
            "7,1,5.5,5",
            "`rating` is `5.5`, but must be a number from 0.5 to 5",
        ),
        (
            "7,1,-1,5",
            "`rating` is `-1`, but must be a number from 0.5 to 5",
        ),
        (
            "7,1,,5",
            "`rating` is empty, but must be a number from 0.5 to 5",
        ),
        (
            "x,1,4,5",
            "`userId` is `x`, but must be a whole number from 0 to 4294967295",
        ),
        (
            "7,4294967296,4,5",
            "`movieId` is `4294967296`, but must be a whole number from 0 to 4294967295",
        ),
        (
            "7,1,4,2000000000000",
            "`timestamp` is `2000000000000`, but must be whole seconds since 1970, at most 4102444800",
        ),
        (
            "7,1,4,soon",
            "`timestamp` is `soon`, but must be whole seconds since 1970, at most 4102444800",
        ),
        (
            "7,1",
            "has 2 fields, but must have 4 separated by `,`: `userId`, `movieId`, `rating`, `timestamp`",
        ),
        (
            "7;1;4;5",
            "has 1 field, but must have 4 separated by `,`: `userId`, `movieId`, `rating`, `timestamp`",
        ),
        (
            "",
            "is blank, but must have 4 separated by `,`: `userId`, `movieId`, `rating`, `timestamp`",
        ),
        ("7,1,\"4,5", "has an opening quote without a closing one"),
        (
            "7,1,\"4\"5,5",
            "has `5,5` after a closing quote, but must have `,` or the line's end there",
        ),
        (
            "7,99,4,5",
            "`movieId` is `99`, but must be the id of a film in `movies.csv`",
        ),
        (
            "8,3,4,5",
            "user 8 has rated film 3 already, on line 2; a user may rate a film once",
        ),
    ] {
        let file = format!("userId,movieId,rating,timestamp\n8,3,4,5\n{line}\n9,3,4,5\n");
        assert_eq!(
            message(MovieLens::Csv, &[MOVIES, ("ratings.csv", file.as_bytes())]),
            format!("`F/ratings.csv`, line 3: {expected}"),
            "{line}"
        );
    }
}

#[test]
fn a_wrong_header_or_an_empty_file_is_told() {
    assert_eq!(
        message(
            MovieLens::Csv,
            &[
                MOVIES,
                ("ratings.csv", b"userId;movieId;rating;timestamp\n7;1;4;5\n")
            ]
        ),
        "`F/ratings.csv`, line 1: the header is `userId;movieId;rating;timestamp`, but must name the columns `userId`, \
         `movieId`, `rating`, `timestamp`, separated by `,`"
    );
    assert_eq!(
        message(MovieLens::Csv, &[MOVIES, ("ratings.csv", b"")]),
        "`F/ratings.csv`, line 1: the file is empty"
    );
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let lines: Vec<String> = (1..=14).map(|user| format!("{user},1,bad,5")).collect();
    let file = format!("userId,movieId,rating,timestamp\n{}", lines.join("\n"));
    let told = message(MovieLens::Csv, &[MOVIES, ("ratings.csv", file.as_bytes())]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[0], "`F/ratings.csv` has 14 problems:");
    assert_eq!(
        lines[1],
        "  line 2: `rating` is `bad`, but must be a number from 0.5 to 5"
    );
    assert_eq!(
        lines[10],
        "  line 11: `rating` is `bad`, but must be a number from 0.5 to 5"
    );
    assert_eq!(lines[11], "  … and 4 more");
}

/// Bad lines of `movies.csv`, each with its message.
#[test]
fn each_bad_film_line_is_told() {
    let no_title = "but must be the film's title, with its year in brackets where it is known";
    for (line, expected) in [
        (
            b"5,,Drama".as_slice(),
            format!("`title` is empty, {no_title}"),
        ),
        (
            b"5,(1999),Drama",
            format!("`title` is `(1999)`, {no_title}"),
        ),
        (
            b"5,Pi (1998)",
            "has 2 fields, but must have 3 separated by `,`: `movieId`, `title`, `genres`"
                .to_owned(),
        ),
        (
            b"5,Matrix, The (1999),Drama",
            "has 4 fields, but must have 3 separated by `,`: `movieId`, `title`, `genres`"
                .to_owned(),
        ),
        (
            b"5,\"Matrix, The (19",
            "has an opening quote without a closing one".to_owned(),
        ),
        (
            b"5,Caf\xe9 (1999),Drama",
            "`title` is not UTF-8: byte 0xe9 after `Caf`".to_owned(),
        ),
        (
            b"one,Pi (1998),Drama",
            "`movieId` is `one`, but must be a whole number from 0 to 4294967295".to_owned(),
        ),
        (
            b"1,Pi (1998),Drama",
            "film 1 is listed already, on line 2; a film may be listed once".to_owned(),
        ),
    ] {
        let file = [b"movieId,title,genres\n1,Toy Story (1995),Comedy\n", line].concat();
        assert_eq!(
            message(MovieLens::Csv, &[("movies.csv", &file), RATINGS]),
            format!("`F/movies.csv`, line 3: {expected}")
        );
    }
}

#[test]
fn bad_lines_of_the_other_formats_are_told() {
    let data: (&str, &[u8]) = ("u.data", b"1 1 3 5\n");
    assert_eq!(
        message(MovieLens::Hundred, &[("u.item", ITEM), data]),
        "`F/u.data`, line 1: has 1 field, but must have 4 separated by a tab: `user`, `film`, `rating`, `timestamp`"
    );
    let data: (&str, &[u8]) = ("u.data", b"1\t1\t0.5\t5\n");
    assert_eq!(
        message(MovieLens::Hundred, &[("u.item", ITEM), data]),
        "`F/u.data`, line 1: `rating` is `0.5`, but must be a number from 1 to 5"
    );
    assert_eq!(
        message(
            MovieLens::Hundred,
            &[("u.item", b"1|Toy Story (1995)|x||\n"), data]
        ),
        "`F/u.item`, line 1: has 5 fields, but must have 24 separated by `|`: `id`, `title`, `release date`, `video \
         release date`, `IMDb URL` and 19 genre flags"
    );
    let flag = String::from_utf8_lossy(ITEM).replacen("|0|0|0|1", "|0|2|0|1", 1);
    let flag = flag.lines().next().unwrap();
    assert_eq!(
        message(MovieLens::Hundred, &[("u.item", flag.as_bytes()), data]),
        "`F/u.item`, line 1: `Action flag` is `2`, but must be 0 or 1"
    );
    assert_eq!(
        message(
            MovieLens::Million,
            &[DAT, ("ratings.dat", b"1,2,5,978300760\n")]
        ),
        "`F/ratings.dat`, line 1: has 1 field, but must have 4 separated by `::`: `user`, `film`, `rating`, `timestamp`"
    );
    assert_eq!(
        message(
            MovieLens::Million,
            &[DAT, ("ratings.dat", b"1::3::5::978300760\n")]
        ),
        "`F/ratings.dat`, line 1: `film` is `3`, but must be the id of a film in `movies.dat`"
    );
}

#[test]
fn bad_tags_are_told() {
    let tags = |file: (&'static str, &'static [u8]), other: (&'static str, &'static [u8])| {
        message(MovieLens::Csv, &[MOVIES, RATINGS, file, other])
    };
    let names: (&str, &[u8]) = ("genome-tags.csv", b"tagId,tag\n1,toys\n");
    assert_eq!(
        tags(
            ("tags.csv", b"userId,movieId,tag,timestamp\n1,8,x,5\n"),
            names
        ),
        "`F/tags.csv`, line 2: `movieId` is `8`, but must be the id of a film in `movies.csv`"
    );
    assert_eq!(
        tags(
            ("genome-scores.csv", b"movieId,tagId,relevance\n1,2,0.5\n"),
            names
        ),
        "`F/genome-scores.csv`, line 2: `tagId` is `2`, but must be the id of a tag in `genome-tags.csv`"
    );
    assert_eq!(
        tags(
            ("genome-scores.csv", b"movieId,tagId,relevance\n1,1,1.5\n"),
            names
        ),
        "`F/genome-scores.csv`, line 2: `relevance` is `1.5`, but must be a number from 0 to 1"
    );
}

/// Takes warnings.
struct Warnings(RefCell<Vec<String>>);

impl Progress for Warnings {
    fn report(&self, report: Report) -> Result<(), Stopped> {
        if let Report::Warning { text } = report {
            self.0.borrow_mut().push(text);
        }
        Ok(())
    }
}

#[test]
fn wrong_lines_may_be_left_out_counted_and_told() {
    let movies: &[u8] =
        b"movieId,title,genres\n1,Toy Story (1995),Comedy\nx,Nobody (1999),Drama\n3,Pi (1998),Drama\n3,Pi (1998),Drama\n";
    let ratings: &[u8] =
        b"userId,movieId,rating,timestamp\n7,1,bad,5\n7,3,4,5\n7,99,4,5\n7,3,5,6\n8,1,4,5\n";
    let folder = folder(&[("movies.csv", movies), ("ratings.csv", ratings)]);
    let warnings = Warnings(RefCell::default());
    let reading = Reading::new(OnError::Skip, &warnings);
    let raw = MovieLens::Csv.read(folder.path(), TAGS, &reading).unwrap();
    let kept: Vec<(u32, u32, f32)> = raw
        .ratings
        .iter()
        .map(|rating| (rating.user, rating.film, rating.rating))
        .collect();
    assert_eq!(kept, [(7, 3, 4.0), (8, 1, 4.0)]);
    assert_eq!(raw.films.len(), 2);
    let skipped: Vec<(String, usize)> = reading.skipped().into_iter().collect();
    assert_eq!(
        skipped,
        [("movies.csv".to_owned(), 2), ("ratings.csv".to_owned(), 3)]
    );
    let told = warnings.0.into_inner().join("\n");
    assert_eq!(
        told.replace(&folder.path().display().to_string(), "F"),
        "`F/movies.csv`, line 3: `movieId` is `x`, but must be a whole number from 0 to 4294967295; the line is left out\n\
         `F/movies.csv`, line 5: film 3 is listed already, on line 4; a film may be listed once; the line is left out\n\
         `F/ratings.csv`, line 2: `rating` is `bad`, but must be a number from 0.5 to 5; the line is left out\n\
         `F/ratings.csv` has 2 problems:\n  \
         line 4: `movieId` is `99`, but must be the id of a film in `movies.csv`\n  \
         line 5: user 7 has rated film 3 already, on line 3; a user may rate a film once\n  \
         these lines are left out"
    );
}
