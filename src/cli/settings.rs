//! What was meant: arguments, environment and defaults in one place.

use super::Args;
use super::args::When;
use crate::report::Verbosity;
use std::io::IsTerminal as _;
use std::path::PathBuf;

/// Settings of this invocation. Nothing here changes a result.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Folder that holds `datasets/`.
    pub project: PathBuf,
    /// How much is said.
    pub verbosity: Verbosity,
    /// Colour on standard error.
    pub colour: bool,
    /// Progress bars on standard error.
    pub bars: bool,
    /// What was typed.
    pub command: Vec<String>,
    /// This program.
    pub program: PathBuf,
    /// Cores that this process may use.
    pub cores: usize,
    /// `ILM_PIPE_CACHE_MAX_SIZE` as it was written: how large the cache may become.
    pub cache_max_size: Option<String>,
    /// `ILM_PIPE_CACHE_MAX_AGE` as it was written: how long an unused result stays.
    pub cache_max_age: Option<String>,
}

impl Settings {
    /// Reads arguments and environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn new(args: &Args) -> std::io::Result<Self> {
        let terminal = std::io::stderr().is_terminal();
        let no_colour = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
        let dumb = std::env::var("TERM").is_ok_and(|value| value == "dumb");
        Ok(Self {
            cache: args.cache.clone(),
            project: args.project.clone(),
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, true) => Verbosity::Verbose,
                _ => Verbosity::Normal,
            },
            colour: match args.color {
                When::Auto => terminal && !no_colour && !dumb,
                When::Always => true,
                When::Never => false,
            },
            bars: terminal && !dumb,
            command: std::env::args().collect(),
            program: std::env::current_exe()?,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cache_max_size: std::env::var("ILM_PIPE_CACHE_MAX_SIZE").ok(),
            cache_max_age: std::env::var("ILM_PIPE_CACHE_MAX_AGE").ok(),
        })
    }
}
