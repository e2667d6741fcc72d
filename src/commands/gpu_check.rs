//! `ilm-pipe gpu-check`: whether a GPU computes what the CPU computes, and how fast.
//!
//! cuBLAS reads once, when it is loaded, whether products may be rounded to TF32, so each of the two ways is checked by a process of its own.

#[cfg(not(feature = "cuda"))]
use crate::cli::{ExitStatus, Failure, GpuCheckArgs, Printer, Settings};
#[cfg(any(test, feature = "cuda"))]
use crate::nn::selfcheck::{Difference, Findings, Speed, Training};
#[cfg(any(test, feature = "cuda"))]
use crate::report::bytes;
#[cfg(any(test, feature = "cuda"))]
use serde::{Deserialize, Serialize};
#[cfg(any(test, feature = "cuda"))]
use std::fmt::Write as _;

/// Without CUDA there is nothing to check.
#[cfg(not(feature = "cuda"))]
pub(super) fn gpu_check(
    options: &GpuCheckArgs,
    _: &Settings,
    _: Printer,
) -> Result<ExitStatus, Failure> {
    let missing = crate::nn::device::without_cuda(options.device);
    Err(Failure::Device(
        missing.to_string(),
        Some("`ilm-pipe doctor` says whether this machine has a GPU".to_owned()),
    ))
}

#[cfg(feature = "cuda")]
pub(super) use with_cuda::gpu_check;

/// What one process found.
#[cfg(any(test, feature = "cuda"))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Check {
    /// The device that was compared with the CPU.
    device: String,
    /// Whether products were allowed to be rounded to TF32; `None` on the CPU.
    tf32: Option<bool>,
    /// Whether everything is near enough.
    passed: bool,
    findings: Findings,
}

/// All of it.
#[cfg(any(test, feature = "cuda"))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    version: String,
    passed: bool,
    checks: Vec<Check>,
}

#[cfg(any(test, feature = "cuda"))]
fn render(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mode = match check.tf32 {
            Some(true) => ", TF32 on",
            Some(false) => ", TF32 off",
            None => "",
        };
        let _ = writeln!(text, "{}{mode}", check.device);
        agreement(&mut text, "operations", &check.findings.operations);
        agreement(&mut text, "models", &check.findings.models);
        trainings(&mut text, &check.findings.trainings);
        text.push('\n');
    }
    text.push_str(if report.passed {
        "Everything agrees with the CPU.\n"
    } else {
        "NOT everything agrees with the CPU.\n"
    });
    text
}

/// How many agree, the greatest error, and each that does not.
#[cfg(any(test, feature = "cuda"))]
fn agreement(text: &mut String, what: &str, all: &[Difference]) {
    let passed = all.iter().filter(|difference| difference.passes()).count();
    let _ = write!(text, "  {what:<11} {passed} of {} agree", all.len());
    if let Some(worst) = all.iter().max_by(|a, b| a.error.total_cmp(&b.error)) {
        let _ = write!(
            text,
            "; greatest error {:.1e}, limit {:.0e}: {}",
            worst.error, worst.limit, worst.name
        );
    }
    text.push('\n');
    for wrong in all.iter().filter(|difference| !difference.passes()) {
        let _ = writeln!(
            text,
            "    WRONG: {} ({}): error {:.1e}",
            wrong.name, wrong.place, wrong.error
        );
    }
}

#[cfg(any(test, feature = "cuda"))]
fn trainings(text: &mut String, all: &[Training]) {
    let Some(first) = all.first() else { return };
    let _ = writeln!(
        text,
        "  trainings of {} steps, the CPU's fused operations first",
        first.steps
    );
    let _ = writeln!(
        text,
        "    {:<22} {:<40} {:<16} {:<32} memory",
        "", "loss", "error", "tokens a second"
    );
    for training in all {
        let [a, b] = training.losses;
        let [c, d] = training.found;
        let losses = format!("{a:.5} -> {b:.5}, {c:.5} -> {d:.5}");
        let error = format!("{:.0e}, {:.0e}", training.first_error, training.error);
        let speed = |speed: &Speed| format!("{:.0}", speed.tokens_per_second);
        let ratio = training.reference.seconds_per_step
            / training.candidate.seconds_per_step.max(f64::MIN_POSITIVE);
        let speeds = format!(
            "{}, {} ({ratio:.1} times)",
            speed(&training.reference),
            speed(&training.candidate)
        );
        let memory = training
            .candidate
            .peak_memory
            .map_or_else(|| "not known".to_owned(), bytes);
        let mark = if training.passes() { "" } else { "  WRONG" };
        let _ = writeln!(
            text,
            "    {:<22} {losses:<40} {error:<16} {speeds:<32} {memory}{mark}",
            training.name
        );
    }
}

#[cfg(feature = "cuda")]
mod with_cuda {
    use super::{Check, Report, render};
    use crate::cli::{ExitStatus, Failure, GpuCheckArgs, Printer, Settings};
    use crate::nn::device::Device;
    use crate::nn::selfcheck::{Extent, Limits, Side, run};
    use crate::nn::{NnError, cuda};
    use crate::progress::{self, Progress, Stopped};
    use dfdx::tensor::Cpu;
    use std::process::{Command, Stdio};

    pub(in crate::commands) fn gpu_check(
        options: &GpuCheckArgs,
        settings: &Settings,
        printer: Printer,
    ) -> Result<ExitStatus, Failure> {
        if options.tf32.is_some() {
            let check = one(options)?;
            printer.json(&check)?;
            return Ok(ExitStatus::Done);
        }
        let checks = match options.device {
            Device::Cpu => vec![one(options)?],
            Device::Cuda(ordinal) => {
                // What cannot work at all is said once.
                cuda::open(ordinal).map_err(|error| refused(&error))?;
                vec![
                    in_process(options, settings, printer, false)?,
                    in_process(options, settings, printer, true)?,
                ]
            }
        };
        let report = Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            passed: checks.iter().all(|check| check.passed),
            checks,
        };
        if options.json {
            printer.json(&report)?;
        } else {
            printer.result(&render(&report))?;
        }
        Ok(if report.passed {
            ExitStatus::Done
        } else {
            ExitStatus::Environment
        })
    }

    /// Says how far the check is.
    struct Talk;

    impl Progress for Talk {
        fn report(&self, report: progress::Report) -> Result<(), Stopped> {
            if let progress::Report::Tick { phase, done, total } = report {
                if done == 0 || phase == "training" {
                    Printer.talk(&format!("{phase} {} of {total}", done + 1));
                }
            }
            Ok(())
        }
    }

    fn refused(error: &NnError) -> Failure {
        let hint = match error {
            NnError::OutOfMemory { .. } => {
                "other programs may hold its memory: `nvidia-smi` lists them"
            }
            _ => "`ilm-pipe doctor` says which GPU and driver this machine has",
        };
        Failure::Device(error.to_string(), Some(hint.to_owned()))
    }

    /// One way of computing, in a process of its own.
    fn in_process(
        options: &GpuCheckArgs,
        settings: &Settings,
        printer: Printer,
        tf32: bool,
    ) -> Result<Check, Failure> {
        let mode = if tf32 { "on" } else { "off" };
        printer.talk(&format!(
            "comparing `{}` with the CPU, TF32 {mode}",
            options.device
        ));
        let mut command = Command::new(&settings.program);
        command
            .args(["gpu-check", "--device", &options.device.to_string()])
            .args(["--steps", &options.steps.to_string()])
            .args(["--tf32", if tf32 { "true" } else { "false" }])
            .env("NVIDIA_TF32_OVERRIDE", if tf32 { "1" } else { "0" })
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        if options.quick {
            command.arg("--quick");
        }
        let output = command.output()?;
        if !output.status.success() {
            return Err(Failure::Device(
                format!("the check with TF32 {mode} broke off: {}", output.status),
                None,
            ));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| Failure::Io(error.into()))
    }

    /// Compares in this process.
    fn one(options: &GpuCheckArgs) -> Result<Check, Failure> {
        let cpu = Cpu::default();
        let unknown: &dyn Fn(bool) -> Result<Option<u64>, NnError> = &|_| Ok(None);
        let reference = Side {
            device: &cpu,
            composed: false,
            peak: unknown,
        };
        let limits = if options.tf32 == Some(true) {
            Limits::TF32
        } else {
            Limits::EXACT
        };
        let extent = if options.quick {
            Extent::Small
        } else {
            Extent::Full
        };
        let steps = options.steps;
        let (device, findings) = match options.device {
            Device::Cpu => {
                let candidate = Side {
                    composed: true,
                    ..reference
                };
                let found = run(&reference, &candidate, &limits, extent, steps, &Talk);
                ("cpu, composed as on a GPU".to_owned(), found)
            }
            Device::Cuda(ordinal) => {
                let (gpu, seen) = cuda::open(ordinal).map_err(|error| refused(&error))?;
                let candidate = Side {
                    device: &gpu,
                    composed: false,
                    peak: &|anew| {
                        if anew {
                            cuda::reset_peak(ordinal)?;
                        }
                        cuda::peak_memory(ordinal)
                    },
                };
                let found = run(&reference, &candidate, &limits, extent, steps, &Talk);
                let name = format!(
                    "{}: {}, compute capability {}, driver for CUDA {}",
                    options.device, seen.name, seen.compute_capability, seen.driver
                );
                (name, found)
            }
        };
        let findings = findings.map_err(|error| refused(&error))?;
        Ok(Check {
            device,
            tf32: options.tf32,
            passed: findings.pass(),
            findings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(name: &str, error: f64) -> Difference {
        Difference {
            name: name.to_owned(),
            error,
            place: "gradient of input 1, 24 x 40".to_owned(),
            limit: 2e-5,
        }
    }

    #[test]
    fn a_report_reads_well() {
        let training = Training {
            name: "Q-Former, four losses".to_owned(),
            steps: 50,
            losses: [11.25, 7.125],
            found: [11.25, 7.15],
            lowest: 7.1,
            first_error: 3e-7,
            first_limit: 1e-5,
            error: 3.5e-3,
            limit: 2e-2,
            tokens: 2048,
            reference: Speed {
                seconds_per_step: 0.5,
                tokens_per_second: 4096.0,
                peak_memory: None,
            },
            candidate: Speed {
                seconds_per_step: 0.02,
                tokens_per_second: 102_400.0,
                peak_memory: Some(3 << 29),
            },
        };
        let check = |tf32, error| {
            let findings = Findings {
                operations: vec![
                    difference("linear", 1e-6),
                    difference("attention, causal", error),
                ],
                models: vec![difference("BERT", 3e-6)],
                trainings: vec![training.clone()],
            };
            Check {
                device: "cuda: NVIDIA H100 80GB HBM3, compute capability 9.0, driver for CUDA 13.0"
                    .to_owned(),
                tf32: Some(tf32),
                passed: findings.pass(),
                findings,
            }
        };
        let checks = vec![check(false, 4e-6), check(true, 3e-2)];
        let report = Report {
            version: "0.1.0".to_owned(),
            passed: checks.iter().all(|check| check.passed),
            checks,
        };
        assert!(!report.passed);
        insta::assert_snapshot!(render(&report));
    }
}
