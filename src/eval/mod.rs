//! Metrics, intervals and paired tests.
//!
//! Semantic consistency is the cosine of the sentence embeddings of a generated text and of its target (ELM, Tennenholtz
//! et al. 2024; ILM, Tables 2 and 3). Cosines of sentence encoders are compressed: unrelated texts may reach 0.7. So no
//! score is given without its *floor*, the same generated texts against the targets of other items, and without the
//! rates that show mode collapse (empty generations, share of distinct ones).
//!
//! Recommendation is measured by the rank of a held-out item among all others: [`ranking`].

mod compare;
mod error;
mod interval;
pub mod paper;
mod pool;
pub mod ranking;
pub mod reported;
mod scores;
mod similarity;

pub use compare::{PairedTest, paired_t};
pub use error::EvalError;
pub use interval::{Interval, TaskValues, bootstrap_mean, t_interval};
pub use pool::Pooled;
pub use scores::{Generation, Scores, TaskScores, score};
pub use similarity::{cosines, floor};
