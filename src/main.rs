//! The `ilm-pipe` program: parse arguments, call the library, return its exit code.

use clap::Parser as _;
use ilm_pipe::cli::{Args, ExitStatus};
use std::process::ExitCode;

/// A third of the instructions of a run with nothing to do were the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic has printed its message; the code tells scripts that it is a bug and no wrong input.
    std::panic::catch_unwind(|| ilm_pipe::commands::run(args))
        .unwrap_or(ExitStatus::Bug)
        .into()
}
