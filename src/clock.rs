//! Time, in one place: nothing that is in a key or a result reads it.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Starts measuring.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

thread_local! {
    /// How far this thread's wall clock is ahead of the machine's, in nanoseconds.
    static SHIFT_NS: Cell<i128> = const { Cell::new(0) };
}

/// Nanoseconds since 1970 UTC, for comparing with the times of files and for naming runs.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub fn since_epoch_ns() -> i128 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as i128);
    now + SHIFT_NS.get()
}

/// Calls `f` with the wall clock of this thread set forward: for tests of what a wrong clock changes, which must be
/// nothing but speed.
pub fn shifted<T>(forward: Duration, f: impl FnOnce() -> T) -> T {
    shifted_by(forward.as_nanos() as i128, f)
}

/// Calls `f` with the wall clock of this thread set back.
pub fn shifted_back<T>(back: Duration, f: impl FnOnce() -> T) -> T {
    shifted_by(-(back.as_nanos() as i128), f)
}

fn shifted_by<T>(nanoseconds: i128, f: impl FnOnce() -> T) -> T {
    let before = SHIFT_NS.replace(nanoseconds);
    let result = f();
    SHIFT_NS.set(before);
    result
}

/// A time as the system's file functions take it.
pub fn file_time(since_epoch_ns: i128) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(since_epoch_ns).unwrap_or(0))
}

/// How long ago something was, for people: `40 s`, `12 min`, `5 h`, `3 d`.
pub fn ago(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 60.0 {
        format!("{seconds:.0} s")
    } else if seconds < 3600.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 48.0 * 3600.0 {
        format!("{:.0} h", seconds / 3600.0)
    } else {
        format!("{:.0} d", seconds / 86400.0)
    }
}

/// A time as `2026-11-23T06:00:00Z`.
pub fn timestamp(since_epoch_ns: i128) -> String {
    jiff::Timestamp::from_nanosecond(since_epoch_ns)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// A time as `2026-11-23T06:00:00.123456Z`.
pub fn precise_timestamp(since_epoch_ns: i128) -> String {
    jiff::Timestamp::from_nanosecond(since_epoch_ns)
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
        .unwrap_or_default()
}

/// Reads what [`timestamp`] or [`precise_timestamp`] wrote, in nanoseconds since 1970 UTC.
pub fn parse_timestamp(text: &str) -> Option<i128> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_nanosecond)
}

/// A duration for people: `0.42 s`, `12.3 s`, `4 min 05 s`, `1 h 02 min`.
pub fn human(seconds: f64) -> String {
    if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if seconds < 99.95 {
        format!("{seconds:.1} s")
    } else if seconds < 3600.0 {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let text: Vec<String> = [0.004, 9.994, 9.996, 99.9, 245.4, 3599.6, 3720.0]
            .iter()
            .map(|&seconds| human(seconds))
            .collect();
        assert_eq!(
            text,
            [
                "0.00 s",
                "9.99 s",
                "10.0 s",
                "99.9 s",
                "4 min 05 s",
                "60 min 00 s",
                "1 h 02 min"
            ]
        );
    }

    #[test]
    fn ages_read_well() {
        let text: Vec<String> = [-1.0, 40.0, 720.0, 18_000.0, 260_000.0]
            .iter()
            .map(|&seconds| ago(seconds))
            .collect();
        assert_eq!(text, ["0 s", "40 s", "12 min", "5 h", "3 d"]);
    }

    #[test]
    fn timestamps_are_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        let text = precise_timestamp(1_234_567_000);
        assert_eq!(text, "1970-01-01T00:00:01.234567Z");
        assert_eq!(parse_timestamp(&text), Some(1_234_567_000));
        assert_eq!(parse_timestamp("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(parse_timestamp("yesterday"), None);
    }
}
