//! The only door out: results to standard output, talk to standard error.

use serde::Serialize;
use std::io::{self, Write as _};

/// Writes results. A reader that went away (`| head`) is not an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printer;

impl Printer {
    /// Writes a result, with a final newline.
    pub fn result(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| {
                if text.ends_with('\n') {
                    Ok(())
                } else {
                    out.write_all(b"\n")
                }
            })
            .and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Writes a result as indented JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> io::Result<()> {
        self.result(&serde_json::to_string_pretty(value)?)
    }

    /// Writes talk.
    pub fn talk(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
