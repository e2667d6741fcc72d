//! Amounts that a person writes as text: memory and time.

use std::time::Duration;

/// Units of memory and their bytes.
const MEMORY: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time and their milliseconds.
const TIME: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// What [`memory`] takes, for messages.
pub(super) const MEMORY_FORM: &str = "an amount of memory such as \"512MiB\" or \"2GiB\"";
/// What [`duration`] takes, for messages.
pub(super) const TIME_FORM: &str = "a time such as \"90s\", \"30m\" or \"1h30m\"";

/// Bytes: "2GiB", "1.5 GB". `None` for anything else and for nothing at all.
pub(crate) fn memory(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, scale) = MEMORY
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?.trim_end(), *scale)))?;
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let bytes = plain.then(|| number.parse::<f64>().ok())?? * scale as f64;
    (bytes >= 1.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A time: "90s", "1h30m", parts added up. `None` for anything else and for no time at all.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, scale) = TIME.iter().find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*scale)?;
        total = total.checked_add(part)?;
        rest = after.trim_start();
    }
    (total > 0).then(|| Duration::from_millis(total))
}

/// The shortest exact text that [`memory`] reads back.
pub(crate) fn memory_text(bytes: u64) -> String {
    let (unit, scale) = MEMORY
        .iter()
        .find(|(_, scale)| bytes.is_multiple_of(*scale))
        .unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// The shortest exact text that [`duration`] reads back.
pub(crate) fn duration_text(time: Duration) -> String {
    let milliseconds = time.as_millis() as u64;
    let (unit, scale) = TIME
        .iter()
        .rev()
        .find(|(_, scale)| milliseconds.is_multiple_of(*scale))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", milliseconds / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_a_unit() {
        assert_eq!(memory("2GiB"), Some(2 << 30));
        assert_eq!(memory("1.5 GB"), Some(1_500_000_000));
        assert_eq!(memory("10 B"), Some(10));
        for wrong in [
            "",
            "2",
            "GiB",
            "2 gigs",
            "-1GiB",
            "0GiB",
            "1e3B",
            "1.2.3B",
            "99999999999TiB",
        ] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn amounts_read_back() {
        for (bytes, text) in [
            (2 << 30, "2GiB"),
            (1500, "1500B"),
            (2000, "2kB"),
            (1536 << 10, "1536KiB"),
        ] {
            assert_eq!(memory_text(bytes), text);
            assert_eq!(memory(text), Some(bytes));
        }
        for (seconds, text) in [(1800, "30m"), (90, "90s"), (7200, "2h"), (86400, "1d")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn times_add_up() {
        assert_eq!(duration("30m"), Some(Duration::from_mins(30)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in [
            "",
            "30",
            "m",
            "30 min",
            "0s",
            "1.5h",
            "-1s",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
