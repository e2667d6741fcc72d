//! Training: the optimiser, the schedule, checkpoints and the loop.
//!
//! | file | idea |
//! | --- | --- |
//! | `config` | every setting, the schedule of the learning rate |
//! | `groups` | parameters that learn otherwise than the rest |
//! | `judge` | the best evaluation, early stopping |
//! | `optimiser` | AdamW |
//! | `run` | the loop |
//! | `state` | from the loop to a checkpoint and back |
//! | `checkpoint` | the file |

mod checkpoint;
mod config;
mod groups;
mod judge;
mod optimiser;
mod run;
mod state;

pub use checkpoint::Checkpoint;
pub use config::{Fall, Keep, Schedule, TrainConfig};
pub use groups::Group;
pub use judge::{Better, Judge, Judged};
pub use optimiser::AdamW;
pub use run::{Ended, Losses, Mean, Metric, Objective, Trained, log_scalars, train};

#[cfg(test)]
mod tests;
