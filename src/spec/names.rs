//! Names: which are allowed, and which one a person may have meant.

/// How many known names a hint lists.
const LISTED: usize = 12;

/// Whether a name consists of letters, digits, `_` and `-`, so that it can stand in an id, a path and a reference.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Hints for an unknown name: the near one, and what there is, nearest first. `what` is a plural: "stages".
pub fn suggest<'a>(
    name: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    let mut hints = Vec::new();
    let Some(&(distance, nearest)) = ranked.first() else {
        return vec![format!("there are no {what}")];
    };
    if is_near_distance(distance, name, nearest) {
        hints.push(format!("did you mean `{nearest}`?"));
    }
    let listed: Vec<String> = ranked
        .iter()
        .take(LISTED)
        .map(|(_, name)| format!("`{name}`"))
        .collect();
    let more = match ranked.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    hints.push(format!("{what}: {}{more}", listed.join(", ")));
    hints
}

/// A third of the letters may be wrong, as in cargo and rustc; a name that continues the other is near, too.
fn is_near_distance(distance: usize, name: &str, candidate: &str) -> bool {
    let longest = name.chars().count().max(candidate.chars().count());
    (distance <= (longest / 3).max(1) && distance < longest)
        || (name.len() >= 3 && (candidate.starts_with(name) || name.starts_with(candidate)))
}

/// Whether one name may be a slip for the other.
pub(super) fn is_near(name: &str, candidate: &str) -> bool {
    is_near_distance(
        strsim::damerau_levenshtein(name, candidate),
        name,
        candidate,
    )
}

/// "`a`, `b` and `c`".
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        assert_eq!(
            suggest("factor", "parameters", ["alpha", "factors", "sweeps"]),
            [
                "did you mean `factors`?",
                "parameters: `factors`, `alpha`, `sweeps`"
            ]
        );
        assert_eq!(
            suggest("zzz", "stages", ["cf", "split"]),
            ["stages: `cf`, `split`"]
        );
        assert_eq!(suggest("a", "profiles", []), ["there are no profiles"]);
        let many: Vec<String> = (0..20).map(|i| format!("stage{i:02}")).collect();
        let hints = suggest("stage00", "stages", many.iter().map(String::as_str));
        assert!(hints[1].ends_with("and 8 more"), "{hints:?}");
    }

    #[test]
    fn names_are_words() {
        assert!(is_name("fit-cf_2"));
        assert!(!is_name("") && !is_name("a b") && !is_name("a.b") && !is_name("é"));
        assert_eq!(listed(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
