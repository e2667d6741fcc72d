//! From what a source says to dense ids: filter, number, sort, store.

use super::{DataError, Interactions, Item, ItemSort, User, k_core, read_items};
use crate::formats::json;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A film as its source tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFilm {
    /// The source's id.
    pub id: u32,
    /// See [`Item::title`].
    pub title: String,
    /// See [`Item::year`].
    pub year: Option<u16>,
    /// See [`Item::genres`].
    pub genres: Vec<String>,
    /// See [`Item::tags`].
    pub tags: Vec<String>,
    /// See [`Item::traits`].
    pub traits: BTreeMap<String, Vec<String>>,
    /// See [`Item::sort`].
    pub sort: ItemSort,
}

/// A rating as its source tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawRating {
    /// The source's user id.
    pub user: u32,
    /// The source's film id.
    pub film: u32,
    /// The rating, on the source's scale.
    pub rating: f32,
    /// Seconds since 1970 UTC.
    pub timestamp: i64,
}

/// What a source says: films by ascending id, ratings in the order of the file. Every rating's film is among the
/// films, and no user rates a film twice, except in sources that are sequences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawCatalog {
    /// The films, by ascending id.
    pub films: Vec<RawFilm>,
    /// The ratings, in the order of the source.
    pub ratings: Vec<RawRating>,
    /// What users and items are called, where the source's ids are no numbers.
    pub names: Option<RawNames>,
}

/// The source's own ids: position -> text. Users and items of [`RawRating`] are positions in these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawNames {
    /// Of the users.
    pub users: Vec<String>,
    /// Of the items.
    pub items: Vec<String>,
}

/// Which interactions stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// The least rating that counts; 0 keeps all.
    pub min_rating: f32,
    /// The `k` of [`k_core`], taken after `min_rating`; 0 and 1 keep all.
    pub min_interactions: u32,
}

/// Users, items and interactions with dense ids.
///
/// Ids are given in ascending order of the source's numeric ids (or, where those are names, in the order in which the
/// reader met them), to users and items that have an interaction left. Interactions are sorted by (user, timestamp, line of the source): equal times keep the source's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// The interactions.
    pub interactions: Interactions,
    /// The items, by id.
    pub items: Vec<Item>,
    /// The users, by id.
    pub users: Vec<User>,
}

impl Catalog {
    /// Filters and numbers what a source says.
    pub fn new(raw: RawCatalog, filter: Filter) -> Result<Self, DataError> {
        let read = raw.ratings.len();
        let mut ratings = raw.ratings;
        let counts = |rating: &RawRating| rating.rating >= filter.min_rating;
        if !ratings.par_iter().all(counts) {
            ratings.retain(counts);
        }
        let rated = ratings.len();
        sort(&mut ratings);

        let mut users = Ids::of(&ratings, |rating| rating.user);
        let mut films = Ids::of(&ratings, |rating| rating.film);
        let mut user_column = users.dense(&ratings, |rating| rating.user);
        let mut item_column = films.dense(&ratings, |rating| rating.film);
        let kept = k_core(
            &user_column,
            &item_column,
            users.raw.len(),
            films.raw.len(),
            filter.min_interactions,
        );
        if !kept.par_iter().all(|kept| *kept) {
            let mut kept = kept.iter();
            ratings.retain(|_| kept.next().is_some_and(|kept| *kept));
            users = Ids::of(&ratings, |rating| rating.user);
            films = Ids::of(&ratings, |rating| rating.film);
            user_column = users.dense(&ratings, |rating| rating.user);
            item_column = films.dense(&ratings, |rating| rating.film);
        }
        if ratings.is_empty() {
            return Err(DataError::Empty {
                read,
                rated,
                min_rating: filter.min_rating,
                min_interactions: filter.min_interactions,
            });
        }
        let interactions = Interactions {
            users: user_column,
            items: item_column,
            ratings: ratings.par_iter().map(|rating| rating.rating).collect(),
            timestamps: ratings.par_iter().map(|rating| rating.timestamp).collect(),
        };
        drop(ratings);
        let (user_names, item_names) = match raw.names {
            Some(names) => (Some(names.users), Some(names.items)),
            None => (None, None),
        };
        let name = |names: &Option<Vec<String>>, id: u32| match names {
            Some(names) => names[id as usize].clone(),
            None => id.to_string(),
        };
        let items = raw
            .films
            .into_iter()
            .filter(|film| films.raw.binary_search(&film.id).is_ok())
            .zip(0..)
            .map(|(film, item)| Item {
                item,
                raw_id: name(&item_names, film.id),
                title: film.title,
                year: film.year,
                genres: film.genres,
                tags: film.tags,
                traits: film.traits,
                sort: film.sort,
            })
            .collect();
        let users = users
            .raw
            .iter()
            .zip(0..)
            .map(|(id, user)| User {
                user,
                raw_id: name(&user_names, *id),
            })
            .collect();
        Ok(Self {
            interactions,
            items,
            users,
        })
    }

    /// Writes `interactions.parquet`, `items.jsonl` and `users.jsonl` into `folder`.
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        self.interactions
            .write(&folder.join("interactions.parquet"))?;
        json::write_lines(&folder.join("items.jsonl"), &self.items)?;
        json::write_lines(&folder.join("users.jsonl"), &self.users)?;
        Ok(())
    }

    /// Reads what [`Catalog::write`] wrote.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        Ok(Self {
            interactions: Interactions::read(&folder.join("interactions.parquet"))?,
            items: read_items(&folder.join("items.jsonl"))?,
            users: json::read_lines(&folder.join("users.jsonl"))?,
        })
    }

    /// Counts for people: users, items, interactions, density and so on.
    pub fn summary(&self) -> BTreeMap<String, serde_json::Value> {
        let n = self.interactions.len();
        let cells = self.users.len() as f64 * self.items.len() as f64;
        let genres: BTreeSet<&String> = self.items.iter().flat_map(|item| &item.genres).collect();
        let tagged = self.items.iter().filter(|item| !item.tags.is_empty());
        let untold = self.items.iter().filter(|item| {
            item.title == item.raw_id && item.genres.is_empty() && item.tags.is_empty()
        });
        let yearless = self.items.iter().filter(|item| item.year.is_none());
        let least = |ids: &[u32], len: usize| {
            let mut counts = vec![0u32; len];
            for &id in ids {
                counts[id as usize] += 1;
            }
            counts.into_iter().min().unwrap_or(0)
        };
        BTreeMap::from([
            ("users".to_owned(), self.users.len().into()),
            ("items".to_owned(), self.items.len().into()),
            ("interactions".to_owned(), n.into()),
            ("density".to_owned(), (n as f64 / cells).into()),
            (
                "fewest_of_a_user".to_owned(),
                least(&self.interactions.users, self.users.len()).into(),
            ),
            (
                "fewest_of_an_item".to_owned(),
                least(&self.interactions.items, self.items.len()).into(),
            ),
            ("genres".to_owned(), genres.len().into()),
            ("items_with_tags".to_owned(), tagged.count().into()),
            ("items_without_year".to_owned(), yearless.count().into()),
            ("items_without_text".to_owned(), untold.count().into()),
        ])
    }
}

/// Sorts by user and time. Stable: ratings of one user at one second stay in the order of the file.
///
/// Most files are sorted by user, and a user's ratings fit the cache.
fn sort(ratings: &mut [RawRating]) {
    if !ratings.is_sorted_by_key(|rating| rating.user) {
        ratings.par_sort_by_key(|rating| rating.user);
    }
    ratings
        .par_chunk_by_mut(|a, b| a.user == b.user)
        .for_each(|run| run.sort_by_key(|rating| rating.timestamp));
}

/// The distinct raw ids, ascending; a dense id is a position in it.
struct Ids {
    raw: Vec<u32>,
    /// Dense id by raw id, where raw ids are small enough for a table. Looking up 25 million ids by bisection takes
    /// ten times as long.
    table: Vec<u32>,
}

impl Ids {
    /// Greatest raw id that a table may have.
    const GREATEST: u32 = 1 << 24;

    /// The ids that `id` finds in the rows.
    fn of<T: Sync>(rows: &[T], id: impl Fn(&T) -> u32 + Sync) -> Self {
        let greatest = rows.par_iter().map(&id).max().unwrap_or(0);
        if greatest > Self::GREATEST {
            let mut raw: Vec<u32> = rows.par_iter().map(&id).collect();
            raw.par_sort_unstable();
            raw.dedup();
            return Self {
                raw,
                table: Vec::new(),
            };
        }
        let mut seen = Vec::new();
        seen.resize_with(greatest as usize + 1, AtomicBool::default);
        rows.par_iter().for_each(|row| {
            let seen = &seen[id(row) as usize];
            // Looking first: a line of the cache that all only read is nobody's alone.
            if !seen.load(Relaxed) {
                seen.store(true, Relaxed);
            }
        });
        let mut table = vec![0; seen.len()];
        let mut raw = Vec::new();
        for (id, seen) in seen.into_iter().enumerate() {
            if seen.into_inner() {
                table[id] = raw.len() as u32;
                raw.push(id as u32);
            }
        }
        Self { raw, table }
    }

    /// The dense id of each row.
    fn dense<T: Sync>(&self, rows: &[T], id: impl Fn(&T) -> u32 + Sync) -> Vec<u32> {
        let ids = rows.par_iter().map(&id);
        if self.table.is_empty() {
            return ids
                .map(|id| self.raw.partition_point(|&known| known < id) as u32)
                .collect();
        }
        ids.map(|id| self.table[id as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(ratings: &[(u32, u32, f32, i64)]) -> RawCatalog {
        let films: BTreeSet<u32> = ratings.iter().map(|rating| rating.1).collect();
        RawCatalog {
            films: films
                .into_iter()
                .chain([1000])
                .map(|id| RawFilm {
                    id,
                    title: format!("Film {id}"),
                    ..RawFilm::default()
                })
                .collect(),
            ratings: ratings
                .iter()
                .map(|&(user, film, rating, timestamp)| RawRating {
                    user,
                    film,
                    rating,
                    timestamp,
                })
                .collect(),
            names: None,
        }
    }

    const ALL: Filter = Filter {
        min_rating: 0.0,
        min_interactions: 0,
    };

    #[test]
    fn ids_ascend_with_raw_ids_and_equal_times_keep_the_order_of_the_file() {
        let source = raw(&[
            (20, 7, 5.0, 50),
            (3, 9, 4.0, 10),
            (20, 2, 1.0, 50),
            (20, 9, 2.0, 40),
        ]);
        let catalog = Catalog::new(source, ALL).unwrap();
        let raw_ids: Vec<&str> = catalog
            .items
            .iter()
            .map(|item| item.raw_id.as_str())
            .collect();
        assert_eq!(raw_ids, ["2", "7", "9"]);
        assert_eq!(catalog.interactions.users, [0, 1, 1, 1]);
        assert_eq!(catalog.interactions.items, [2, 2, 1, 0]);
        assert_eq!(catalog.interactions.timestamps, [10, 40, 50, 50]);
        assert_eq!(catalog.users[1].raw_id, "20");
        let folder = tempfile::tempdir().unwrap();
        catalog.write(folder.path()).unwrap();
        assert_eq!(Catalog::read(folder.path()).unwrap(), catalog);
    }

    #[test]
    fn dense_ids_are_the_same_with_and_without_a_table() {
        let small = [7, 3, 3, 900_000, 0];
        let large = small.map(|id: u32| if id == 0 { 0 } else { id + Ids::GREATEST });
        let dense = |ids: [u32; 5]| Ids::of(&ids, |&id| id).dense(&ids, |&id| id);
        assert_eq!(dense(small), [2, 1, 1, 3, 0]);
        assert_eq!(dense(large), [2, 1, 1, 3, 0]);
        assert_eq!(dense([0; 5]), [0; 5]);
    }

    #[test]
    fn low_ratings_go_first_then_the_core_is_taken() {
        let source = raw(&[
            (1, 1, 5.0, 1),
            (1, 2, 5.0, 2),
            (2, 1, 5.0, 1),
            (2, 2, 5.0, 2),
            (3, 1, 5.0, 1),
            (3, 2, 1.0, 2),
        ]);
        let filter = Filter {
            min_rating: 2.0,
            min_interactions: 2,
        };
        let catalog = Catalog::new(source, filter).unwrap();
        assert_eq!(catalog.users.len(), 2);
        assert_eq!(catalog.summary()["fewest_of_an_item"], 2);
    }

    #[test]
    fn an_empty_result_says_which_filter_emptied_it() {
        let source = raw(&[(1, 1, 5.0, 1), (2, 1, 3.0, 1)]);
        let filter = Filter {
            min_rating: 4.0,
            min_interactions: 5,
        };
        assert_eq!(
            Catalog::new(source, filter).unwrap_err().to_string(),
            "no interactions are left: 2 were read, 1 have a rating of at least 4, and none of them is in the 5-core; \
             lower `min_rating` or `min_interactions`"
        );
    }
}
