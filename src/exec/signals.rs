//! Signals: how a run is asked to stop, and how a worker is.

use super::tree;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where Ctrl-C, SIGTERM and SIGHUP of the runner arrive.
#[derive(Debug)]
pub struct Signals {
    receiver: std::sync::mpsc::Receiver<()>,
    adopts: bool,
}

impl Signals {
    /// Takes over the signals of this process, and what its workers leave behind.
    pub fn take() -> io::Result<Self> {
        let (sender, receiver) = std::sync::mpsc::channel();
        ctrlc::set_handler(move || {
            let _ = sender.send(());
        })
        .map_err(io::Error::other)?;
        adopt_orphans()?;
        Ok(Self {
            receiver,
            adopts: true,
        })
    }

    /// For tests and embedding: signals that never come.
    pub fn none() -> Self {
        Self {
            receiver: std::sync::mpsc::channel().1,
            adopts: false,
        }
    }

    /// Gives the receiving end, and whether every child of this process is a worker or was left behind by one.
    pub(super) fn into_parts(self) -> (std::sync::mpsc::Receiver<()>, bool) {
        (self.receiver, self.adopts)
    }
}

/// In a worker: a flag that is set when the runner asks it to stop. When the runner is gone, the worker ends at once
/// with everything that it started.
pub(super) fn stop_flag(runner: u32) -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if std::os::unix::process::parent_id() != runner {
            let me = std::process::id();
            tree::kill_below(me);
            send(me, libc::SIGKILL);
        }
        set.store(true, Ordering::Relaxed);
    })
    .map_err(io::Error::other)?;
    Ok(flag)
}

/// In a worker: asks the kernel for a signal when the runner dies, however it dies. Two processes would otherwise
/// write the same checkpoints.
#[expect(
    unsafe_code,
    reason = "prctl has no safe wrapper in the standard library"
)]
pub(super) fn die_with(runner: u32) -> io::Result<()> {
    // SAFETY: prctl with these arguments only sets a flag of this process.
    let status = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // The runner may have died before the call.
    if std::os::unix::process::parent_id() != runner {
        return Err(io::Error::other("the runner is gone"));
    }
    Ok(())
}

/// Makes this process the parent of whatever its descendants leave behind.
#[expect(
    unsafe_code,
    reason = "prctl has no safe wrapper in the standard library"
)]
pub(super) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: prctl with these arguments only sets a flag of this process.
    let status = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether programs that this process starts get an open file, too.
#[expect(
    unsafe_code,
    reason = "fcntl has no safe wrapper in the standard library"
)]
pub(super) fn pass_on(file: RawFd, pass: bool) {
    let flag = if pass { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: fcntl with F_SETFD only sets a flag of the file; for a number that is no open file it returns an error.
    unsafe {
        libc::fcntl(file, libc::F_SETFD, flag);
    }
}

/// Asks a worker's process group to stop: the worker and what it started and did not move elsewhere.
pub(super) fn ask_group(leader: u32) {
    signal(leader, true, libc::SIGTERM);
}

/// Kills a worker's process group.
pub(super) fn kill_group(leader: u32) {
    signal(leader, true, libc::SIGKILL);
}

/// Sends a signal to one process.
pub(super) fn send(process: u32, number: i32) {
    signal(process, false, number);
}

#[expect(
    unsafe_code,
    reason = "kill has no safe wrapper in the standard library"
)]
fn signal(process: u32, group: bool, number: i32) {
    // 0 and 1 would be all processes of this group and of this machine.
    if let Some(target) = i32::try_from(process).ok().filter(|&process| process > 1) {
        // SAFETY: kill only sends a signal; a process that is gone is an error that changes nothing.
        unsafe {
            libc::kill(if group { -target } else { target }, number);
        }
    }
}

/// Waits until a child has ended, and leaves it to be asked how: until then its number is not given to another.
#[expect(
    unsafe_code,
    reason = "waitid has no safe wrapper in the standard library"
)]
pub(super) fn wait_for_end(child: u32) {
    loop {
        // SAFETY: a zeroed siginfo_t is valid, and waitid only writes to it.
        let status = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                child,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if status == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}
