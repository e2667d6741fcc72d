//! Everything that is wrong with a pipeline file, with places.

use super::Location;
use super::source::{Sources, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct SpecProblem {
    /// What is wrong: found and expected, lower case, no full stop.
    pub message: String,
    /// Where.
    pub location: Location,
    /// Other places that explain it.
    pub related: Vec<RelatedPlace>,
    /// Next steps; of known names the nearest first.
    pub hints: Vec<String>,
    #[serde(skip)]
    span: Span,
    #[serde(skip)]
    related_spans: Vec<Span>,
}

/// A place that explains a problem elsewhere.
#[derive(Clone, Debug, Serialize)]
pub struct RelatedPlace {
    /// Where.
    pub location: Location,
    /// What is there.
    pub text: String,
}

/// Every problem of a pipeline, in the order of files and lines, those of `--profile` and `--set` last.
#[derive(Debug)]
pub struct SpecErrors {
    problems: Vec<SpecProblem>,
    sources: Sources,
}

impl SpecErrors {
    /// The problems; at least one.
    pub fn problems(&self) -> &[SpecProblem] {
        &self.problems
    }

    /// For people: each problem with its line and a caret, a blank line between two.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let reports: Vec<String> = self
            .problems
            .iter()
            .map(|problem| renderer.render(&[self.report(problem)]))
            .collect();
        reports.join("\n\n")
    }

    fn report<'a>(&'a self, problem: &'a SpecProblem) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&*problem.message));
        // A file that is empty or cannot be read has no line to show.
        let (source, _) = self.sources.find(problem.span);
        group = if source.text.is_empty() {
            group.element(Origin::path(source.name.display().to_string()))
        } else {
            group.element(self.snippet(problem.span, AnnotationKind::Primary, None))
        };
        for (place, &span) in problem.related.iter().zip(&problem.related_spans) {
            group = group.element(self.snippet(span, AnnotationKind::Context, Some(&place.text)));
        }
        for hint in &problem.hints {
            group = group.element(Level::HELP.message(&**hint));
        }
        group
    }

    /// The lines of a place and no others: the renderer reads all that it is given.
    fn snippet<'a>(
        &'a self,
        span: Span,
        kind: AnnotationKind,
        label: Option<&'a str>,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let (source, range) = self.sources.find(span);
        let line = source.line_of(range.start);
        let start = source.line_start(line);
        let end = source.line_start(source.line_of(range.end) + 1);
        Snippet::source(&source.text[start..end])
            .line_start(line + 1)
            .path(source.name.display().to_string())
            .annotation(
                kind.span(range.start - start..range.end - start)
                    .label(label),
            )
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for SpecErrors {}

/// A sweep of a thousand arms may have a thousand problems with one value; the first few say it all.
const MOST_AT_A_PLACE: usize = 3;

/// A problem while it is put together.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    span: Span,
    message: String,
    related: Vec<(Span, String)>,
    hints: Vec<String>,
    /// Where in the code it was made, so that a test can say which messages nobody has read.
    #[cfg(test)]
    pub(super) made_at: &'static std::panic::Location<'static>,
}

impl Finding {
    #[track_caller]
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            #[cfg(test)]
            made_at: std::panic::Location::caller(),
            span,
            message: message.into(),
            related: Vec::new(),
            hints: Vec::new(),
        }
    }

    pub(super) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    pub(super) fn hints(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(texts);
        self
    }

    pub(super) fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }
}

#[cfg(test)]
thread_local! {
    /// The places in the code of every finding on this thread.
    pub(super) static MADE: std::cell::RefCell<BTreeSet<(&'static str, u32)>> =
        const { std::cell::RefCell::new(BTreeSet::new()) };
}

/// Collects problems; the same words at the same place count once, since arms of a sweep share their text.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    seen: BTreeSet<(Span, String)>,
    /// How many there are at each place.
    at_place: BTreeMap<Span, usize>,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        #[cfg(test)]
        MADE.with_borrow_mut(|made| {
            made.insert((finding.made_at.file(), finding.made_at.line()));
        });
        if !self.seen.insert((finding.span, finding.message.clone())) {
            return;
        }
        let count = self.at_place.entry(finding.span).or_default();
        *count += 1;
        if *count <= MOST_AT_A_PLACE {
            self.list.push(finding);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sorts by place and looks the places up.
    pub(super) fn into_errors(mut self, sources: Sources) -> SpecErrors {
        let crowded = self
            .at_place
            .iter()
            .filter(|(_, count)| **count > MOST_AT_A_PLACE);
        for (span, count) in crowded {
            let more = count - MOST_AT_A_PLACE;
            if let Some(last) = self.list.iter_mut().rfind(|finding| finding.span == *span) {
                last.hints
                    .push(format!("and {more} more like this at the same place"));
            }
        }
        self.list.sort_by_key(|finding| finding.span);
        let problems = self
            .list
            .into_iter()
            .map(|finding| SpecProblem {
                location: sources.locate(finding.span),
                span: finding.span,
                related_spans: finding.related.iter().map(|(span, _)| *span).collect(),
                related: finding
                    .related
                    .into_iter()
                    .map(|(span, text)| RelatedPlace {
                        location: sources.locate(span),
                        text,
                    })
                    .collect(),
                message: finding.message,
                hints: finding.hints,
            })
            .collect();
        SpecErrors { problems, sources }
    }
}
