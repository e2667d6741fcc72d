//! The parameters of a stage: from the file into its kind's struct, with every problem found.

use super::interpolate::references;
use super::lookups::ArmLookup;
use super::names::suggest;
use super::problem::{Finding, Findings};
use super::source::Span;
use super::value::{Entry, Mark, Node, Path, Value, WHOLE_TABLE, get, marks, to_serde};
use crate::stages::{AnyStage, Kind};
use std::collections::BTreeSet;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

/// What is known of the stage whose parameters are read.
pub(super) struct Reading<'a> {
    pub(super) kind: &'static Kind,
    /// The stage's name.
    pub(super) name: &'a str,
    /// The arm's id.
    pub(super) id: &'a str,
    pub(super) header: Span,
    /// The parameters as the file has them, before interpolation.
    pub(super) raw: &'a [Entry],
    pub(super) lookup: &'a ArmLookup<'a>,
}

impl Reading<'_> {
    /// The kind's parameters with every default. `missing` names keys that had a problem already and are left out of
    /// `entries`; they are not reported again. `None` after a problem.
    pub(super) fn read(
        &self,
        mut entries: Vec<Entry>,
        missing: BTreeSet<String>,
        findings: &mut Findings,
    ) -> Option<serde_json::Value> {
        let mut gone: BTreeSet<Path> = missing.into_iter().map(|key| vec![key]).collect();
        entries.retain(|entry| match entry.node.not_finite() {
            None => true,
            Some((_, number)) => {
                let path = vec![entry.key.clone()];
                let number = number.to_string().to_lowercase();
                let message = format!("is {number}, but must be a finite number");
                findings.add(self.about(&path, &entry.node, &message));
                gone.insert(path);
                false
            }
        });
        // serde stops at the first error: take out what is wrong and try again.
        let stage = loop {
            let table = Spanned::new(WHOLE_TABLE, DeValue::Table(to_serde(&entries)));
            let error = match (self.kind.from_toml)(ValueDeserializer::from(table)) {
                Ok(stage) => break stage,
                Err(error) => error,
            };
            let marks = marks(&entries, self.header);
            let at = error.span().map_or(0, |place| place.start);
            let mark = marks.get(at).unwrap_or(&marks[0]);
            if !follows(error.message(), mark, &gone) {
                findings.add(self.explain(error.message(), mark, &entries));
            }
            if mark.path.is_empty() {
                return None;
            }
            gone.insert(take_out(&mut entries, &mark.path));
        };
        let right = self.sensible(stage.as_ref(), &entries, &gone, findings);
        if right && gone.is_empty() {
            self.exact(stage.as_ref(), &entries, findings)
        } else {
            None
        }
    }

    /// Whether no value is senseless. Parameters that had a problem already have their defaults here, so what is said
    /// of them does not count.
    fn sensible(
        &self,
        stage: &dyn AnyStage,
        entries: &[Entry],
        gone: &BTreeSet<Path>,
        findings: &mut Findings,
    ) -> bool {
        let is_gone = |name: &str| gone.iter().any(|path| path[0] == name);
        let problems = stage.problems();
        for problem in &problems {
            let field = problem.field.replace('[', ".").replace(']', "");
            let path: Path = field.split('.').map(str::to_owned).collect();
            let mut mentioned = quoted(&problem.message)
                .into_iter()
                .filter_map(|name| name.split('.').next());
            if is_gone(&path[0]) || mentioned.any(is_gone) {
                continue;
            }
            let finding = match get(entries, &path[0]) {
                Some(entry) => self.about(&path, &entry.node, &problem.message),
                None => Finding::new(
                    self.header,
                    format!(
                        "stage `{}`: `{}` {}",
                        self.name,
                        written(&path),
                        problem.message
                    ),
                )
                .hint(format!(
                    "`{}` is not in the file; this is its default",
                    path[0]
                )),
            };
            findings.add(finding);
        }
        problems.is_empty()
    }

    /// The parameters as JSON, if they survive the way to a worker.
    fn exact(
        &self,
        stage: &dyn AnyStage,
        entries: &[Entry],
        findings: &mut Findings,
    ) -> Option<serde_json::Value> {
        let params = stage.params();
        match (self.kind.from_json)(params.clone()) {
            Ok(again) if again.params() == params => return Some(params),
            _ => {}
        }
        // A number beyond the range of its type, such as 1e300 as f32, has become infinite, which JSON calls null.
        let lost = marks(entries, self.header).into_iter().find(|mark| {
            let value = mark
                .path
                .iter()
                .try_fold(&params, |value, part| match value {
                    serde_json::Value::Array(values) => values.get(part.parse::<usize>().ok()?),
                    _ => value.get(part),
                });
            value.is_some_and(serde_json::Value::is_null)
        });
        let finding = match lost.and_then(|mark| Some((get(entries, &mark.path[0])?, mark.path))) {
            Some((entry, path)) => {
                let rest: Vec<&str> = path[1..].iter().map(String::as_str).collect();
                let shown = entry.node.deepest(&rest).shown();
                let message = format!("is {shown}, which is too large for its type");
                self.about(&path, &entry.node, &message)
            }
            None => Finding::new(
                self.header,
                format!(
                    "stage `{}`: the kind `{}` does not read back the parameters that it wrote: {params}",
                    self.name, self.kind.name
                ),
            ),
        };
        findings.add(finding);
        None
    }

    /// A problem with the value at `path` of a parameter, which is `node`.
    fn about(&self, path: &[String], node: &Node, message: &str) -> Finding {
        let rest: Vec<&str> = path[1..].iter().map(String::as_str).collect();
        self.finding(node.deepest(&rest).span, path, message)
    }

    /// "stage `cf`: `factors` is 0, …", and where the value came from if that is another place.
    fn finding(&self, span: Span, path: &[String], message: &str) -> Finding {
        let rest: Vec<&str> = path.iter().skip(1).map(String::as_str).collect();
        let raw = path
            .first()
            .and_then(|first| get(self.raw, first))
            .map(|entry| references(entry.node.deepest(&rest)))
            .unwrap_or_default();
        let of_arm = raw.iter().any(|path| self.lookup.is_of_axis(path));
        let stage = if of_arm { self.id } else { self.name };
        let mut finding = Finding::new(
            span,
            format!("stage `{stage}`: `{}` {message}", written(path)),
        );
        for reference in raw {
            if let Some(source) = self.lookup.peek(&reference) {
                if source.span != span {
                    finding = finding
                        .related(source.span, format!("`{reference}` is {}", source.shown()));
                }
            }
        }
        finding
    }

    /// Turns serde's sentence into ours.
    fn explain(&self, message: &str, mark: &Mark, entries: &[Entry]) -> Finding {
        let stage = self.name;
        let words = quoted(message);
        if message.starts_with("missing field") {
            let mut path = mark.path.clone();
            path.extend(words.first().map(|field| (*field).to_owned()));
            return Finding::new(
                mark.span,
                format!(
                    "stage `{stage}`: the parameter `{}` is missing",
                    written(&path)
                ),
            );
        }
        let known = || words.iter().skip(1).copied();
        if message.starts_with("unknown field") {
            let field = words.first().copied().unwrap_or_default();
            let hints = if mark.path.len() > 1 {
                let table = written(&mark.path[..mark.path.len() - 1]);
                suggest(field, &format!("parameters of `{table}`"), known())
            } else {
                let what = format!("parameters of `{}`", self.kind.name);
                let mut hints = suggest(field, &what, known());
                let reserved = suggest(field, "", super::declared::stage_keys());
                if hints.len() < 2 && reserved.len() == 2 {
                    hints.insert(0, reserved[0].clone());
                }
                hints
            };
            return Finding::new(
                mark.span,
                format!(
                    "stage `{stage}`: unknown parameter `{}`",
                    written(&mark.path)
                ),
            )
            .hints(hints);
        }
        let found = mark.path.first().and_then(|first| {
            let rest: Vec<&str> = mark.path[1..].iter().map(String::as_str).collect();
            Some(get(entries, first)?.node.deepest(&rest))
        });
        let shown = found.map_or_else(|| "not there".to_owned(), describe);
        if message.starts_with("unknown variant") {
            let variant = words.first().copied().unwrap_or_default();
            let mut values: Vec<String> = known().map(|name| format!("`{name}`")).collect();
            let last = values.pop().unwrap_or_default();
            let either = match values.len() {
                0 => last,
                _ => format!("{} or {last}", values.join(", ")),
            };
            let text = format!("is {shown}, but must be {either}");
            // The message has the list already.
            let mut near = suggest(variant, "values", known());
            near.pop();
            return self.finding(mark.span, &mark.path, &text).hints(near);
        }
        let text = match message.split_once(", expected ") {
            Some((start, wanted)) if start.starts_with("invalid ") => {
                format!("is {shown}, but must be {}", plain(wanted))
            }
            _ if message == "wanted string or table" => {
                format!("is {shown}, but must be a string or a table")
            }
            _ => format!("is {shown}: {message}"),
        };
        if mark.path.is_empty() {
            return Finding::new(mark.span, format!("stage `{stage}`: {message}"));
        }
        self.finding(mark.span, &mark.path, &text)
    }
}

/// Whether an error only follows from what has been taken out: a table lacks it, or is no longer what it was.
fn follows(message: &str, mark: &Mark, gone: &BTreeSet<Path>) -> bool {
    if message.starts_with("missing field") {
        let mut path = mark.path.clone();
        path.extend(quoted(message).first().map(|field| (*field).to_owned()));
        return gone.contains(&path);
    }
    !mark.path.is_empty() && gone.iter().any(|path| path.starts_with(&mark.path))
}

/// Takes the value at `path` out of its table; what is in a list goes with the list. Returns what was taken.
fn take_out(entries: &mut Vec<Entry>, path: &[String]) -> Path {
    let key = &path[0];
    if let (Some(entry), true) = (
        entries.iter_mut().find(|entry| entry.key == *key),
        path.len() > 1,
    ) {
        if let Value::Table(inner) = &mut entry.node.value {
            let mut taken = vec![key.clone()];
            taken.extend(take_out(inner, &path[1..]));
            return taken;
        }
    }
    entries.retain(|entry| entry.key != *key);
    vec![key.clone()]
}

/// A list or table by its type, anything else by its value.
fn describe(node: &Node) -> String {
    match node.value.plain_text() {
        Some(_) => node.shown(),
        None => node.value.type_name().to_owned(),
    }
}

/// `losses.1` as `losses[1]`.
fn written(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if !text.is_empty() && part.chars().all(|c| c.is_ascii_digit()) {
            text = format!("{text}[{part}]");
        } else if text.is_empty() {
            text.push_str(part);
        } else {
            text = format!("{text}.{part}");
        }
    }
    text
}

/// The words between backticks.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// What serde expects, in the words of the file.
fn plain(wanted: &str) -> String {
    let text = match wanted {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "path string" => "a path",
        _ if wanted.starts_with("a nonzero u") => "a whole number of at least 1",
        _ if wanted.starts_with("struct ") => "a table",
        _ => return wanted.to_owned(),
    };
    text.to_owned()
}
