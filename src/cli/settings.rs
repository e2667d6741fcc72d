//! What was meant: arguments, environment and defaults in one place.

use super::args::When;
use super::{Args, Log};
use crate::exec::LOG_VARIABLE;
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
    /// What is logged.
    pub log: Option<Log>,
    /// What was typed.
    pub command: Vec<String>,
    /// This program.
    pub program: PathBuf,
    /// `CUDA_VISIBLE_DEVICES` of the caller: the devices that this process may use.
    pub visible_gpus: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// `ILM_PIPE_CACHE_MAX_SIZE` as it was written: how large the cache may become.
    pub cache_max_size: Option<String>,
    /// `ILM_PIPE_CACHE_MAX_AGE` as it was written: how long an unused result stays.
    pub cache_max_age: Option<String>,
    /// Where data sets come from.
    pub fetch: FetchSettings,
}

/// Where data sets come from, as far as the environment says.
#[derive(Clone, Debug, Default)]
pub struct FetchSettings {
    /// `ILM_PIPE_MIRROR`: a folder or a base address.
    pub mirror: Option<String>,
    /// `PIP_INDEX_URL`.
    pub index: Option<String>,
    /// Certificates to trust: the first of `SSL_CERT_FILE`, `PIP_CERT`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`.
    pub certificates: Option<PathBuf>,
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
        let log = Log::wanted(args, std::env::var(LOG_VARIABLE).ok());
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Ok(Self {
            cache: args.cache.clone(),
            project: args.project.clone(),
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, 0) => Verbosity::Normal,
                _ => Verbosity::Verbose,
            },
            colour: match args.color {
                When::Auto => terminal && !no_colour && !dumb,
                When::Always => true,
                When::Never => false,
            },
            // The lines of a log and bars would overwrite one another.
            bars: terminal && !dumb && log.is_none(),
            log,
            command: std::env::args().collect(),
            program: std::env::current_exe()?,
            visible_gpus: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cache_max_size: text("ILM_PIPE_CACHE_MAX_SIZE"),
            cache_max_age: text("ILM_PIPE_CACHE_MAX_AGE"),
            fetch: FetchSettings {
                mirror: text("ILM_PIPE_MIRROR"),
                index: text("PIP_INDEX_URL"),
                certificates: [
                    "SSL_CERT_FILE",
                    "PIP_CERT",
                    "REQUESTS_CA_BUNDLE",
                    "CURL_CA_BUNDLE",
                ]
                .into_iter()
                .find_map(text)
                .map(PathBuf::from),
            },
        })
    }
}
