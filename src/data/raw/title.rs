//! Titles as people say them.

/// Words that `MovieLens` puts behind a title, after a comma. `I` and `O` are Italian and Portuguese articles.
const ARTICLES: [&str; 30] = [
    "The", "A", "An", "La", "Le", "Les", "L'", "El", "Los", "Las", "Il", "Lo", "I", "Gli", "Der",
    "Die", "Das", "Ein", "Eine", "Un", "Une", "Una", "Uno", "Det", "Den", "De", "En", "Het", "O",
    "Os",
];

/// Splits a raw title into title and year: `Matrix, The (1999)` -> (`The Matrix`, 1999).
///
/// The year is the last bracket with four digits, alone or as the start of a span (`2007-`, `1975-1979`); a `(V)` or
/// `(TV)` after it (100K) is dropped. Trailing articles move to the front, in the title and in each bracket with an
/// alternative title, which stays: `Postman, The (Postino, Il)` -> `The Postman (Il Postino)`.
pub fn split_title(raw: &str) -> (String, Option<u16>) {
    let mut text = raw.trim();
    for mark in ["(V)", "(TV)"] {
        text = text.strip_suffix(mark).map_or(text, str::trim_end);
    }
    let mut year = None;
    if let Some((before, bracket)) = text
        .strip_suffix(')')
        .and_then(|inner| inner.rsplit_once('('))
    {
        year = parse_year(bracket);
        if year.is_some() {
            text = before.trim_end();
        }
    }
    (articles_first(text), year)
}

fn parse_year(bracket: &str) -> Option<u16> {
    let four = bracket.get(..4)?;
    let rest = bracket.get(4..)?.trim();
    let span = rest
        .strip_prefix(['-', '–'])
        .is_some_and(|end| end.is_empty() || (end.len() == 4 && digits(end)));
    (digits(four) && (rest.is_empty() || span))
        .then(|| four.parse().ok())
        .flatten()
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Moves articles in the main title and in each trailing bracket.
fn articles_first(text: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while let Some((before, bracket)) = rest
        .strip_suffix(')')
        .and_then(|inner| inner.rsplit_once('('))
        && !before.trim().is_empty()
        && !bracket.contains(')')
    {
        parts.push(bracket.trim());
        rest = before.trim_end();
    }
    let brackets = parts.into_iter().rev().map(|bracket| {
        let (mark, name) = ["a.k.a. ", "a.k.a ", "aka "]
            .iter()
            .find_map(|mark| bracket.strip_prefix(mark).map(|name| ("a.k.a. ", name)))
            .unwrap_or(("", bracket));
        format!("({mark}{})", article_first(name))
    });
    let words: Vec<String> = std::iter::once(article_first(rest))
        .chain(brackets)
        .collect();
    words.join(" ")
}

fn article_first(text: &str) -> String {
    let moved = text.rsplit_once(',').and_then(|(name, last)| {
        let article = last.trim();
        let known = ARTICLES.contains(&article) && !name.trim().is_empty();
        let space = if article.ends_with('\'') { "" } else { " " };
        known.then(|| format!("{article}{space}{}", name.trim()))
    });
    moved.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_said_as_people_say_them() {
        for (raw, title, year) in [
            ("Toy Story (1995)", "Toy Story", Some(1995)),
            ("Matrix, The (1999)", "The Matrix", Some(1999)),
            ("Enfer, L' (1994) ", "L'Enfer", Some(1994)),
            (
                "Boot, Das (Boat, The) (1981)",
                "Das Boot (The Boat)",
                Some(1981),
            ),
            (
                "Seven (a.k.a. Se7en) (1995)",
                "Seven (a.k.a. Se7en)",
                Some(1995),
            ),
            (
                "Léon: The Professional (a.k.a. The Professional) (Léon) (1994)",
                "Léon: The Professional (a.k.a. The Professional) (Léon)",
                Some(1994),
            ),
            (
                "Lord of the Rings: The Two Towers, The (2002)",
                "The Lord of the Rings: The Two Towers",
                Some(2002),
            ),
            (
                "I Love You, I Love You Not (1996)",
                "I Love You, I Love You Not",
                Some(1996),
            ),
            ("Corrina, Corrina (1994)", "Corrina, Corrina", Some(1994)),
            (
                "Big Bang Theory, The (2007-)",
                "The Big Bang Theory",
                Some(2007),
            ),
            ("Fawlty Towers (1975-1979)", "Fawlty Towers", Some(1975)),
            (
                "Land Before Time, The (1995) (V)",
                "The Land Before Time",
                Some(1995),
            ),
            (
                "2001: A Space Odyssey (1968)",
                "2001: A Space Odyssey",
                Some(1968),
            ),
            ("1984", "1984", None),
            ("unknown", "unknown", None),
            ("(1999)", "", Some(1999)),
            (
                "(500) Days of Summer (2009)",
                "(500) Days of Summer",
                Some(2009),
            ),
            ("Hyena Road", "Hyena Road", None),
            ("", "", None),
        ] {
            assert_eq!(split_title(raw), (title.to_owned(), year), "{raw}");
        }
    }
}
