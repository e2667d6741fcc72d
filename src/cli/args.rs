//! What was typed. Doc comments here are the help.

use super::complete;
use super::{CacheCommand, DataCommand};
use crate::nn::device::Device;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;
use std::str::FromStr;

/// Shown below the help of the program.
const EXIT_CODES: &str = "\
Exit codes:
    0  done; `plan`: whatever it says
    1  a stage failed, or could not run because of one that did
    2  wrong command line or pipeline; `plan --exit-code`: something would run
    3  files, cache or devices: something outside the pipeline
   70  a bug of this program
  130  interrupted";

/// Declare an Item Language Model experiment as a TOML pipeline and regenerate its tables, reproducibly
///
/// Stages whose results are in the cache are not run again; `plan` and `explain` say why one would be.
///
/// Environment: ILM_PIPE_LOG=debug logs what the engine and its workers do to standard error, as `-vv` does; a filter such as
/// `ilm_pipe::plan=trace,warn` chooses by room. NO_COLOR turns colour off.
#[derive(Debug, Parser)]
#[command(name = "ilm-pipe", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Args {
    /// Folder of the cache
    #[arg(long, global = true, value_name = "FOLDER", default_value = "cache", add = ArgValueCompleter::new(complete::folders))]
    pub cache: PathBuf,

    /// Folder that holds `datasets/`
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".", add = ArgValueCompleter::new(complete::folders))]
    pub project: PathBuf,

    /// Say errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more: fresh stages, every cause, notes of stages; `-vv` also logs what the engine does, `-vvv` in detail
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Log what the engine does, as text or JSON lines [default: text, with `-vv` or ILM_PIPE_LOG]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

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

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line of text an event
    Text,
    /// A JSON object a line an event
    Json,
}

/// Which pipeline, with which values.
#[derive(Clone, Debug, clap::Args)]
pub struct PipelineArgs {
    /// Pipeline file
    #[arg(value_name = "PIPELINE", add = ArgValueCompleter::new(complete::pipelines))]
    pub file: PathBuf,

    /// Named set of parameters of the file
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::profiles))]
    pub profile: Option<String>,

    /// Values of parameters.
    #[command(flatten)]
    pub values: ValueArgs,
}

/// Values for parameters of the file.
#[derive(Clone, Debug, clap::Args)]
pub struct ValueArgs {
    /// Set a parameter of the file: `--set query_tokens=4`
    #[arg(long, value_name = "NAME=VALUE", add = ArgValueCompleter::new(complete::parameters))]
    pub set: Vec<String>,

    /// Give a parameter several values, and every stage that depends on it one arm a value: `--sweep query_tokens=1,2,4,8`,
    /// `--sweep seed=1..5`
    #[arg(long, value_name = "NAME=VALUE,VALUE", add = ArgValueCompleter::new(complete::parameters))]
    pub sweep: Vec<String>,
}

/// Where networks are trained and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU where this program can use one, and else the processor.
    Auto,
    /// Whichever GPU is free.
    Gpu,
    /// This one.
    Of(Device),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Gpu),
            _ => text
                .parse()
                .map(Self::Of)
                .map_err(|error: String| format!("{error}, and `auto`")),
        }
    }
}

/// How a pipeline is run.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Stages (or swept stages) to bring up to date, with what they need; all without it
    #[arg(long, value_name = "STAGE", add = ArgValueCompleter::new(complete::stages))]
    pub target: Vec<String>,

    /// Stages to bring up to date with everything after them, and what all of that needs
    #[arg(long, value_name = "STAGE", add = ArgValueCompleter::new(complete::stages))]
    pub downstream: Vec<String>,

    /// Only what failed, was stopped or was kept from running in the last run of this pipeline and profile
    #[arg(long, conflicts_with_all = ["target", "downstream"])]
    pub retry_failed: bool,

    /// Slots for stages that run at the same time; a stage takes as many as its `cpus` [default: number of cores]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,

    /// Threads of each stage [default: number of cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// GPUs to hand out to stages that ask for `gpus`, as `0,1` [default: those of CUDA_VISIBLE_DEVICES, or else all]
    #[arg(long, value_name = "IDS")]
    pub gpus: Option<String>,

    /// Where networks are trained and run: `cpu`, `cuda`, `cuda:1` (the second GPU only) or `auto` (GPUs where there are any); on `cuda`
    /// each stage with a network has a GPU for itself
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceChoice,

    /// After a failure, run everything that does not need the failed stage
    #[arg(long)]
    pub keep_going: bool,

    /// After a failure, stop what is running, too; without it, running stages go on to their end
    #[arg(long, conflicts_with = "keep_going")]
    pub fail_fast: bool,

    /// Leave the cache as it is afterwards, also when it is above its limits
    #[arg(long)]
    pub no_gc: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// How a GPU is checked.
#[derive(Clone, Debug, clap::Args)]
pub struct GpuCheckArgs {
    /// What is compared with the CPU: `cuda`, `cuda:1`, or `cpu` for the CPU itself with its operations composed as on a GPU
    #[arg(long, value_name = "DEVICE", default_value = "cuda")]
    pub device: Device,

    /// Steps of each training
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(2..))]
    pub steps: u64,

    /// Small networks: seconds in place of minutes, and no speeds that mean anything
    #[arg(long)]
    pub quick: bool,

    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,

    /// Check this one way of computing products in this process
    #[arg(long, hide = true)]
    pub tf32: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a pipeline up to date: run what is missing, reuse the rest, print its tables
    Run {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// How.
        #[command(flatten)]
        options: RunArgs,
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
        #[arg(value_name = "PIPELINE", required = true, add = ArgValueCompleter::new(complete::pipelines))]
        files: Vec<PathBuf>,
        /// Named set of parameters of the files
        #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::profiles))]
        profile: Option<String>,
        /// Values of parameters.
        #[command(flatten)]
        values: ValueArgs,
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
        #[arg(add = ArgValueCompleter::new(complete::stages))]
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
        #[arg(add = ArgValueCompleter::new(complete::stages))]
        stage: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of pipeline files, for editors
    Schema,
    /// Print what a shell reads to complete pipelines, stages, profiles and parameters
    ///
    /// bash: `source <(ilm-pipe completions bash)` in ~/.bashrc; zsh: the same with `zsh` in ~/.zshrc, after `compinit`;
    /// fish: `ilm-pipe completions fish > ~/.config/fish/completions/ilm-pipe.fish`
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Data sets and models: what there is, how to get it, whether it is intact
    Data {
        /// What to do.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Say what this machine has, whether the cache can be used, and what is missing for what
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check that a GPU computes what the CPU computes, and measure how fast; only in programs built with CUDA
    ///
    /// Compares every operation and every model, forward and backward, and trains four networks on both; once with products of 32-bit
    /// numbers as they are, and once rounded to TF32. Exits with 3 when something differs.
    GpuCheck {
        /// How.
        #[command(flatten)]
        options: GpuCheckArgs,
    },
    /// Show what a stage reported, attempt by attempt; also of a stage that is fresh
    Logs {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// A stage, or a swept stage for all its arms
        stage: String,
        /// Only attempts of this run, or of runs that begin so
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Go on until the attempt that is running has ended
        #[arg(long, short, conflicts_with = "json")]
        follow: bool,
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
    /// Let the output of a stage stand although its parameters, version or files changed
    ///
    /// For changes that you know to be cosmetic. The old output is recorded as the result of what the stage depends on
    /// now, with your reason; stages after it stay fresh, and every report says that it was accepted and not computed.
    Accept {
        /// The pipeline.
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// A stage, or a swept stage for all its arms
        stage: String,
        /// Why the change cannot change the output
        #[arg(long, required_unless_present = "undo")]
        reason: Option<String>,
        /// Take the last acceptance back: the stage runs again
        #[arg(long, conflicts_with = "reason")]
        undo: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List, measure, check and clean what is stored
    Cache {
        /// What to do with it.
        #[command(subcommand)]
        command: CacheCommand,
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
        /// Values of parameters of the planned file.
        #[command(flatten)]
        values: ValueArgs,
        /// Print every difference, complete, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a run as a trace for Perfetto or Chrome: slots, stages, causes, losses over time
    ///
    /// Open the file in ui.perfetto.dev (it is read in the browser and sent nowhere) or in chrome://tracing.
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

/// A shell that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// Language of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Mermaid, as Markdown pages show it
    Mermaid,
    /// Graphviz
    Dot,
}
