//! Delimited text files, line by line and in parallel, with every problem placed.
//!
//! The parser is ours because polars and `csv` cannot say which line has which wrong value, and neither knows
//! `::`. Measured: 25 million ratings (685 MB) through ingest take 4.6 s and 1.2 GB on two cores (`benches/scale.py`).

use super::input::{Input, Part, Rows, each_part, trim_end};
use super::reading::Reading;
use crate::data::DataError;
use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Between the fields.
    pub separator: &'static str,
    /// The columns that we read, by name and in the order in which the row parser gets them.
    pub columns: &'static [&'static str],
    /// What follows the columns in a file without header, for instance `19 genre flags`; how many and their name.
    pub more: Option<(usize, &'static str)>,
    /// Whether the first line names the columns, fields may be in quotes and the text is UTF-8 (CSV). Without it, fields
    /// are plain and Latin-1.
    pub csv: bool,
}

/// The fields of one line. Bytes: most fields are numbers, and checking UTF-8 costs.
pub type Fields<'a> = [Cow<'a, [u8]>];

/// Parses every line with `row`, which gets the fields of [`Layout::columns`] (and of [`Layout::more`]).
pub fn read<T: Send>(
    input: Input<'_>,
    layout: Layout,
    reading: &Reading<'_>,
    row: impl Fn(&Fields<'_>) -> Result<T, String> + Sync,
) -> Result<Rows<T>, DataError> {
    read_quickly(input, layout, reading, |_| None, row)
}

/// As [`read`], with a short cut for lines as they usually are.
///
/// Where a line is made of just [`Layout::columns`], `quick` is asked first. It takes a text that begins with a line, and
/// returns what `row` would make of that line, and the bytes of it with its end; or nothing, when the line is in any way unusual.
pub fn read_quickly<T: Send>(
    input: Input<'_>,
    layout: Layout,
    reading: &Reading<'_>,
    quick: impl Fn(&[u8]) -> Option<(T, usize)> + Sync,
    row: impl Fn(&Fields<'_>) -> Result<T, String> + Sync,
) -> Result<Rows<T>, DataError> {
    let mut rows = Vec::new();
    let path = input.path().to_owned();
    let columns = OnceLock::new();
    let mut named = |header: &[u8]| {
        let _ = columns.set(Columns::named(header, layout)?);
        Ok(())
    };
    let header: Option<&mut dyn FnMut(&[u8]) -> Result<(), String>> =
        if layout.csv { Some(&mut named) } else { None };
    let summary = each_part(
        input,
        reading,
        header,
        |text| {
            let columns = columns.get_or_init(|| Columns::positional(layout));
            parse(text, columns, layout, &path, &quick, &row)
        },
        |part| rows.extend(part),
    )?;
    if summary.ignored > 0 {
        reading.progress.warn(&format!(
            "`{}`: {} lines hold something in a column without a name; it is ignored",
            path.display(),
            summary.ignored
        ))?;
    }
    Ok(summary.rows(rows))
}

/// Where the wanted columns are in a line.
struct Columns {
    /// Position of each wanted column, in the order of [`Layout::columns`].
    places: Vec<usize>,
    /// Positions of CSV columns without a name.
    unnamed: Vec<usize>,
    /// Fields of a line.
    width: usize,
}

impl Columns {
    fn positional(layout: Layout) -> Self {
        let width = layout.columns.len() + layout.more.map_or(0, |(count, _)| count);
        Self {
            places: (0..width).collect(),
            unnamed: Vec::new(),
            width,
        }
    }

    /// Whether a line is the wanted columns and nothing else.
    fn are_all_in_order(&self) -> bool {
        self.places.iter().copied().eq(0..self.width)
    }

    fn named(header: &[u8], layout: Layout) -> Result<Self, String> {
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let mut fields = Vec::new();
        split_fields(header, layout, &mut fields)?;
        let names: Vec<Cow<'_, str>> = fields
            .iter()
            .map(|field| String::from_utf8_lossy(field))
            .collect();
        let place = |wanted: &&str| names.iter().position(|name| name.trim() == *wanted);
        let places: Option<Vec<usize>> = layout.columns.iter().map(place).collect();
        let places = places.ok_or_else(|| {
            format!(
                "the header is `{}`, but must name the columns `{}`, separated by `{}`",
                shorten(&String::from_utf8_lossy(header)),
                layout.columns.join("`, `"),
                layout.separator
            )
        })?;
        let unnamed = (0..names.len()).filter(|&at| names[at].trim().is_empty());
        Ok(Self {
            places,
            unnamed: unnamed.collect(),
            width: fields.len(),
        })
    }
}

fn parse<T>(
    text: &[u8],
    columns: &Columns,
    layout: Layout,
    path: &Path,
    quick: &impl Fn(&[u8]) -> Option<(T, usize)>,
    row: &impl Fn(&Fields<'_>) -> Result<T, String>,
) -> Part<T> {
    let mut fields: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut wanted: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut unnamed = 0;
    let mut part = Part::new(path);
    let mut slowly = |line| {
        split_fields(line, layout, &mut fields)?;
        if line.is_empty() {
            return Err(format!(
                "is blank, but must have {}",
                expected(columns, layout)
            ));
        }
        if fields.len() != columns.width {
            let plural = if fields.len() == 1 { "" } else { "s" };
            return Err(format!(
                "has {} field{plural}, but must have {}",
                fields.len(),
                expected(columns, layout)
            ));
        }
        let filled = |&at: &usize| !fields[at].is_empty();
        unnamed += usize::from(columns.unnamed.iter().any(filled));
        wanted.clear();
        wanted.extend(
            columns
                .places
                .iter()
                .map(|&at| std::mem::take(&mut fields[at])),
        );
        row(&wanted)
    };
    let plain = columns.are_all_in_order();
    let mut rest = text;
    while !rest.is_empty() {
        let used = if let Some((row, used)) = plain.then(|| quick(rest)).flatten() {
            part.push(Ok(row));
            used
        } else {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let end = end.map_or(rest.len(), |at| at + 1);
            part.push(slowly(trim_end(&rest[..end])));
            end
        };
        rest = &rest[used..];
    }
    part.ignored = unnamed;
    part
}

/// Takes digits from the front: the number, if there are one to ten of them.
pub fn leading_number(text: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut length = 0;
    while let Some(digit) = text.get(length).map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 {
            break;
        }
        // Wrong from the twentieth digit on, and refused by then.
        value = u64::wrapping_add(u64::wrapping_mul(value, 10), digit.into());
        length += 1;
    }
    *text = &text[length..];
    (1..=10).contains(&length).then_some(value)
}

/// What a line must have, in words.
fn expected(columns: &Columns, layout: Layout) -> String {
    let more = match layout.more {
        Some((count, name)) => format!(" and {count} {name}"),
        None if columns.width > columns.places.len() => " and others".to_owned(),
        None => String::new(),
    };
    let separator = match layout.separator {
        "\t" => "a tab".to_owned(),
        other => format!("`{other}`"),
    };
    format!(
        "{} separated by {separator}: `{}`{more}",
        columns.width,
        layout.columns.join("`, `")
    )
}

/// Cuts a line into fields. CSV fields may be in quotes (RFC 4180), but not go over a line's end: no file of
/// `MovieLens` has that, and a lost quote would swallow the lines after it.
fn split_fields<'a>(
    line: &'a [u8],
    layout: Layout,
    fields: &mut Vec<Cow<'a, [u8]>>,
) -> Result<(), String> {
    fields.clear();
    let separator = layout.separator.as_bytes();
    let mut rest = line;
    loop {
        if layout.csv && rest.first() == Some(&b'"') {
            let (field, after) = quoted(&rest[1..])?;
            fields.push(Cow::Owned(field));
            rest = match after.strip_prefix(separator) {
                Some(later) => later,
                None if after.is_empty() => return Ok(()),
                None => {
                    return Err(format!(
                        "has `{}` after a closing quote, but must have `{}` or the line's end there",
                        shorten(&String::from_utf8_lossy(after)),
                        layout.separator
                    ));
                }
            };
            continue;
        }
        let cut = if let [byte] = separator {
            rest.iter().position(|at| at == byte)
        } else {
            rest.windows(separator.len()).position(|at| at == separator)
        };
        let Some(cut) = cut else {
            fields.push(Cow::Borrowed(rest));
            return Ok(());
        };
        fields.push(Cow::Borrowed(&rest[..cut]));
        rest = &rest[cut + separator.len()..];
    }
}

/// Takes a field whose opening quote is behind us; returns it and what follows the closing quote.
fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut field = Vec::new();
    let mut rest = text;
    loop {
        let Some(at) = rest.iter().position(|&byte| byte == b'"') else {
            return Err("has an opening quote without a closing one".to_owned());
        };
        field.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(after) = rest.strip_prefix(b"\"") else {
            return Ok((field, rest));
        };
        field.push(b'"');
        rest = after;
    }
}

/// Decodes a text field and trims it.
pub fn text(field: &[u8], name: &str, layout: Layout) -> Result<String, String> {
    if !layout.csv {
        // Latin-1: every byte is the code point of its value.
        let text: String = field.iter().map(|&byte| char::from(byte)).collect();
        return Ok(text.trim().to_owned());
    }
    match std::str::from_utf8(field) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!(
            "`{name}` is not UTF-8: byte 0x{:02x} after `{}`",
            field[error.valid_up_to()],
            shorten(&String::from_utf8_lossy(&field[..error.valid_up_to()]))
        )),
    }
}

/// Reads a whole number.
pub fn whole(field: &[u8], name: &str) -> Result<u32, String> {
    let mut value = 0u32;
    let digits = field.iter().try_for_each(|byte| {
        let digit = byte.wrapping_sub(b'0');
        value = (digit < 10)
            .then(|| value.checked_mul(10)?.checked_add(digit.into()))
            .flatten()?;
        Some(())
    });
    match digits {
        Some(()) if !field.is_empty() => Ok(value),
        _ => Err(wrong(field, name, "a whole number from 0 to 4294967295")),
    }
}

/// Reads a number from `low` to `high`.
pub fn number(field: &[u8], name: &str, low: f32, high: f32) -> Result<f32, String> {
    let value = match field {
        [digit @ b'0'..=b'9'] => f32::from(digit - b'0'),
        [ones @ b'0'..=b'9', b'.', tenths @ b'0'..=b'9'] => {
            // Exactly the nearest f32: a quotient of two exact numbers is rounded once.
            f32::from((ones - b'0') * 10 + (tenths - b'0')) / 10.0
        }
        _ => std::str::from_utf8(field)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f32::NAN),
    };
    if value >= low && value <= high {
        return Ok(value);
    }
    Err(wrong(
        field,
        name,
        &format!("a number from {low} to {high}"),
    ))
}

/// 2100-01-01; a greater time is in milliseconds or wrong.
pub const LATEST: u32 = 4_102_444_800;

/// Reads a time in whole seconds since 1970 UTC.
pub fn seconds(field: &[u8], name: &str) -> Result<i64, String> {
    let time = whole(field, name).ok().filter(|&time| time <= LATEST);
    time.map(i64::from).ok_or_else(|| {
        let expected = format!("whole seconds since 1970, at most {LATEST}");
        wrong(field, name, &expected)
    })
}

/// Says what a field is and must be.
pub fn wrong(field: &[u8], name: &str, expected: &str) -> String {
    if field.is_empty() {
        return format!("`{name}` is empty, but must be {expected}");
    }
    format!(
        "`{name}` is `{}`, but must be {expected}",
        shorten(&String::from_utf8_lossy(field))
    )
}

/// Keeps messages to a line.
pub fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use proptest::prelude::*;

    const CSV: Layout = Layout {
        separator: ",",
        columns: &["a", "b"],
        more: None,
        csv: true,
    };

    /// Writes a field as a CSV writer would.
    fn quote(field: &str) -> String {
        if field.contains([',', '"']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field.to_owned()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(("[a-z,\"é]{1,6}", "[0-9,\"]{0,6}"), 0..40)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.csv");
            let lines: Vec<String> = rows.iter().map(|(a, b)| format!("{},{}\n", quote(a), quote(b))).collect();
            fs_err::write(&path, format!("a,b\n{}", lines.concat())).unwrap();
            let read = read(Input::open(&path).unwrap(), CSV, &Reading::strict(&Silent), |fields| {
                Ok((text(&fields[0], "a", CSV)?, text(&fields[1], "b", CSV)?))
            }).unwrap();
            prop_assert_eq!(read.lines().next().unwrap_or(2), 2);
            prop_assert_eq!(read.rows, rows);
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(tenths in 0u32..=50) {
            let text = format!("{}.{}", tenths / 10, tenths % 10);
            prop_assert_eq!(number(text.as_bytes(), "x", 0.0, 5.0), Ok(text.parse::<f32>().unwrap()));
        }
    }
}
