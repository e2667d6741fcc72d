//! The state of a pipeline in a cache: the plan that `plan`, `show` and `explain` read.

use super::open::Opened;
use crate::artifact::Store;
use crate::cli::{Failure, Printer, Settings};
use crate::plan::{self, Plan, Planner};

/// Judges every stage; nothing is written but the remembered hashes of files.
pub(super) fn plan_of(opened: &Opened, settings: &Settings) -> Result<(Store, Plan), Failure> {
    let store = Store::at(&settings.cache);
    let mut planner = Planner::new(&opened.pipeline, &store, &settings.project);
    let plan = plan::plan(&opened.pipeline, &opened.graph, &mut planner)?;
    for text in planner.take_notices() {
        Printer.talk(&format!("warning: the cache was damaged: {text}"));
    }
    planner.save();
    drop(planner);
    Ok((store, plan))
}
