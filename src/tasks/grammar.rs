//! Small English grammar: articles, lists, capitals.

/// `a` or `an` before the words.
pub(super) fn with_article(words: &str) -> String {
    let vowel = words
        .chars()
        .next()
        .is_some_and(|c| "aeiouAEIOU".contains(c));
    // "a one-eyed …", "a useful …", "a European …" sound like consonants; "an honest …", "an hour" like vowels.
    let consonant_sound = ["one", "uni", "use", "eu", "ubi"]
        .iter()
        .any(|start| words.to_lowercase().starts_with(start))
        && !words.starts_with("unin")
        && !words.starts_with("unim");
    let silent = ["honest", "hour", "heir"]
        .iter()
        .any(|start| words.starts_with(start));
    if (vowel && !consonant_sound) || silent {
        format!("an {words}")
    } else {
        format!("a {words}")
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The text with its first letter in upper case.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// `its quick jokes` -> `the quick jokes`: where "its" would have nothing to point at.
pub(super) fn the(phrase: &str) -> String {
    phrase
        .strip_prefix("its ")
        .map_or_else(|| phrase.to_owned(), |rest| format!("the {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_sound() {
        assert_eq!(with_article("adventure film"), "an adventure film");
        assert_eq!(with_article("warm film"), "a warm film");
        assert_eq!(with_article("honest film"), "an honest film");
        assert_eq!(with_article("unusual film"), "an unusual film");
        assert_eq!(with_article("one-eyed pilot"), "a one-eyed pilot");
        assert_eq!(with_article("IMAX film"), "an IMAX film");
    }

    #[test]
    fn lists_end_with_and() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(sentence("an owl"), "An owl");
        assert_eq!(the("its quick jokes"), "the quick jokes");
        assert_eq!(the("sharp jokes"), "sharp jokes");
    }
}
