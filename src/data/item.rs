//! Items and users as the rest of the program sees them.

use super::DataError;
use crate::formats::json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// What is known about one item, here a film. One line of `items.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Dense id, from 0; the position in `items.jsonl`.
    pub item: u32,
    /// The id in the source files.
    pub raw_id: String,
    /// The title as a person says it: no year, article first.
    pub title: String,
    /// Year of release, where the source has one.
    pub year: Option<u16>,
    /// Genres in the order of the source; may be empty.
    pub genres: Vec<String>,
    /// Normalised tags, most common first; may be empty.
    pub tags: Vec<String>,
    /// What only the demo catalogue knows: `mood`, `setting`, `hero` … (the keys are those of
    /// [`super::demo::TRAITS`]); a product's `brand`. Empty for other real data.
    pub traits: BTreeMap<String, Vec<String>>,
    /// What it is. Not written where it is a film.
    #[serde(default, skip_serializing_if = "ItemSort::is_film")]
    pub sort: ItemSort,
}

/// What an item is, for its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemSort {
    /// A film: genres, a year.
    #[default]
    Film,
    /// A product: [`Item::genres`] are its categories, broadest first. Its title is its id where the source has none.
    Product,
}

impl ItemSort {
    fn is_film(&self) -> bool {
        *self == Self::Film
    }
}

impl Item {
    /// The values of a trait; none when the item does not have it.
    pub fn values(&self, name: &str) -> &[String] {
        self.traits.get(name).map_or(&[], Vec::as_slice)
    }
}

/// One user. One line of `users.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Dense id, from 0; the position in `users.jsonl`.
    pub user: u32,
    /// The id in the source files.
    pub raw_id: String,
}

/// Reads `items.jsonl` and checks that the ids are 0, 1, 2 ….
pub fn read_items(path: &Path) -> Result<Vec<Item>, DataError> {
    let items: Vec<Item> = json::read_lines(path)?;
    for (index, item) in items.iter().enumerate() {
        if item.item as usize != index {
            return Err(DataError::Order {
                path: path.to_owned(),
                line: index + 1,
                field: "item",
                found: item.item,
                expected: index,
            });
        }
    }
    Ok(items)
}

/// Describes an item in a few sentences: title, year, genres, then what is known of tags and traits.
///
/// This is *the* text of an item: the semantic embedding and the item-text pairs of phase 1 read it. Every trait
/// is told; a trait without a sentence of its own is added as `Name: values.`.
pub fn describe(item: &Item) -> String {
    if item.sort == ItemSort::Product {
        return describe_product(item);
    }
    let first = |name: &str, before: &str| {
        item.values(name)
            .first()
            .map_or_else(String::new, |value| format!("{before}{value}"))
    };
    let year = item
        .year
        .map_or_else(String::new, |year| format!(" ({year})"));
    let mut sentences = vec![format!(
        "{}{year} is {}{}.",
        item.title,
        kind(item),
        first("setting", " set in ")
    )];
    if let [hero, ..] = item.values("hero") {
        let (goal, villain) = (first("goal", " who must "), first("villain", " and face "));
        sentences.push(format!("It follows {hero}{goal}{villain}."));
    }
    for (name, start) in SENTENCES {
        if !item.values(name).is_empty() {
            sentences.push(format!("{start} {}.", list(item.values(name))));
        }
    }
    for (name, values) in &item.traits {
        let told = TOLD.contains(&name.as_str()) || SENTENCES.iter().any(|(key, _)| key == name);
        if !told && !values.is_empty() {
            sentences.push(format!("{}: {}.", upper_first(name), list(values)));
        }
    }
    if !item.tags.is_empty() {
        sentences.push(format!("Tags: {}.", item.tags.join(", ")));
    }
    sentences.join(" ")
}

/// Describes a product: "Title by Brand. Categories: Makeup, Nails. Tags: red." Of a product without a title (then it is
/// called by its id) the id is left out where anything else is known: "A product by OPI. …".
fn describe_product(item: &Item) -> String {
    let brand = item.values("brand").join(", ");
    let known = !brand.is_empty() || !item.genres.is_empty() || !item.tags.is_empty();
    let name = if item.title != item.raw_id {
        item.title.clone()
    } else if known {
        "A product".to_owned()
    } else {
        format!("Product {}", item.raw_id)
    };
    let by = if brand.is_empty() { "" } else { " by " };
    let mut sentences = vec![format!("{name}{by}{brand}.")];
    if !item.genres.is_empty() {
        sentences.push(format!("Categories: {}.", item.genres.join(", ")));
    }
    for (name, values) in &item.traits {
        if name != "brand" && !values.is_empty() {
            sentences.push(format!("{}: {}.", upper_first(name), list(values)));
        }
    }
    if !item.tags.is_empty() {
        sentences.push(format!("Tags: {}.", item.tags.join(", ")));
    }
    sentences.join(" ")
}

/// Traits that the first sentences tell.
const TOLD: [&str; 5] = ["mood", "setting", "hero", "goal", "villain"];

/// Traits with a sentence of their own, and its start.
const SENTENCES: [(&str, &str); 7] = [
    ("theme", "It is about"),
    ("pace", "The pace is"),
    ("strength", "Praised for"),
    ("weakness", "Criticised for"),
    ("audience", "Loved by"),
    ("director", "Directed by"),
    ("star", "Starring"),
];

/// `a warm and gentle drama film`.
fn kind(item: &Item) -> String {
    let genres: Vec<String> = item.genres.iter().map(|genre| in_text(genre)).collect();
    let words = [list(item.values("mood")), list(&genres), "film".to_owned()];
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    let vowel = words.starts_with(['a', 'e', 'i', 'o', 'u', 'I']);
    format!("{} {words}", if vowel { "an" } else { "a" })
}

/// `a`, `a and b`, `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Writes a genre within a sentence: lower-cases it, but keeps an abbreviation: `Sci-Fi` -> `sci-fi`, `IMAX` stays.
fn in_text(word: &str) -> String {
    if word.chars().any(char::is_lowercase) {
        word.to_lowercase()
    } else {
        word.to_owned()
    }
}

fn upper_first(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    fn bare(title: &str) -> Item {
        Item {
            item: 0,
            raw_id: "1".to_owned(),
            title: title.to_owned(),
            year: None,
            genres: Vec::new(),
            tags: Vec::new(),
            traits: BTreeMap::new(),
            sort: ItemSort::Film,
        }
    }

    #[test]
    fn a_real_film_is_told_by_year_genres_and_tags() {
        let item = Item {
            year: Some(1995),
            genres: words(&["Adventure", "Sci-Fi", "IMAX"]),
            tags: words(&["pixar", "fun"]),
            ..bare("Toy Story")
        };
        assert_eq!(
            describe(&item),
            "Toy Story (1995) is an adventure, sci-fi and IMAX film. Tags: pixar, fun."
        );
        assert_eq!(describe(&bare("Pi")), "Pi is a film.");
    }

    #[test]
    fn a_demo_film_is_told_by_every_trait() {
        let mut item = Item {
            genres: words(&["Drama"]),
            ..bare("Harbour")
        };
        for (name, values) in [
            ("mood", ["warm", "gentle"].as_slice()),
            ("setting", &["a fishing village"]),
            ("hero", &["a retired sailor"]),
            ("goal", &["save the lighthouse"]),
            ("villain", &["a ruthless banker"]),
            ("director", &["Ilsa Morn"]),
            ("weather", &["rain", "fog"]),
        ] {
            item.traits.insert(name.to_owned(), words(values));
        }
        assert_eq!(
            describe(&item),
            "Harbour is a warm and gentle drama film set in a fishing village. It follows a retired sailor who must \
             save the lighthouse and face a ruthless banker. Directed by Ilsa Morn. Weather: rain and fog."
        );
    }

    #[test]
    fn a_product_is_told_by_brand_and_categories() {
        let mut item = Item {
            sort: ItemSort::Product,
            genres: words(&["Makeup", "Nails"]),
            ..bare("1")
        };
        assert_eq!(describe(&item), "A product. Categories: Makeup, Nails.");
        item.traits.insert("brand".to_owned(), words(&["OPI"]));
        item.title = "Nail Lacquer, Red".to_owned();
        assert_eq!(
            describe(&item),
            "Nail Lacquer, Red by OPI. Categories: Makeup, Nails."
        );
        let nameless = Item {
            sort: ItemSort::Product,
            ..bare("1")
        };
        assert_eq!(describe(&nameless), "Product 1.");
        let line = serde_json::to_string(&bare("Pi")).unwrap();
        assert!(!line.contains("sort"), "{line}");
    }

    #[test]
    fn items_out_of_order_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.jsonl");
        let mut wrong = bare("B");
        wrong.item = 7;
        json::write_lines(&path, [bare("A"), wrong]).unwrap();
        assert_eq!(
            read_items(&path)
                .unwrap_err()
                .to_string()
                .replace(&folder.path().display().to_string(), "F"),
            "`F/items.jsonl`, line 2: `item` is 7, but must be 1: lines are in id order"
        );
    }
}
