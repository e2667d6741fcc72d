//! What this machine has: cores, memory, instructions, disk, accelerators. Nothing here is ever part of a key.

mod gpu;

pub use gpu::{Gpu, GpuState, gpus};

use serde::Serialize;
use std::path::Path;

/// Cores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// Cores that this process may use: affinity and container limits count.
    pub usable: usize,
    /// Cores of the machine.
    pub online: usize,
    /// Limit of the container, in hundredths of a core.
    pub limit_percent: Option<u64>,
    /// The processor's name.
    pub model: Option<String>,
}

/// Memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Of the machine.
    pub total: u64,
    /// What programs can have now.
    pub available: u64,
    /// Limit of the container.
    pub limit: Option<u64>,
}

/// Vector instructions of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Simd {
    /// 256-bit integer instructions.
    pub avx2: bool,
    /// Fused multiply-add.
    pub fma: bool,
    /// 512-bit instructions.
    pub avx512f: bool,
    /// Arm's 128-bit instructions.
    pub neon: bool,
}

/// Looks at the cores.
pub fn cores() -> Cores {
    let info = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let online = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    Cores {
        usable,
        online: online.max(usable),
        limit_percent: cpu_limit(&own_groups()),
        model: info.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        }),
    }
}

/// Looks at the memory; none where the system does not say.
pub fn memory() -> Option<Memory> {
    let info = fs_err::read_to_string("/proc/meminfo").ok()?;
    let (total, available) = (kib(&info, "MemTotal")?, kib(&info, "MemAvailable")?);
    let limit = memory_limit(&own_groups()).filter(|&limit| limit < total);
    Some(Memory {
        total,
        available: available.min(limit.unwrap_or(available)),
        limit,
    })
}

fn kib(info: &str, name: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

/// Looks at the instructions.
pub fn simd() -> Simd {
    #[cfg(target_arch = "x86_64")]
    let found = Simd {
        avx2: std::arch::is_x86_feature_detected!("avx2"),
        fma: std::arch::is_x86_feature_detected!("fma"),
        avx512f: std::arch::is_x86_feature_detected!("avx512f"),
        neon: false,
    };
    #[cfg(not(target_arch = "x86_64"))]
    let found = Simd {
        avx2: false,
        fma: false,
        avx512f: false,
        neon: cfg!(target_arch = "aarch64"),
    };
    found
}

/// Bytes that a file in this folder may take; none where the system does not say.
#[expect(
    unsafe_code,
    reason = "statvfs has no safe wrapper in the standard library"
)]
pub fn free_disk(folder: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero byte and the structure is ours; statvfs fills it when it returns 0.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    Some((found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
}

/// The control groups of this process, from the innermost outwards: folders of version 2, then those of version 1.
fn own_groups() -> Vec<String> {
    let own = fs_err::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups(&own)
}

fn groups(own: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let root = match controllers {
            "" => "/sys/fs/cgroup".to_owned(),
            list if list.split(',').any(|c| c == "cpu" || c == "memory") => {
                format!("/sys/fs/cgroup/{list}")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            folders.push(format!("{root}{path}"));
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    folders
}

/// The smallest limit on the way out, in hundredths of a core.
fn cpu_limit(groups: &[String]) -> Option<u64> {
    let read = |path: String| fs_err::read_to_string(path).ok();
    groups
        .iter()
        .filter_map(|group| {
            let two = read(format!("{group}/cpu.max"));
            let one = || {
                let quota = read(format!("{group}/cpu.cfs_quota_us"))?;
                Some(format!(
                    "{} {}",
                    quota.trim(),
                    read(format!("{group}/cpu.cfs_period_us"))?.trim()
                ))
            };
            percent(&two.or_else(one)?)
        })
        .min()
}

/// Hundredths of a core in `QUOTA PERIOD`; none without a limit.
fn percent(text: &str) -> Option<u64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.trim().parse().ok()?);
    (period > 0).then(|| 100 * quota / period)
}

fn memory_limit(groups: &[String]) -> Option<u64> {
    groups
        .iter()
        .flat_map(|group| {
            [
                format!("{group}/memory.max"),
                format!("{group}/memory.limit_in_bytes"),
            ]
        })
        .filter_map(|path| fs_err::read_to_string(path).ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_versions_of_control_groups_are_found() {
        assert_eq!(
            groups("0::/user.slice/a\n"),
            [
                "/sys/fs/cgroup/user.slice/a",
                "/sys/fs/cgroup/user.slice",
                "/sys/fs/cgroup"
            ]
        );
        assert_eq!(groups("0::/\n"), ["/sys/fs/cgroup"]);
        assert_eq!(
            groups("5:cpu,cpuacct:/docker\n3:pids:/docker\n"),
            [
                "/sys/fs/cgroup/cpu,cpuacct/docker",
                "/sys/fs/cgroup/cpu,cpuacct"
            ]
        );
        assert_eq!(percent("150000 100000\n"), Some(150));
        assert_eq!(percent("max 100000"), None);
        assert_eq!(percent("-1 100000"), None);
        assert_eq!(
            kib("MemFree: 1 kB\nMemTotal:   24684092 kB\n", "MemTotal"),
            Some(24_684_092 * 1024)
        );
    }

    #[test]
    fn this_machine_has_something() {
        assert!(cores().usable >= 1);
        assert!(memory().is_none_or(|memory| memory.total >= memory.available));
        let folder = tempfile::tempdir().unwrap();
        assert!(free_disk(folder.path()).is_some_and(|free| free > 0));
        assert_eq!(free_disk(Path::new("/nowhere/at/all")), None);
    }
}
