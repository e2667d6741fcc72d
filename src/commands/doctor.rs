//! `ilm-pipe doctor`: what this machine has, and what is missing for what.

use super::data::{datasets, state_words};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::fetch::catalogue::{self, Entry};
use crate::fetch::{State, status};
use crate::machine::{self, Cores, GpuState, Memory, Simd};
use crate::nn::device::HAS_CUDA;
use crate::report::bytes;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Below this, training at the paper's sizes swaps or is killed.
const LITTLE_MEMORY: u64 = 4 << 30;

/// Below this, a cache of real runs does not fit.
const LITTLE_DISK: u64 = 5 << 30;

/// Everything that was seen.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    cores: Cores,
    memory: Option<Memory>,
    simd: Simd,
    gpu: GpuState,
    /// What this build computes on.
    computes_on: &'static [&'static str],
    cache: Cache,
    data: Vec<Found>,
    /// What is not here, what it would enable, and how to get it.
    missing: Vec<Missing>,
    /// What is needed and broken.
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Cache {
    folder: PathBuf,
    writable: bool,
    free_bytes: Option<u64>,
    used_bytes: u64,
    files: u64,
    /// Why it cannot be written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    title: &'static str,
    status: State,
}

#[derive(Clone, Serialize)]
struct Missing {
    what: String,
    enables: String,
    /// What to type or to do.
    command: String,
}

#[derive(Serialize)]
struct Problem {
    what: String,
    hint: String,
}

pub(super) fn doctor(
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let report = examine(settings)?;
    if json {
        printer.json(&report)?;
    } else {
        printer.result(&render(&report))?;
    }
    Ok(if report.problems.is_empty() {
        ExitStatus::Done
    } else {
        ExitStatus::Environment
    })
}

fn examine(settings: &Settings) -> Result<Report, Failure> {
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        cores: machine::cores(),
        memory: machine::memory(),
        simd: machine::simd(),
        gpu: machine::gpus(),
        computes_on: if HAS_CUDA { &["cpu", "cuda"] } else { &["cpu"] },
        cache: cache(&settings.cache),
        data: Vec::new(),
        missing: Vec::new(),
        problems: Vec::new(),
    };
    let folder = datasets(settings);
    for entry in catalogue::all() {
        let status = status(entry, &folder)?;
        report.data.push(Found {
            name: entry.name,
            title: entry.title,
            status,
        });
    }
    problems(&mut report);
    missing_hardware(&mut report);
    for (entry, found) in catalogue::all().iter().zip(&report.data) {
        report.missing.extend(missing_data(entry, &found.status));
    }
    Ok(report)
}

fn problems(report: &mut Report) {
    if let Some(reason) = &report.cache.reason {
        report.problems.push(Problem {
            what: format!(
                "the cache `{}` cannot be written to: {reason}",
                report.cache.folder.display()
            ),
            hint: "name another with `--cache FOLDER`, or change its owner".to_owned(),
        });
    }
    // The binary is built for these; without them it would die at its first number.
    let cpu = cfg!(target_arch = "x86_64") && !(report.simd.avx2 && report.simd.fma);
    if cpu && cfg!(target_feature = "avx2") {
        report.problems.push(Problem {
            what: "this build needs AVX2 and FMA, which the processor lacks".to_owned(),
            hint: "build it here with `RUSTFLAGS=\"-C target-cpu=native\" cargo build --release`"
                .to_owned(),
        });
    }
}

fn missing_hardware(report: &mut Report) {
    let mut missing = |what: &str, enables: &str, command: &str| {
        report.missing.push(Missing {
            what: what.to_owned(),
            enables: enables.to_owned(),
            command: command.to_owned(),
        });
    };
    let gpu = &report.gpu;
    if gpu.gpus.is_empty() {
        missing(
            "GPU",
            "training and decoding at the paper's sizes in hours; the demo and small profiles need none",
            "run on a machine with an NVIDIA GPU and its driver",
        );
    } else if gpu.library.is_none() {
        missing(
            "libcuda",
            "use of the GPU that is here",
            "install the driver's libraries; in a container, start it with the GPU (`--gpus all`)",
        );
    } else if !report.computes_on.contains(&"cuda") {
        missing(
            "CUDA in this program",
            "training and decoding on the GPU that is here",
            "cargo build --release --features cuda",
        );
    }
    if report
        .memory
        .as_ref()
        .is_some_and(|memory| memory.limit.unwrap_or(memory.total) < LITTLE_MEMORY)
    {
        missing(
            "memory",
            "MovieLens 25M and real language models; the demo needs less than 1 GiB",
            "4 GiB or more",
        );
    }
    if report
        .cache
        .free_bytes
        .is_some_and(|free| free < LITTLE_DISK)
    {
        missing(
            "disk",
            "a cache of several full runs",
            "5 GiB or more, or `--cache` on another disk",
        );
    }
}

fn missing_data(entry: &Entry, state: &State) -> Option<Missing> {
    if state.usable() {
        return None;
    }
    let get = if entry.parts().is_empty() {
        format!("ilm-pipe data info {}", entry.name)
    } else {
        format!("ilm-pipe data get {}", entry.name)
    };
    Some(Missing {
        what: entry.name.to_owned(),
        enables: entry.enables.to_owned(),
        command: match state {
            State::Incomplete { missing, .. } => {
                format!("add `{}`, or move it away and {get}", missing.join("`, `"))
            }
            _ => get,
        },
    })
}

fn cache(folder: &Path) -> Cache {
    // A cache that is not there yet is made by the first run, in the nearest folder that is there.
    let mut nearest = folder;
    while !nearest.exists() {
        nearest = match nearest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
    }
    let reason = tempfile::Builder::new()
        .prefix(".doctor")
        .tempfile_in(nearest)
        .err()
        .map(|error| error.to_string());
    let (used_bytes, files) = size(folder);
    Cache {
        folder: folder.to_owned(),
        writable: reason.is_none(),
        free_bytes: machine::free_disk(nearest),
        used_bytes,
        files,
        reason,
    }
}

/// Bytes and files below a folder; what cannot be read counts nothing.
fn size(folder: &Path) -> (u64, u64) {
    let (mut total, mut files) = (0, 0);
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs_err::read_dir(folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                total += metadata.len();
                files += 1;
            }
        }
    }
    (total, files)
}

fn render(report: &Report) -> String {
    let mut text = format!(
        "ilm-pipe {}, computes on: {}\n\n",
        report.version,
        report.computes_on.join(", ")
    );
    let mut line = |label: &str, words: &str| {
        let _ = writeln!(text, "{label:<9}{words}");
    };
    line("cores", &cores_words(&report.cores));
    line(
        "memory",
        &report
            .memory
            .as_ref()
            .map_or_else(|| "not known".to_owned(), memory_words),
    );
    line("simd", &simd_words(report.simd));
    line("gpu", &gpu_words(&report.gpu));
    line("cache", &cache_words(&report.cache));
    let (here, absent): (Vec<&Found>, Vec<&Found>) = report
        .data
        .iter()
        .partition(|found| found.status != State::Absent);
    let mut label = "data";
    for found in &here {
        line(
            label,
            &format!(
                "{:<16}  {:<10}  {}",
                found.name,
                state_words(&found.status),
                found.title
            ),
        );
        label = "";
    }
    if here.is_empty() {
        line(
            label,
            "no data set and no model is here; the demo profile needs none",
        );
    } else if !absent.is_empty() {
        line(
            "",
            &format!("{} more can be had: `ilm-pipe data list`", absent.len()),
        );
    }
    if !report.missing.is_empty() {
        text.push_str("\nNot here, and what it would enable:\n");
        for missing in grouped(&report.missing) {
            let _ = writeln!(
                text,
                "  {}: {}\n    -> {}",
                missing.what, missing.enables, missing.command
            );
        }
    }
    if report.computes_on.contains(&"cuda") && !report.gpu.gpus.is_empty() {
        text.push_str("\nWhether the GPU computes as the CPU does: `ilm-pipe gpu-check`\n");
    }
    text.push('\n');
    if report.problems.is_empty() {
        text.push_str("Nothing that is needed is broken.\n");
    }
    for problem in &report.problems {
        let _ = writeln!(text, "BROKEN: {}\n  hint: {}", problem.what, problem.hint);
    }
    text
}

/// What enables the same thing is told once, with the first way to get it.
fn grouped(missing: &[Missing]) -> Vec<Missing> {
    let mut groups: Vec<Missing> = Vec::new();
    for one in missing {
        if let Some(group) = groups.iter_mut().find(|group| group.enables == one.enables) {
            group.what = format!("{}, {}", group.what, one.what);
        } else {
            groups.push(one.clone());
        }
    }
    groups
}

fn cores_words(cores: &Cores) -> String {
    let mut words = format!("{} of {} usable", cores.usable, cores.online);
    if let Some(percent) = cores.limit_percent {
        let _ = write!(
            words,
            ", limited to {:.2} by the container",
            percent as f64 / 100.0
        );
    }
    if let Some(model) = &cores.model {
        let _ = write!(words, " ({model})");
    }
    words
}

fn memory_words(memory: &Memory) -> String {
    let mut words = format!(
        "{}, {} available",
        bytes(memory.total),
        bytes(memory.available)
    );
    if let Some(limit) = memory.limit {
        let _ = write!(words, ", limited to {} by the container", bytes(limit));
    }
    words
}

fn simd_words(simd: Simd) -> String {
    let names: Vec<&str> = [
        (simd.avx2, "AVX2"),
        (simd.fma, "FMA"),
        (simd.avx512f, "AVX-512"),
        (simd.neon, "NEON"),
    ]
    .into_iter()
    .filter_map(|(has, name)| has.then_some(name))
    .collect();
    if names.is_empty() {
        "none of AVX2, FMA, AVX-512: matrix products are several times slower".to_owned()
    } else {
        names.join(", ")
    }
}

fn gpu_words(gpu: &GpuState) -> String {
    if gpu.gpus.is_empty() {
        return match &gpu.driver {
            Some(driver) => format!("none, though driver {driver} is loaded"),
            None => "none".to_owned(),
        };
    }
    let names: Vec<String> = gpu
        .gpus
        .iter()
        .map(|gpu| match gpu.memory {
            Some(memory) => format!("{} ({})", gpu.name, bytes(memory)),
            None => gpu.name.clone(),
        })
        .collect();
    let driver = gpu.driver.as_deref().unwrap_or("not known");
    let library = gpu.library.as_deref().unwrap_or("no libcuda");
    format!("{}; driver {driver}; {library}", names.join(", "))
}

fn cache_words(cache: &Cache) -> String {
    let free = cache
        .free_bytes
        .map_or_else(|| "an unknown amount".to_owned(), bytes);
    let writable = if cache.writable {
        "writable"
    } else {
        "NOT writable"
    };
    format!(
        "{}: {writable}, {} used, {free} free on its disk",
        cache.folder.display(),
        bytes(cache.used_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Gpu;

    #[test]
    fn what_is_seen_reads_well() {
        let entry = |name: &str| catalogue::find(name).unwrap();
        let found = |name: &str, status| Found {
            name: entry(name).name,
            title: entry(name).title,
            status,
        };
        let mut report = Report {
            version: "0.1.0",
            cores: Cores {
                usable: 2,
                online: 8,
                limit_percent: Some(150),
                model: Some("AMD EPYC".to_owned()),
            },
            memory: Some(Memory {
                total: 24 << 30,
                available: 3 << 29,
                limit: Some(3 << 30),
            }),
            simd: Simd {
                avx2: true,
                fma: true,
                avx512f: false,
                neon: false,
            },
            gpu: GpuState {
                gpus: vec![Gpu {
                    name: "NVIDIA H100 80GB HBM3".to_owned(),
                    memory: Some(80 << 30),
                }],
                driver: Some("570.86.15".to_owned()),
                library: None,
            },
            computes_on: &["cpu"],
            cache: Cache {
                folder: "cache".into(),
                writable: false,
                free_bytes: Some(1 << 30),
                used_bytes: 5 << 20,
                files: 7,
                reason: Some("permission denied".to_owned()),
            },
            data: vec![
                found("ml-1m", State::ByHand { link: None }),
                found("smollm2-135m", State::Part { received: 5 }),
                found("ml-25m", State::Absent),
            ],
            missing: Vec::new(),
            problems: Vec::new(),
        };
        problems(&mut report);
        missing_hardware(&mut report);
        report
            .missing
            .extend(missing_data(entry("smollm2-135m"), &State::Absent));
        report
            .missing
            .extend(missing_data(entry("openp5-beauty"), &State::Absent));
        insta::assert_snapshot!(render(&report));
    }
}
