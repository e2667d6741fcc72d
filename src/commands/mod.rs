//! One file a command.

mod accept;
mod cache;
mod check;
mod completions;
mod data;
mod diff;
mod doctor;
mod expand;
mod explain;
mod gpu_check;
mod graph;
mod logs;
mod open;
mod plan;
mod provenance;
mod run;
mod runs;
mod schema;
mod selection;
mod show;
mod state;
mod trace;
mod uses;
mod worker;

use crate::cli::{Args, Command, ExitStatus, Failure, Printer, Settings};

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
    if let Some(Err(failure)) = settings.log.as_ref().map(|log| log.start(settings.colour)) {
        printer.talk(&failure.render(settings.colour));
        return failure.status();
    }
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
        Command::Run { pipeline, options } => run::run(&pipeline, &options, settings, printer),
        Command::Plan {
            pipeline,
            exit_code,
            json,
        } => plan::plan(&pipeline, exit_code, json, settings, printer),
        Command::Check {
            files,
            profile,
            values,
            json,
        } => check::check(&files, profile.as_deref(), &values, json, settings, printer),
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
        Command::Schema => schema::schema(printer),
        Command::Completions { shell } => completions::completions(shell, settings, printer),
        Command::Data { command } => data::data(command, settings, printer),
        Command::GpuCheck { options } => gpu_check::gpu_check(&options, settings, printer),
        Command::Doctor { json } => doctor::doctor(json, settings, printer),
        Command::Logs {
            pipeline,
            stage,
            run,
            follow,
            json,
        } => logs::logs(
            &pipeline,
            &stage,
            run.as_deref(),
            follow,
            json,
            settings,
            printer,
        ),
        Command::Accept {
            pipeline,
            stage,
            reason,
            undo: _,
            json,
        } => accept::accept(
            &pipeline,
            &stage,
            reason.as_deref(),
            json,
            settings,
            printer,
        ),
        Command::Cache { command } => cache::cache(command, settings, printer),
        Command::Runs { limit, json } => runs::runs(limit, json, settings, printer),
        Command::Diff {
            old,
            new,
            plan,
            profile,
            values,
            json,
        } => {
            let sides = diff::Sides::new(old, new, plan, profile, values)?;
            diff::diff(&sides, json, settings, printer)
        }
        Command::Trace { run, output } => trace::trace(&run, output.as_deref(), settings, printer),
        Command::Worker => worker::worker(),
    }
}
