//! JSON documents and JSON lines.

use super::FormatError;
use serde::{Serialize, de::DeserializeOwned};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

/// Writes one value as indented JSON with a final newline.
pub fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), FormatError> {
    let mut text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    text.push('\n');
    fs_err::write(path, text)?;
    Ok(())
}

/// Reads one JSON value.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FormatError> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|error| FormatError::Record {
        path: path.to_owned(),
        line: error.line(),
        message: said(&error),
    })
}

/// The error with its column; the line is known better outside.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => text,
    }
}

/// Writes one record a line.
pub fn write_lines<T: Serialize>(
    path: &Path,
    records: impl IntoIterator<Item = T>,
) -> Result<(), FormatError> {
    let mut out = BufWriter::new(fs_err::File::create(path)?);
    for record in records {
        serde_json::to_writer(&mut out, &record).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Reads one record a line; an error names the line.
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FormatError> {
    let mut records = Vec::new();
    for (index, line) in BufReader::new(fs_err::File::open(path)?)
        .lines()
        .enumerate()
    {
        let line = line?;
        records.push(
            serde_json::from_str(&line).map_err(|error| FormatError::Record {
                path: path.to_owned(),
                line: index + 1,
                message: said(&error),
            })?,
        );
    }
    Ok(records)
}
