//! A whole file over a network that breaks.
//!
//! What was received lies in `FILE.part`; `FILE.part.json` says of which file it is the beginning. The next attempt,
//! in this process or a later one, asks for the rest with `Range` and, where the server named a validator, `If-Range`.
//! A server that ignores ranges, or whose file has changed, sends the whole file, and the part starts anew.

use super::http::{Broken, Client, Get, Head, redacted, wait};
use super::status::helper;
use super::{FetchError, catalogue::Size};
use crate::formats::json;
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No wait is longer, whatever a server asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Answers that a later try may change.
const PASSING: [u16; 8] = [408, 425, 429, 500, 502, 503, 504, 509];

/// Of which file a part is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Beginning {
    /// Without credentials.
    url: String,
    etag: Option<String>,
    modified: Option<String>,
}

/// A file to download.
pub(super) struct Download<'a> {
    pub(super) url: &'a str,
    /// Its name, for messages.
    pub(super) file: &'a str,
    pub(super) size: Size,
    /// Where the bytes go.
    pub(super) part: PathBuf,
}

/// How a whole file came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    /// Bytes of an earlier process were continued.
    pub(super) continued: bool,
    /// It came over several connections, so that a lying server may have joined two files.
    pub(super) pieced: bool,
}

/// How an attempt ended.
enum Attempt {
    Whole,
    /// Worth another try; a server may say when.
    Again(String, Option<Duration>),
}

impl Download<'_> {
    /// Fetches the whole file.
    pub(super) fn fetch(
        &self,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<Whole, FetchError> {
        if let Some(folder) = self.part.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let continued = self.beginning().is_some() && self.received() > 0;
        if !continued {
            self.forget()?;
        }
        let mut furthest = self.received();
        if continued && matches!(self.size, Size::Exact(bytes) if bytes == furthest) {
            return Ok(Whole {
                continued,
                pieced: true,
            });
        }
        let (mut failures, mut pieced) = (0, false);
        loop {
            pieced |= self.received() > 0;
            let (reason, asked) = match self.attempt(client, progress)? {
                Attempt::Whole => return Ok(Whole { continued, pieced }),
                Attempt::Again(reason, asked) => (reason, asked),
            };
            // A server that starts anew each time brings bytes, but no new ones.
            if self.received() > furthest {
                furthest = self.received();
                failures = 0;
            }
            failures += 1;
            if failures > client.network.retries {
                return Err(FetchError::Network {
                    url: redacted(self.url),
                    reason,
                    kept: self.received(),
                });
            }
            let pause = client.network.backoff * 2_u32.saturating_pow(failures - 1);
            let pause = asked.unwrap_or(pause).min(LONGEST_WAIT);
            progress.note(&format!(
                "{}: {reason}; {} bytes are here; trying again in {:.1} s",
                self.file,
                self.received(),
                pause.as_secs_f64()
            ))?;
            wait(pause, progress)?;
        }
    }

    /// Removes what was received.
    pub(super) fn forget(&self) -> Result<(), FetchError> {
        for path in [self.part.clone(), self.note_path()] {
            if path.exists() {
                fs_err::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn note_path(&self) -> PathBuf {
        let mut name = self.part.clone().into_os_string();
        name.push(".json");
        name.into()
    }

    fn received(&self) -> u64 {
        fs_err::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// What is known of the bytes that are here, if they are of this address.
    fn beginning(&self) -> Option<Beginning> {
        helper::<Beginning>(&self.note_path()).filter(|known| known.url == redacted(self.url))
    }

    fn attempt(&self, client: &Client, progress: &dyn Progress) -> Result<Attempt, FetchError> {
        let known = self.beginning().unwrap_or_default();
        let from = self.received();
        let get = Get {
            url: self.url.to_owned(),
            from,
            validator: known.etag.clone().or_else(|| known.modified.clone()),
            ..Get::default()
        };
        let answer = match client.send(&get, progress) {
            Ok(answer) => answer,
            Err(Broken::Failed(reason)) => return Ok(Attempt::Again(reason, None)),
            Err(Broken::Stopped(stopped)) => return Err(stopped.into()),
        };
        let head = &answer.head;
        if let Some(end) = self.refused(head, from)? {
            return Ok(end);
        }
        let Some((at, whole)) = place(head, from) else {
            self.forget()?;
            let reason = "the server sent another part than was asked for".to_owned();
            return Ok(Attempt::Again(reason, None));
        };
        if let Some(whole) = whole {
            self.check_size(whole, at == 0)?;
        }
        let beginning = Beginning {
            url: redacted(self.url),
            etag: head.etag.clone(),
            modified: head.modified.clone(),
        };
        // A validator that changed although the server continues: two files in one.
        let same = |old: &Option<String>, new: &Option<String>| {
            old.is_none() || new.is_none() || old == new
        };
        if at > 0
            && !(same(&known.etag, &beginning.etag) && same(&known.modified, &beginning.modified))
        {
            self.forget()?;
            let reason = "the file changed on the server".to_owned();
            return Ok(Attempt::Again(reason, None));
        }
        json::write(&self.note_path(), &beginning)?;
        let mut file = open(&self.part, at)?;
        let (mut here, total) = (at, whole.unwrap_or(self.size.bytes()));
        progress.tick(self.file, here, total)?;
        loop {
            match answer.bytes(progress) {
                Ok(Some(bytes)) => {
                    here += bytes.len() as u64;
                    if here > self.size.at_most() {
                        drop(file);
                        self.forget()?;
                        return Err(self.wrong_size(here));
                    }
                    file.write_all(&bytes)?;
                    progress.tick(self.file, here, total.max(here))?;
                }
                Ok(None) if whole.is_some_and(|whole| here < whole) => {
                    return Ok(Attempt::Again("the connection was cut".to_owned(), None));
                }
                Ok(None) => break,
                Err(Broken::Failed(reason)) => return Ok(Attempt::Again(reason, None)),
                Err(Broken::Stopped(stopped)) => return Err(stopped.into()),
            }
        }
        file.sync_all()?;
        if let Size::Exact(bytes) = self.size {
            if here != bytes {
                self.forget()?;
                return Err(self.wrong_size(here));
            }
        }
        Ok(Attempt::Whole)
    }

    /// What to do about an answer that is not the file.
    fn refused(&self, head: &Head, from: u64) -> Result<Option<Attempt>, FetchError> {
        match head.status {
            200 | 206 => {}
            // There is nothing behind what is here: all of it, or bytes of another file.
            416 if from > 0 => {
                if head.range.and_then(|(_, whole)| whole) == Some(from) {
                    return Ok(Some(Attempt::Whole));
                }
                self.forget()?;
                let reason = "what was here was no part of the file".to_owned();
                return Ok(Some(Attempt::Again(reason, None)));
            }
            status if PASSING.contains(&status) => {
                let reason = format!("the server answered {}", head.status_text);
                return Ok(Some(Attempt::Again(
                    reason,
                    head.retry_after.map(Duration::from_secs),
                )));
            }
            _ => {
                return Err(FetchError::Status {
                    url: redacted(self.url),
                    status: head.status_text.clone(),
                });
            }
        }
        same_safety(self.url, &head.url)?;
        if let Some(encoding) = &head.encoding {
            return Err(FetchError::Status {
                url: redacted(self.url),
                status: format!(
                    "{}, but with the file encoded as `{encoding}`, which nobody asked for",
                    head.status_text
                ),
            });
        }
        Ok(None)
    }

    fn check_size(&self, whole: u64, anew: bool) -> Result<(), FetchError> {
        let good = match self.size {
            Size::Exact(bytes) => whole == bytes,
            Size::About(_) => whole <= self.size.at_most(),
        };
        if good {
            return Ok(());
        }
        if anew {
            self.forget()?;
        }
        Err(self.wrong_size(whole))
    }

    fn wrong_size(&self, found: u64) -> FetchError {
        FetchError::Size {
            url: redacted(self.url),
            file: self.file.to_owned(),
            found,
            expected: match self.size {
                Size::Exact(bytes) => bytes.to_string(),
                Size::About(_) => format!("at most {}", self.size.at_most()),
            },
        }
    }
}

/// From which byte the body goes on, and the whole length; none when it is not what was asked for.
fn place(head: &Head, from: u64) -> Option<(u64, Option<u64>)> {
    if head.status == 200 {
        return Some((0, head.length));
    }
    let (first, whole) = head.range?;
    let whole = whole.or(head.length.map(|length| from + length));
    (first == Some(from)).then_some((from, whole))
}

/// Opens the part at a byte; what lies behind it goes.
fn open(part: &Path, at: u64) -> Result<fs_err::File, FetchError> {
    use std::io::Seek as _;
    let mut file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(part)?;
    file.set_len(at)?;
    file.seek(std::io::SeekFrom::Start(at))?;
    Ok(file)
}

/// Refuses a redirect from an encrypted to a plain connection.
fn same_safety(asked: &str, answered: &str) -> Result<(), FetchError> {
    if asked.starts_with("https://") && !answered.starts_with("https://") {
        return Err(FetchError::Network {
            url: redacted(asked),
            reason: format!("it redirects to the unencrypted {}", redacted(answered)),
            kept: 0,
        });
    }
    Ok(())
}

/// A small text and the address where redirects ended; none where the server says that there is no such page.
pub(super) fn text(
    client: &Client,
    url: &str,
    accept: &'static str,
    at_most: usize,
    progress: &dyn Progress,
) -> Result<Option<(String, Head)>, FetchError> {
    let mut failures = 0;
    loop {
        let (reason, asked) = match text_once(client, url, accept, at_most, progress)? {
            Ok(found) => return Ok(found),
            Err(again) => again,
        };
        failures += 1;
        if failures > client.network.retries {
            return Err(FetchError::Network {
                url: redacted(url),
                reason,
                kept: 0,
            });
        }
        let pause = client.network.backoff * 2_u32.saturating_pow(failures - 1);
        wait(asked.unwrap_or(pause).min(LONGEST_WAIT), progress)?;
    }
}

type Again = (String, Option<Duration>);

fn text_once(
    client: &Client,
    url: &str,
    accept: &'static str,
    at_most: usize,
    progress: &dyn Progress,
) -> Result<Result<Option<(String, Head)>, Again>, FetchError> {
    let get = Get {
        url: url.to_owned(),
        accept,
        ..Get::default()
    };
    let mut content = Vec::new();
    let read = client.send(&get, progress).and_then(|answer| {
        while let Some(bytes) = answer.bytes(progress)? {
            content.extend(bytes);
            if content.len() > at_most {
                return Err(Broken::Failed(format!(
                    "the answer is longer than {at_most} bytes"
                )));
            }
        }
        Ok(answer.head)
    });
    let head = match read {
        Ok(head) => head,
        Err(Broken::Failed(reason)) => return Ok(Err((reason, None))),
        Err(Broken::Stopped(stopped)) => return Err(stopped.into()),
    };
    match head.status {
        200 => {
            same_safety(url, &head.url)?;
            Ok(Ok(Some((
                String::from_utf8_lossy(&content).into_owned(),
                head,
            ))))
        }
        403 | 404 | 410 => Ok(Ok(None)),
        status if PASSING.contains(&status) => {
            let reason = format!("the server answered {}", head.status_text);
            Ok(Err((reason, head.retry_after.map(Duration::from_secs))))
        }
        _ => Err(FetchError::Status {
            url: redacted(url),
            status: head.status_text,
        }),
    }
}
