//! A file and what it includes, merged: tables with places, nothing resolved.

use super::names::{is_name, suggest};
use super::problem::{Finding, Findings};
use super::source::{Sources, Span};
use super::value::{Entry, Node, Value, read_table};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use toml::de::DeTable;

/// Reads the bytes of a file; tests give their own.
pub(super) type ReadFile<'a> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'a;

/// The tables of all files of a pipeline.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) name: Option<Node>,
    pub(super) title: Option<Node>,
    pub(super) seed: Option<Entry>,
    pub(super) params: Vec<Entry>,
    /// `[groups]`: name and limit.
    pub(super) groups: Vec<Entry>,
    pub(super) profiles: BTreeMap<String, Profile>,
    pub(super) stages: Vec<Entry>,
    /// Where a problem of the file as a whole is shown.
    pub(super) top: Option<Span>,
    /// Whether a text could not be read as TOML, so that anything may be missing.
    pub(super) broken: bool,
}

/// One `[profile.NAME]`, from one file or several.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// `[profile.NAME.params]`: overrides of parameters.
    pub(super) params: Vec<Entry>,
    /// `[profile.NAME.stage.X]`: overrides of keys of a stage.
    pub(super) stages: Vec<Entry>,
}

const TOP_LEVEL: [&str; 8] = [
    "name", "title", "seed", "include", "params", "groups", "profile", "stage",
];

/// Reads `path` and everything it includes.
pub(super) fn read(
    path: &Path,
    read_file: &ReadFile<'_>,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Document {
    let mut reader = Reader {
        read_file,
        sources,
        findings,
        open: Vec::new(),
        done: BTreeSet::new(),
        names: BTreeMap::new(),
        document: Document::default(),
    };
    reader.file(path, None);
    reader.document
}

struct Reader<'a> {
    read_file: &'a ReadFile<'a>,
    sources: &'a mut Sources,
    findings: &'a mut Findings,
    /// The chain of includes that leads to the file being read.
    open: Vec<PathBuf>,
    done: BTreeSet<PathBuf>,
    /// Where each thing was declared, for "declared twice".
    names: BTreeMap<String, Span>,
    document: Document,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, include: Option<Span>) {
        let plain = normalised(path);
        if let Some(at) = self.open.iter().position(|open| *open == plain) {
            let mut chain: Vec<String> = self.open[at..].iter().map(|p| quoted(p)).collect();
            chain.push(quoted(&plain));
            if let Some(span) = include {
                self.findings.add(Finding::new(
                    span,
                    format!("the files include one another: {}", chain.join(" -> ")),
                ));
            }
            return;
        }
        // A file that two others share is read once.
        if !self.done.insert(plain.clone()) {
            return;
        }
        let Some((base, text)) = self.text(path, include) else {
            self.document.broken = true;
            return;
        };
        self.document.top.get_or_insert(Span::new(base, base));
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let range = error.span().unwrap_or(0..0);
            let span = Span::new(base + range.start, base + range.end);
            self.findings
                .add(Finding::new(span, format!("not TOML: {}", error.message())));
            self.document.broken = true;
        }
        let entries = read_table(table.get_ref(), base, self.findings);
        self.open.push(plain);
        self.entries(entries, path, include.is_none());
        self.open.pop();
    }

    /// Reads a text and remembers it as a source; returns where it begins.
    fn text(&mut self, path: &Path, include: Option<Span>) -> Option<(usize, String)> {
        let bytes = match (self.read_file)(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let span = include.unwrap_or_else(|| {
                    let base = self.sources.add(path.to_owned(), String::new());
                    Span::new(base, base)
                });
                self.findings.add(Finding::new(
                    span,
                    format!("cannot read {}: {}", quoted(path), reason(&error)),
                ));
                return None;
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                let base = self.sources.add(path.to_owned(), text.clone());
                Some((base, text))
            }
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let base = self.sources.add(path.to_owned(), text);
                // The sign that stands for wrong bytes takes three.
                let span = Span::new(base + good, base + good + 3);
                self.findings.add(Finding::new(
                    span,
                    "the file is not UTF-8 text, which TOML must be",
                ));
                None
            }
        }
    }

    fn entries(&mut self, entries: Vec<Entry>, path: &Path, outermost: bool) {
        // Includes come first wherever they stand, so that the order of stages is the order of need.
        if let Some(include) = entries.iter().find(|entry| entry.key == "include") {
            self.include(&include.node, path);
        }
        for entry in entries {
            match entry.key.as_str() {
                "include" => {}
                // An included file may be a pipeline by itself; its name is not this pipeline's.
                "name" | "title" if !outermost => {
                    self.text_value(&entry);
                }
                "name" => {
                    if self.text_value(&entry) {
                        self.document.name = Some(entry.node);
                    }
                }
                "title" => {
                    if self.text_value(&entry) {
                        self.document.title = Some(entry.node);
                    }
                }
                "seed" => {
                    if self.first("`seed`", &entry) {
                        self.document.seed = Some(entry);
                    }
                }
                "params" => {
                    for entry in self.table(entry, "params") {
                        self.param(entry);
                    }
                }
                "groups" => {
                    for entry in self.table(entry, "groups") {
                        let right = self.name("a group", &entry);
                        if right && self.first(&format!("the group `{}`", entry.key), &entry) {
                            self.document.groups.push(entry);
                        }
                    }
                }
                "profile" => {
                    for entry in self.table(entry, "profile") {
                        self.profile(entry);
                    }
                }
                "stage" => {
                    for entry in self.table(entry, "stage") {
                        self.stage(entry);
                    }
                }
                unknown => {
                    let hints = suggest(unknown, "top-level keys", TOP_LEVEL);
                    self.findings.add(
                        Finding::new(entry.key_span, format!("unknown top-level key `{unknown}`"))
                            .hints(hints),
                    );
                }
            }
        }
    }

    fn include(&mut self, node: &Node, path: &Path) {
        let one = std::slice::from_ref(node);
        let files = match &node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => one,
        };
        for file in files {
            if let Value::Text(name) = &file.value {
                let folder = path.parent().unwrap_or(Path::new(""));
                self.file(&folder.join(name), Some(file.span));
            } else {
                self.findings.add(wrong_type(
                    "`include`",
                    file,
                    "the path of a file or a list of paths",
                ));
            }
        }
    }

    fn param(&mut self, entry: Entry) {
        let right = self.name("a parameter", &entry);
        if entry.key == "matrix" {
            self.findings.add(
                Finding::new(entry.key_span, "a parameter cannot be called `matrix`")
                    .hint("`${matrix.axis}` is a value of a stage's matrix"),
            );
        } else if right && self.first(&format!("the parameter `{}`", entry.key), &entry) {
            self.document.params.push(entry);
        }
    }

    fn profile(&mut self, entry: Entry) {
        if !self.name("a profile", &entry) {
            return;
        }
        let name = entry.key.clone();
        self.document.profiles.entry(name.clone()).or_default();
        for entry in self.table(entry, &format!("profile.{name}")) {
            match entry.key.as_str() {
                "params" => {
                    for entry in self.table(entry, &format!("profile.{name}.params")) {
                        let what = format!("`{}` of the profile `{name}`", entry.key);
                        if self.first(&what, &entry) {
                            self.in_profile(&name).params.push(entry);
                        }
                    }
                }
                "stage" => {
                    for entry in self.table(entry, &format!("profile.{name}.stage")) {
                        let what = format!("stage `{}` of the profile `{name}`", entry.key);
                        let is_table = matches!(entry.node.value, Value::Table(_));
                        if !is_table {
                            self.findings.add(wrong_type(&what, &entry.node, "a table"));
                        } else if self.first(&what, &entry) {
                            self.in_profile(&name).stages.push(entry);
                        }
                    }
                }
                unknown => {
                    let hints = suggest(unknown, "keys of a profile", ["params", "stage"]);
                    self.findings.add(
                        Finding::new(
                            entry.key_span,
                            format!("profile `{name}`: unknown key `{unknown}`"),
                        )
                        .hints(hints),
                    );
                }
            }
        }
    }

    fn in_profile(&mut self, name: &str) -> &mut Profile {
        self.document.profiles.entry(name.to_owned()).or_default()
    }

    fn stage(&mut self, entry: Entry) {
        if !matches!(entry.node.value, Value::Table(_)) {
            let what = format!("stage `{}`", entry.key);
            self.findings.add(wrong_type(&what, &entry.node, "a table"));
        } else if self.first(&format!("the stage `{}`", entry.key), &entry) {
            self.document.stages.push(entry);
        }
    }

    fn table(&mut self, entry: Entry, what: &str) -> Vec<Entry> {
        if let Value::Table(entries) = entry.node.value {
            return entries;
        }
        self.findings
            .add(wrong_type(&format!("`{what}`"), &entry.node, "a table"));
        Vec::new()
    }

    fn text_value(&mut self, entry: &Entry) -> bool {
        let right = matches!(entry.node.value, Value::Text(_));
        if !right {
            let what = format!("`{}`", entry.key);
            self.findings
                .add(wrong_type(&what, &entry.node, "a string"));
        }
        right
    }

    fn name(&mut self, what: &str, entry: &Entry) -> bool {
        let right = is_name(&entry.key);
        if !right {
            self.findings
                .add(bad_name(what, &entry.key, entry.key_span));
        }
        right
    }

    /// Whether this is the first declaration of `what`.
    fn first(&mut self, what: &str, entry: &Entry) -> bool {
        if let Some(&first) = self.names.get(what) {
            self.findings.add(
                Finding::new(entry.key_span, format!("{what} is declared twice"))
                    .related(first, "first declared here"),
            );
            return false;
        }
        self.names.insert(what.to_owned(), entry.key_span);
        true
    }
}

/// "`seed` is a string, but must be a whole number".
pub(super) fn wrong_type(what: &str, node: &Node, expected: &str) -> Finding {
    let found = match &node.value {
        Value::List(_) | Value::Table(_) => node.value.type_name().to_owned(),
        _ => node.shown(),
    };
    Finding::new(
        node.span,
        format!("{what} is {found}, but must be {expected}"),
    )
}

pub(super) fn bad_name(what: &str, name: &str, span: Span) -> Finding {
    Finding::new(
        span,
        format!("`{name}` is no name for {what}: letters, digits, `_` and `-` are allowed"),
    )
}

fn quoted(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// The reason without the path, which the message names already.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// `a/./b/../c` as `a/c`, so that one file has one name.
fn normalised(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
