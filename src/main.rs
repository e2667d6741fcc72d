//! The `ilm-pipe` program: parse arguments, call the library, return its exit code.

use clap::Parser as _;
use ilm_pipe::cli::{Args, ExitStatus};
use std::process::ExitCode;

/// A third of the instructions of a run with nothing to do were the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    ExitStatus::guard(|| ilm_pipe::commands::run(args)).into()
}
