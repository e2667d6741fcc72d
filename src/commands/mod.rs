//! One file a command.

mod check;
mod diff;
mod expand;
mod explain;
mod graph;
mod open;
mod plan;
mod provenance;
mod run;
mod runs;
mod show;
mod state;
mod trace;
mod worker;

use crate::cli::{Args, Command, ExitStatus, Failure, PipelineArgs, Printer, Settings};

/// Does what was typed.
pub fn run(args: Args) -> ExitStatus {
    let printer = Printer;
    let settings = match Settings::new(&args) {
        Ok(settings) => settings,
        Err(error) => {
            let failure = Failure::Io(error);
            printer.talk(&failure.render(false));
            return failure.status();
        }
    };
    match dispatch(args.command, &settings, printer) {
        Ok(status) => status,
        Err(failure) => {
            printer.talk(&failure.render(settings.colour));
            failure.status()
        }
    }
}

fn dispatch(
    command: Command,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    match command {
        Command::Run {
            pipeline,
            target,
            jobs,
            threads,
            keep_going,
            json,
        } => {
            let options = run::RunOptions {
                target,
                jobs,
                threads,
                keep_going,
                json,
            };
            run::run(&pipeline, &options, settings, printer)
        }
        Command::Plan {
            pipeline,
            exit_code,
            json,
        } => plan::plan(&pipeline, exit_code, json, settings, printer),
        Command::Check {
            files,
            profile,
            json,
        } => check::check(&files, profile.as_deref(), json, settings, printer),
        Command::Expand { pipeline, json } => expand::expand(&pipeline, json, printer),
        Command::Graph {
            pipeline,
            format,
            arms,
            json,
        } => graph::graph(&pipeline, format, arms, json, printer),
        Command::Show {
            pipeline,
            stage,
            provenance,
            json,
        } => {
            let options = show::ShowOptions { provenance, json };
            show::show(&pipeline, stage.as_deref(), &options, settings, printer)
        }
        Command::Explain {
            pipeline,
            stage,
            json,
        } => explain::explain(&pipeline, &stage, json, settings, printer),
        Command::Runs { limit, json } => runs::runs(limit, json, settings, printer),
        Command::Diff {
            old,
            new,
            plan,
            profile,
            set,
            json,
        } => {
            let plan = plan.map(|file| PipelineArgs { file, profile, set });
            diff::diff(
                old.as_deref(),
                new.as_deref(),
                plan.as_ref(),
                json,
                settings,
                printer,
            )
        }
        Command::Trace { run, output } => trace::trace(&run, output.as_deref(), settings, printer),
        Command::Worker => worker::worker(),
    }
}
