//! `ilm-pipe run`: bring a pipeline up to date and print its tables.

use super::open::{Opened, open};
use super::selection::targets;
use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, RunArgs, Settings};
use crate::clock;
use crate::exec::{self, OnFailure, RunEvent, RunSettings, RunSummary, Signals};
use crate::report::{HumanReporter, JsonLines, Reporter};
use crate::spec::StageSpec;
use crate::stages::ArtifactKind;
use serde_json::{Map, Value, json};

/// Stage names longer than this break the column rather than push it off the screen.
const WIDEST_NAME: usize = 40;

pub(super) fn run(
    args: &PipelineArgs,
    options: &RunArgs,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    for (name, value) in [("--jobs", options.jobs), ("--threads", options.threads)] {
        if value == Some(0) {
            return Err(Failure::Usage(
                format!("`{name}` is 0, but must be at least 1"),
                None,
            ));
        }
    }
    let opened = open(args)?;
    let store = Store::at(&settings.cache);
    let targets = targets(options, &opened, &store, printer)?;
    let gpus = gpus(options, &opened, settings)?;
    store.prepare()?;
    store.sweep();
    let now = clock::since_epoch_ns();
    let run = format!(
        "{}-{}",
        clock::timestamp(now).replace([':', '-'], ""),
        std::process::id()
    );
    let log = store.run_path(&run);
    let width = opened.pipeline.stages.iter().map(|s| s.id.len()).max();
    let mut human = HumanReporter::new(
        std::io::stderr(),
        settings.verbosity,
        settings.colour,
        settings.bars,
        width.unwrap_or(0).min(WIDEST_NAME),
        log.display().to_string(),
    );
    let mut lines = JsonLines::create(&log);
    let run_settings = RunSettings {
        program: settings.program.clone(),
        project: settings.project.clone(),
        run,
        command: settings.command.clone(),
        jobs: options.jobs.unwrap_or(settings.cores),
        threads: options.threads.unwrap_or(settings.cores),
        gpus,
        on_failure: match (options.keep_going, options.fail_fast) {
            (true, _) => OnFailure::KeepGoing,
            (_, true) => OnFailure::Stop,
            _ => OnFailure::Finish,
        },
        targets,
    };
    let signals = Signals::take()?;
    let mut events = |event: &RunEvent| {
        lines.event(event);
        human.event(event);
    };
    let summary = exec::execute(
        &opened.pipeline,
        &opened.graph,
        &store,
        &run_settings,
        signals,
        &mut events,
    )?;
    if options.json {
        printer.json(&outcome(&opened, &summary, &run_settings.run))?;
    } else {
        print_tables(&opened, &store, &summary, printer)?;
    }
    Ok(if summary.interrupted {
        ExitStatus::Interrupted
    } else if summary.failed + summary.blocked + summary.stopped > 0 {
        ExitStatus::StageFailed
    } else {
        ExitStatus::Done
    })
}

/// The devices that stages may get; nobody looks for any when no stage asks for one.
fn gpus(options: &RunArgs, opened: &Opened, settings: &Settings) -> Result<Vec<String>, Failure> {
    let asked = |stage: &StageSpec| stage.execution.gpus > 0;
    let gpus = match (&options.gpus, &settings.visible_gpus) {
        (Some(list), _) => exec::listed_gpus(list),
        _ if !opened.pipeline.stages.iter().any(asked) => Vec::new(),
        (None, Some(list)) => exec::listed_gpus(list),
        (None, None) => exec::machine_gpus(),
    };
    let twice = gpus
        .iter()
        .enumerate()
        .find(|(at, id)| gpus[..*at].contains(id));
    match twice {
        None => Ok(gpus),
        Some((_, id)) => Err(Failure::Usage(
            format!("the GPU `{id}` is listed twice, but each is handed out once"),
            None,
        )),
    }
}

/// Prints every table that no other stage reads.
fn print_tables(
    opened: &Opened,
    store: &Store,
    summary: &RunSummary,
    printer: Printer,
) -> Result<(), Failure> {
    for (index, record) in summary.records.iter().enumerate() {
        let Some(record) = record else { continue };
        if record.kind == ArtifactKind::Table && opened.graph.dependents(index).is_empty() {
            let text = store.read_file(record, "table.txt")?;
            printer.result(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(())
}

fn outcome(opened: &Opened, summary: &RunSummary, run: &str) -> Value {
    let stages: Map<String, Value> = opened
        .pipeline
        .stages
        .iter()
        .zip(&summary.records)
        .filter_map(|(stage, record)| {
            let record = record.as_ref()?;
            let value = json!({
                "key": record.key, "output": record.output, "summary": record.summary,
            });
            Some((stage.id.clone(), value))
        })
        .collect();
    json!({
        "run": run,
        "pipeline": opened.pipeline.name,
        "ran": summary.ran,
        "fresh": summary.fresh,
        "failed": summary.failed,
        "blocked": summary.blocked,
        "stopped": summary.stopped,
        "stages": stages,
    })
}
