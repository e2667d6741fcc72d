//! Amazon's reviews, ratings and metadata of 2014 (`McAuley` et al., <https://jmcauley.ucsd.edu/data/amazon/>).
//!
//! - `reviews_X.json.gz`, `reviews_X_5.json.gz`: a JSON object a line; `reviewerID`, `asin`, `overall` and `unixReviewTime` are read.
//! - `ratings_X.csv`: user, item, rating, time; no header. (The release of 2018 has item before user.)
//! - `meta_X.json.gz`: a *Python* dict a line, read as such ([`Literal`]): `asin`, `title`, `brand`, `categories`.
//!
//! Users and items are numbered in the order in which the reviews or ratings mention them. An item that the metadata
//! does not have, or has no title for, is called by its id.

use super::input::{Input, Rows, each_line, fold_lines};
use super::lines::{self, Layout};
use super::names::Names;
use super::python::Literal;
use super::ratings;
use super::reading::Reading;
use crate::data::{DataError, ItemSort, Problems, RawCatalog, RawFilm, RawNames, RawRating};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The categories of the release, as its file names write them.
pub const CATEGORIES: [&str; 24] = [
    "Amazon_Instant_Video",
    "Apps_for_Android",
    "Automotive",
    "Baby",
    "Beauty",
    "Books",
    "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories",
    "Clothing_Shoes_and_Jewelry",
    "Digital_Music",
    "Electronics",
    "Grocery_and_Gourmet_Food",
    "Health_and_Personal_Care",
    "Home_and_Kitchen",
    "Kindle_Store",
    "Movies_and_TV",
    "Musical_Instruments",
    "Office_Products",
    "Patio_Lawn_and_Garden",
    "Pet_Supplies",
    "Sports_and_Outdoors",
    "Tools_and_Home_Improvement",
    "Toys_and_Games",
    "Video_Games",
];

/// The category that a folder's name tells: `amazon-movies-and-tv` -> `Movies_and_TV`.
pub fn category_of(source: &str) -> Option<&'static str> {
    let name = source.strip_prefix("amazon-")?.replace('-', "_");
    CATEGORIES
        .into_iter()
        .find(|category| category.eq_ignore_ascii_case(&name))
}

/// What is read of a review or a rating.
#[derive(Clone, Debug, PartialEq)]
pub struct Review {
    /// The user.
    pub user: String,
    /// The item (an ASIN).
    pub item: String,
    /// 1 to 5.
    pub rating: f32,
    /// Seconds since 1970 UTC.
    pub timestamp: i64,
}

/// The fields of a review's line.
#[derive(Deserialize)]
struct ReviewLine<'a> {
    #[serde(rename = "reviewerID", borrow)]
    reviewer: Cow<'a, str>,
    #[serde(borrow)]
    asin: Cow<'a, str>,
    overall: f64,
    #[serde(rename = "unixReviewTime")]
    time: i64,
}

/// Reads a line of `reviews_X.json`: strict JSON; keys that are not read may hold anything.
pub fn parse_review(line: &[u8]) -> Result<Review, String> {
    let read: ReviewLine<'_> = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        format!(
            "is no review: {}",
            text.replace(" at line 1 column", " at column")
        )
    })?;
    if !(1.0..=5.0).contains(&read.overall) {
        return Err(format!(
            "`overall` is {}, but must be a number from 1 to 5",
            read.overall
        ));
    }
    if !(0..=i64::from(lines::LATEST)).contains(&read.time) {
        return Err(format!(
            "`unixReviewTime` is {}, but must be whole seconds since 1970, at most {}",
            read.time,
            lines::LATEST
        ));
    }
    Ok(Review {
        user: name(&read.reviewer, "reviewerID")?,
        item: name(&read.asin, "asin")?,
        rating: read.overall as f32,
        timestamp: read.time,
    })
}

const RATINGS: Layout = Layout {
    separator: ",",
    columns: &["user", "item", "rating", "timestamp"],
    more: None,
    csv: false,
};

/// Reads a line of `ratings_X.csv`.
pub fn parse_rating(line: &[u8]) -> Result<Review, String> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b',').collect();
    let [user, item, rating, timestamp] = fields.as_slice() else {
        let plural = if fields.len() == 1 { "" } else { "s" };
        return Err(format!(
            "has {} field{plural}, but must have 4 separated by `,`: `{}`",
            fields.len(),
            RATINGS.columns.join("`, `")
        ));
    };
    let text = |field, column| {
        let text = std::str::from_utf8(field).map_err(|_| format!("`{column}` is not UTF-8"))?;
        name(text, column)
    };
    Ok(Review {
        user: text(user, RATINGS.columns[0])?,
        item: text(item, RATINGS.columns[1])?,
        rating: lines::number(rating, RATINGS.columns[2], 1.0, 5.0)?,
        timestamp: lines::seconds(timestamp, RATINGS.columns[3])?,
    })
}

/// An id: a word.
fn name(text: &str, column: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        let expected = "an id without spaces";
        return Err(lines::wrong(text.as_bytes(), column, expected));
    }
    Ok(text.to_owned())
}

/// What is read of an item's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The item.
    pub asin: String,
    /// Its title; empty where there is none.
    pub title: String,
    /// Its brand, where it has one.
    pub brand: Option<String>,
    /// The names of all its category paths without their first (which is the data set's), each once.
    pub categories: Vec<String>,
}

/// Reads a line of `meta_X.json`, a Python dict. Entities such as `&amp;` are decoded.
pub fn parse_metadata(line: &[u8]) -> Result<Metadata, String> {
    let line = std::str::from_utf8(line)
        .map_err(|error| format!("is not UTF-8 after byte {}", error.valid_up_to()))?;
    let read = Literal::parse(line)?;
    let text = |key: &str| {
        let text = read.get(key).and_then(Literal::text).unwrap_or_default();
        unescape(text.trim())
    };
    let asin = text("asin");
    if asin.is_empty() {
        return Err("has no `asin`, but must be a dict with one".to_owned());
    }
    let mut categories: Vec<String> = Vec::new();
    let paths = read.get("categories").map_or(&[][..], Literal::list);
    for path in paths {
        for category in path.list().iter().skip(1).filter_map(Literal::text) {
            let category = unescape(category.trim());
            if !category.is_empty() && !categories.contains(&category) {
                categories.push(category);
            }
        }
    }
    let brand = text("brand");
    Ok(Metadata {
        asin,
        title: text("title"),
        brand: (!brand.is_empty() && brand != "Unknown").then_some(brand),
        categories,
    })
}

/// Decodes the entities that the files have.
fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut text = text.to_owned();
    for (entity, character) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&reg;", "®"),
        ("&trade;", "™"),
        ("&eacute;", "é"),
        // Last, so that `&amp;lt;` becomes `&lt;`.
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    text
}

/// Reads reviews or ratings, and the metadata where there is some.
pub fn read(
    interactions: Input<'_>,
    parse: fn(&[u8]) -> Result<Review, String>,
    metadata: Option<Input<'_>>,
    reading: &Reading<'_>,
) -> Result<RawCatalog, DataError> {
    let path = interactions.path().to_owned();
    let (mut users, mut items) = (Names::default(), Names::default());
    let rows: Rows<RawRating> =
        fold_lines(interactions, reading, parse, |review: Review| RawRating {
            user: users.number(&review.user),
            film: items.number(&review.item),
            rating: review.rating,
            timestamp: review.timestamp,
        })?;
    let names = items;
    let ratings = ratings::check(
        rows,
        &path,
        reading,
        |_| None,
        |_, first| {
            format!(
                "its user has rated its item already, on line {first}; a user may rate an item once"
            )
        },
    )?;
    let mut films: Vec<RawFilm> = (0..names.len() as u32)
        .map(|id| RawFilm {
            id,
            sort: ItemSort::Product,
            ..RawFilm::default()
        })
        .collect();
    if let Some(metadata) = metadata {
        describe(&mut films, &names, metadata, reading)?;
    }
    let names = RawNames {
        users: users.into_names(),
        items: names.into_names(),
    };
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

/// Gives items their titles, brands and categories.
fn describe(
    films: &mut [RawFilm],
    names: &Names,
    metadata: Input<'_>,
    reading: &Reading<'_>,
) -> Result<(), DataError> {
    let path = metadata.path().to_owned();
    // Most items of a full metadata file have too few ratings; they cost a number each.
    let rows = each_line(metadata, reading, |line| {
        let read = parse_metadata(line)?;
        Ok(names.find(&read.asin).map(|item| (item, Box::new(read))))
    })?;
    let mut problems = Problems::new(&path);
    let mut first: BTreeMap<u32, usize> = BTreeMap::new();
    let lines: Vec<usize> = rows.lines().collect();
    for (row, line) in rows.rows.into_iter().zip(lines) {
        let Some((item, read)) = row else { continue };
        if let Some(before) = first.get(&item) {
            problems.add(
                line,
                format!(
                    "item `{}` is listed already, on line {before}; an item may be listed once",
                    read.asin
                ),
            );
            continue;
        }
        first.insert(item, line);
        let film = &mut films[item as usize];
        film.title = read.title;
        film.genres = read.categories;
        if let Some(brand) = read.brand {
            film.traits.insert("brand".to_owned(), vec![brand]);
        }
    }
    reading.settle(problems)
}

/// The files of a category: reviews, 5-core first; then ratings; then metadata.
pub(super) struct Files {
    pub(super) reviews: [String; 4],
    pub(super) ratings: [String; 1],
    pub(super) metadata: [String; 2],
}

impl Files {
    pub(super) fn of(category: &str) -> Self {
        Self {
            reviews: [
                format!("reviews_{category}_5.json.gz"),
                format!("reviews_{category}_5.json"),
                format!("reviews_{category}.json.gz"),
                format!("reviews_{category}.json"),
            ],
            ratings: [format!("ratings_{category}.csv")],
            metadata: [
                format!("meta_{category}.json.gz"),
                format!("meta_{category}.json"),
            ],
        }
    }
}

/// The only one of `names` that is in `folder`; the error when there are several. Of a file and its compressed copy, the file.
pub(super) fn only<'n>(folder: &Path, names: &'n [String]) -> Result<Option<&'n str>, DataError> {
    let present = |name: &str| folder.join(name).is_file();
    let found: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| present(name))
        .filter(|name| !name.strip_suffix(".gz").is_some_and(present))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => Err(DataError::Folder {
            folder: folder.to_owned(),
            found: format!("holds `{}`", several.join("` and `")),
            expected: format!("one of `{}`", names.join("`, `")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::raw::OnError;
    use crate::progress::Silent;
    use proptest::prelude::*;

    const REVIEW: &str = r#"{"reviewerID": "A1", "asin": "B1", "reviewerName": "x \"y\"", "helpful": [0, 1], "reviewText": "Caf\u00e9", "overall": 5.0, "summary": "", "unixReviewTime": 1391040000, "reviewTime": "01 30, 2014"}"#;

    #[test]
    fn a_review_and_a_rating_say_the_same() {
        let expected = Review {
            user: "A1".to_owned(),
            item: "B1".to_owned(),
            rating: 5.0,
            timestamp: 1_391_040_000,
        };
        assert_eq!(parse_review(REVIEW.as_bytes()).unwrap(), expected);
        assert_eq!(parse_rating(b"A1,B1,5.0,1391040000").unwrap(), expected);
    }

    #[test]
    fn each_bad_review_is_told() {
        for (old, new, expected) in [
            (
                "\"asin\": \"B1\", ",
                "",
                "is no review: missing field `asin` at column 183",
            ),
            (
                "5.0",
                "6.0",
                "`overall` is 6, but must be a number from 1 to 5",
            ),
            (
                "1391040000",
                "1391040000000",
                "`unixReviewTime` is 1391040000000, but must be whole seconds since 1970, at most 4102444800",
            ),
            (
                "\"B1\"",
                "\"\"",
                "`asin` is empty, but must be an id without spaces",
            ),
            (
                "\"A1\"",
                "\"A 1\"",
                "`reviewerID` is `A 1`, but must be an id without spaces",
            ),
            (
                "\"01 30, 2014\"}",
                "\"01 30, 2014\"} x",
                "is no review: trailing characters at column 199",
            ),
        ] {
            let line = REVIEW.replace(old, new);
            assert_eq!(
                parse_review(line.as_bytes()).unwrap_err(),
                expected,
                "{line}"
            );
        }
        assert!(parse_review(b"{'asin': 1}").is_err());
        for (line, expected) in [
            (
                "B1,5.0,1391040000",
                "has 3 fields, but must have 4 separated by `,`: `user`, `item`, `rating`, `timestamp`",
            ),
            (
                "A1,B1,0,5",
                "`rating` is `0`, but must be a number from 1 to 5",
            ),
            (
                "A1,,5,5",
                "`item` is empty, but must be an id without spaces",
            ),
        ] {
            assert_eq!(parse_rating(line.as_bytes()).unwrap_err(), expected);
        }
    }

    #[test]
    fn metadata_gives_title_brand_and_the_categories_below_the_first() {
        let line = br"{'asin': 'B1', 'title': 'Soap &amp; More', 'brand': 'A&quot;B', 'price': 3.5, 'categories': [['Beauty', 'Skin Care', 'Face'], ['Beauty', 'Skin Care', 'Body']], 'salesRank': {'Beauty': 12}}";
        let read = parse_metadata(line).unwrap();
        assert_eq!(read.title, "Soap & More");
        assert_eq!(read.brand.as_deref(), Some("A\"B"));
        assert_eq!(read.categories, ["Skin Care", "Face", "Body"]);
        assert_eq!(
            parse_metadata(b"{'title': 'x'}").unwrap_err(),
            "has no `asin`, but must be a dict with one"
        );
        assert!(parse_metadata(b"__import__('os').system('x')").is_err());
    }

    #[test]
    fn items_without_metadata_are_called_by_their_id_and_a_second_rating_is_a_problem() {
        let ratings = b"u1,B2,5.0,10\nu2,B1,4.0,5\nu1,B2,3.0,12\nu1,B1,1.0,11\n";
        let meta = b"{'asin': 'B9', 'title': 'Other'}\n{'asin': 'B1', 'title': 'Soap', 'categories': [['Beauty', 'Bath']]}\n";
        let read_all = |on_error| {
            read(
                Input::bytes("r.csv", ratings),
                parse_rating,
                Some(Input::bytes("m.json", meta)),
                &Reading::new(on_error, &Silent),
            )
        };
        assert_eq!(
            read_all(OnError::Fail).unwrap_err().to_string(),
            "`r.csv`, line 3: its user has rated its item already, on line 1; a user may rate an item once"
        );
        let raw = read_all(OnError::Skip).unwrap();
        let titles: Vec<&str> = raw.films.iter().map(|film| film.title.as_str()).collect();
        assert_eq!(titles, ["B2", "Soap"]);
        assert_eq!(raw.films[1].genres, ["Bath"]);
        let pairs: Vec<(u32, u32)> = raw.ratings.iter().map(|r| (r.user, r.film)).collect();
        assert_eq!(pairs, [(0, 0), (1, 1), (0, 1)]);
        assert_eq!(raw.names.unwrap().users, ["u1", "u2"]);
    }

    #[test]
    fn one_file_of_a_kind_is_read_and_the_unpacked_one_of_two_copies() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of("Beauty").reviews;
        assert_eq!(only(folder.path(), &files).unwrap(), None);
        for name in ["reviews_Beauty_5.json.gz", "reviews_Beauty_5.json"] {
            fs_err::write(folder.path().join(name), "").unwrap();
            assert_eq!(only(folder.path(), &files).unwrap(), Some(name));
        }
        fs_err::write(folder.path().join("reviews_Beauty.json"), "").unwrap();
        let error = only(folder.path(), &files).unwrap_err().to_string();
        assert!(
            error.contains("holds `reviews_Beauty_5.json` and `reviews_Beauty.json`, but"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_tells_its_category() {
        assert_eq!(category_of("amazon-beauty"), Some("Beauty"));
        assert_eq!(category_of("amazon-cds-and-vinyl"), Some("CDs_and_Vinyl"));
        assert_eq!(category_of("amazon-nothing"), None);
        assert_eq!(category_of("beauty"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn every_line_gives_a_value_or_an_error(line in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (parse_review(&line), parse_rating(&line), parse_metadata(&line));
        }
    }
}
