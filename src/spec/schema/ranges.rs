//! The bounds of numbers, found by asking.
//!
//! Which values make sense is said once, in `AnyStage::problems`, and in words: "is 0, but must be at least 1". So
//! each number is set to values that no kind would take, the words are read back, and the bound is believed only if the
//! kind then takes the bound itself and refuses what is just beyond. A rule that needs more words, such as "must divide
//! `d_model`", is not in the schema.

use crate::stages::Kind;
use serde_json::{Map, Number, Value};

/// Values that are out of most ranges, on one side or the other.
const PROBES: [&str; 5] = ["0", "-1", "1", "1000000000", "-1000000000"];

/// Adds `minimum` and the like to the numbers of a kind's parameters, those in tables included.
pub(super) fn add(kind: &Kind, schema: &mut Value) {
    let Some(asked) = Asked::new(kind, schema) else {
        return;
    };
    asked.table(schema, &mut Vec::new());
}

/// A kind with values that it takes.
struct Asked<'a> {
    kind: &'a Kind,
    params: Value,
}

impl<'a> Asked<'a> {
    /// `None` when the kind has parameters without defaults of a type that is not known here.
    fn new(kind: &'a Kind, schema: &Value) -> Option<Self> {
        let mut params = Map::new();
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str()?;
            let value = match schema["properties"][name]["type"].as_str()? {
                "string" => Value::from("x"),
                "array" => Value::from(vec!["x"]),
                "object" => Value::Object(Map::new()),
                _ => return None,
            };
            params.insert(name.to_owned(), value);
        }
        let stage = (kind.from_json)(Value::Object(params)).ok()?;
        Some(Self {
            kind,
            params: stage.params(),
        })
    }

    fn table(&self, schema: &mut Value, path: &mut Vec<String>) {
        let Some(Value::Object(properties)) = schema.get_mut("properties") else {
            return;
        };
        for (name, inner) in properties {
            path.push(name.clone());
            match inner["type"].as_str() {
                Some("integer" | "number") => {
                    if let Value::Object(part) = inner {
                        self.number(part, path);
                    }
                }
                Some("object") => self.table(inner, path),
                _ => {}
            }
            path.pop();
        }
    }

    fn number(&self, part: &mut Map<String, Value>, path: &[String]) {
        let whole = part.get("type").and_then(Value::as_str) == Some("integer");
        for probe in PROBES {
            let Some(words) = self.refusal(path, probe) else {
                continue;
            };
            for bound in bounds(&words) {
                if self.holds(&bound, path, whole) {
                    let value = bound.value.parse::<Number>().ok();
                    part.extend(
                        value.map(|value| (bound.keyword.to_owned(), Value::Number(value))),
                    );
                }
            }
        }
    }

    /// What the kind says of the number `text` at `path`; `None` when it takes it, and when it is not of the type.
    fn refusal(&self, path: &[String], text: &str) -> Option<String> {
        let mut params = self.params.clone();
        let mut place = &mut params;
        for name in path {
            place = place.as_object_mut()?.get_mut(name)?;
        }
        *place = Value::Number(text.parse().ok()?);
        let stage = (self.kind.from_json)(params).ok()?;
        let field = path.join(".");
        let problem = stage
            .problems()
            .into_iter()
            .find(|problem| problem.field == field)?;
        Some(problem.message)
    }

    /// Whether the kind does what its words say.
    fn holds(&self, bound: &Bound, path: &[String], whole: bool) -> bool {
        let Ok(value) = bound.value.parse::<f64>() else {
            return false;
        };
        let step = if whole {
            1.0
        } else {
            value.abs().max(1.0) * 1e-3
        };
        let (inside, outside) = match bound.keyword {
            "minimum" => (value, value - step),
            "maximum" => (value, value + step),
            "exclusiveMinimum" => (value + step, value),
            _ => (value - step, value),
        };
        let text = |number: f64| {
            if whole {
                format!("{number:.0}")
            } else {
                number.to_string()
            }
        };
        // A whole number below zero is no number of its type, which the schema says already.
        let refused = self.refusal(path, &text(outside)).is_some() || (whole && outside < 0.0);
        let about_range = |words: String| !bounds(&words).is_empty();
        refused && !self.refusal(path, &text(inside)).is_some_and(about_range)
    }
}

/// One side of a range.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    /// As JSON Schema calls it.
    keyword: &'static str,
    value: String,
}

/// Reads the ranges out of "is 7, but must be from 0 to below 1".
fn bounds(message: &str) -> Vec<Bound> {
    let Some((_, rule)) = message.split_once("must be ") else {
        return Vec::new();
    };
    let words: Vec<&str> = rule
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = Vec::new();
    let mut add = |keyword, value: &str| {
        let value = value.to_owned();
        found.push(Bound { keyword, value });
    };
    match words.as_slice() {
        ["at", "least", low] | ["at", "least", low, "and", "finite"] => add("minimum", low),
        ["at", "most", high] => add("maximum", high),
        ["above", low] | ["above", low, "and", "finite"] => add("exclusiveMinimum", low),
        ["below", high] => add("exclusiveMaximum", high),
        ["from", low, "to", "below", high] | ["at", "least", low, "and", "below", high] => {
            add("minimum", low);
            add("exclusiveMaximum", high);
        }
        ["from", low, "to", high] | ["at", "least", low, "and", "at", "most", high] => {
            add("minimum", low);
            add("maximum", high);
        }
        ["above", low, "and", "at", "most", high] => {
            add("exclusiveMinimum", low);
            add("maximum", high);
        }
        ["above", low, "and", "below", high] => {
            add("exclusiveMinimum", low);
            add("exclusiveMaximum", high);
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_out_of_sentences() {
        let read = |message| {
            bounds(message)
                .into_iter()
                .map(|bound| format!("{} {}", bound.keyword, bound.value))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (message, expected) in [
            ("is 0, but must be at least 1", "minimum 1"),
            (
                "is 1, but must be from 0 to below 1",
                "minimum 0, exclusiveMaximum 1",
            ),
            (
                "is 9, but must be above 0 and at most 2",
                "exclusiveMinimum 0, maximum 2",
            ),
            ("is 5, but must be 0 or from 3 to 8", ""),
            ("is 5, but must divide `d_model`, which is 128", ""),
        ] {
            assert_eq!(read(message), expected, "{message}");
        }
    }
}
