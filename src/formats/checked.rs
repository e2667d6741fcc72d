//! JSON objects that know whether they are still as they were written.
//!
//! The first member, `check`, is a hash of every byte after it: `{"check":"<32 hex digits>","key":…}`. Any program
//! reads such an object as JSON; this one refuses it when a single bit has changed. The bytes are hashed, not the values,
//! so nothing depends on how numbers are printed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

const START: &str = "{\"check\":\"";
const BETWEEN: &str = "\",";
const DIGITS: usize = 32;

fn check(rest: &[u8]) -> String {
    static EMPTY: LazyLock<blake3::Hasher> =
        LazyLock::new(|| blake3::Hasher::new_derive_key("ilm-pipe checked json v1"));
    let mut digits = EMPTY.clone().update(rest).finalize().to_hex().to_string();
    digits.truncate(DIGITS);
    digits
}

/// The text of `value`, a struct or map with at least one member, with its check. It ends without a newline.
pub fn to_text<T: Serialize>(value: &T) -> std::io::Result<String> {
    let text = serde_json::to_string(value)?;
    match text.strip_prefix('{') {
        Some(rest) if rest != "}" => {
            Ok(format!("{START}{}{BETWEEN}{rest}", check(rest.as_bytes())))
        }
        _ => Err(std::io::Error::other(
            "only a JSON object with members can carry a check",
        )),
    }
}

/// Whether the text is exactly what [`to_text`] wrote. One newline at its end does not count.
pub fn is_intact(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let Some(rest) = text.strip_prefix(START.as_bytes()) else {
        return false;
    };
    let Some((digits, rest)) = rest.split_at_checked(DIGITS) else {
        return false;
    };
    rest.strip_prefix(BETWEEN.as_bytes())
        .is_some_and(|rest| check(rest).as_bytes() == digits)
}

/// Reads what [`to_text`] wrote; none when a bit of it has changed, or when it is another type's.
pub fn from_text<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    if !is_intact(text) {
        return None;
    }
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample {
        name: String,
        number: f64,
    }

    fn sample() -> Sample {
        Sample {
            name: "ä \"quoted\"".to_owned(),
            number: 0.1 + 0.2,
        }
    }

    #[test]
    fn what_was_written_is_read_and_is_json() {
        let text = to_text(&sample()).expect("text");
        assert_eq!(from_text::<Sample>(text.as_bytes()), Some(sample()));
        assert_eq!(
            from_text::<Sample>(format!("{text}\n").as_bytes()),
            Some(sample())
        );
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value["name"], "ä \"quoted\"");
    }

    #[test]
    fn every_single_flipped_bit_and_every_truncation_is_found() {
        let text = to_text(&sample()).expect("text").into_bytes();
        for position in 0..text.len() {
            assert!(!is_intact(&text[..position]), "cut at {position}");
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[position] ^= 1 << bit;
                assert!(!is_intact(&flipped), "bit {bit} of byte {position}");
            }
        }
    }

    #[test]
    fn what_carries_no_members_carries_no_check() {
        assert!(to_text(&serde_json::json!({})).is_err());
        assert!(to_text(&[1, 2]).is_err());
    }
}
