//! A store in a temporary folder, for tests.

use super::{Origin, Record, Store};
use crate::key::Fingerprint;
use crate::stages::ArtifactKind;
use std::path::Path;

pub(super) fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::at(&folder.path().join("cache"));
    store.prepare().expect("prepared");
    (folder, store)
}

/// A record of the parameter `x` and the content `output`, of an artifact that is nowhere.
pub(super) fn record(x: &str, output: &str) -> Record {
    let fingerprint: Fingerprint =
        serde_json::from_value(serde_json::json!({"params.x": x})).expect("json");
    Record {
        key: fingerprint.key(),
        fingerprint,
        kind: ArtifactKind::Catalog,
        output: blake3::hash(output.as_bytes()).into(),
        files: Vec::new(),
        summary: serde_json::Map::new(),
        origin: Origin {
            pipeline: "p".into(),
            stage: "s".into(),
            run: "r".into(),
            version: "0".into(),
            host: "h".into(),
            device: "cpu".into(),
            threads: 1,
            ..Origin::default()
        },
        accepted: Vec::new(),
    }
}

/// Commits and publishes an artifact with the files `a.txt`, which is `content`, and `sub/b.txt`.
pub(super) fn commit(store: &Store, content: &str) -> Record {
    commit_as(store, content, content)
}

/// The same for the parameter `x`: two parameters may make the same content.
pub(super) fn commit_as(store: &Store, x: &str, content: &str) -> Record {
    let mut record = record(x, "");
    let (folder, _) = store.begin(&record.key).expect("begun");
    fs_err::write(folder.join("a.txt"), content).expect("written");
    fs_err::create_dir(folder.join("sub")).expect("made");
    fs_err::write(folder.join("sub/b.txt"), "b").expect("written");
    (record.output, record.files) = store.commit(&folder, 1.0).expect("committed");
    store.publish(&record).expect("published");
    record
}

/// Changes a file of an artifact and keeps its mode.
pub(super) fn force_write(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::Permissions::from_mode(0o644);
    fs_err::set_permissions(path, open).expect("opened");
    fs_err::write(path, content).expect("written");
    let closed = std::fs::Permissions::from_mode(0o444);
    fs_err::set_permissions(path, closed).expect("closed");
}
