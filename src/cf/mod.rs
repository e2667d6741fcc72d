//! Collaborative filtering: vectors of users and items from who chose what.
//!
//! [`Csr`] holds the interactions, [`ials::fit`] turns them into [`Factors`], [`score`] ranks items with them.
//! [`ItemTokens`] are such vectors, and those of other sources, as the models' inputs.
//! The solver's inner parts are [`tiles`] (rank updates and Cholesky on 16 x 16 tiles) and [`gram`] (Gramians).

mod error;
mod factors;
pub mod gram;
pub mod ials;
mod item_tokens;
mod matrix;
pub mod score;
pub mod tiles;

pub use error::CfError;
pub use factors::Factors;
pub use ials::IalsConfig;
pub use item_tokens::{ItemTokens, Source, combine};
pub use matrix::Csr;
