//! The values of a file with their places, and their ways into serde and JSON.

use super::problem::{Finding, Findings};
use super::source::Span;
use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};
use toml::value::Datetime;

/// A value and where it stands. A value that interpolation brought stands where the `"${…}"` does.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Whole(Digits<i128>),
    Real(Digits<f64>),
    Truth(bool),
    Moment(Datetime),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A number and its TOML text: the parser's own numbers, which serde reads, borrow their digits.
#[derive(Clone, Debug)]
pub(super) struct Digits<T> {
    pub(super) number: T,
    text: String,
}

impl<T: std::fmt::Debug> From<T> for Digits<T> {
    fn from(number: T) -> Self {
        // Rust's debug form of numbers is their shortest exact one, and valid TOML.
        let text = format!("{number:?}");
        Self { number, text }
    }
}

/// A key of a table and its value, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

/// A key on the way to a value inside a parameter, or a position in a list.
pub(super) type Path = Vec<String>;

impl Node {
    /// Takes over what the parser read from a text that begins at `base`.
    pub(super) fn read(value: &Spanned<DeValue<'_>>, base: usize, findings: &mut Findings) -> Self {
        let range = value.span();
        let span = Span::new(base + range.start, base + range.end);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => {
                let number = i128::from_str_radix(digits.as_str(), digits.radix());
                if number.is_err() {
                    let message = format!("`{digits}` is too large for a whole number");
                    findings.add(Finding::new(span, message));
                }
                Value::Whole(number.unwrap_or_default().into())
            }
            DeValue::Float(digits) => {
                let number = digits.as_str().parse::<f64>();
                if number.is_err() {
                    let message = format!("`{}` is not a number", digits.as_str());
                    findings.add(Finding::new(span, message));
                }
                Value::Real(number.unwrap_or_default().into())
            }
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Datetime(moment) => Value::Moment(*moment),
            DeValue::Array(values) => Value::List(
                values
                    .iter()
                    .map(|value| Self::read(value, base, findings))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(read_table(table, base, findings)),
        };
        Self { span, value }
    }

    /// The same value, all of it at one place.
    pub(super) fn moved_to(&self, span: Span) -> Self {
        let value = match &self.value {
            Value::List(nodes) => {
                Value::List(nodes.iter().map(|node| node.moved_to(span)).collect())
            }
            Value::Table(entries) => Value::Table(
                entries
                    .iter()
                    .map(|entry| Entry {
                        key: entry.key.clone(),
                        key_span: span,
                        node: entry.node.moved_to(span),
                    })
                    .collect(),
            ),
            plain => plain.clone(),
        };
        Self { span, value }
    }

    /// The value inside a table or list at the end of `path`, or the last one on the way to it.
    pub(super) fn deepest(&self, path: &[&str]) -> &Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let inner = match &self.value {
            Value::Table(entries) => get(entries, first).map(|entry| &entry.node),
            Value::List(nodes) => first.parse().ok().and_then(|at: usize| nodes.get(at)),
            _ => None,
        };
        inner.map_or(self, |node| node.deepest(rest))
    }

    /// The first number in the value that is infinite or no number: JSON and keys have no way to write it.
    pub(super) fn not_finite(&self) -> Option<(Span, f64)> {
        match &self.value {
            Value::Real(real) if !real.number.is_finite() => Some((self.span, real.number)),
            Value::List(nodes) => nodes.iter().find_map(Self::not_finite),
            Value::Table(entries) => entries.iter().find_map(|entry| entry.node.not_finite()),
            _ => None,
        }
    }

    /// For people, cut when long.
    pub(super) fn shown(&self) -> String {
        let text = match &self.value {
            // JSON has neither these digits nor dates.
            Value::Whole(whole) => whole.text.clone(),
            Value::Moment(moment) => format!("the date or time {moment}"),
            value => value.json().to_string(),
        };
        if text.chars().count() <= 60 {
            text
        } else {
            let start: String = text.chars().take(57).collect();
            format!("{start}...")
        }
    }
}

impl Value {
    /// "a list"; the type as a sentence names it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Real(_) => "a number with a fraction",
            Self::Truth(_) => "true or false",
            Self::Moment(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// The text of a value that fits into one word of an id or into a longer string; none for lists and tables.
    pub(super) fn plain_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Whole(whole) => Some(whole.text.clone()),
            Self::Real(real) => Some(real.text.clone()),
            Self::Truth(truth) => Some(truth.to_string()),
            Self::Moment(moment) => Some(moment.to_string()),
            Self::List(_) | Self::Table(_) => None,
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Whole(whole) => whole_json(whole.number),
            Self::Real(real) => real.number.into(),
            Self::Truth(truth) => (*truth).into(),
            Self::Moment(moment) => moment.to_string().into(),
            Self::List(nodes) => nodes.iter().map(|node| node.value.json()).collect(),
            Self::Table(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.value.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

/// A JSON number; one outside of 64 bits as the nearest float, which no parameter can be anyway.
fn whole_json(number: i128) -> serde_json::Value {
    if let Ok(number) = i64::try_from(number) {
        number.into()
    } else if let Ok(number) = u64::try_from(number) {
        number.into()
    } else {
        (number as f64).into()
    }
}

/// The entries of a table in the order of the file; the parser sorts them by key.
pub(super) fn read_table(table: &DeTable<'_>, base: usize, findings: &mut Findings) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: Span::new(base + key.span().start, base + key.span().end),
            node: Node::read(value, base, findings),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span);
    entries
}

/// The entry of this key.
pub(super) fn get<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// What a made-up place in a [`DeValue`] stands for.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) span: Span,
    /// From the stage's table to the value; of a key the path to its value.
    pub(super) path: Path,
}

/// Turns parameters into the parser's own values, which serde reads.
///
/// Each value and key gets a made-up place, its number in the walk, so that an error names exactly one of them even
/// where interpolation put a whole list at one place of the file. [`marks`] repeats the walk and says what each
/// number stands for; only an error needs that.
pub(super) fn to_serde(entries: &[Entry]) -> DeTable<'_> {
    let mut next = 1;
    table_to_serde(entries, &mut next)
}

/// The place of the whole table.
pub(super) const WHOLE_TABLE: std::ops::Range<usize> = 0..1;

fn table_to_serde<'a>(entries: &'a [Entry], next: &mut usize) -> DeTable<'a> {
    let mut table = DeTable::new();
    for entry in entries {
        let key = Spanned::new(number(next), Cow::Borrowed(entry.key.as_str()));
        table.insert(key, node_to_serde(&entry.node, next));
    }
    table
}

fn node_to_serde<'a>(node: &'a Node, next: &mut usize) -> Spanned<DeValue<'a>> {
    let place = number(next);
    let value = match &node.value {
        Value::Text(text) => DeValue::String(Cow::Borrowed(text)),
        Value::Whole(whole) => literal(&whole.text),
        Value::Real(real) => literal(&real.text),
        Value::Truth(truth) => DeValue::Boolean(*truth),
        Value::Moment(moment) => DeValue::Datetime(*moment),
        Value::List(nodes) => {
            let mut list = DeArray::new();
            for node in nodes {
                list.push(node_to_serde(node, next));
            }
            DeValue::Array(list)
        }
        Value::Table(entries) => DeValue::Table(table_to_serde(entries, next)),
    };
    Spanned::new(place, value)
}

/// The parser's numbers have no constructor but the parser.
fn literal(digits: &str) -> DeValue<'_> {
    DeValue::parse(digits)
        .expect("Rust writes numbers as TOML does")
        .into_inner()
}

fn number(next: &mut usize) -> std::ops::Range<usize> {
    let place = *next..*next + 1;
    *next += 1;
    place
}

/// What the made-up places of [`to_serde`] stand for; the first is the whole table, at `header`.
pub(super) fn marks(entries: &[Entry], header: Span) -> Vec<Mark> {
    let mut marks = vec![Mark {
        span: header,
        path: Path::new(),
    }];
    mark_table(entries, &mut Path::new(), &mut marks);
    marks
}

fn mark_table(entries: &[Entry], path: &mut Path, marks: &mut Vec<Mark>) {
    for entry in entries {
        path.push(entry.key.clone());
        marks.push(Mark {
            span: entry.key_span,
            path: path.clone(),
        });
        mark_node(&entry.node, path, marks);
        path.pop();
    }
}

fn mark_node(node: &Node, path: &mut Path, marks: &mut Vec<Mark>) {
    marks.push(Mark {
        span: node.span,
        path: path.clone(),
    });
    match &node.value {
        Value::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                path.push(index.to_string());
                mark_node(node, path, marks);
                path.pop();
            }
        }
        Value::Table(entries) => mark_table(entries, path, marks),
        _ => {}
    }
}
