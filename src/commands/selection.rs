//! Which stages a run is asked for.

use super::open::Opened;
use crate::artifact::Store;
use crate::cli::{Failure, Printer, RunArgs};
use crate::report::{LastRun, last_run};

/// The positions of the stages to bring up to date; all when nothing was chosen.
pub(super) fn targets(
    options: &RunArgs,
    opened: &Opened,
    store: &Store,
    printer: Printer,
) -> Result<Option<Vec<usize>>, Failure> {
    if options.retry_failed {
        return unfinished(opened, store, printer).map(Some);
    }
    if options.target.is_empty() && options.downstream.is_empty() {
        return Ok(None);
    }
    let mut targets = Vec::new();
    for name in &options.target {
        targets.extend(opened.select(name)?);
    }
    for name in &options.downstream {
        let start = opened.select(name)?;
        targets.extend(opened.graph.descendants(&start));
        targets.extend(start);
    }
    Ok(Some(targets))
}

/// What the last run of this pipeline and profile left without a result.
fn unfinished(opened: &Opened, store: &Store, printer: Printer) -> Result<Vec<usize>, Failure> {
    let pipeline = &opened.pipeline;
    let profile = pipeline.profile.as_deref();
    let Some(last) = last_run(&store.runs_path(), &pipeline.name, profile)? else {
        let with = profile.map_or_else(String::new, |name| format!(" with the profile `{name}`"));
        return Err(Failure::Usage(
            format!(
                "`--retry-failed`: `{}` was not run before{with}",
                pipeline.name
            ),
            Some("run it without `--retry-failed`".to_owned()),
        ));
    };
    let targets = left_by(&last, opened);
    if targets.is_empty() {
        printer.talk(&format!("The run {} left nothing to retry.", last.run));
    }
    Ok(targets)
}

fn left_by(last: &LastRun, opened: &Opened) -> Vec<usize> {
    let graph = &opened.graph;
    if !last.ended && last.stages == graph.len() {
        return (0..graph.len())
            .filter(|&stage| !last.finished.contains(graph.id(stage)))
            .collect();
    }
    let known = last.unfinished.iter().filter_map(|id| graph.position(id));
    let mut targets: Vec<usize> = known.collect();
    if !last.ended {
        // It was killed before it could say what it had not come to.
        targets.extend(graph.descendants(&targets));
    }
    targets
}
