//! The `ilm-pipe` program: parse arguments, call the library, return its exit code.

use clap::{CommandFactory as _, Parser as _};
use clap_complete::CompleteEnv;
use ilm_pipe::cli::{Args, ExitStatus};
use std::process::ExitCode;

fn main() -> ExitCode {
    // A shell that wants candidates is answered here, and the program ends.
    CompleteEnv::with_factory(Args::command).complete();
    let args = Args::parse();
    ExitStatus::guard(|| ilm_pipe::commands::run(args)).into()
}
