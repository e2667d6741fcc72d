//! `ilm-pipe logs`: what a stage reported, attempt by attempt.

use super::open::open;
use super::state::plan_of;
use crate::artifact::Store;
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings};
use crate::clock;
use crate::key::Hash;
use crate::plan::Verdict;
use crate::progress::Report;
use crate::report::{AttemptLog, bytes, count, read_log};
use serde_json::json;
use std::time::Duration;

/// How often a log that is followed is read again.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn logs(
    args: &PipelineArgs,
    stage: &str,
    run: Option<&str>,
    follow: bool,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let opened = open(args)?;
    let ids: Vec<String> = opened
        .select(stage)?
        .into_iter()
        .map(|index| opened.pipeline.stages[index].id.clone())
        .collect();
    let (store, plan) = plan_of(&opened, settings)?;
    let mut values = Vec::new();
    let mut found = false;
    for planned in plan.stages.iter().filter(|p| ids.contains(&p.stage)) {
        let last = store.last_keys(&opened.pipeline.name).get(&planned.stage);
        // What failed has the key that the stage has now; before that, its last success.
        let now = match &planned.verdict {
            Verdict::Fresh { record } => Some((record.key, record.accepted_reason().is_some())),
            Verdict::Dirty { key, .. } => Some((*key, false)),
            Verdict::Pending { .. } => None,
        };
        let mut attempts = Vec::new();
        let mut keys: Vec<Hash> = Vec::new();
        if let Some((key, accepted)) = now {
            // An accepted output was made under the key that it was accepted from.
            let record = accepted.then(|| store.record(&key)).flatten();
            keys.extend(
                record
                    .iter()
                    .flat_map(|r| r.accepted.iter().map(|a| a.from)),
            );
            keys.push(key);
        }
        if let Some(last) = last.filter(|last| !keys.contains(last)) {
            keys.insert(0, last);
        }
        for key in &keys {
            for attempt in read_log(&store.log_path(key))? {
                if run.is_none_or(|run| attempt.run.starts_with(run)) {
                    attempts.push((*key, attempt));
                }
            }
        }
        attempts.sort_by(|a, b| a.1.began.cmp(&b.1.began));
        found |= !attempts.is_empty();
        if json {
            let attempts: Vec<_> = attempts
                .iter()
                .map(|(key, attempt)| json!({"key": key, "attempt": attempt}))
                .collect();
            values.push(json!({"stage": planned.stage, "attempts": attempts}));
            continue;
        }
        if ids.len() > 1 && !attempts.is_empty() {
            printer.result(&format!("{}:", planned.stage))?;
        }
        for (_, attempt) in &attempts {
            printer.result(&render(attempt, 0))?;
        }
        if follow {
            if let Some((key, _)) = now {
                found |= follow_attempt(&store, &key, printer)?;
            }
        }
    }
    if json {
        printer.json(&values)?;
    } else if !found {
        let of = run.map_or_else(String::new, |run| format!(" of run `{run}`"));
        return Err(Failure::Usage(
            format!("no log{of} of `{}` in the cache", ids.join("`, `")),
            Some(
                "the stage has not run here yet, or its log was removed with its result".to_owned(),
            ),
        ));
    }
    Ok(ExitStatus::Done)
}

/// Prints what the attempt that is running adds, until it ends or its process is gone. False when none runs.
fn follow_attempt(store: &Store, key: &Hash, printer: Printer) -> Result<bool, Failure> {
    let path = store.log_path(key);
    let begun = read_log(&path)?;
    let Some(mut shown) = begun
        .last()
        .filter(|attempt| attempt.outcome.is_none())
        .map(|attempt| attempt.reports.len())
    else {
        return Ok(false);
    };
    let place = begun.len() - 1;
    loop {
        // Asked first: what the process wrote before it went is then read.
        let alive = store.is_locked(key);
        let Some(attempt) = read_log(&path)?.into_iter().nth(place) else {
            return Ok(true);
        };
        let ended = attempt.outcome.is_some();
        if attempt.reports.len() > shown || ended {
            let text = render(&attempt, shown + 1);
            if !text.is_empty() {
                printer.result(&text)?;
            }
            shown = attempt.reports.len();
        }
        if ended || !alive {
            return Ok(true);
        }
        std::thread::sleep(LOOK);
    }
}

/// The lines of an attempt from the one at `from`: 0 is its title, then its reports, then its end.
fn render(attempt: &AttemptLog, from: usize) -> String {
    let mut lines = Vec::new();
    if from == 0 {
        let run = if attempt.run.is_empty() {
            "?"
        } else {
            &attempt.run
        };
        let began = if attempt.began.is_empty() {
            "?"
        } else {
            &attempt.began
        };
        let retry = if attempt.number > 1 {
            format!(", attempt {}", attempt.number)
        } else {
            String::new()
        };
        lines.push(format!(
            "── run {run}{retry}, {began}, `{}` of {} ──",
            attempt.stage, attempt.pipeline
        ));
    }
    for (time, report) in attempt.reports.iter().skip(from.saturating_sub(1)) {
        let clock = time.get(11..19).unwrap_or("        ");
        let text = match report {
            Report::Note { text } => text.clone(),
            Report::Warning { text } => format!("warning: {text}"),
            Report::Metric { step, name, value } => format!("step {step}  {name} {value:.4}"),
            Report::Tick { phase, done, total } => format!("{phase} {done} of {total}"),
            Report::Memory { resident } => format!("{} in memory", bytes(*resident)),
        };
        for line in text.lines() {
            lines.push(format!("{clock}  {line}"));
        }
    }
    if from == 0 && attempt.damaged > 0 {
        lines.push(format!(
            "{} damaged and left out",
            count(attempt.damaged, "line")
        ));
    }
    match (&attempt.outcome, attempt.seconds) {
        (Some(outcome), Some(seconds)) => {
            let time = clock::human(seconds);
            lines.push(match outcome.strip_prefix("failed: ") {
                Some(why) => format!("failed after {time}: {why}"),
                None => format!("{outcome} after {time}"),
            });
        }
        _ if from == 0 => lines.push("no end: it is running, or its runner was killed".to_owned()),
        _ => {}
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_reads_well() {
        let mut attempt = AttemptLog {
            run: "20261123T060000Z-17".to_owned(),
            pipeline: "table3".to_owned(),
            stage: "phase1".to_owned(),
            number: 2,
            began: "2026-11-23T06:00:00Z".to_owned(),
            reports: vec![
                (
                    "2026-11-23T06:00:01Z".to_owned(),
                    Report::Note {
                        text: "240 items\n8 query tokens".to_owned(),
                    },
                ),
                (
                    "2026-11-23T06:00:09Z".to_owned(),
                    Report::Metric {
                        step: 100,
                        name: "train.itc".to_owned(),
                        value: 1.25,
                    },
                ),
                (
                    "2026-11-23T06:01:00Z".to_owned(),
                    Report::Warning {
                        text: "two users have no history".to_owned(),
                    },
                ),
            ],
            outcome: None,
            seconds: None,
            damaged: 0,
        };
        let running = render(&attempt, 0);
        attempt.outcome = Some("failed: the loss is NaN at step 7".to_owned());
        attempt.seconds = Some(75.0);
        insta::assert_snapshot!(format!("{running}\n\n{}", render(&attempt, 0)));
        assert_eq!(
            render(&attempt, 3),
            "06:01:00  warning: two users have no history\nfailed after 75.0 s: the loss is NaN at step 7"
        );
    }
}
