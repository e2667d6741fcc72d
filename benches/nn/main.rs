//! Speed and memory of the neural core.
//!
//! `cargo bench --bench nn` times every case here alone; `benches/nn.py` runs each beside PyTorch, step by step in turns. A case runs in a
//! process of its own (`nn case NAME FOLDER THREADS`), so that its peak memory is its own: it leaves its weights and data in FOLDER, prints
//! `ready`, and then answers lines on standard input: `run` with the seconds and the result of one round, `peak` with its memory.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own that talks to people and to nn.py"
)]

mod cases;

use cases::{Case, Failure};
use ilm_pipe::clock::Stopwatch;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Threads of a case that runs alone.
const THREADS: usize = 2;
/// Rounds of a case that runs alone; the least counts.
const ROUNDS: usize = 7;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|w| w != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["case", name, folder, threads] => answer(name, Path::new(folder), threads),
        ["list"] => {
            println!("{}", cases::NAMES.join("\n"));
            Ok(())
        }
        _ => all_alone(&words),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One case, told what to do by lines on standard input.
fn answer(name: &str, folder: &Path, threads: &str) -> Result<(), Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?);
    pool.build_global()?;
    let before = memory("VmRSS:")?;
    let mut case = Case::new(name, folder)?;
    // From here on the steps alone count, not the making of the weights.
    fs_err::write("/proc/self/clear_refs", "5")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {}", case.numbers())?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "run" => {
                let watch = Stopwatch::start();
                let result = case.run()?;
                writeln!(out, "{} {result}", watch.seconds())?;
            }
            "peak" => writeln!(out, "{} {before}", memory("VmHWM:")?)?,
            other => return Err(format!("`{other}` is not a request").into()),
        }
        out.flush()?;
    }
    Ok(())
}

/// A line of `/proc/self/status`, in MB.
fn memory(label: &str) -> Result<f64, Failure> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: f64 = kilobytes
        .ok_or("the system does not tell memory")?
        .parse()?;
    Ok(kilobytes / 1024.0)
}

/// Every case, or those whose names contain one of the words, without a peer.
fn all_alone(words: &[&str]) -> Result<(), Failure> {
    println!("| case | time of a round | peak memory |\n|---|---:|---:|");
    for name in cases::NAMES {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word)) {
            continue;
        }
        let folder = tempfile::tempdir()?;
        let mut worker = Command::new(std::env::current_exe()?)
            .args(["case", name])
            .arg(folder.path())
            .arg(THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ask = worker.stdin.take().ok_or("no pipe")?;
        let mut lines = std::io::BufReader::new(worker.stdout.take().ok_or("no pipe")?).lines();
        let mut reply = || {
            lines
                .next()
                .ok_or("the case ended early")?
                .map_err(Failure::from)
        };
        reply()?;
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            writeln!(ask, "run")?;
            let seconds: f64 = reply()?.split(' ').next().unwrap_or_default().parse()?;
            least = least.min(seconds);
        }
        writeln!(ask, "peak")?;
        let peak: f64 = reply()?.split(' ').next().unwrap_or_default().parse()?;
        println!("| {name} | {:.1} ms | {peak:.0} MB |", least * 1e3);
        drop(ask);
        worker.wait()?;
    }
    Ok(())
}
