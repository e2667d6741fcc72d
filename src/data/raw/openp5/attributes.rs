//! `item_attributes.tsv`: what is known of the items. The file is ours; `OpenP5` does not read it.

use super::utf8;
use crate::data::raw::input::{Input, Part, each_part};
use crate::data::raw::lines::shorten;
use crate::data::raw::reading::Reading;
use crate::data::{Catalog, DataError, ItemSort, Problems, RawFilm};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The columns of `item_attributes.tsv` after the first, which is the item. `categories` and `genres` are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Title,
    Year,
    Genres,
    Tags,
    Brand,
    Sort,
    Trait(String),
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "title" => Self::Title,
            "year" => Self::Year,
            "categories" | "genres" => Self::Genres,
            "tags" => Self::Tags,
            "brand" => Self::Brand,
            "sort" => Self::Sort,
            other => Self::Trait(other.strip_prefix("trait:")?.to_owned()),
        })
    }
}

fn columns(header: &[u8]) -> Result<Vec<Column>, String> {
    let header = utf8(header)?;
    let mut names = header.trim_start_matches('\u{feff}').split('\t');
    names.next();
    let columns: Option<Vec<Column>> = names.map(Column::named).collect();
    columns.ok_or_else(|| {
        format!(
            "the header is `{}`, but must name the item and then any of `title`, `year`, `categories`, `tags`, `brand`, \
             `sort`, `trait:…`, separated by tabs",
            shorten(header)
        )
    })
}

/// Reads a line of `item_attributes.tsv` whose header has `columns`. Values of a list stand between `|`; `Unknown` and
/// empty ones are left out.
fn attributes(line: &[u8], columns: &[Column]) -> Result<(String, RawFilm), String> {
    let line = utf8(line)?;
    let fields: Vec<&str> = line.split('\t').collect();
    let [item, values @ ..] = fields.as_slice() else {
        return Err("is blank, but must have an item".to_owned());
    };
    if values.len() != columns.len() {
        return Err(format!(
            "has {} columns, but the header has {}",
            fields.len(),
            columns.len() + 1
        ));
    }
    if item.is_empty() || item.contains(char::is_whitespace) {
        return Err("has no item id without spaces in the first column".to_owned());
    }
    let mut film = RawFilm {
        sort: ItemSort::Product,
        ..RawFilm::default()
    };
    for (value, column) in values.iter().zip(columns) {
        let value = value.trim();
        let list = || -> Vec<String> {
            let values = value.split('|').map(str::trim);
            let known = values.filter(|value| !value.is_empty() && *value != "Unknown");
            known.map(str::to_owned).collect()
        };
        match column {
            Column::Title => value.clone_into(&mut film.title),
            Column::Year if value.is_empty() => {}
            Column::Year => {
                let year = value
                    .parse()
                    .map_err(|_| format!("`year` is `{}`, but must be a year", shorten(value)))?;
                film.year = Some(year);
            }
            Column::Genres => film.genres = list(),
            Column::Tags => film.tags = list(),
            Column::Brand | Column::Trait(_) => {
                let name = match column {
                    Column::Trait(name) => name.as_str(),
                    _ => "brand",
                };
                let values = list();
                if !values.is_empty() {
                    film.traits.insert(name.to_owned(), values);
                }
            }
            Column::Sort => {
                film.sort = match value {
                    "film" => ItemSort::Film,
                    "product" => ItemSort::Product,
                    other => {
                        return Err(format!(
                            "`sort` is `{}`, but must be `film` or `product`",
                            shorten(other)
                        ));
                    }
                }
            }
        }
    }
    Ok(((*item).to_owned(), film))
}

/// Reads `item_attributes.tsv`; an item may occur once.
pub fn read_attributes(
    input: Input<'_>,
    reading: &Reading<'_>,
) -> Result<Vec<(String, RawFilm)>, DataError> {
    let path = input.path().to_owned();
    let named = OnceLock::new();
    let mut header = |line: &[u8]| {
        let _ = named.set(columns(line)?);
        Ok(())
    };
    let mut rows = Vec::new();
    let summary = each_part(
        input,
        reading,
        Some(&mut header),
        |text| {
            let columns = named.get().map_or(&[][..], Vec::as_slice);
            Part::of_lines(&path, text, |line| attributes(line, columns))
        },
        |part| rows.extend(part),
    )?;
    let rows = summary.rows(rows);
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut problems = Problems::new(&path);
    let lines: Vec<usize> = rows.lines().collect();
    let mut good = Vec::with_capacity(rows.rows.len());
    for ((item, film), line) in rows.rows.into_iter().zip(lines) {
        if let Some(before) = first.get(&item) {
            problems.add(
                line,
                format!(
                    "item `{item}` is listed already, on line {before}; an item may be listed once"
                ),
            );
        } else {
            first.insert(item.clone(), line);
            good.push((item, film));
        }
    }
    reading.settle(problems)?;
    Ok(good)
}

/// The items' texts as [`super::ATTRIBUTES`], in the order of the catalogue. Tabs and line breaks in a value become spaces,
/// `|` becomes `/`.
pub fn attribute_lines(catalog: &Catalog) -> String {
    let clean = |value: &str| value.replace(['\t', '\n', '\r'], " ").replace('|', "/");
    let list = |values: &[String]| -> String {
        let values: Vec<String> = values.iter().map(|value| clean(value)).collect();
        values.join("|")
    };
    let traits: BTreeSet<&String> = catalog
        .items
        .iter()
        .flat_map(|item| item.traits.keys())
        .collect();
    let mut text = "item\ttitle\tyear\tcategories\ttags\tsort".to_owned();
    for name in &traits {
        text.push_str(&format!("\ttrait:{}", clean(name)));
    }
    text.push('\n');
    for item in &catalog.items {
        // A title that is the id is none.
        let title = if item.title == item.raw_id {
            String::new()
        } else {
            clean(&item.title)
        };
        let sort = match item.sort {
            ItemSort::Film => "film",
            ItemSort::Product => "product",
        };
        text.push_str(&format!(
            "{}\t{title}\t{}\t{}\t{}\t{sort}",
            item.raw_id,
            item.year.map(|year| year.to_string()).unwrap_or_default(),
            list(&item.genres),
            list(&item.tags),
        ));
        for name in &traits {
            text.push_str(&format!("\t{}", list(item.values(name))));
        }
        text.push('\n');
    }
    text
}
