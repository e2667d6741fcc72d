//! `ilm-pipe cache`: one file a subcommand.

mod du;
pub(super) mod gc;
mod limits;
mod ls;
mod needs;
mod verify;
mod why;

use crate::artifact::Store;
use crate::cli::{CacheCommand, ExitStatus, Failure, PipelineArgs, Printer, Settings, ValueArgs};

pub(super) fn cache(
    command: CacheCommand,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let store = Store::at(&settings.cache);
    match command {
        CacheCommand::Ls {
            stage,
            kind,
            larger,
            older,
            unneeded,
            sort,
            json,
        } => {
            let filter = ls::Filter::read(stage, kind, larger.as_deref(), older.as_deref())?;
            ls::ls(&store, &filter, unneeded, sort, json, settings, printer)
        }
        CacheCommand::Du { json } => du::du(&store, json, settings, printer),
        CacheCommand::Gc {
            dry_run,
            max_size,
            max_age,
            keep,
            json,
        } => {
            let typed = limits::read(max_size.as_deref(), max_age.as_deref(), "--")?;
            gc::gc(&store, typed, &keep, dry_run, json, settings, printer)
        }
        CacheCommand::Verify { repair, json } => {
            verify::verify(&store, repair, json, settings, printer)
        }
        CacheCommand::Why {
            what,
            pipeline,
            profile,
            set,
            sweep,
            json,
        } => {
            let pipeline = pipeline.map(|file| PipelineArgs {
                file,
                profile,
                values: ValueArgs { set, sweep },
            });
            why::why(&store, &what, pipeline.as_ref(), json, settings, printer)
        }
        CacheCommand::Limits {
            max_size,
            max_age,
            reset,
            json,
        } => {
            let typed = limits::read(max_size.as_deref(), max_age.as_deref(), "--")?;
            limits::limits(&store, typed, reset, json, settings, printer)
        }
    }
}
