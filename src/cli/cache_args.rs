//! What was typed after `cache`. Doc comments here are the help.

use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with the cache.
///
/// Limits come from the command line, or else ILM_PIPE_CACHE_MAX_SIZE and ILM_PIPE_CACHE_MAX_AGE, or else what
/// `cache limits` set, or else 20GiB and 90d.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List results: what made them, how large they are, when they were used
    Ls {
        /// Only stages of this name, or of this id
        #[arg(long, value_name = "STAGE")]
        stage: Option<String>,
        /// Only artifacts of this kind: `table`
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only results of at least this size: `100MiB`
        #[arg(long, value_name = "SIZE")]
        larger: Option<String>,
        /// Only results unused for this long: `30d`
        #[arg(long, value_name = "AGE")]
        older: Option<String>,
        /// Only results that no pipeline and no running process needs
        #[arg(long)]
        unneeded: bool,
        /// What comes first
        #[arg(long, value_enum, default_value_t = SortBy::Used)]
        sort: SortBy,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how large the cache is, by what is in it, and how much of it is needed
    Du {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what nobody needs: unused for long, above the limit of size, and what killed runs left
    ///
    /// The pipelines in the project's folder `pipelines/`, and those that ran with this cache and still exist, keep what
    /// they need, with every profile; running processes keep what they use.
    Gc {
        /// Say what would go, and for everything else why it stays; remove nothing
        #[arg(long)]
        dry_run: bool,
        /// Bytes of outputs and checkpoints: `50GiB`, or `none`
        #[arg(long, value_name = "SIZE")]
        max_size: Option<String>,
        /// Time since the last use: `60d`, or `none`
        #[arg(long, value_name = "AGE")]
        max_age: Option<String>,
        /// Pipeline files that keep what they need as well
        #[arg(long, value_name = "PIPELINE")]
        keep: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hash everything that is stored and report what is not as it was
    ///
    /// Exits with 3 when something is damaged and stays so.
    Verify {
        /// Remove what is damaged, so that the next run makes it anew
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say for one result what made it, from what, who needs it, and when it was used
    Why {
        /// The beginning of a key or of the hash of an output; with --pipeline, a stage
        what: String,
        /// The pipeline of the stage
        #[arg(long, value_name = "PIPELINE")]
        pipeline: Option<PathBuf>,
        /// Named set of parameters of the file
        #[arg(long, value_name = "NAME", requires = "pipeline")]
        profile: Option<String>,
        /// Set a parameter of the file: `--set query_tokens=4`
        #[arg(long, value_name = "NAME=VALUE", requires = "pipeline")]
        set: Vec<String>,
        /// Give a parameter several values, as for `run`
        #[arg(long, value_name = "NAME=VALUE,VALUE", requires = "pipeline")]
        sweep: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show or set how large the cache may become and how long an unused result stays
    Limits {
        /// Bytes of outputs and checkpoints: `50GiB`, or `none`
        #[arg(long, value_name = "SIZE")]
        max_size: Option<String>,
        /// Time since the last use: `60d`, or `none`
        #[arg(long, value_name = "AGE")]
        max_age: Option<String>,
        /// Forget what was set for this cache
        #[arg(long, conflicts_with_all = ["max_size", "max_age"])]
        reset: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What comes first in a list of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// The longest unused
    Used,
    /// The largest
    Size,
    /// Stages by name
    Stage,
    /// Kinds by name
    Kind,
}
