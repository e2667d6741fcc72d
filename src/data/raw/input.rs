//! Where raw text comes from, block by block: a file, a gzip file, or bytes in memory.

use super::reading::Reading;
use crate::data::{DataError, Problems};
use flate2::bufread::MultiGzDecoder;
use rayon::prelude::*;
use std::cell::Cell;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Bytes read at a time.
const BLOCK: usize = 16 << 20;
/// Parts of a block that are parsed in parallel. Fixed; the result does not depend on it anyway.
const PARTS: usize = 16;
/// The longest line that is read. A file without line breaks must not fill the memory.
const LONGEST_LINE: usize = 64 << 20;

/// Text to be read once.
pub struct Input<'a> {
    path: PathBuf,
    reader: Box<dyn Read + 'a>,
    /// Bytes of the source, compressed where it is.
    size: u64,
    /// Bytes of the source read so far.
    done: Rc<Cell<u64>>,
}

/// Counts the bytes that pass.
struct Counted<R> {
    inner: R,
    done: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.done.set(self.done.get() + read as u64);
        Ok(read)
    }
}

impl<'a> Input<'a> {
    /// Opens a file; one whose name ends in `.gz` is decompressed on the way.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let file = fs_err::File::open(path)?;
        let size = file.metadata()?.len();
        let done = Rc::new(Cell::new(0));
        let counted = Counted {
            inner: file,
            done: Rc::clone(&done),
        };
        let reader: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
            Box::new(MultiGzDecoder::new(BufReader::new(counted)))
        } else {
            Box::new(counted)
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            size,
            done,
        })
    }

    /// Reads from memory; `path` is the name in messages.
    pub fn bytes(path: impl Into<PathBuf>, bytes: &'a [u8]) -> Self {
        let done = Rc::new(Cell::new(0));
        Self {
            path: path.into(),
            size: bytes.len() as u64,
            reader: Box::new(Counted {
                inner: bytes,
                done: Rc::clone(&done),
            }),
            done,
        }
    }

    /// The name in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A single problem of this input that no line can be left out for.
    pub fn broken(&self, line: usize, message: impl Into<String>) -> DataError {
        let mut problems = Problems::new(&self.path);
        problems.add(line, message);
        problems.into()
    }

    /// Fills the buffer up to one more block; returns how many bytes came.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let wanted = self.reader.by_ref().take(BLOCK as u64);
        let mut wanted = wanted;
        wanted.read_to_end(buffer).map_err(|error| {
            // A damaged gzip stream does not name its file.
            let text = format!("failed to read `{}`: {error}", self.path.display());
            std::io::Error::new(error.kind(), text).into()
        })
    }
}

/// What a part of a block gave. Lines are counted from 1 within the part.
#[derive(Debug)]
pub struct Part<T> {
    /// What the parser made of each good line.
    pub rows: Vec<T>,
    /// The bad lines, ascending.
    pub bad: Vec<usize>,
    /// What is wrong with them.
    pub problems: Problems,
    /// How many lines there were.
    pub lines: usize,
    /// Lines that hold something that is ignored.
    pub ignored: usize,
}

impl<T> Part<T> {
    /// An empty part of `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            rows: Vec::new(),
            bad: Vec::new(),
            problems: Problems::new(path),
            lines: 0,
            ignored: 0,
        }
    }

    /// Takes the result of the next line.
    pub fn push(&mut self, parsed: Result<T, String>) {
        self.lines += 1;
        match parsed {
            Ok(row) => self.rows.push(row),
            Err(message) => {
                self.bad.push(self.lines);
                self.problems.add(self.lines, message);
            }
        }
    }

    /// Parses each line of `text` (without its end) by `parse`.
    pub fn of_lines<'t>(
        path: &Path,
        text: &'t [u8],
        mut parse: impl FnMut(&'t [u8]) -> Result<T, String>,
    ) -> Self {
        let mut part = Self::new(path);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            part.push(parse(trim_end(line)));
        }
        part
    }
}

/// The rows of a file, and on which line each stands.
#[derive(Debug)]
pub struct Rows<T> {
    /// What the parser made of each good line, in the order of the file.
    pub rows: Vec<T>,
    /// Line of the first row, from 1, if no line before it was left out.
    first_line: usize,
    /// Lines that were left out, ascending.
    skipped: Vec<usize>,
}

impl<T> Rows<T> {
    /// The line of each row, from 1.
    pub fn lines(&self) -> impl Iterator<Item = usize> + '_ {
        let mut skipped = self.skipped.iter().copied().peekable();
        let mut line = self.first_line;
        std::iter::repeat_with(move || {
            while skipped.next_if_eq(&line).is_some() {
                line += 1;
            }
            line += 1;
            line - 1
        })
        .take(self.rows.len())
    }
}

/// Parses a text of lines in blocks, each in parallel parts.
///
/// `header`, where given, gets the first line; a message from it ends the reading whatever the policy is. `part` parses
/// whole lines. `sink` gets the rows of each part in the order of the text.
pub fn each_part<T: Send>(
    mut input: Input<'_>,
    reading: &Reading<'_>,
    mut header: Option<&mut dyn FnMut(&[u8]) -> Result<(), String>>,
    part: impl Fn(&[u8]) -> Part<T> + Sync,
    mut sink: impl FnMut(Vec<T>),
) -> Result<Summary, DataError> {
    let phase = input.path.file_name().map_or_else(String::new, |name| {
        format!("reading {}", name.to_string_lossy())
    });
    let mut problems = Problems::new(&input.path);
    let first_line = 1 + usize::from(header.is_some());
    let mut summary = Summary {
        first_line,
        skipped: Vec::new(),
        ignored: 0,
    };
    let mut lines = 0;
    let mut empty = true;
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let searched = buffer.len();
        let at_end = input.fill(&mut buffer)? == 0;
        empty &= buffer.is_empty();
        // Whole lines only; the rest waits for the next block.
        let end = if at_end {
            buffer.len()
        } else {
            let found = buffer[searched..].iter().rposition(|&byte| byte == b'\n');
            found.map_or(0, |at| searched + at + 1)
        };
        if buffer.len() - end > LONGEST_LINE {
            return Err(input.broken(
                lines + 1,
                format!(
                    "is longer than {} MiB; is this a text file?",
                    LONGEST_LINE >> 20
                ),
            ));
        }
        let mut block = &buffer[..end];
        if !block.is_empty() {
            if let Some(header) = header.take() {
                let cut = block.iter().position(|&byte| byte == b'\n');
                let (line, rest) = block.split_at(cut.map_or(block.len(), |at| at + 1));
                block = rest;
                lines = 1;
                header(trim_end(line)).map_err(|message| input.broken(1, message))?;
            }
        }
        let parts: Vec<Part<T>> = split(block).into_par_iter().map(&part).collect();
        for part in parts {
            problems.append(part.problems, lines);
            summary
                .skipped
                .extend(part.bad.into_iter().map(|line| lines + line));
            lines += part.lines;
            summary.ignored += part.ignored;
            sink(part.rows);
        }
        buffer.drain(..end);
        let done = input.done.get().min(input.size);
        reading.progress.tick(&phase, done, input.size)?;
        if at_end {
            break;
        }
    }
    if empty {
        return Err(input.broken(1, "the file is empty"));
    }
    reading.settle(problems)?;
    Ok(summary)
}

/// What [`each_part`] saw.
#[derive(Debug)]
pub struct Summary {
    /// Line of the first row.
    pub first_line: usize,
    /// Lines that were left out, ascending.
    pub skipped: Vec<usize>,
    /// Lines that hold something that is ignored.
    pub ignored: usize,
}

/// Parses every line of a text without header, and keeps the rows.
pub fn each_line<T: Send>(
    input: Input<'_>,
    reading: &Reading<'_>,
    parse: impl Fn(&[u8]) -> Result<T, String> + Sync,
) -> Result<Rows<T>, DataError> {
    fold_lines(input, reading, parse, |row| row)
}

/// Parses every line of a text without header in parallel, then passes each row through `keep` in the order of the text: to
/// number names, for instance, before they take up memory.
pub fn fold_lines<T: Send, K>(
    input: Input<'_>,
    reading: &Reading<'_>,
    parse: impl Fn(&[u8]) -> Result<T, String> + Sync,
    mut keep: impl FnMut(T) -> K,
) -> Result<Rows<K>, DataError> {
    let path = input.path.clone();
    let mut rows = Vec::new();
    let summary = each_part(
        input,
        reading,
        None,
        |text| Part::of_lines(&path, text, &parse),
        |part| rows.extend(part.into_iter().map(&mut keep)),
    )?;
    Ok(summary.rows(rows))
}

impl Summary {
    /// Rows on the lines that were seen.
    pub fn rows<T>(self, rows: Vec<T>) -> Rows<T> {
        Rows {
            rows,
            first_line: self.first_line,
            skipped: self.skipped,
        }
    }
}

/// Cuts whole lines into parts of whole lines.
pub(super) fn split(block: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::with_capacity(PARTS);
    let mut rest = block;
    for left in (1..=PARTS).rev() {
        let middle = rest.len() / left;
        let cut = rest[middle..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest.len(), |at| middle + at + 1);
        let (part, later) = rest.split_at(cut);
        if !part.is_empty() {
            parts.push(part);
        }
        rest = later;
    }
    parts
}

/// A line without its end.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::raw::OnError;
    use crate::progress::Silent;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn number(line: &[u8]) -> Result<u32, String> {
        std::str::from_utf8(line)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "is no number".to_owned())
    }

    #[test]
    fn rows_know_their_lines_when_some_are_left_out() {
        let reading = Reading::new(OnError::Skip, &Silent);
        let input = Input::bytes("x", b"1\nx\n3\ny\nz\n6\n7");
        let rows = each_line(input, &reading, number).unwrap();
        assert_eq!(rows.rows, [1, 3, 6, 7]);
        assert_eq!(rows.lines().collect::<Vec<_>>(), [1, 3, 6, 7]);
        assert_eq!(reading.skipped()["x"], 3);
    }

    #[test]
    fn gzip_is_read_whole_and_a_cut_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.gz");
        let text: String = (0..5000).map(|n| format!("{n}\n")).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        // Two members, as `cat a.gz b.gz` makes.
        fs_err::write(&path, [bytes.clone(), bytes.clone()].concat()).unwrap();
        let reading = Reading::strict(&Silent);
        let rows = each_line(Input::open(&path).unwrap(), &reading, number).unwrap();
        assert_eq!(rows.rows.len(), 10_000);
        fs_err::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = each_line(Input::open(&path).unwrap(), &reading, number).unwrap_err();
        assert!(error.to_string().contains("n.gz"), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn parts_are_whole_lines_and_lose_nothing(block in "[a\n]{0,200}") {
            let parts = split(block.as_bytes());
            prop_assert_eq!(parts.concat(), block.as_bytes());
            for part in parts.iter().rev().skip(1) {
                prop_assert_eq!(part.last(), Some(&b'\n'));
            }
        }
    }
}
