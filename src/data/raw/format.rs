//! Every format, and how the one in a folder is found.

use super::openp5::{self, Shipped};
use super::{Input, MovieLens, Reading, TagConfig, amazon};
use crate::data::{DataError, RawCatalog};
use std::path::Path;

/// How the files of a data set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// One of `MovieLens`'.
    MovieLens(MovieLens),
    /// Amazon's reviews of 2014.
    AmazonReviews,
    /// Amazon's ratings of 2014.
    AmazonRatings,
    /// `OpenP5`'s sequences.
    OpenP5,
}

/// What the parameters say about the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Where {
    /// Which tags are read (`MovieLens`).
    pub tags: TagConfig,
    /// The category in the files' names (Amazon); without one, no file is Amazon's.
    pub category: Option<String>,
    /// Index files beside those that `OpenP5` names (`OpenP5`).
    pub index_files: Vec<String>,
}

/// A data set as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Users, items and interactions.
    pub catalog: RawCatalog,
    /// Ids and prompts that came along.
    pub shipped: Shipped,
}

impl RawFormat {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::MovieLens(MovieLens::Hundred),
        Self::MovieLens(MovieLens::Million),
        Self::MovieLens(MovieLens::Csv),
        Self::AmazonReviews,
        Self::AmazonRatings,
        Self::OpenP5,
    ];

    /// The name in pipelines and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::MovieLens(format) => format.name(),
            Self::AmazonReviews => "amazon-reviews",
            Self::AmazonRatings => "amazon-ratings",
            Self::OpenP5 => "openp5",
        }
    }

    /// The files without which there is no data set: one of each group must be there.
    pub fn required(self, wanted: &Where) -> Vec<Vec<String>> {
        let owned = |name: &str| vec![name.to_owned()];
        match self {
            Self::MovieLens(format) => format.required().map(owned).to_vec(),
            Self::OpenP5 => vec![owned(openp5::SEQUENCES)],
            Self::AmazonReviews | Self::AmazonRatings => {
                let Some(category) = &wanted.category else {
                    return Vec::new();
                };
                let files = amazon::Files::of(category);
                vec![if self == Self::AmazonReviews {
                    files.reviews.to_vec()
                } else {
                    files.ratings.to_vec()
                }]
            }
        }
    }

    /// The files that are read where they are there.
    pub fn optional(self, wanted: &Where) -> Vec<String> {
        match self {
            Self::MovieLens(format) => {
                let names = format.optional(wanted.tags).iter();
                names.map(|&name| name.to_owned()).collect()
            }
            Self::OpenP5 => [openp5::ATTRIBUTES, openp5::PROMPTS, openp5::USERS]
                .into_iter()
                .chain(openp5::INDEX_FILES)
                .map(str::to_owned)
                .chain(wanted.index_files.iter().cloned())
                .collect(),
            Self::AmazonReviews | Self::AmazonRatings => {
                let files = wanted.category.as_deref().map(amazon::Files::of);
                files.map_or_else(Vec::new, |files| files.metadata.to_vec())
            }
        }
    }

    /// `a` and `b`; where one of several will do, the first.
    pub fn in_words(self, wanted: &Where) -> String {
        let groups = self.required(wanted);
        let names: Vec<String> = groups
            .iter()
            .filter_map(|group| group.first())
            .map(|name| format!("`{name}`"))
            .collect();
        names.join(" and ")
    }

    /// The format whose required files are all in `folder`; there must be exactly one.
    pub fn detect(folder: &Path, wanted: &Where) -> Result<Self, DataError> {
        let present = |name: &String| folder.join(name).is_file();
        let known: Vec<(Self, Vec<Vec<String>>)> = Self::ALL
            .into_iter()
            .map(|format| (format, format.required(wanted)))
            .filter(|(_, groups)| !groups.is_empty())
            .collect();
        let found: Vec<Self> = known
            .iter()
            .filter(|(_, groups)| groups.iter().all(|group| group.iter().any(present)))
            .map(|(format, _)| *format)
            .collect();
        if let [format] = found.as_slice() {
            return Ok(*format);
        }
        let words = |formats: &[Self], between: &str| {
            let formats = formats.iter();
            let words = formats.map(|f| format!("{} ({})", f.in_words(wanted), f.name()));
            words.collect::<Vec<_>>().join(between)
        };
        let mut single: Vec<&str> = Vec::new();
        for name in known.iter().flat_map(|(_, groups)| groups.iter().flatten()) {
            if present(name) && !single.contains(&name.as_str()) {
                single.push(name);
            }
        }
        let found = if !folder.is_dir() {
            "is not there".to_owned()
        } else if !found.is_empty() {
            format!("holds {}", words(&found, ", and "))
        } else if single.is_empty() {
            "holds none of them".to_owned()
        } else {
            format!("holds only `{}`", single.join("`, `"))
        };
        let all: Vec<Self> = known.into_iter().map(|(format, _)| format).collect();
        Err(DataError::Folder {
            folder: folder.to_owned(),
            found,
            expected: words(&all, ", or "),
        })
    }

    /// Reads the data set in `folder`.
    pub fn read(
        self,
        folder: &Path,
        wanted: &Where,
        reading: &Reading<'_>,
    ) -> Result<Found, DataError> {
        let only = |names: &[String]| -> Result<Option<Input<'static>>, DataError> {
            let name = amazon::only(folder, names)?;
            name.map(|name| Input::open(&folder.join(name))).transpose()
        };
        let mut inputs = Vec::new();
        for group in self.required(wanted) {
            inputs.push(only(&group)?.ok_or_else(|| DataError::Missing {
                path: folder.join(&group[0]),
                format: self.name(),
                expected: self.in_words(wanted),
            })?);
        }
        match self {
            Self::MovieLens(format) => Ok(Found {
                catalog: format.read(folder, wanted.tags, reading)?,
                shipped: Shipped::default(),
            }),
            Self::OpenP5 => {
                let attributes = only(&[openp5::ATTRIBUTES.to_owned()])?;
                let catalog = openp5::read_catalog(inputs.remove(0), attributes, reading)?;
                let mentioned = mentioned(&catalog);
                let shipped =
                    openp5::read_shipped(folder, &wanted.index_files, &mentioned, reading)?;
                Ok(Found { catalog, shipped })
            }
            Self::AmazonReviews | Self::AmazonRatings => {
                if inputs.is_empty() {
                    return Err(DataError::Folder {
                        folder: folder.to_owned(),
                        found: "has a name that tells no category".to_owned(),
                        expected: "set `category`, for instance `Beauty`".to_owned(),
                    });
                }
                let parse = if self == Self::AmazonReviews {
                    amazon::parse_review
                } else {
                    amazon::parse_rating
                };
                let metadata = only(&self.optional(wanted))?;
                Ok(Found {
                    catalog: amazon::read(inputs.remove(0), parse, metadata, reading)?,
                    shipped: Shipped::default(),
                })
            }
        }
    }
}

/// The users, and the items that a sequence mentions: those that an index must number.
fn mentioned(catalog: &RawCatalog) -> crate::data::RawNames {
    let names = catalog.names.clone().unwrap_or_default();
    let mut seen = vec![false; names.items.len()];
    for rating in &catalog.ratings {
        seen[rating.film as usize] = true;
    }
    let mut seen = seen.into_iter();
    let mut names = names;
    names.items.retain(|_| seen.next().unwrap_or(false));
    names
}
