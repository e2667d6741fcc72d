//! The format of pipeline files as a JSON Schema (draft 2020-12), for editors and other programs.
//!
//! TOML becomes JSON in the obvious way. The schema knows everything that can be said of one table at a time: keys, types,
//! ranges, the parameters and ports of each kind. It cannot see what takes two places: names of stages and parameters
//! that must exist, kinds of artifacts that must fit, cycles, what a profile makes of the values. `ilm-pipe check` sees all.
//!
//! The parameters of a kind come from its struct (`schemars`), with docs and defaults; `parameters` then lets every
//! value be a reference, and `ranges` adds the bounds by asking the kind which values it refuses.

mod parameters;
mod ranges;

use super::declared::stage_keys;
use super::execution::MOST_RETRIES;
use crate::stages::{ArtifactKind, Kind, Port};
use parameters::{Reference, or_reference};
use serde_json::{Map, Value, json};

/// The dialect.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Names of parameters, profiles, axes and arms.
const NAME: &str = "^[A-Za-z0-9_-]+$";
/// A stage, all of its arms, or some of them; or anything with a reference to a parameter in it.
const STAGE_REFERENCE: &str = r"^[A-Za-z0-9_-]+(\[(\*|[A-Za-z0-9_-]+ *=[^,=\[\]]+(, *[A-Za-z0-9_-]+ *=[^,=\[\]]+)*)\])?$|(^|[^$])\$\{";

/// An amount of memory.
const MEMORY: &str = r"^\s*[0-9.]+\s*([TGMk]i?|Ki)?B\s*$";
/// A time.
const TIME: &str = r"^\s*([0-9]+\s*(ms|s|m|h|d)\s*)+$";

/// The JSON Schema of pipeline files whose stages are of these kinds.
pub fn schema(kinds: &[Kind]) -> Value {
    let mut definitions = Map::new();
    definitions.insert("reference".to_owned(), Reference::Alone.definition());
    definitions.insert(
        "text_with_reference".to_owned(),
        Reference::Inside.definition(),
    );
    definitions.insert("stage_reference".to_owned(), json!({
        "description": "A stage `name`, every arm of it `name[*]`, or the arms with a value `name[axis=value]`",
        "type": "string",
        "pattern": STAGE_REFERENCE,
    }));
    definitions.insert("matrix".to_owned(), matrix());
    definitions.insert("profile".to_owned(), profile(kinds));
    definitions.insert("stage".to_owned(), stage(kinds));
    for kind in kinds {
        definitions.insert(definition_name(kind), stage_of(kind));
    }
    json!({
        "$schema": DRAFT,
        "title": "ilm-pipe pipeline",
        "description": "An experiment: parameters, profiles that change them, and stages that make artifacts from one another's.",
        "type": "object",
        "properties": {
            "name": {
                "description": "The pipeline's name, part of the memory of earlier runs. Default: the file's name.",
                "type": "string",
            },
            "title": {"description": "One line for people. Default: the name.", "type": "string"},
            "seed": described(seed(), "The seed of every stage that has none of its own. Default: 1."),
            "include": {
                "description": "Files whose stages, parameters and profiles come before this file's own; relative to this file.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            "groups": {
                "description": "Groups of stages and how many of each may run at the same time.",
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": whole(1, None),
            },
            "params": {
                "description": "Values that stages refer to as `${name}`; a profile or `--set name=value` changes them.",
                "type": "object",
                "propertyNames": {"pattern": NAME, "not": {"const": "matrix"}},
            },
            "profile": {
                "description": "Named sets of changes; `--profile NAME` applies one.",
                "type": "object",
                "propertyNames": {"pattern": NAME},
                "additionalProperties": {"$ref": "#/$defs/profile"},
            },
            "stage": {
                "description": "The stages by name. `\"name[axis=value]\"` declares a single arm.",
                "type": "object",
                "patternProperties": {
                    NAME: {"$ref": "#/$defs/stage"},
                    r"^[A-Za-z0-9_-]+\[[^*\]]+\]$": {
                        "allOf": [{"$ref": "#/$defs/stage"}, {"not": {"required": ["matrix"]}}],
                    },
                },
                "additionalProperties": false,
            },
        },
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// What the docs of a kind say of the parameter at `path`.
pub(super) fn about(kind: &Kind, path: &[String]) -> Option<String> {
    let mut place = &parameters::plain(kind);
    for part in path {
        let inner = if part.bytes().all(|byte| byte.is_ascii_digit()) {
            &place["items"]
        } else {
            &place["properties"][part]
        };
        place = inner;
    }
    let text = place["description"].as_str()?;
    Some(text.trim_end_matches('.').to_owned())
}

fn definition_name(kind: &Kind) -> String {
    format!("stage.{}", kind.name)
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn whole(least: u32, most: Option<u32>) -> Value {
    let mut number = json!({"type": "integer", "minimum": least});
    if let Some(most) = most {
        number["maximum"] = most.into();
    }
    or_reference(number)
}

fn seed() -> Value {
    or_reference(json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}))
}

/// What every stage may have, whatever its kind; `None` for a key that depends on the kind.
fn common(key: &str) -> Option<Value> {
    let text = |pattern: &str, description: &str| {
        or_reference(json!({"type": "string", "pattern": pattern, "description": description}))
    };
    Some(match key {
        "kind" | "inputs" => return None,
        "matrix" => json!({"$ref": "#/$defs/matrix"}),
        "seed" => described(seed(), "The stage's own seed. Default: the pipeline's."),
        "cpus" => described(
            whole(1, None),
            "Slots that the stage takes while it runs. Default: 1.",
        ),
        "gpus" => described(
            whole(0, None),
            "GPUs that the stage has for itself while it runs. Default: 0.",
        ),
        "groups" => or_reference(json!({
            "description": "Groups of the pipeline in which the stage takes a place each while it runs. Default: none.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        })),
        "retries" => described(
            whole(0, Some(MOST_RETRIES)),
            "How often the stage is tried again after a failure. Default: 0.",
        ),
        "memory" => text(
            MEMORY,
            "Memory that the stage takes while it runs, such as `2GiB`. Default: none is counted.",
        ),
        "timeout" => text(
            TIME,
            "How long one attempt may take, such as `1h30m`. Default: as long as it likes.",
        ),
        "slow" => text(
            TIME,
            "After how long a person is told that the stage is slow. Default: three times its last success, at least a minute.",
        ),
        "backoff" => text(
            TIME,
            "The wait before the first retry, doubled for each further one. Default: `1s`.",
        ),
        _ => json!(true),
    })
}

fn matrix() -> Value {
    let text = or_reference(json!({
        "description": "Part of the stage's id: no brackets, commas, `=`, `*`, no spaces around it",
        "type": "string",
        "pattern": r"^[^\s\[\],=*]([^\[\],=*]*[^\s\[\],=*])?$",
    }));
    let value = json!({"anyOf": [text, {"type": ["number", "boolean"]}]});
    let one_or_more = json!({"anyOf": [value, {"type": "array", "items": value, "minItems": 1}]});
    let axis = or_reference(json!({
        "description": "A list of values, or a table of named arms: `${matrix.axis}` is the value or the arm's name, \
            `${matrix.axis.key}` a field of a named arm.",
        "anyOf": [
            {"type": "array", "items": value, "minItems": 1},
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": NAME},
                "additionalProperties": or_reference(json!({"type": "object"})),
            },
        ],
    }));
    let tables = |description: &str, table: Value| {
        or_reference(json!({
            "description": description,
            "type": "array",
            "items": or_reference(table),
        }))
    };
    let entry = |values: &Value| json!({"type": "object", "minProperties": 1, "propertyNames": {"pattern": NAME}, "additionalProperties": values});
    or_reference(json!({
        "description": "Axes; every combination of values is a stage of its own, `name[axis=value]`.",
        "type": "object",
        "properties": {
            "zip": tables(
                "Lists of axes that advance together, each with equally many values.",
                json!({"type": "array", "items": {"type": "string"}, "minItems": 2}),
            ),
            "exclude": tables("Each entry drops the arms with all of its values.", entry(&one_or_more)),
            "include": tables(
                "Each entry with a value for every axis is an arm of its own; other values are added to the arms that fit.",
                entry(&json!(true)),
            ),
        },
        "minProperties": 1,
        "propertyNames": {"pattern": NAME},
        "additionalProperties": axis,
    }))
}

/// What a profile may change. Its stages have no kind here, so any parameter of any kind may be named.
fn profile(kinds: &[Kind]) -> Value {
    let mut names: Vec<String> = stage_keys()
        .filter(|key| *key != "kind")
        .map(str::to_owned)
        .collect();
    for kind in kinds {
        let params = parameters::of(kind);
        names.extend(
            params["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone()),
        );
    }
    names.sort_unstable();
    names.dedup();
    let known: Map<String, Value> = stage_keys()
        .filter_map(|key| Some((key.to_owned(), common(key)?)))
        .collect();
    json!({
        "type": "object",
        "properties": {
            "params": {
                "description": "New values of parameters, of the type that the parameter has.",
                "type": "object",
                "propertyNames": {"pattern": NAME},
            },
            "stage": {
                "description": "New values of any key of a stage but its kind.",
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": known,
                    "propertyNames": {"enum": names},
                },
            },
        },
        "additionalProperties": false,
    })
}

/// Any stage: its kind decides what else it has.
fn stage(kinds: &[Kind]) -> Value {
    let names: Vec<Value> = kinds
        .iter()
        .map(|kind| json!({"const": kind.name, "description": kind.about}))
        .collect();
    let rules: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": {"properties": {"kind": {"const": kind.name}}, "required": ["kind"]},
                "then": {"$ref": format!("#/$defs/{}", definition_name(kind))},
            })
        })
        .collect();
    json!({
        "type": "object",
        "properties": {"kind": {"description": "What the stage does.", "oneOf": names}},
        "required": ["kind"],
        "allOf": rules,
    })
}

/// A stage of one kind, with nothing else in it.
fn stage_of(kind: &Kind) -> Value {
    let mut schema = parameters::of(kind);
    let mut properties = Map::new();
    for key in stage_keys() {
        let value = match key {
            "kind" => json!({"const": kind.name}),
            "inputs" => inputs(kind.ports),
            _ => common(key).unwrap_or_default(),
        };
        properties.insert(key.to_owned(), value);
    }
    if let Some(Value::Object(own)) = schema.get_mut("properties").map(Value::take) {
        properties.extend(own);
    }
    let mut required = vec![json!("kind")];
    if kind.ports.iter().any(|port| !port.arity.is_optional()) {
        required.push(json!("inputs"));
    }
    if let Some(Value::Array(own)) = schema.get("required") {
        required.extend(own.iter().cloned());
    }
    json!({
        "title": kind.name,
        "description": format!("{}. Makes an artifact of kind `{}`.", kind.about, kind.output),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn inputs(ports: &[Port]) -> Value {
    let all: Map<String, Value> = ports
        .iter()
        .map(|port| (port.name.to_owned(), input(port)))
        .collect();
    let required: Vec<&str> = ports
        .iter()
        .filter(|port| !port.arity.is_optional())
        .map(|port| port.name)
        .collect();
    or_reference(json!({
        "description": "Ports and the stages that they take.",
        "type": "object",
        "properties": all,
        "required": required,
        "additionalProperties": false,
    }))
}

fn input(port: &Port) -> Value {
    let kinds: Vec<String> = port
        .accepts
        .iter()
        .map(|kind| format!("`{kind}`"))
        .collect();
    let reference = json!({"$ref": "#/$defs/stage_reference"});
    let mut list = json!({"type": "array", "items": reference});
    if !port.arity.takes_many() {
        list["maxItems"] = 1.into();
    }
    if !port.arity.is_optional() {
        list["minItems"] = 1.into();
    }
    let many = match (port.arity.takes_many(), port.arity.is_optional()) {
        (false, false) => "One stage",
        (false, true) => "One stage, or none",
        (true, false) => "One or more stages",
        (true, true) => "Any number of stages",
    };
    let making = if port.accepts.len() == ArtifactKind::ALL.len() {
        String::new()
    } else if port.arity.takes_many() {
        format!(" that make {}", kinds.join(" or "))
    } else {
        format!(" that makes {}", kinds.join(" or "))
    };
    json!({
        "description": format!("{many}{making}."),
        "anyOf": [reference, list],
    })
}
