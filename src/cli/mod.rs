//! The command line: what was typed, what was meant, and how the program ends.

mod args;
mod cache_args;
pub mod complete;
mod data;
mod exit;
mod failure;
mod logging;
#[cfg(test)]
mod messages;
mod printer;
mod settings;

pub use args::{
    Args, Command, DeviceChoice, GpuCheckArgs, GraphFormat, LogFormat, PipelineArgs, RunArgs,
    Shell, ValueArgs,
};
pub use cache_args::{CacheCommand, SortBy};
pub use data::DataCommand;
pub use exit::ExitStatus;
pub use failure::Failure;
pub use logging::Log;
pub use printer::Printer;
pub use settings::{FetchSettings, Settings};
