//! Signals: how a run is asked to stop, and how a worker's whole process tree is stopped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where Ctrl-C, SIGTERM and SIGHUP of the runner arrive.
#[derive(Debug)]
pub struct Signals {
    receiver: std::sync::mpsc::Receiver<()>,
}

impl Signals {
    /// Takes over the signals of this process.
    pub fn take() -> io::Result<Self> {
        let (sender, receiver) = std::sync::mpsc::channel();
        ctrlc::set_handler(move || {
            let _ = sender.send(());
        })
        .map_err(io::Error::other)?;
        Ok(Self { receiver })
    }

    /// For tests and embedding: signals that never come.
    pub fn none() -> Self {
        Self {
            receiver: std::sync::mpsc::channel().1,
        }
    }

    /// Gives the receiving end.
    pub(super) fn into_receiver(self) -> std::sync::mpsc::Receiver<()> {
        self.receiver
    }
}

/// In a worker: a flag that is set when the runner asks it to stop.
pub(super) fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || set.store(true, Ordering::Relaxed)).map_err(io::Error::other)?;
    Ok(flag)
}

/// In a worker: asks the kernel to kill this process when the runner dies, however it dies. Two processes would
/// otherwise write the same checkpoints.
#[expect(
    unsafe_code,
    reason = "prctl has no safe wrapper in the standard library"
)]
pub(super) fn die_with(runner: u32) -> io::Result<()> {
    // SAFETY: prctl with these arguments only sets a flag of this process.
    let status = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // The runner may have died before the call.
    if std::os::unix::process::parent_id() != runner {
        return Err(io::Error::other("the runner is gone"));
    }
    Ok(())
}

/// Sends a signal to a worker's process group, which holds everything that it started.
#[expect(
    unsafe_code,
    reason = "kill has no safe wrapper in the standard library"
)]
pub(super) fn signal_group(leader: u32, kill: bool) {
    let signal = if kill { libc::SIGKILL } else { libc::SIGTERM };
    if let Ok(group) = i32::try_from(leader) {
        // SAFETY: kill only sends a signal; a group that is gone is an error that changes nothing.
        unsafe {
            libc::kill(-group, signal);
        }
    }
}
