//! `ilm-pipe cache verify`: hash everything that is stored.

use crate::artifact::{Audit, AuditProgress, Finding, Store};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use crate::clock::Stopwatch;
use crate::report::{Verbosity, bytes, count};
use indicatif::{ProgressBar, ProgressStyle};

/// Without a terminal, a line says how far it is this often, in seconds.
const LINE_EVERY: f64 = 15.0;

pub(super) fn verify(
    store: &Store,
    repair: bool,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let mut progress = Progress::new(settings, printer);
    let mut audit = store.audit(&mut |at, finding| progress.tell(at, finding))?;
    progress.finish();
    if repair && !audit.findings.is_empty() {
        store.repair(&mut audit)?;
    }
    if json {
        printer.json(&audit)?;
    } else {
        printer.result(&render(&audit, repair))?;
    }
    let left = audit.findings.iter().any(|finding| !finding.repaired);
    Ok(if left {
        ExitStatus::Environment
    } else {
        ExitStatus::Done
    })
}

/// Every damage as it is found, and how far the audit is, on standard error.
struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    watch: Stopwatch,
    last_line: f64,
    printer: Printer,
}

impl Progress {
    fn new(settings: &Settings, printer: Printer) -> Self {
        let quiet = settings.verbosity == Verbosity::Quiet;
        let bar = (settings.bars && !quiet).then(|| {
            let bar = ProgressBar::new(0);
            let template = "verifying {bar:24} {binary_bytes} of {binary_total_bytes} {msg} [{elapsed}, {eta} left]";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            quiet,
            watch: Stopwatch::start(),
            last_line: 0.0,
            printer,
        }
    }

    fn tell(&mut self, at: AuditProgress, finding: Option<&Finding>) {
        if let Some(finding) = finding {
            let line = format!("Damaged {}: {}", finding.what, finding.problem);
            match &self.bar {
                Some(bar) => bar.suspend(|| self.printer.talk(&line)),
                None => self.printer.talk(&line),
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_length(at.bytes_total);
            bar.set_position(at.bytes_done);
            bar.set_message(format!("{} of {}", at.done, count(at.total, "output")));
            return;
        }
        let now = self.watch.seconds();
        if !self.quiet && now - self.last_line >= LINE_EVERY {
            self.last_line = now;
            self.printer.talk(&format!(
                "verifying: {} of {}, {} of {}",
                at.done,
                count(at.total, "output"),
                bytes(at.bytes_done),
                bytes(at.bytes_total)
            ));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn render(audit: &Audit, repair: bool) -> String {
    let checked = format!(
        "{} and {} ({}) verified",
        count(audit.results, "record"),
        count(audit.outputs, "output"),
        bytes(audit.bytes)
    );
    if audit.findings.is_empty() {
        return format!("{checked}, no damage\n");
    }
    let mut text = format!("{checked}, {} damaged\n", audit.findings.len());
    if !repair {
        text.push_str("`ilm-pipe cache verify --repair` removes what is damaged; the next run makes it anew\n");
        return text;
    }
    let repaired = audit
        .findings
        .iter()
        .filter(|finding| finding.repaired)
        .count();
    text.push_str(&format!(
        "{repaired} removed; the next run makes them anew\n"
    ));
    for finding in &audit.findings {
        if let Some(run) = &finding.used_by {
            text.push_str(&format!(
                "{} is used by the running process {run} and stays until it ends\n",
                finding.what
            ));
        }
    }
    text
}
