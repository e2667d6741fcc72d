//! What killed processes leave behind, and how the next run sweeps it up. Nobody ever cleans by hand.

use super::{KeyLock, StoreError};
use crate::clock::Stopwatch;
use crate::key::Hash;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// Ends the name of a file that is being written: `tmp/a1b2c3.writing`.
const WRITING: &str = ".writing";

/// Ends the name of a folder with a damaged object that is being removed.
pub(super) const DAMAGED: &str = ".damaged";

/// How long to wait for processes that do not die, because the disk or the network holds them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a file aside in the folder `aside` of the same file system and renames it into place, so that a reader sees the old
/// content or the new, never half. With `durable`, the content is on disk before it has its name.
///
/// The writer holds a lock on the file until it has its name: what can be locked by another was left by a dead process.
pub(super) fn replace(
    aside: &Path,
    path: &Path,
    content: &[u8],
    durable: bool,
) -> Result<(), StoreError> {
    let named = |error: std::io::Error| {
        let message = format!("failed to write `{}`: {error}", path.display());
        StoreError::Io(std::io::Error::new(error.kind(), message))
    };
    let mut file = loop {
        let file = tempfile::Builder::new()
            .suffix(WRITING)
            .tempfile_in(aside)
            .map_err(named)?;
        // A sweeper that came between the two lines takes the file for dead; the next one is not.
        if file.as_file().try_lock().is_ok() {
            break file;
        }
    };
    file.write_all(content).map_err(named)?;
    if durable {
        file.as_file().sync_data().map_err(named)?;
    }
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(())
}

/// Removes what no living process will finish: half-written artifacts and files. `tmp` and `locks` are folders of the cache.
pub(super) fn sweep(tmp: &Path, locks: &Path) -> Result<(), StoreError> {
    for entry in fs_err::read_dir(tmp)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if let Some(key) = Hash::parse(name) {
            // Whoever computes the key holds its lock.
            if let Some(_lock) = KeyLock::try_take(&locks.join(key.hex()))? {
                remove_attempt(&path)?;
            }
        } else if name.ends_with(WRITING) {
            if let Ok(file) = fs_err::File::open(&path) {
                if file.file().try_lock().is_ok() {
                    let _ = fs_err::remove_file(&path);
                }
            }
        } else if name.ends_with(DAMAGED) {
            // Nobody needs it; two processes may well remove it together.
            let _ = super::object::remove_folder(&path);
        }
    }
    Ok(())
}

/// Removes the folder of an attempt that is dead, after the programs that it started and that outlived it: they would go on
/// writing to a folder of the same name. The lock of the key is held.
pub(super) fn remove_attempt(output: &Path) -> Result<(), StoreError> {
    if !output.exists() {
        return Ok(());
    }
    end_programs(output);
    super::object::remove_folder(output)
}

/// Kills every process that was told to write to this folder, and waits until none is left: one may just be starting
/// another. A worker's death takes along what it started, but not when it was killed itself.
fn end_programs(output: &Path) {
    let Ok(output) = std::path::absolute(output) else {
        return;
    };
    let wanted = [b"ILM_OUTPUT=", output.as_os_str().as_bytes()].concat();
    let watch = Stopwatch::start();
    loop {
        let mut left = false;
        for process in processes() {
            match environment(process) {
                Environment::Known(text) => {
                    if text.split(|&byte| byte == 0).any(|line| line == wanted) {
                        left = true;
                        kill(process);
                    }
                }
                Environment::NotYet => left = true,
                Environment::Foreign => {}
            }
        }
        if !left || watch.elapsed() > PATIENCE {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The numbers of all processes. Without `/proc` (not Linux) there are none.
fn processes() -> impl Iterator<Item = i32> {
    fs_err::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What is known of the environment of a process.
enum Environment {
    /// Its entries, each ended by a zero.
    Known(Vec<u8>),
    /// The system is just loading its program: it will have one.
    NotYet,
    /// It is gone, it belongs to another user, or it is a part of the system.
    Foreign,
}

fn environment(process: i32) -> Environment {
    let read = |name: &str| fs_err::read(format!("/proc/{process}/{name}"));
    match read("environ") {
        Err(_) => Environment::Foreign,
        Ok(text) if !text.is_empty() => Environment::Known(text),
        Ok(_) => match read("stat") {
            Ok(stat) if is_loading(&stat) => Environment::NotYet,
            _ => Environment::Foreign,
        },
    }
}

/// Whether a process has memory but no environment yet. Both fields are zero for a thread of the kernel and for a
/// process that ended; an environment that is empty on purpose has a place all the same. Fields: `man 5 proc_pid_stat`.
fn is_loading(stat: &[u8]) -> bool {
    /// The name of the program is the only field that may hold blanks; the third field follows its last parenthesis.
    const FIRST: usize = 3;
    const MEMORY: usize = 23;
    const END_OF_ENVIRONMENT: usize = 51;
    let stat = String::from_utf8_lossy(stat);
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - FIRST).copied().unwrap_or("0");
    field(MEMORY) != "0" && field(END_OF_ENVIRONMENT) == "0"
}

#[expect(
    unsafe_code,
    reason = "kill has no safe wrapper in the standard library"
)]
fn kill(process: i32) {
    // SAFETY: kill only sends a signal; a process that is gone is an error that changes nothing.
    unsafe {
        libc::kill(process, libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn folders() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (tmp, locks) = (folder.path().join("tmp"), folder.path().join("locks"));
        fs_err::create_dir_all(&tmp).expect("made");
        fs_err::create_dir_all(&locks).expect("made");
        (folder, tmp, locks)
    }

    #[test]
    fn a_dead_attempt_is_swept_and_a_living_one_is_not() {
        let (_folder, tmp, locks) = folders();
        let (dead, alive) = (
            Hash::from(blake3::hash(b"dead")),
            Hash::from(blake3::hash(b"alive")),
        );
        for key in [dead, alive] {
            fs_err::create_dir(tmp.join(key.hex())).expect("made");
        }
        let lock = KeyLock::try_take(&locks.join(alive.hex())).expect("tried");
        assert!(lock.is_some());
        sweep(&tmp, &locks).expect("swept");
        assert!(!tmp.join(dead.hex()).exists());
        assert!(tmp.join(alive.hex()).exists());
    }

    #[test]
    fn a_file_that_is_being_written_is_not_swept() {
        let (_folder, tmp, locks) = folders();
        let name = |name: &str| tmp.join(format!("{name}{WRITING}"));
        let alive = fs_err::File::create(name("alive")).expect("made");
        alive.file().try_lock().expect("locked");
        fs_err::write(name("dead"), "half").expect("written");
        sweep(&tmp, &locks).expect("swept");
        assert!(name("alive").exists());
        assert!(!name("dead").exists());
        replace(&tmp, &locks.join("whole"), b"whole", true).expect("replaced");
        assert_eq!(fs_err::read(locks.join("whole")).expect("read"), b"whole");
        assert_eq!(fs_err::read_dir(&tmp).expect("listed").count(), 1);
    }

    #[test]
    fn a_process_without_an_environment_is_loading_only_when_it_has_memory() {
        let stat = |memory: &str, end: &str| {
            let mut fields = vec!["1"; 50];
            (fields[23 - 3], fields[51 - 3]) = (memory, end);
            format!("7 (a) b) {}\n", fields.join(" ")).into_bytes()
        };
        assert!(is_loading(&stat("4096", "0")));
        assert!(!is_loading(&stat("4096", "140")));
        assert!(!is_loading(&stat("0", "0")));
        assert!(!is_loading(b""));
    }

    #[test]
    fn a_program_that_outlived_its_attempt_is_ended_before_its_folder_is_used_again() {
        let (_folder, tmp, _) = folders();
        let output = tmp.join("attempt");
        fs_err::create_dir(&output).expect("made");
        let mut orphan = Command::new("sleep")
            .arg("60")
            .env("ILM_OUTPUT", &output)
            .spawn()
            .expect("started");
        let mut stranger = Command::new("sleep")
            .arg("60")
            .env("ILM_OUTPUT", tmp.join("attempt2"))
            .spawn()
            .expect("started");
        remove_attempt(&output).expect("removed");
        assert!(!output.exists());
        assert!(!orphan.wait().expect("ended").success());
        assert!(stranger.try_wait().expect("asked").is_none());
        stranger.kill().expect("killed");
        stranger.wait().expect("ended");
    }
}
