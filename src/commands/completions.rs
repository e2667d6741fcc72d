//! `ilm-pipe completions`: what a shell has to read once so that it asks this program for candidates.

use crate::cli::complete::VARIABLE;
use crate::cli::{ExitStatus, Failure, Printer, Settings, Shell};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

const NAME: &str = "ilm-pipe";

pub(super) fn completions(
    shell: Shell,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    // The program as it was called where that is a name on the path, else where it is.
    let called = settings.command.first().map_or(NAME, String::as_str);
    let completer = if called.contains('/') {
        settings.program.display().to_string()
    } else {
        called.to_owned()
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, &completer, &mut script)?;
    printer.result(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Done)
}
