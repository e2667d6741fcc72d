//! Training: the optimiser, the schedule, checkpoints and the loop.

mod checkpoint;
mod config;
mod optimiser;
mod run;

pub use checkpoint::Checkpoint;
pub use config::{Schedule, TrainConfig};
pub use optimiser::AdamW;
pub use run::{Losses, Mean, Metric, Objective, Trained, train};

#[cfg(test)]
mod tests;
