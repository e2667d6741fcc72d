//! The `ilm-pipe` program: parse arguments, call the library, return its exit code.

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use ilm_pipe::cli::{Args, ExitStatus};
use std::process::ExitCode;

/// A third of the instructions of a run with nothing to do were the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A shell that wants candidates is answered here, and the program ends.
    CompleteEnv::with_factory(Args::command).complete();
    let args = Args::parse();
    ExitStatus::guard(|| ilm_pipe::commands::run(args)).into()
}
