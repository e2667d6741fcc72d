//! Parameters that learn otherwise than the rest, chosen by their names.

use crate::nn::{Backend, Module, NnError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of parameters with a learning rate and a decay of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The names of its parameters, as in weight files: `*` stands for any letters, dots among them, and `?` for one.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What the learning rate is multiplied by, at least 0. Default: 1.
    #[serde(default = "one")]
    pub lr_scale: f64,
    /// Weight decay of its matrices, at least 0; vectors are never decayed. Default: that of the training.
    #[serde(default)]
    pub weight_decay: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl Group {
    /// The group of the parameters whose names match, which learn as the others do.
    pub fn of(pattern: &str) -> Self {
        Self {
            pattern: pattern.to_owned(),
            lr_scale: 1.0,
            weight_decay: None,
        }
    }
}

/// The first group that a parameter belongs to.
pub(super) fn group_of<'a>(groups: &'a [Group], name: &str) -> Option<&'a Group> {
    groups.iter().find(|group| matches(&group.pattern, name))
}

/// Whether a name matches a pattern of letters, `*` and `?`.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was, and the first letter that it does not stand for yet.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&letter) if letter == b'?' || letter == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&letter| letter == b'*')
}

/// Checks that every group has a parameter of its own; returns the patterns of those that have frozen ones only.
///
/// # Errors
/// A group whose pattern no parameter matches, or whose parameters all belong to groups before it.
pub(super) fn check<D: Backend, M: Module<D> + ?Sized>(
    model: &M,
    groups: &[Group],
) -> Result<Vec<String>, NnError> {
    let mut names = Vec::new();
    model.visit("", &mut |name, param| {
        names.push((name.to_owned(), param.trainable()));
    });
    let mut frozen = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let setting = || format!("groups[{index}].match");
        let pattern = &group.pattern;
        let matched = || names.iter().filter(|(name, _)| matches(pattern, name));
        if matched().next().is_none() {
            return Err(NnError::setting(
                setting(),
                format!(
                    "is `{pattern}`, which is the name of no parameter; there are {}",
                    some_of(&names)
                ),
            ));
        }
        let own = || matched().filter(|(name, _)| group_of(&groups[..index], name).is_none());
        if own().next().is_none() {
            return Err(NnError::setting(
                setting(),
                format!("is `{pattern}`, but all that it matches belongs to groups before it"),
            ));
        }
        if !own().any(|(_, trainable)| *trainable) {
            frozen.push(pattern.clone());
        }
    }
    Ok(frozen)
}

/// Names of parameters, with the numbers of equal layers taken together: `layers.*.weight`.
fn some_of(names: &[(String, bool)]) -> String {
    const SHOWN: usize = 30;
    let mut kinds: Vec<String> = Vec::new();
    for (name, _) in names {
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let parts = name.split('.');
        let kind: Vec<&str> = parts.map(|p| if is_number(p) { "*" } else { p }).collect();
        let kind = format!("`{}`", kind.join("."));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let more = kinds.len().saturating_sub(SHOWN);
    kinds.truncate(SHOWN);
    match more {
        0 => kinds.join(", "),
        more => format!("{} and {more} more", kinds.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a.b"),
            ("a*c", "a.b.c"),
            ("language.*", "language.model.norm"),
            ("*.bias", "a.bias.b.bias"),
            ("a?c", "abc"),
            ("**b*", "aab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", "ab"),
            ("language.*", "adapter.language.x"),
            ("*.bias", "a.bias.b"),
            ("a?c", "ac"),
            ("*b*c", "acb"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
