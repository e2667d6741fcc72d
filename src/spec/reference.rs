//! `"stage"`, `"stage[*]"`, `"stage[axis=value]"`: how an input names stages.

use super::names::is_name;

/// A reference to a stage or to some of its arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// The stage's name without brackets.
    pub(super) name: &'a str,
    pub(super) arms: Arms<'a>,
}

/// Which arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arms<'a> {
    /// No brackets: the stage, or the arm with equal values.
    Equal,
    /// `[*]`.
    All,
    /// `[axis=value, …]`.
    Where(Vec<(&'a str, &'a str)>),
}

/// Reads a reference; the error says what is expected.
pub(super) fn parse(text: &str) -> Result<Reference<'_>, String> {
    let wrong = || {
        format!(
            "`{text}` is not a reference to a stage: expected `stage`, `stage[*]` or `stage[axis=value]`"
        )
    };
    let (name, arms) = match text.split_once('[') {
        None => (text, Arms::Equal),
        Some((name, rest)) => {
            let inside = rest.strip_suffix(']').ok_or_else(wrong)?;
            if inside.trim() == "*" {
                (name, Arms::All)
            } else {
                let pairs = inside
                    .split(',')
                    .map(|pair| pair.split_once('=').map(|(a, v)| (a.trim(), v.trim())))
                    .collect::<Option<Vec<_>>>()
                    .ok_or_else(wrong)?;
                let right = pairs
                    .iter()
                    .all(|(axis, value)| is_name(axis) && !value.is_empty());
                if !right {
                    return Err(wrong());
                }
                (name, Arms::Where(pairs))
            }
        }
    };
    // A dot is let through: `split.train` deserves a better answer than "not a reference".
    if name.is_empty() || !name.split('.').all(is_name) {
        return Err(wrong());
    }
    Ok(Reference { name, arms })
}

/// `stage[axis=value,other=value]`.
pub(super) fn id<'a>(name: &str, arm: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut id = name.to_owned();
    for (index, (axis, value)) in arm.into_iter().enumerate() {
        id.push(if index == 0 { '[' } else { ',' });
        id.push_str(axis);
        id.push('=');
        id.push_str(value);
    }
    if id.len() > name.len() {
        id.push(']');
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        let reference = |name, arms| Ok(Reference { name, arms });
        assert_eq!(parse("cf"), reference("cf", Arms::Equal));
        assert_eq!(parse("cf[*]"), reference("cf", Arms::All));
        assert_eq!(
            parse("cf[seed=1, arm=a/b.c]"),
            reference("cf", Arms::Where(vec![("seed", "1"), ("arm", "a/b.c")]))
        );
        for wrong in [
            "",
            "a b",
            "[*]",
            "cf[",
            "cf[]",
            "cf[seed]",
            "cf[seed=]",
            "cf[*]x",
            "cf[=1]",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_are_references() {
        assert_eq!(id("cf", []), "cf");
        let arm = [("adapter", "mlp"), ("seed", "1")];
        let id = id("phase2", arm);
        assert_eq!(id, "phase2[adapter=mlp,seed=1]");
        assert_eq!(parse(&id).unwrap().arms, Arms::Where(arm.to_vec()));
    }
}
