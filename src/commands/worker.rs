//! `ilm-pipe worker`: one stage for a runner.

use crate::cli::{ExitStatus, Failure};
use crate::exec;

pub(super) fn worker() -> Result<ExitStatus, Failure> {
    let made = exec::work(&mut std::io::stdin().lock(), &mut std::io::stdout().lock())?;
    Ok(if made {
        ExitStatus::Done
    } else {
        ExitStatus::StageFailed
    })
}
