//! `ilm-pipe trace`: a run for a trace viewer.

use super::diff::find_run;
use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::history::{RunLog, runs, trace as draw};
use crate::report::Verbosity;
use std::path::Path;

pub(super) fn trace(
    run: &str,
    output: Option<&Path>,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let line = find_run(&runs(&Store::at(&settings.cache)), run)?;
    let log = RunLog::read(&line.run, &line.log).map_err(super::diff::failure)?;
    let trace = draw(&log);
    // On one line: nobody reads it, and indented it is twice as long.
    let text = serde_json::to_string(&trace).map_err(std::io::Error::from)?;
    let Some(path) = output else {
        printer.result(&text)?;
        return Ok(ExitStatus::Done);
    };
    fs_err::write(path, text)?;
    if settings.verbosity > Verbosity::Quiet {
        printer.talk(&format!(
            "run {} in `{}`: open it in https://ui.perfetto.dev (it stays on your machine) or in chrome://tracing",
            line.run,
            path.display()
        ));
    }
    Ok(ExitStatus::Done)
}
