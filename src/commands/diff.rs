//! `ilm-pipe diff`: what differs between two runs, or between a run and the pipeline as it stands.

use super::open::open;
use super::runs::command_text;
use super::state::plan_of;
use crate::artifact::{GitState, Store};
use crate::cli::{ExitStatus, Failure, PipelineArgs, Printer, Settings, ValueArgs};
use crate::history::{
    self, Comparison, HistoryError, MetricChange, RunLine, Side, SideOf, StageChange, State,
    TableChange,
};
use crate::report::{count, plain};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

/// At most this many lines of one list are shown to people.
const SHOWN: usize = 40;

/// What stands for a value that is not there.
const NONE: &str = "–";

/// What is compared with what.
pub(super) struct Sides {
    old: String,
    new: Newer,
}

enum Newer {
    Run(String),
    Plan(Box<PipelineArgs>),
}

impl Sides {
    /// Fills in what was left out.
    pub(super) fn new(
        old: Option<String>,
        new: Option<String>,
        plan: Option<PathBuf>,
        profile: Option<String>,
        values: ValueArgs,
    ) -> Result<Self, Failure> {
        let or = |run: Option<String>, default: &str| run.unwrap_or_else(|| default.to_owned());
        if let Some(file) = plan {
            let args = PipelineArgs {
                file,
                profile,
                values,
            };
            return Ok(Self {
                old: or(old, "latest"),
                new: Newer::Plan(Box::new(args)),
            });
        }
        for (option, given) in [("--set", &values.set), ("--sweep", &values.sweep)] {
            if !given.is_empty() {
                return Err(Failure::Usage(
                    format!("`{option}` says how to plan, but there is no `--plan PIPELINE`"),
                    Some("two runs are compared with the values that they had".to_owned()),
                ));
            }
        }
        Ok(Self {
            old: or(old, "latest~1"),
            new: Newer::Run(or(new, "latest")),
        })
    }
}

pub(super) fn diff(
    sides: &Sides,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    let store = Store::at(&settings.cache);
    let runs = history::runs(&store);
    let older = Side::of_run(&find_run(&runs, &sides.old)?, &store).map_err(failure)?;
    let newer = match &sides.new {
        Newer::Plan(args) => {
            let opened = open(args)?;
            let (_, plan) = plan_of(&opened, settings)?;
            let pipeline = &opened.pipeline;
            Side::of_plan(&plan, &pipeline.name, pipeline.profile.as_deref())
        }
        Newer::Run(name) => Side::of_run(&find_run(&runs, name)?, &store).map_err(failure)?,
    };
    let comparison = history::compare(&older, &newer, &store);
    if json {
        printer.json(&comparison)?;
    } else {
        printer.result(&render(&comparison))?;
    }
    Ok(ExitStatus::Done)
}

/// The run that a person means.
pub(super) fn find_run(runs: &[RunLine], name: &str) -> Result<RunLine, Failure> {
    history::find(runs, name).map_err(failure)
}

/// A wrong name of a run is a wrong command line; anything else is a file.
pub(super) fn failure(error: HistoryError) -> Failure {
    match error {
        HistoryError::Io(error) => Failure::Io(error),
        HistoryError::Unreadable { .. } => Failure::Io(std::io::Error::other(error)),
        HistoryError::Empty
        | HistoryError::Unknown { .. }
        | HistoryError::Ambiguous { .. }
        | HistoryError::TooFar { .. } => Failure::Usage(error.to_string(), error.hint()),
    }
}

fn render(comparison: &Comparison) -> String {
    let difference = &comparison.difference;
    let (old, new) = (&comparison.old, &comparison.new);
    let mut text = format!("old  {}\nnew  {}\n", side(old), side(new));
    let about = [
        (
            "pipeline",
            Some(old.pipeline.clone()),
            Some(new.pipeline.clone()),
        ),
        ("profile", old.profile.clone(), new.profile.clone()),
        (
            "version",
            Some(old.version.clone()),
            Some(new.version.clone()),
        ),
        (
            "commit",
            old.git.as_ref().map(commit),
            new.git.as_ref().map(commit),
        ),
    ];
    for (name, old, new) in about {
        // A run in which nothing ran did not ask git.
        if old != new && !(name == "commit" && (old.is_none() || new.is_none())) {
            let dash = || NONE.to_owned();
            let (old, new) = (old.unwrap_or_else(dash), new.unwrap_or_else(dash));
            let _ = writeln!(text, "{name}: {old} -> {new}");
        }
    }
    let state = |state: Option<State>| state.map_or(NONE, State::word).to_owned();
    let outcomes = difference.outcomes.iter().map(|o| {
        [
            o.stage.clone(),
            String::new(),
            state(o.old),
            state(o.new),
            String::new(),
        ]
    });
    section(
        &mut text,
        "Stages with a result on one side only",
        &outcomes.collect::<Vec<_>>(),
    );
    section(&mut text, "Parameters", &changes(&difference.params));
    section(&mut text, "Inputs", &changes(&difference.inputs));
    let metrics: Vec<Line> = difference.metrics.iter().map(metric).collect();
    section(&mut text, "Metrics", &metrics);
    for table in &difference.tables {
        table_section(&mut text, table);
    }
    if !difference.unknown.is_empty() {
        text.push_str("\nNot compared\n");
        for sentence in &difference.unknown {
            let _ = writeln!(text, "  {sentence}");
        }
    }
    let mut touched: Vec<&str> = difference.outputs.iter().map(String::as_str).collect();
    let changed = difference.params.iter().chain(&difference.inputs);
    touched.extend(changed.map(|change| change.stage.as_str()));
    touched.extend(difference.outcomes.iter().map(|o| o.stage.as_str()));
    touched.sort_unstable();
    touched.dedup();
    let same = count(difference.same.len(), "stage");
    let _ = if touched.is_empty() && difference.unknown.is_empty() {
        writeln!(text, "\nno difference in {same}")
    } else {
        let n = count(difference.outputs.len(), "artifact");
        let differ = if touched.len() == 1 {
            "differs"
        } else {
            "differ"
        };
        let stages = count(touched.len(), "stage");
        writeln!(text, "\n{stages} {differ} ({n} changed), {same} the same")
    };
    text
}

fn side(side: &SideOf) -> String {
    match (&side.run, &side.started) {
        (Some(run), Some(_)) => format!("{run}  {}", command_text(&side.command)),
        _ => format!("the plan of {} as it stands", side.pipeline),
    }
}

fn commit(git: &GitState) -> String {
    let short = git.commit.get(..12).unwrap_or(&git.commit);
    let dirty = if git.dirty { " with changes" } else { "" };
    format!("{short}{dirty}")
}

type Line = [String; 5];

fn changes(changes: &[StageChange]) -> Vec<Line> {
    changes
        .iter()
        .map(|StageChange { stage, change }| {
            let (old, new) = change.shortened();
            [stage.clone(), change.name.clone(), old, new, String::new()]
        })
        .collect()
}

fn metric(change: &MetricChange) -> Line {
    let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| NONE.to_owned(), plain);
    let number = |value: &Option<Value>| value.as_ref().and_then(Value::as_f64);
    let by = match (number(&change.old), number(&change.new)) {
        (Some(old), Some(new)) => {
            let by = new - old;
            let sign = if by < 0.0 { "" } else { "+" };
            let whole = |value: &Option<Value>| value.as_ref().is_some_and(|v| !v.is_f64());
            if whole(&change.old) && whole(&change.new) {
                format!("({sign}{by:.0})")
            } else {
                format!("({sign}{})", plain(&Value::from(by)))
            }
        }
        _ => String::new(),
    };
    let (old, new) = (shown(&change.old), shown(&change.new));
    [change.stage.clone(), change.name.clone(), old, new, by]
}

/// A title and aligned lines `stage  name  old -> new  (by)`.
fn section(text: &mut String, title: &str, lines: &[Line]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let width = |column: usize| {
        let shown = lines.iter().take(SHOWN);
        let widths = shown.map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (stages, names) = (width(0), width(1));
    for [stage, name, old, new, by] in lines.iter().take(SHOWN) {
        let name = if names == 0 {
            String::new()
        } else {
            format!("  {name:<names$}")
        };
        let line = format!("  {stage:<stages$}{name}  {old} -> {new}  {by}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    more(text, lines.len());
}

fn more(text: &mut String, n: usize) {
    if n > SHOWN {
        let _ = writeln!(text, "  and {} more; `--json` has all", n - SHOWN);
    }
}

fn table_section(text: &mut String, table: &TableChange) {
    let title = format!(
        "Table `{}` of {}: {} of {} changed",
        table.file,
        table.stage,
        table.changed.len(),
        count(table.cells, "cell")
    );
    let value = |value: &Option<String>| match value.as_deref() {
        None => NONE.to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => text
            .parse::<f64>()
            .ok()
            .filter(|number| text.len() > 8 && number.is_finite())
            .map_or_else(|| text.to_owned(), |number| plain(&Value::from(number))),
    };
    let lines: Vec<Line> = table
        .changed
        .iter()
        .map(|cell| {
            let (old, new) = (value(&cell.old), value(&cell.new));
            [
                cell.row.clone(),
                cell.column.clone(),
                old,
                new,
                String::new(),
            ]
        })
        .collect();
    section(text, &title, &lines);
}
