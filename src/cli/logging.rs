//! The log of the engine: off unless asked for, and then on standard error.
//!
//! The rooms say what they do with `tracing`; while nobody listens that costs a comparison. Workers write JSON lines to
//! their own standard error, which `exec` reads and says again here, so that one log has everything.

use super::Failure;
use super::args::{Args, Command, LogFormat};
use crate::exec::LOG_VARIABLE as VARIABLE;
use tracing_subscriber::EnvFilter;

/// What workers said has passed their filter already.
const FROM_WORKERS: &str = "ilm_pipe::worker=trace";

/// What is logged, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `debug`, or by room: `ilm_pipe::plan=trace,warn`.
    pub filter: String,
    /// Text or JSON lines.
    pub format: LogFormat,
}

impl Log {
    /// What was asked for; the variable is more exact than options, so it wins.
    pub(super) fn wanted(args: &Args, variable: Option<String>) -> Option<Self> {
        let filter = match (
            variable.filter(|text| !text.trim().is_empty()),
            args.verbose,
        ) {
            (Some(filter), _) => filter,
            (None, 3..) => "ilm_pipe=trace".to_owned(),
            (None, 2) => "ilm_pipe=debug".to_owned(),
            (None, _) => {
                args.log_format?;
                "ilm_pipe=debug".to_owned()
            }
        };
        let format = match args.command {
            Command::Worker => LogFormat::Json,
            _ => args.log_format.unwrap_or(LogFormat::Text),
        };
        Some(Self { filter, format })
    }

    /// Starts the log of this process.
    pub(crate) fn start(&self, colour: bool) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::Usage(
                format!("`{VARIABLE}` is `{}`: {error}", self.filter),
                Some(format!(
                    "a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by room: `{VARIABLE}=ilm_pipe::plan=trace,warn`"
                )),
            )
        };
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| wrong(&error))?;
        let filter = match FROM_WORKERS.parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        };
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(colour);
        let started = match self.format {
            LogFormat::Text => tracing::subscriber::set_global_default(log.finish()),
            LogFormat::Json => {
                let log = log.json().flatten_event(true).with_span_list(false);
                tracing::subscriber::set_global_default(log.finish())
            }
        };
        // A second start in one process, as in tests, keeps the first log.
        drop(started);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn wanted(words: &[&str], variable: Option<&str>) -> Option<(String, LogFormat)> {
        let args = Args::parse_from([&["ilm-pipe"], words].concat());
        let log = Log::wanted(&args, variable.map(str::to_owned))?;
        Some((log.filter, log.format))
    }

    #[test]
    fn the_log_is_off_unless_asked_for() {
        let text = |filter: &str| Some((filter.to_owned(), LogFormat::Text));
        let json = |filter: &str| Some((filter.to_owned(), LogFormat::Json));
        assert_eq!(wanted(&["worker"], None), None);
        assert_eq!(wanted(&["-v", "plan", "p"], None), None);
        assert_eq!(wanted(&["plan", "p"], Some(" ")), None);
        assert_eq!(wanted(&["-vv", "plan", "p"], None), text("ilm_pipe=debug"));
        assert_eq!(wanted(&["plan", "p", "-vvv"], None), text("ilm_pipe=trace"));
        assert_eq!(wanted(&["plan", "p", "-vv"], Some("warn")), text("warn"));
        assert_eq!(
            wanted(&["plan", "p", "--log-format", "json"], None),
            json("ilm_pipe=debug")
        );
        assert_eq!(wanted(&["worker"], Some("debug")), json("debug"));
    }

    #[test]
    fn a_filter_that_means_nothing_is_refused() {
        let log = Log {
            filter: "ilm_pipe=loud".to_owned(),
            format: LogFormat::Text,
        };
        let failure = log.start(false).unwrap_err();
        insta::assert_snapshot!(failure.render(false));
    }
}
