//! NVIDIA GPUs, without a CUDA library: what the driver's files and `nvidia-smi` say.

use serde::Serialize;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where distributions and containers keep the driver's library.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/cuda/compat",
    "/run/opengl-driver/lib",
];

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Bytes of memory, where it is said.
    pub memory: Option<u64>,
}

/// GPUs and driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GpuState {
    /// The GPUs, in the order of the driver.
    pub gpus: Vec<Gpu>,
    /// Version of the kernel's driver.
    pub driver: Option<String>,
    /// The driver's library for programs, `libcuda`.
    pub library: Option<String>,
}

/// Looks for GPUs.
pub fn gpus() -> GpuState {
    let version = fs_err::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let asked = smi();
    let gpus = asked
        .as_deref()
        .map(parse_smi)
        .filter(|gpus| !gpus.is_empty())
        .unwrap_or_else(from_files);
    GpuState {
        gpus,
        driver: driver_version(&version),
        library: library(),
    }
}

fn smi() -> Option<String> {
    let output = Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `NAME, MEBIBYTES` a line.
fn parse_smi(text: &str) -> Vec<Gpu> {
    text.lines()
        .filter_map(|line| {
            let (name, memory) = line.rsplit_once(',')?;
            Some(Gpu {
                name: name.trim().to_owned(),
                memory: memory.trim().parse().ok().map(|mib: u64| mib << 20),
            })
        })
        .collect()
}

/// The driver's own files, where `nvidia-smi` is not installed.
fn from_files() -> Vec<Gpu> {
    let Ok(folder) = fs_err::read_dir("/proc/driver/nvidia/gpus") else {
        return Vec::new();
    };
    let mut paths: Vec<_> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs_err::read_to_string(path.join("information")).ok())
        .filter_map(|text| model(&text))
        .map(|name| Gpu { name, memory: None })
        .collect()
}

fn model(information: &str) -> Option<String> {
    let line = information
        .lines()
        .find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}

/// The version in `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …`: the first word that looks like one.
fn driver_version(text: &str) -> Option<String> {
    let numbers = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    text.lines()
        .next()?
        .split_whitespace()
        .find(numbers)
        .map(str::to_owned)
}

fn library() -> Option<String> {
    LIBRARY_FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join("libcuda.so.1"))
        .find(|path| path.exists())
        .map(|path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_driver_says_is_read() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: gcc 12.2.0";
        assert_eq!(driver_version(text).as_deref(), Some("570.86.15"));
        assert_eq!(driver_version(""), None);
        assert_eq!(
            model("Model: \t\t NVIDIA A10\nIRQ: 1").as_deref(),
            Some("NVIDIA A10")
        );
        assert_eq!(
            parse_smi("NVIDIA H100 80GB HBM3, 81559\nNVIDIA A10, [N/A]\n"),
            [
                Gpu {
                    name: "NVIDIA H100 80GB HBM3".to_owned(),
                    memory: Some(81559 << 20)
                },
                Gpu {
                    name: "NVIDIA A10".to_owned(),
                    memory: None
                },
            ]
        );
    }
}
