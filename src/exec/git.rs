//! What git says of the folder around a pipeline. Git is only ever read, and only when a stage runs.

use crate::artifact::GitState;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long the first stage that is done waits for the answer. In a very large repository it comes later, and the
/// records until then lack it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks git once a run, aside: in a large repository the answer takes seconds.
#[derive(Debug, Default)]
pub(super) struct GitProbe {
    begun: bool,
    waited: bool,
    answer: Option<Receiver<Option<GitState>>>,
}

impl GitProbe {
    /// Asks, the first time that this is called. `file` is the pipeline's file.
    pub(super) fn begin(&mut self, file: &Path) {
        if !std::mem::replace(&mut self.begun, true) {
            let file = file.to_owned();
            let (sender, receiver) = channel();
            std::thread::spawn(move || sender.send(ask(&file)));
            self.answer = Some(receiver);
        }
    }

    /// The answer, when it is new; none before and later, and without git. The first call waits for it.
    pub(super) fn news(&mut self) -> Option<GitState> {
        let receiver = self.answer.as_ref()?;
        let answer = if std::mem::replace(&mut self.waited, true) {
            receiver.try_recv().ok()
        } else {
            receiver.recv_timeout(PATIENCE).ok()
        }?;
        self.answer = None;
        answer
    }
}

fn ask(file: &Path) -> Option<GitState> {
    let file = std::path::absolute(file).ok()?;
    let folder = file.parent()?;
    // Most folders without git are told by a few looks, without starting a program.
    let root = folder.ancestors().find(|a| a.join(".git").exists())?;
    let output = Command::new("git")
        .current_dir(folder)
        // No index refresh on disk, no daemon: git is read, never written to.
        .args(["--no-optional-locks", "-c", "core.fsmonitor=false"])
        .args(["status", "--porcelain=v2", "--branch", "-z"])
        .args(["--untracked-files=normal", "--", "."])
        // Set in hooks, and then about another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let pipeline = file.strip_prefix(root).unwrap_or(&file);
    understand(&String::from_utf8_lossy(&output.stdout), pipeline)
}

/// Reads `git status --porcelain=v2 --branch -z`. `pipeline` is the pipeline's file below the repository's root.
/// Files that git does not know make the state dirty only when they may be part of the pipeline: results, data and
/// the cache lie in the same folder in many projects.
fn understand(status: &str, pipeline: &Path) -> Option<GitState> {
    let mut commit = None;
    let mut dirty = false;
    let mut entries = status.split('\0');
    while let Some(entry) = entries.next() {
        if let Some(name) = entry.strip_prefix("# branch.oid ") {
            // Before the first commit it is `(initial)`.
            commit = (!name.starts_with('(')).then(|| name.to_owned());
        } else if let Some(path) = entry.strip_prefix("? ") {
            let path = PathBuf::from(path);
            dirty |= path.extension().is_some_and(|ending| ending == "toml")
                || pipeline.starts_with(&path);
        } else if entry.starts_with(['1', '2', 'u']) {
            dirty = true;
            if entry.starts_with('2') {
                // A rename has the old name as an entry of its own.
                entries.next();
            }
        }
    }
    Some(GitState {
        commit: commit?,
        dirty,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dirty_is_what_could_change_the_pipeline() {
        let head = "# branch.oid 0123456789012345678901234567890123456789\0# branch.head main\0";
        let changed = "1 .M N... 100644 100644 100644 a b sub/p.toml\0";
        let renamed = "2 R. N... 100644 100644 100644 a a R100 b.txt\0a.txt\0";
        let cases: &[(&str, bool)] = &[
            ("", false),
            ("? cache/\0? notes.txt\0", false),
            ("? sub/common.toml\0", true),
            ("? sub/\0", true),
            ("? su/\0", false),
            (changed, true),
            (renamed, true),
        ];
        for (rest, dirty) in cases {
            let state = understand(&format!("{head}{rest}"), Path::new("sub/p.toml"));
            assert_eq!(state.map(|state| state.dirty), Some(*dirty), "{rest:?}");
        }
        let none = understand("# branch.oid (initial)\0", Path::new("p.toml"));
        assert_eq!(none, None);
    }

    #[test]
    fn a_folder_without_git_has_no_state() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut probe = GitProbe::default();
        probe.begin(&folder.path().join("p.toml"));
        assert_eq!(probe.news(), None);
    }
}
