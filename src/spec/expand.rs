//! A pipeline as a file that leaves nothing to work out.

use super::execution::Execution;
use super::interpolate::escape;
use super::names::is_name;
use super::pipeline::{Pipeline, StageSpec};
use super::resources::{duration_text, memory_text};
use serde_json::Value;
use std::fmt::Write as _;

/// Writes a pipeline as TOML with every arm, every default and every reference spelled out.
///
/// The text loads to the same stages: same ids, parameters, seeds, inputs and resources, in the same order. It has no
/// `params`, since nothing refers to them any more.
pub fn expand(pipeline: &Pipeline) -> String {
    let mut text = format!(
        "name = {}\ntitle = {}\n",
        string(&pipeline.name),
        string(&pipeline.title)
    );
    if !pipeline.groups.is_empty() {
        text.push_str("\n[groups]\n");
        for (name, limit) in &pipeline.groups {
            let _ = writeln!(text, "{} = {limit}", key(name));
        }
    }
    for stage in &pipeline.stages {
        text.push('\n');
        write_stage(&mut text, stage);
    }
    text
}

fn write_stage(text: &mut String, stage: &StageSpec) {
    let header = if is_name(&stage.id) {
        stage.id.clone()
    } else {
        quoted(&stage.id)
    };
    let _ = writeln!(text, "[stage.{header}]");
    let _ = writeln!(text, "kind = {}", string(stage.kind.name));
    if !stage.inputs.is_empty() {
        let ports: Vec<String> = stage
            .inputs
            .iter()
            .map(|(port, ids)| match ids.as_slice() {
                [id] => format!("{} = {}", key(port), string(id)),
                ids => {
                    let ids: Vec<String> = ids.iter().map(|id| string(id)).collect();
                    format!("{} = [{}]", key(port), ids.join(", "))
                }
            })
            .collect();
        let _ = writeln!(text, "inputs = {{ {} }}", ports.join(", "));
    }
    let _ = writeln!(text, "seed = {}", stage.seed);
    write_execution(text, &stage.execution);
    // A parameter that is absent has no TOML; leaving it out says so.
    if let Value::Object(params) = readable(stage) {
        for (name, value) in params.iter().filter(|(_, value)| !value.is_null()) {
            let _ = writeln!(text, "{} = {}", key(name), inline(value));
        }
    }
}

/// The cores, and whatever else is not the default.
fn write_execution(text: &mut String, execution: &Execution) {
    let usual = Execution::default();
    let _ = writeln!(text, "cpus = {}", execution.cpus);
    if let Some(bytes) = execution.memory {
        let _ = writeln!(text, "memory = {}", string(&memory_text(bytes)));
    }
    if execution.gpus != usual.gpus {
        let _ = writeln!(text, "gpus = {}", execution.gpus);
    }
    if !execution.groups.is_empty() {
        let groups: Vec<String> = execution.groups.iter().map(|name| string(name)).collect();
        let _ = writeln!(text, "groups = [{}]", groups.join(", "));
    }
    if let Some(time) = execution.timeout {
        let _ = writeln!(text, "timeout = {}", string(&duration_text(time)));
    }
    if let Some(time) = execution.slow {
        let _ = writeln!(text, "slow = {}", string(&duration_text(time)));
    }
    if execution.retries != usual.retries {
        let _ = writeln!(text, "retries = {}", execution.retries);
    }
    if execution.backoff != usual.backoff {
        let _ = writeln!(
            text,
            "backoff = {}",
            string(&duration_text(execution.backoff))
        );
    }
}

/// The parameters with single-precision numbers as a person writes them, 0.1 and not 0.10000000149011612, where the
/// kind reads the same number from both.
fn readable(stage: &StageSpec) -> Value {
    let short = shortened(&stage.params);
    match (stage.kind.from_json)(short.clone()) {
        Ok(again) if again.params() == stage.params => short,
        _ => stage.params.clone(),
    }
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let exact = number.as_f64().unwrap_or_default();
            let single = exact as f32;
            let short: f64 = format!("{single:?}").parse().unwrap_or(exact);
            if f64::from(single) == exact {
                short.into()
            } else {
                value.clone()
            }
        }
        Value::Array(values) => values.iter().map(shortened).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shortened(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => string(""),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => match number.as_f64() {
            Some(real) if number.is_f64() => format!("{real:?}"),
            _ => number.to_string(),
        },
        Value::String(text) => string(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{} = {}", key(name), inline(value)))
                .collect();
            if fields.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", fields.join(", "))
            }
        }
    }
}

fn key(name: &str) -> String {
    if is_name(name) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn string(text: &str) -> String {
    quoted(&escape(text))
}

/// A JSON string is a TOML string but for one character.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
