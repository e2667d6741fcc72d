//! The profiles of a pipeline file, of a file with mistakes as well.

use super::document::read;
use super::problem::Findings;
use super::source::Sources;
use std::path::Path;

/// The names of the profiles that a file and what it includes declare, sorted. Nothing is resolved or checked.
pub fn profiles(path: &Path) -> Vec<String> {
    let read_file = |path: &Path| fs_err::read(path);
    let mut sources = Sources::default();
    let mut findings = Findings::default();
    let document = read(path, &read_file, &mut sources, &mut findings);
    document.profiles.into_keys().collect()
}
