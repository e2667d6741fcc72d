//! `ilm-pipe cache limits`: what holds for this cache, and who set it.

use crate::artifact::{Limit, Limits, SetLimits, Store};
use crate::cli::{ExitStatus, Failure, Printer, Settings};
use serde_json::json;

/// Reads limits as they were written; `prefix` is `--`, or the beginning of the name of a variable.
pub(super) fn read(
    max_size: Option<&str>,
    max_age: Option<&str>,
    prefix: &str,
) -> Result<SetLimits, Failure> {
    let (size_name, age_name) = if prefix == "--" {
        ("--max-size".to_owned(), "--max-age".to_owned())
    } else {
        (format!("{prefix}MAX_SIZE"), format!("{prefix}MAX_AGE"))
    };
    let wrong = |name: &str, what: String| Failure::Usage(format!("`{name}`: {what}"), None);
    let max_size = max_size.map(|text| Limit::size(text).map_err(|what| wrong(&size_name, what)));
    let max_age = max_age.map(|text| Limit::age(text).map_err(|what| wrong(&age_name, what)));
    Ok(SetLimits {
        max_size: max_size.transpose()?,
        max_age: max_age.transpose()?,
    })
}

fn from_environment(settings: &Settings) -> Result<SetLimits, Failure> {
    read(
        settings.cache_max_size.as_deref(),
        settings.cache_max_age.as_deref(),
        "ILM_PIPE_CACHE_",
    )
}

/// The limits that hold: typed, or else of the environment, or else of the cache, or else the default.
pub(in crate::commands) fn in_force(
    store: &Store,
    typed: SetLimits,
    settings: &Settings,
) -> Result<Limits, Failure> {
    let kept = store.set_limits()?.over(Limits::default());
    Ok(typed.over(from_environment(settings)?.over(kept)))
}

pub(super) fn limits(
    store: &Store,
    typed: SetLimits,
    reset: bool,
    json: bool,
    settings: &Settings,
    printer: Printer,
) -> Result<ExitStatus, Failure> {
    if reset {
        store.keep_limits(SetLimits::default())?;
    } else if !typed.is_empty() {
        let before = store.set_limits()?;
        store.keep_limits(SetLimits {
            max_size: typed.max_size.or(before.max_size),
            max_age: typed.max_age.or(before.max_age),
        })?;
    }
    let kept = store.set_limits()?;
    let environment = from_environment(settings)?;
    let limits = environment.over(kept.over(Limits::default()));
    let by = |in_environment: bool, in_cache: bool| match (in_environment, in_cache) {
        (true, _) => "environment",
        (_, true) => "cache",
        _ => "default",
    };
    let rows = [
        (
            "max-size",
            Limit(limits.max_size).to_string(),
            by(environment.max_size.is_some(), kept.max_size.is_some()),
        ),
        (
            "max-age",
            Limit(limits.max_age).to_string(),
            by(environment.max_age.is_some(), kept.max_age.is_some()),
        ),
    ];
    if json {
        let [size, age] = &rows;
        printer.json(&json!({
            "max_size": {"limit": size.1, "bytes": limits.max_size, "set_by": size.2},
            "max_age": {
                "limit": age.1, "seconds": limits.max_age.map(|age| age.as_secs()), "set_by": age.2,
            },
        }))?;
    } else {
        for (name, limit, by) in rows {
            let by = match by {
                "environment" => "set in the environment",
                "cache" => "set for this cache",
                _ => "by default",
            };
            printer.result(&format!("{name:<8}  {limit:>8}  {by}"))?;
        }
    }
    Ok(ExitStatus::Done)
}
