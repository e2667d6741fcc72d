//! What was typed. Doc comments here are the help.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Declare an Item Language Model experiment as a TOML pipeline and regenerate its tables, reproducibly
///
/// Exit codes: 0 done; 1 a stage failed; 2 wrong command line or pipeline; 3 files, cache or device; 70 a bug;
/// 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "ilm-pipe", version, max_term_width = 100)]
pub struct Args {
    /// Folder of the cache
    #[arg(long, global = true, value_name = "FOLDER", default_value = "cache")]
    pub cache: PathBuf,

    /// Folder that holds `datasets/`
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    pub project: PathBuf,

    /// Say errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more: fresh stages, every cause, notes of stages
    #[arg(long, short, global = true)]
    pub verbose: bool,

    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub color: When,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Which pipeline, with which values.
#[derive(Clone, Debug, clap::Args)]
pub struct PipelineArgs {
    /// Pipeline file
    #[arg(value_name = "PIPELINE")]
    pub file: PathBuf,

    /// Named set of parameters of the file
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Set a parameter of the file: `--set query_tokens=4`
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a pipeline up to date: run what is missing, reuse the rest, print its tables
    Run {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Stages (or swept stages) to bring up to date, with what they need; all without it
        #[arg(long, value_name = "STAGE")]
        target: Vec<String>,
        /// Slots for stages that run at the same time [default: number of cores]
        #[arg(long, short, value_name = "N")]
        jobs: Option<usize>,
        /// Threads of each stage [default: number of cores]
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
        /// After a failure, run what does not depend on it
        #[arg(long)]
        keep_going: bool,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what a run would do, and why; run nothing
    Plan {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Exit with 2 when something would run
        #[arg(long)]
        exit_code: bool,
        /// Print the plan with every fingerprint as JSON
        #[arg(long)]
        json: bool,
    },
    /// Check pipeline files and report every problem; run nothing
    Check {
        /// Pipeline files
        #[arg(value_name = "PIPELINE", required = true)]
        files: Vec<PathBuf>,
        /// Named set of parameters of the files
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// Print the outcome as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the pipeline with every value resolved and every swept stage written out
    Expand {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Print JSON in place of TOML
        #[arg(long)]
        json: bool,
    },
    /// Draw what depends on what
    Graph {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Language of the drawing
        #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
        format: GraphFormat,
        /// Draw every arm of a swept stage
        #[arg(long)]
        arms: bool,
        /// Print stages and edges as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what stages made: counts, files, where and when; for a table, the table
    Show {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// A stage, or a swept stage for all its arms; without it, one line a stage
        stage: Option<String>,
        /// Show everything that the artifact came from, as a tree; with `--json`, as a graph in the names of W3C PROV
        #[arg(long, requires = "stage")]
        provenance: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say for one stage whether it is fresh, everything that its result depends on, and what changed
    Explain {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// A stage, or a swept stage for all its arms
        stage: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the runs that there were, the newest first
    Runs {
        /// List at most N runs [default: 20; with `--json` all]
        #[arg(long, short = 'n', value_name = "N")]
        limit: Option<usize>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare two runs, or a run with the plan of a pipeline: parameters, inputs, metrics, tables cell by cell
    ///
    /// A run is named by `latest`, `latest~1` (the one before it) and so on, or by the beginning of its name, as
    /// `ilm-pipe runs` lists it.
    Diff {
        /// The older run [default: latest~1; with `--plan` latest]
        #[arg(value_name = "RUN1")]
        old: Option<String>,
        /// The newer run [default: latest]
        #[arg(value_name = "RUN2", conflicts_with = "plan")]
        new: Option<String>,
        /// Compare with the plan of this pipeline as it stands, in place of a second run
        #[arg(long, value_name = "PIPELINE")]
        plan: Option<PathBuf>,
        /// Named set of parameters of the planned file
        #[arg(long, value_name = "NAME", requires = "plan")]
        profile: Option<String>,
        /// Set a parameter of the planned file
        #[arg(long, value_name = "NAME=VALUE", requires = "plan")]
        set: Vec<String>,
        /// Print every difference, complete, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a run as a trace for Perfetto or Chrome: slots, stages, causes, losses over time
    ///
    /// Open the file in https://ui.perfetto.dev (it is read in the browser and sent nowhere) or in chrome://tracing.
    Trace {
        /// The run: `latest`, `latest~1`, or the beginning of its name
        #[arg(value_name = "RUN")]
        run: String,
        /// Write to this file; to standard output without it
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Run one stage for a runner: a task on standard input, messages on standard output
    #[command(hide = true)]
    Worker,
}

/// Language of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Mermaid, as Markdown pages show it
    Mermaid,
    /// Graphviz
    Dot,
}
