//! `ilm-pipe schema`: the format of pipeline files, for editors.

use crate::cli::{ExitStatus, Failure, Printer};
use crate::{spec, stages};

pub(super) fn schema(printer: Printer) -> Result<ExitStatus, Failure> {
    printer.json(&spec::schema(stages::registry()))?;
    Ok(ExitStatus::Done)
}
