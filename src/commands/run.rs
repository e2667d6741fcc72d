//! `ilm-pipe run`: bring a pipeline up to date and print its tables.

use super::open::{Opened, open};
use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::exec::{self, RunEvent, RunSettings, RunSummary, Signals};
use crate::report::{HumanReporter, JsonLines, Reporter};
use crate::stages::ArtifactKind;
use serde_json::{Map, Value, json};

/// Stage names longer than this break the column rather than push it off the screen.
const WIDEST_NAME: usize = 40;

/// What was typed after `run`.
pub(super) struct RunOptions {
    pub(super) target: Vec<String>,
    pub(super) jobs: Option<usize>,
    pub(super) threads: Option<usize>,
    pub(super) keep_going: bool,
    pub(super) json: bool,
}

pub(super) fn run(
    args: &PipelineArgs,
    options: &RunOptions,
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
    let mut targets = Vec::new();
    for name in &options.target {
        targets.extend(opened.select(name)?);
    }
    let store = Store::at(&settings.cache);
    store.prepare()?;
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
        log: settings.log.as_ref().map(|log| log.filter.clone()),
        command: settings.command.clone(),
        jobs: options.jobs.unwrap_or(settings.cores),
        threads: options.threads.unwrap_or(settings.cores),
        keep_going: options.keep_going,
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
            let path = store.object_path(&record.output).join("table.txt");
            printer.result(&fs_err::read_to_string(path)?)?;
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
