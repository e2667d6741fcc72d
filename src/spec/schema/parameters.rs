//! The parameters of a kind: from its struct to what a file may hold.

use super::ranges;
use crate::stages::Kind;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The two places of a reference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reference {
    /// The whole string, so that the value has the parameter's type.
    Alone,
    /// Anywhere in a string, so that the value is a string.
    Inside,
}

impl Reference {
    pub(super) fn definition(self) -> Value {
        match self {
            Self::Alone => json!({
                "description": "The value of a parameter or of the stage's matrix, with its type: `${name}`, `${matrix.axis}`",
                "type": "string",
                "pattern": r"^\$\{\s*[A-Za-z0-9_-]+\s*(\.\s*[A-Za-z0-9_-]+\s*)*\}$",
            }),
            Self::Inside => json!({
                "description": "A text with values of parameters in it: `${name}`",
                "type": "string",
                "pattern": r"(^|[^$])\$\{",
            }),
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Alone => json!({"$ref": "#/$defs/reference"}),
            Self::Inside => json!({"$ref": "#/$defs/text_with_reference"}),
        }
    }
}

/// What describes a value rather than restricts it; it stays outside of a choice.
const ABOUT: [&str; 4] = ["title", "description", "default", "examples"];

/// The parameters of a kind as an object schema.
pub(super) fn of(kind: &Kind) -> Value {
    let mut schema = plain(kind);
    ranges::add(kind, &mut schema);
    open_inside(&mut schema);
    schema
}

/// The parameters without ranges and references.
pub(super) fn plain(kind: &Kind) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = (kind.schema)(&mut settings.into_generator()).to_value();
    without_null(&mut schema);
    plain_numbers(&mut schema);
    plain_words(&mut schema);
    schema
}

/// TOML has no null: a parameter that may be absent is left out.
fn without_null(schema: &mut Value) {
    each_part(schema, &mut |part| {
        if let Some(Value::Array(types)) = part.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                part.insert("type".to_owned(), only);
            }
        }
        if part.get("default") == Some(&Value::Null) {
            part.remove("default");
        }
        if let Some(Value::Array(values)) = part.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if let Some(Value::Array(choices)) = part.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type") != Some(&json!("null")));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                part.remove("anyOf");
                for (key, value) in only {
                    part.entry(key).or_insert(value);
                }
            }
        }
    });
}

/// Formats such as `uint32` are ours alone; what they mean are bounds. Defaults in single precision are written short.
fn plain_numbers(schema: &mut Value) {
    each_part(schema, &mut |part| {
        let format = part
            .get("format")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let most = match format {
            "uint8" => u64::from(u8::MAX),
            "uint16" => u64::from(u16::MAX),
            "uint32" => u64::from(u32::MAX),
            "uint64" | "uint" | "int64" | "int32" | "float" | "double" => 0,
            _ => return,
        };
        let whole_real = format == "float";
        part.remove("format");
        if most > 0 {
            part.entry("maximum").or_insert(most.into());
        }
        if let (true, Some(default)) = (whole_real, part.get("default").and_then(Value::as_f64)) {
            let short = (default as f32)
                .to_string()
                .parse::<f64>()
                .unwrap_or(default);
            part.insert("default".to_owned(), short.into());
        }
    });
}

/// Docs as a person reads them in an editor: lines joined, no links into the code.
fn plain_words(schema: &mut Value) {
    each_part(schema, &mut |part| {
        if let Some(Value::String(text)) = part.get_mut("description") {
            *text = text
                .replace('\n', " ")
                .replace("[`", "`")
                .replace("`]", "`");
        }
    });
}

/// Visits a schema and every schema inside it, the outermost last.
fn each_part(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Value::Object(part) = schema else { return };
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = part.get_mut(key) {
            each_part(inner, visit);
        }
    }
    if let Some(Value::Object(properties)) = part.get_mut("properties") {
        for inner in properties.values_mut() {
            each_part(inner, visit);
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(choices)) = part.get_mut(key) {
            for inner in choices {
                each_part(inner, visit);
            }
        }
    }
    visit(part);
}

/// Lets every value inside a table or list be a reference.
fn open_inside(schema: &mut Value) {
    each_part(schema, &mut |part| {
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = part.get_mut(key).filter(|inner| inner.is_object()) {
                *inner = or_reference(inner.take());
            }
        }
        if let Some(Value::Object(properties)) = part.get_mut("properties") {
            for inner in properties.values_mut() {
                *inner = or_reference(inner.take());
            }
        }
    });
}

/// The schema, or a reference where it does not allow every string already.
pub(super) fn or_reference(schema: Value) -> Value {
    let Value::Object(mut part) = schema else {
        return schema;
    };
    let is_text = is_text(&part);
    let restricted = ["enum", "const", "pattern", "oneOf", "anyOf"]
        .iter()
        .any(|key| part.contains_key(*key));
    if is_text && !restricted {
        return Value::Object(part);
    }
    let mut outside = Map::new();
    for key in ABOUT {
        if let Some(value) = part.remove(key) {
            outside.insert(key.to_owned(), value);
        }
    }
    let reference = if is_text {
        Reference::Inside
    } else {
        Reference::Alone
    };
    outside.insert(
        "anyOf".to_owned(),
        json!([Value::Object(part), reference.schema()]),
    );
    Value::Object(outside)
}

/// Whether every value that fits is a string.
fn is_text(part: &Map<String, Value>) -> bool {
    let all = |key: &str| {
        part.get(key)
            .and_then(Value::as_array)
            .is_some_and(|choices| {
                choices.iter().all(|choice| match choice {
                    Value::Object(inner) => is_text(inner),
                    Value::String(_) => true,
                    _ => false,
                })
            })
    };
    part.get("type") == Some(&json!("string"))
        || part.get("const").is_some_and(Value::is_string)
        || all("enum")
        || all("oneOf")
        || all("anyOf")
}
