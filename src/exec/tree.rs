//! Process trees: a stage ends with everything that it started, also with what left its process group or session.
//!
//! A worker adopts what its children leave behind (`PR_SET_CHILD_SUBREAPER`), so as long as it lives, everything that
//! it started is below it. The runner adopts what a worker leaves behind that died on its own.

use super::signals::send;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A tree that still grows after so many looks is killed as far as it is known.
const LOOKS: usize = 50;

/// Kills a process and everything below it.
pub(super) fn kill_tree(root: u32) {
    // Stopped processes start no others, so a few looks find them all.
    send(root, libc::SIGSTOP);
    let below = stop_below(root);
    send(root, libc::SIGKILL);
    for process in below {
        send(process, libc::SIGKILL);
    }
}

/// Kills everything below a process, but not itself.
pub(super) fn kill_below(root: u32) {
    for _ in 0..LOOKS {
        if root == std::process::id() && !has_children() {
            return;
        }
        let below = stop_below(root);
        if below.is_empty() {
            return;
        }
        for process in below {
            send(process, libc::SIGKILL);
            // Orphans of the killed come up to the root, and its own dead children have to be buried.
            bury(process);
        }
    }
}

/// Ends what has come up to this process from workers that died: every child that is not one of `workers`. What this
/// process itself started for its own use is in its own group, where nothing of a worker is.
pub(super) fn end_strays(workers: &BTreeSet<u32>) {
    let me = std::process::id();
    // What ends while the list is read leaves its children to this process, at a place that was read before.
    for _ in 0..LOOKS {
        let processes = processes();
        let own_group = processes.get(&me).map(|seen| seen.group);
        let mut found = false;
        for (process, seen) in processes {
            let stray = Some(seen.group) != own_group && !workers.contains(&process);
            if seen.parent == me && stray {
                found = true;
                if !seen.dead {
                    kill_tree(process);
                }
                bury(process);
            }
        }
        if !found {
            return;
        }
    }
}

/// Stops everything below a process and returns it.
fn stop_below(root: u32) -> BTreeSet<u32> {
    let mut stopped = BTreeSet::new();
    for _ in 0..LOOKS {
        let new: Vec<u32> = descendants(root, &processes())
            .into_iter()
            .filter(|process| !stopped.contains(process))
            .collect();
        if new.is_empty() {
            break;
        }
        for process in new {
            send(process, libc::SIGSTOP);
            stopped.insert(process);
        }
    }
    stopped
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    parent: u32,
    group: u32,
    /// It has ended, but its parent has not asked how.
    dead: bool,
}

fn descendants(root: u32, processes: &BTreeMap<u32, Seen>) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&process, seen) in processes {
        if !seen.dead {
            children.entry(seen.parent).or_default().push(process);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(process) = open.pop() {
        for &child in children.get(&process).into_iter().flatten() {
            if found.insert(child) {
                open.push(child);
            }
        }
    }
    found
}

fn processes() -> BTreeMap<u32, Seen> {
    fs_err::read_dir(Path::new("/proc"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let process: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs_err::read_to_string(entry.path().join("stat")).ok()?;
            Some((process, seen(&stat)?))
        })
        .collect()
}

/// From `12 (a (strange) name) S 1 2 …`: state, parent, process group.
fn seen(stat: &str) -> Option<Seen> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    Some(Seen {
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        dead: matches!(state, "Z" | "X"),
    })
}

/// Whether this process has any child, dead or alive: far cheaper than a look at all processes.
#[expect(
    unsafe_code,
    reason = "waitid has no safe wrapper in the standard library"
)]
fn has_children() -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a zeroed siginfo_t is valid, and waitid only writes to it.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, options) == 0
    }
}

/// Waits for a killed child of this process; of any other process nothing happens.
#[expect(
    unsafe_code,
    reason = "waitpid has no safe wrapper for processes that the standard library did not start"
)]
fn bury(process: u32) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: a null status pointer is allowed, and waiting for what is no child returns an error.
        unsafe {
            libc::waitpid(process, std::ptr::null_mut(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;
    use std::process::{Command, Stdio};

    fn alive(parent: u32) -> Seen {
        Seen {
            parent,
            group: 9,
            dead: false,
        }
    }

    #[test]
    fn names_of_programs_may_hold_anything() {
        assert_eq!(seen("12 (a) b (c) S 7 9"), Some(alive(7)));
        let dead = Seen {
            dead: true,
            ..alive(7)
        };
        assert_eq!(seen("12 (a) Z 7 9"), Some(dead));
        assert_eq!(seen("12 (a"), None);
    }

    #[test]
    fn a_tree_is_found_by_descent() {
        let processes = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)]
            .map(|(process, parent)| (process, alive(parent)))
            .into();
        assert_eq!(descendants(2, &processes), [3, 4].into());
        assert_eq!(descendants(1, &processes), [2, 3, 4, 5].into());
    }

    #[test]
    fn a_process_in_a_session_of_its_own_is_killed_too() {
        let mut child = Command::new("sh")
            .args(["-c", "setsid sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut pipe = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
        let below = Path::new("/proc").join(line.trim());
        assert!(below.exists());
        kill_tree(child.id());
        assert!(!child.wait().unwrap().success());
        let watch = Stopwatch::start();
        let dead = || {
            fs_err::read_to_string(below.join("stat"))
                .ok()
                .is_none_or(|stat| seen(&stat).is_none_or(|seen| seen.dead))
        };
        while !dead() {
            assert!(watch.seconds() < 10.0, "{} lives", line.trim());
            std::thread::yield_now();
        }
    }
}
