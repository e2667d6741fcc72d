//! The texts that a pipeline was read from, and places in them.

use super::Location;
use std::path::PathBuf;

/// A range of bytes in all texts laid end to end, so that a place needs no name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// One text: a file, or what stood after `--set` or `--profile`.
#[derive(Debug)]
pub(super) struct Source {
    /// The file as it was named, or the option.
    pub(super) name: PathBuf,
    pub(super) text: String,
    /// Where the text begins among all texts.
    base: usize,
    /// Where each line begins in this text.
    lines: Vec<usize>,
}

impl Source {
    /// The line of a byte of this text, from 0.
    pub(super) fn line_of(&self, byte: usize) -> usize {
        self.lines.partition_point(|&start| start <= byte) - 1
    }

    /// Where a line begins, or the text's length after the last one.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line).copied().unwrap_or(self.text.len())
    }
}

/// Every text, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text; returns where it begins among all texts.
    pub(super) fn add(&mut self, name: PathBuf, text: String) -> usize {
        // One byte between texts keeps the end of one apart from the start of the next.
        let base = self
            .0
            .last()
            .map_or(0, |last| last.base + last.text.len() + 1);
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.0.push(Source {
            name,
            text,
            base,
            lines,
        });
        base
    }

    /// The text of a place, and the place in it.
    pub(super) fn find(&self, span: Span) -> (&Source, std::ops::Range<usize>) {
        let index = self.0.partition_point(|source| source.base <= span.start) - 1;
        let source = &self.0[index];
        let start = span.start - source.base;
        let end = (span.end - source.base).clamp(start, source.text.len());
        (source, start..end)
    }

    /// File, line and column of a place.
    pub(super) fn locate(&self, span: Span) -> Location {
        let (source, range) = self.find(span);
        let line = source.line_of(range.start);
        let before = &source.text[source.line_start(line)..range.start];
        Location {
            file: source.name.clone(),
            line: line + 1,
            column: before.chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_every_text() {
        let mut sources = Sources::default();
        assert_eq!(sources.add("a".into(), "é = 1\nb".into()), 0);
        let base = sources.add("b".into(), "x\n\ny".into());
        assert_eq!(
            sources.locate(Span::new(5, 6)).to_string(),
            "a:1:5",
            "columns are characters"
        );
        assert_eq!(
            sources.locate(Span::new(base - 2, base - 1)).to_string(),
            "a:2:1"
        );
        assert_eq!(
            sources.locate(Span::new(base, base + 1)).to_string(),
            "b:1:1"
        );
        assert_eq!(
            sources.locate(Span::new(base + 3, base + 4)).to_string(),
            "b:3:1"
        );
    }
}
