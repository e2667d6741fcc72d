//! The command line: what was typed, what was meant, and how the program ends.

mod args;
mod data;
mod exit;
mod failure;
mod printer;
mod settings;

pub use args::{Args, Command, GraphFormat, PipelineArgs, RunArgs, ValueArgs};
pub use data::DataCommand;
pub use exit::ExitStatus;
pub use failure::Failure;
pub use printer::Printer;
pub use settings::{FetchSettings, Settings};
