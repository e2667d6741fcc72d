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

/// The only one of `names` that is in `folder`; the error when there are several.
pub(super) fn only<'n>(folder: &Path, names: &'n [String]) -> Result<Option<&'n str>, DataError> {
    let found: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| folder.join(name).is_file())
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
