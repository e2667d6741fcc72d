//! `ilm-pipe check`: every problem of every file.

use super::open::load_options;
use crate::cli::{ExitStatus, Failure, Printer, Settings, ValueArgs};
use crate::report::count;
use crate::spec;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn check(
    files: &[PathBuf],
    profile: Option<&str>,
    values: &ValueArgs,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let options = load_options(profile, values)?;
    let mut outcomes = Vec::new();
    let mut wrong = false;
    for file in files {
        match spec::load(file, &options) {
            Ok(pipeline) => {
                let n = pipeline.stages.len();
                outcomes.push(json!({"file": file, "stages": n, "problems": []}));
                if !json {
                    printer.result(&format!(
                        "{}: {}, no problem",
                        file.display(),
                        count(n, "stage")
                    ))?;
                }
            }
            Err(errors) => {
                wrong = true;
                outcomes.push(json!({"file": file, "problems": errors.problems()}));
                if !json {
                    printer.talk(&errors.render(settings.colour));
                    let n = errors.problems().len();
                    printer.talk(&format!("\n{}: {}", file.display(), count(n, "problem")));
                }
            }
        }
    }
    if json {
        printer.json(&outcomes)?;
    }
    Ok(if wrong {
        ExitStatus::Wrong
    } else {
        ExitStatus::Done
    })
}
