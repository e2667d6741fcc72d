//! Interactions and items: raw formats, schema, filters, splits, the demo catalogue.
//!
//! [`raw`] reads the files of a data set strictly, [`demo`] invents one; both give a [`RawCatalog`]. A [`Filter`]
//! and dense ids make a [`Catalog`] of it, and [`Split`] cuts that by time.

mod catalog;
pub mod demo;
mod error;
mod interactions;
mod item;
mod kcore;
mod parquet;
pub mod raw;
mod split;

pub use catalog::{Catalog, Filter, RawCatalog, RawFilm, RawNames, RawRating};
pub use error::{DataError, Problems};
pub use interactions::Interactions;
pub use item::{Item, ItemSort, User, describe, read_items};
pub use kcore::k_core;
pub use parquet::{Cell, Columns, Table, read as read_parquet};
pub use split::{LEAST_TO_SPLIT, Split};
