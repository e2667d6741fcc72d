//! `ilm-pipe run`: bring a pipeline up to date and print its tables.

use super::cache::gc;
use super::open::{Opened, open};
use super::selection::targets;
use crate::artifact::{Decision, KnownPipeline, Store};
use crate::cli::{DeviceChoice, ExitStatus, Failure, PipelineArgs, Printer, RunArgs, Settings};
use crate::clock;
use crate::exec::{self, OnFailure, RunEvent, RunSettings, RunSummary, Signals, StageOutcome};
use crate::nn::NnError;
use crate::nn::device::{Device, HAS_CUDA};
use crate::report::{HumanReporter, JsonLines, Reporter, StageLogs, Verbosity};
use crate::spec::StageSpec;
use crate::stages::ArtifactKind;
use serde_json::{Map, Value, json};

/// Stage names longer than this break the column rather than push it off the screen.
const WIDEST_NAME: usize = 40;

/// This many failed stages are named with their logs.
const NAMED_FAILURES: usize = 3;

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
    // The program ends with the command: to free thousands of stages one by one would only keep a person waiting.
    let mut opened = std::mem::ManuallyDrop::new(open(args)?);
    let store = Store::at(&settings.cache);
    let targets = targets(options, &opened, &store, printer)?;
    let (device, gpus) = devices(options, &mut opened, settings, printer)?;
    store.prepare()?;
    store.sweep();
    let now = clock::since_epoch_ns();
    let run = format!(
        "{}-{}",
        clock::timestamp(now).replace([':', '-'], ""),
        std::process::id()
    );
    let store = store.enter(&run);
    note_pipeline(&store, &opened, settings);
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
    let mut logs = StageLogs::new(|key| store.log_path(key));
    let mut failed = Vec::new();
    let run_settings = RunSettings {
        program: settings.program.clone(),
        project: settings.project.clone(),
        run,
        log: settings.log.as_ref().map(|log| log.filter.clone()),
        command: settings.command.clone(),
        jobs: options.jobs.unwrap_or(settings.cores),
        threads: options.threads.unwrap_or(settings.cores),
        gpus,
        device,
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
        logs.event(event);
        human.event(event);
        if let RunEvent::StageEnded {
            stage,
            outcome: StageOutcome::Failed { .. },
            ..
        } = event
        {
            failed.push(stage.clone());
        }
    };
    let summary = exec::execute(
        &opened.pipeline,
        &opened.graph,
        &store,
        &run_settings,
        signals,
        &mut events,
    )?;
    for stage in failed.iter().take(NAMED_FAILURES) {
        printer.talk(&format!("log: {}", logs_command(args, settings, stage)));
    }
    if settings.verbosity > Verbosity::Quiet {
        say_accepted(&opened, &summary, printer);
    }
    store.note_growth();
    let collected = if summary.ran > 0 && !summary.interrupted && !options.no_gc {
        collect(&store, args, settings, printer)
    } else {
        None
    };
    if options.json {
        let outcome = outcome(&opened, &summary, &run_settings.run, collected.as_ref());
        printer.json(&outcome)?;
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

/// The device of stages with networks, as a worker sees it, and the GPUs to hand out. On a GPU each of those stages takes one for itself,
/// whether or not its file says `gpus`.
fn devices(
    options: &RunArgs,
    opened: &mut Opened,
    settings: &Settings,
    printer: Printer,
) -> Result<(Device, Vec<String>), Failure> {
    let all = || match (&options.gpus, &settings.visible_gpus) {
        (Some(list), _) | (None, Some(list)) => exec::listed_gpus(list),
        (None, None) => exec::machine_gpus(),
    };
    let wanted = match options.device {
        DeviceChoice::Of(device) => device,
        DeviceChoice::Gpu => Device::Cuda(0),
        DeviceChoice::Auto if HAS_CUDA && !all().is_empty() => match usable(Device::Cuda(0)) {
            Ok(()) => Device::Cuda(0),
            Err(why) => {
                printer.talk(&format!("networks run on the processor: {why}"));
                Device::Cpu
            }
        },
        DeviceChoice::Auto => Device::Cpu,
    };
    let Device::Cuda(ordinal) = wanted else {
        return Ok((Device::Cpu, gpus(options, opened, settings)?));
    };
    usable(wanted).map_err(|why| {
        let hint = "`ilm-pipe doctor` says which GPU and driver this machine has";
        Failure::Device(why.to_string(), HAS_CUDA.then(|| hint.to_owned()))
    })?;
    let mut there = all();
    once_each(&there)?;
    if there.len() <= ordinal {
        return Err(Failure::Device(
            format!("`{wanted}` is not there: {}", match there.len() {
                0 => "no GPU is visible".to_owned(),
                count => format!("{count} of the GPUs are visible"),
            }),
            Some("`ilm-pipe doctor` says what this machine has; GPUs are those of `--gpus 0,1`, or else of CUDA_VISIBLE_DEVICES, \
                  or else all of the machine's".to_owned()),
        ));
    }
    if let DeviceChoice::Of(_) = options.device {
        there = vec![there.swap_remove(ordinal)];
    }
    for stage in &mut opened.pipeline.stages {
        if stage.kind.networks && stage.execution.gpus == 0 {
            stage.execution.gpus = 1;
        }
    }
    Ok((Device::Cuda(0), there))
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
    once_each(&gpus)?;
    Ok(gpus)
}

/// Whether this program can use CUDA here: told before anything runs.
#[cfg(feature = "cuda")]
fn usable(_: Device) -> Result<(), NnError> {
    crate::nn::cuda::count().map(drop)
}

/// Whether this program can use CUDA here: told before anything runs.
#[cfg(not(feature = "cuda"))]
fn usable(device: Device) -> Result<(), NnError> {
    Err(crate::nn::device::without_cuda(device))
}

/// Refuses a list that has a GPU twice.
fn once_each(gpus: &[String]) -> Result<(), Failure> {
    let twice = gpus
        .iter()
        .enumerate()
        .find(|(at, id)| gpus[..*at].contains(id));
    match twice {
        None => Ok(()),
        Some((_, id)) => Err(Failure::Usage(
            format!("the GPU `{id}` is listed twice, but each is handed out once"),
            None,
        )),
    }
}

/// Remembers the pipeline, so that what it needs is not swept. A cache that cannot be written to is not swept either.
fn note_pipeline(store: &Store, opened: &Opened, settings: &Settings) {
    let absolute = |path| std::path::absolute(path);
    if let (Ok(file), Ok(project)) = (absolute(&opened.pipeline.file), absolute(&settings.project))
    {
        let name = opened.pipeline.name.clone();
        let _ = store.note_pipeline(&KnownPipeline {
            file,
            project,
            name,
        });
    }
}

/// What to type to see why a stage failed.
fn logs_command(args: &PipelineArgs, settings: &Settings, stage: &str) -> String {
    let mut words = vec!["ilm-pipe".to_owned(), "logs".to_owned()];
    for (flag, path, default) in [
        ("--cache", &settings.cache, "cache"),
        ("--project", &settings.project, "."),
    ] {
        if path.as_os_str() != default {
            words.extend([flag.to_owned(), path.display().to_string()]);
        }
    }
    words.push(args.file.display().to_string());
    if let Some(profile) = &args.profile {
        words.extend(["--profile".to_owned(), profile.clone()]);
    }
    for (flag, values) in [("--set", &args.values.set), ("--sweep", &args.values.sweep)] {
        for value in values {
            words.extend([flag.to_owned(), value.clone()]);
        }
    }
    words.push(stage.to_owned());
    let quoted: Vec<String> = words.into_iter().map(quoted).collect();
    quoted.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: String) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=,:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// What was accepted and not computed is never passed over in silence.
fn say_accepted(opened: &Opened, summary: &RunSummary, printer: Printer) {
    for (stage, record) in opened.pipeline.stages.iter().zip(&summary.records) {
        if let Some(reason) = record.as_ref().and_then(|record| record.accepted_reason()) {
            printer.talk(&format!(
                "accepted, not computed: `{}` ({reason})",
                stage.id
            ));
        }
    }
}

/// Collects garbage where it is due. A cache that cannot be cleaned is no reason to fail a run that is done.
fn collect(
    store: &Store,
    args: &PipelineArgs,
    settings: &Settings,
    printer: Printer,
) -> Option<Decision> {
    match gc::after_run(store, &args.file, settings) {
        Ok(collected) => {
            if let Some(line) = collected.as_ref().and_then(gc::one_line) {
                if settings.verbosity > Verbosity::Quiet {
                    printer.talk(&line);
                }
            }
            collected
        }
        Err(failure) => {
            printer.talk(&format!(
                "the cache was not cleaned\n{}",
                failure.render(settings.colour)
            ));
            None
        }
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

fn outcome(
    opened: &Opened,
    summary: &RunSummary,
    run: &str,
    collected: Option<&Decision>,
) -> Value {
    let stages: Map<String, Value> = opened
        .pipeline
        .stages
        .iter()
        .zip(&summary.records)
        .filter_map(|(stage, record)| {
            let record = record.as_ref()?;
            let value = json!({
                "key": record.key, "output": record.output, "summary": record.summary,
                "accepted": record.accepted,
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
        "collected": collected.map(|decision| &decision.removals),
        "stages": stages,
    })
}
