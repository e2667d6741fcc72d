//! The log lines of a worker, said again by the runner.
//!
//! A worker writes its log as JSON lines to its standard error, between whatever else ends up there. The runner hands each
//! on under the target `ilm_pipe::worker` with the stage's name, so that one log has everything in one format.

use serde_json::{Map, Value};

/// The variable that says what is logged, here and in a worker.
pub const VARIABLE: &str = "ILM_PIPE_LOG";

/// Says a line again if it is one of a log. Anything else is for the message about a crash; it is logged, too.
pub(super) fn relay(stage: &str, line: &str) -> bool {
    let Some(said) = Said::read(line) else {
        tracing::warn!(target: "ilm_pipe::worker", stage, "{line}");
        return false;
    };
    let (room, text) = (said.room, said.text);
    match said.level.as_str() {
        "ERROR" => tracing::error!(target: "ilm_pipe::worker", stage, room, "{text}"),
        "WARN" => tracing::warn!(target: "ilm_pipe::worker", stage, room, "{text}"),
        "INFO" => tracing::info!(target: "ilm_pipe::worker", stage, room, "{text}"),
        "DEBUG" => tracing::debug!(target: "ilm_pipe::worker", stage, room, "{text}"),
        _ => tracing::trace!(target: "ilm_pipe::worker", stage, room, "{text}"),
    }
    true
}

/// One line of a worker's log.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    level: String,
    /// The module that said it.
    room: String,
    /// The sentence and its fields.
    text: String,
}

impl Said {
    fn read(line: &str) -> Option<Self> {
        // Most lines that are no log line are seen by their first letter.
        if !line.starts_with('{') {
            return None;
        }
        let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        take("timestamp")?;
        let (level, room) = (take("level")?, take("target")?);
        let mut text = take("message").unwrap_or_default();
        // The runner adds the stage itself.
        fields.remove("stage");
        for (name, value) in &fields {
            text.push_str(&format!(" {name}={value}"));
        }
        Some(Self { level, room, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_is_told_from_other_lines() {
        let line = r#"{"timestamp":"2026-11-23T09:00:00Z","level":"DEBUG","message":"done","stage":"cf","seconds":0.5,"target":"ilm_pipe::exec"}"#;
        let said = Said::read(line).unwrap();
        assert_eq!(
            (said.level.as_str(), said.room.as_str(), said.text.as_str()),
            ("DEBUG", "ilm_pipe::exec", "done seconds=0.5")
        );
        for other in [
            "",
            "{",
            "{}",
            "thread 'main' panicked",
            r#"{"level":"DEBUG"}"#,
        ] {
            assert_eq!(Said::read(other), None, "{other}");
        }
    }
}
