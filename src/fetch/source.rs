//! From where a file is taken: the official place, `--url`, or a mirror.

use super::FetchError;
use super::catalogue::{Entry, Part};
use std::path::{Path, PathBuf};

/// From where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Its place in the catalogue.
    Official,
    /// An address.
    Url(String),
    /// A file on this machine.
    File(PathBuf),
}

/// Where the parts of an entry come from, in their order. `url` names a file, or a folder or base address (with a
/// final `/`) as `mirror` always does.
pub(super) fn sources(
    entry: &Entry,
    parts: &[Part],
    url: Option<&str>,
    mirror: Option<&str>,
) -> Result<Vec<Source>, FetchError> {
    let wrong = |message: String| FetchError::Wrong {
        message,
        hint: "name a file, a folder, or an `http://` or `https://` address".to_owned(),
    };
    let (text, option, base) = match (url, mirror.filter(|mirror| !mirror.is_empty())) {
        (Some(url), _) => (url, "--url", false),
        (None, Some(mirror)) => (mirror, "ILM_PIPE_MIRROR", true),
        (None, None) => return Ok(vec![Source::Official; parts.len()]),
    };
    let address = text.starts_with("http://") || text.starts_with("https://");
    let local = text.strip_prefix("file://").unwrap_or(text);
    if !address && (text.is_empty() || local.contains("://")) {
        return Err(wrong(format!(
            "`{option}` is `{text}`, which is no place that files come from"
        )));
    }
    let base = base
        || if address {
            text.ends_with('/')
        } else {
            Path::new(local).is_dir()
        };
    if !base && parts.len() != 1 {
        let files: Vec<&str> = parts.iter().map(|part| part.file).collect();
        return Err(wrong(format!(
            "`{option}` names one file, but `{}` has {}: `{}`; name a folder, or a base address with a final `/`",
            entry.name,
            parts.len(),
            files.join("`, `")
        )));
    }
    let source = |part: &Part| match (address, base) {
        (true, true) => Source::Url(format!("{}/{}", text.trim_end_matches('/'), part.file)),
        (true, false) => Source::Url(text.to_owned()),
        (false, true) => Source::File(Path::new(local).join(part.file)),
        (false, false) => Source::File(local.into()),
    };
    Ok(parts.iter().map(source).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::catalogue::find;

    fn found(name: &str, url: Option<&str>, mirror: Option<&str>) -> Result<Vec<Source>, String> {
        let entry = find(name).unwrap();
        sources(entry, entry.parts(), url, mirror).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mirror_holds_files_under_their_names_and_a_url_names_one() {
        let url = |text: &str| Source::Url(text.to_owned());
        assert_eq!(found("ml-1m", None, None).unwrap(), [Source::Official]);
        assert_eq!(found("ml-1m", None, Some("")).unwrap(), [Source::Official]);
        assert_eq!(
            found("ml-1m", None, Some("http://h/m")).unwrap(),
            [url("http://h/m/ml-1m.zip")]
        );
        assert_eq!(
            found("ml-1m", Some("http://h/x.zip"), Some("/mirror")).unwrap(),
            [url("http://h/x.zip")]
        );
        assert_eq!(
            found("amazon-beauty", Some("https://h/b/"), None).unwrap(),
            [
                url("https://h/b/reviews_Beauty_5.json.gz"),
                url("https://h/b/meta_Beauty.json.gz")
            ]
        );
        let folder = tempfile::tempdir().unwrap();
        let text = format!("file://{}", folder.path().display());
        assert_eq!(
            found("ml-1m", Some(&text), None).unwrap(),
            [Source::File(folder.path().join("ml-1m.zip"))]
        );
        assert!(
            found("amazon-beauty", Some("https://h/b.gz"), None)
                .unwrap_err()
                .contains("has 2")
        );
        assert!(
            found("ml-1m", Some("ftp://h/ml-1m.zip"), None)
                .unwrap_err()
                .contains("no place")
        );
    }
}
