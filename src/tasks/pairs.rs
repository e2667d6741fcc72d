//! The sentences of the tasks on two films.

use super::grammar::{list, the, with_article};
use super::{Facts, Task};

/// Writes the target of a task on two films. `wording` is from 0 to 2.
pub(super) fn target(task: Task, first: &Facts, second: &Facts, wording: u64) -> String {
    match task {
        Task::Similarities => similarities(first, second, wording),
        Task::Interpolation => interpolation(first, second, wording),
        Task::WhyLikeNn => why_like(first, second, wording),
        Task::DiffThanNn => difference(first, second, wording),
        _ => common(first, second, wording),
    }
}

/// What two films share, at most three, each to follow "they share".
fn shared(a: &Facts, b: &Facts) -> Vec<String> {
    let mut all = Vec::new();
    let genre = a.genres.iter().find(|genre| b.genres.contains(genre));
    all.extend(genre.map(|genre| format!("the {genre} genre")));
    let theme = a.themes.iter().find(|theme| b.themes.contains(theme));
    all.extend(theme.map(|theme| format!("the theme of {theme}")));
    if a.mood == b.mood {
        all.push(with_article(&format!("{} mood", a.mood)));
    }
    if a.pace == b.pace {
        all.push(a.a_pace());
    }
    let tag = a.tags.iter().find(|tag| b.tags.contains(tag));
    all.extend(tag.map(|tag| format!("a touch of {tag}")));
    if let Some(decade) = a.decade.as_ref().filter(|_| a.decade == b.decade) {
        all.push(format!("the style of the {decade}"));
    }
    all.truncate(3);
    all
}

/// [`shared`] as words; neighbours that share no fact at least share viewers.
fn bond(a: &Facts, b: &Facts, nothing: &str) -> String {
    let shared = shared(a, b);
    if shared.is_empty() {
        nothing.to_owned()
    } else {
        list(&shared)
    }
}

fn similarities(a: &Facts, b: &Facts, wording: u64) -> String {
    let bond = bond(a, b, "only the love of a good story");
    let (first, second) = (a.a_film(), b.a_film());
    let (one, other) = (&a.themes[0], &b.themes[0]);
    let moods = if a.mood == b.mood {
        format!("Both are {}.", a.mood)
    } else {
        format!("One is {}, one is {}.", a.mood, b.mood)
    };
    let tell = if one == other {
        format!("and both tell of {one}")
    } else {
        format!("though one tells of {one} and the other of {other}")
    };
    match wording {
        0 => format!(
            "They share {bond}. The first is {first} about {one}, the second {second} about {other}."
        ),
        1 => format!(
            "One is {first} about {one}, the other {second} about {other}. What joins them is {bond}."
        ),
        _ => format!("The two films have {bond} in common, {tell}. {moods}"),
    }
}

fn interpolation(a: &Facts, b: &Facts, wording: u64) -> String {
    let genres = match (a.genres.first(), b.genres.first()) {
        (Some(first), Some(second)) => format!("{} ", both(first, second)),
        (Some(only), None) | (None, Some(only)) => format!("{only} "),
        (None, None) => String::new(),
    };
    let film = with_article(&format!("{} {genres}film", both(&a.mood, &b.mood)));
    let place = b.place.as_ref().or(a.place.as_ref());
    let place = place.map_or_else(String::new, |place| format!(" set in {place}"));
    let meeting = match (
        a.hero.as_ref().or(b.hero.as_ref()),
        b.villain.as_ref().or(a.villain.as_ref()),
    ) {
        (Some(hero), Some(villain)) => format!("{hero} meets {villain}"),
        _ => format!("we meet {}", both(a.stories[0], b.stories[0])),
    };
    let pace = if a.pace == b.pace {
        format!("at {}", a.a_pace())
    } else {
        format!("at a pace between {} and {}", a.pace, b.pace)
    };
    let themes = both(&a.themes[0], &b.themes[0]);
    let good = the(&a.strengths[0]);
    match wording {
        0 => {
            format!("The blend is {film}{place} in which {meeting}. It tells of {themes}, {pace}.")
        }
        1 => format!(
            "Imagine {film}{place}: {meeting} in a story of {themes}. It would be praised for {good}."
        ),
        _ => format!(
            "Halfway between them lies {film}{place}. In it {meeting}, {pace}, and the subject is {themes}."
        ),
    }
}

fn why_like(a: &Facts, b: &Facts, wording: u64) -> String {
    let bond = bond(a, b, "the same viewers");
    let (first, second) = (a.a_film(), b.a_film());
    let (one, other) = (&a.themes[0], &b.themes[0]);
    match wording {
        0 => format!(
            "Who liked {first} about {one} will also like the second film, because they share {bond}, and for {}.",
            the(&b.strengths[0])
        ),
        1 => format!(
            "A fan of {} will enjoy {second} about {other}. The two films share {bond}.",
            the(&a.strengths[0])
        ),
        _ => format!(
            "After {first}, {second} about {other} is a natural choice: they share {bond}. It is also for {}.",
            b.audience
        ),
    }
}

fn difference(a: &Facts, b: &Facts, wording: u64) -> String {
    let (one, other) = (&a.themes[0], &b.themes[0]);
    let own = |film: &Facts, neighbour: &Facts| {
        let good = film
            .strengths
            .iter()
            .find(|good| !neighbour.strengths.contains(good));
        good.map(|good| the(good))
    };
    let last = match (&a.place, &b.place, &a.decade, &b.decade) {
        (Some(here), Some(there), _, _) if here != there => {
            format!("One is set in {here}, the other in {there}.")
        }
        (_, _, Some(early), Some(late)) if early != late => {
            format!("One is from the {early}, the other from the {late}.")
        }
        _ => match (own(a, b), own(b, a)) {
            (Some(first), Some(second)) => {
                format!("One is praised for {first}, the other for {second}.")
            }
            _ => "Little else is different.".to_owned(),
        },
    };
    let shows = match (&a.hero, &b.hero) {
        (Some(first), Some(second)) if first != second => {
            format!("The first follows {first}, the second {second}.")
        }
        (Some(hero), Some(_)) => format!("Both follow {hero}."),
        _ if a.stories == b.stories => format!("Both show {}.", a.stories[0]),
        _ => format!(
            "The first shows {}, the second {}.",
            list(&a.stories),
            list(&b.stories)
        ),
    };
    let paces = if a.pace == b.pace {
        format!("Both have {}.", a.a_pace())
    } else {
        format!("In pace, one is {}, the other {}.", a.pace, b.pace)
    };
    let moods = if a.mood == b.mood {
        format!("Both are {} in mood.", a.mood)
    } else {
        format!(
            "In mood, the first is {} and the second {}.",
            a.mood, b.mood
        )
    };
    match wording {
        0 => format!(
            "The first is {} about {one}, while the second is {} about {other}. {last}",
            a.a_film(),
            b.a_film()
        ),
        1 => format!("{shows} {paces} {last}"),
        _ => format!("{moods} {shows} {last}"),
    }
}

fn common(a: &Facts, b: &Facts, wording: u64) -> String {
    let bond = bond(a, b, "the same viewers");
    let (first, second) = (with_article(&a.kind), with_article(&b.kind));
    match wording {
        0 => format!(
            "They are neighbours because they share {bond}. People who praise {} will enjoy both films.",
            the(&a.strengths[0])
        ),
        1 => format!(
            "What the two films have in common is {bond}. Both speak to {}.",
            both(&a.audience, &b.audience)
        ),
        _ => format!(
            "The common ground is {bond}. Who likes {first} about {} will like {second} about {}.",
            a.themes[0], b.themes[0]
        ),
    }
}

/// `a`, or `a and b` when they differ.
fn both(a: &str, b: &str) -> String {
    if a == b {
        a.to_owned()
    } else {
        format!("{a} and {b}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::{bare, rich, unknown};
    use super::super::{WORDINGS, target};
    use super::*;
    use crate::data::Item;

    fn all(a: &Item, b: &Item) -> String {
        let (a, b) = (Facts::of(a), Facts::of(b));
        let mut out = Vec::new();
        for task in Task::ALL.into_iter().filter(|task| task.is_pair()) {
            for wording in 0..WORDINGS {
                let text = target(task, &[&a, &b], wording);
                let n = text.split_whitespace().count();
                assert!(
                    (10..=55).contains(&n),
                    "{task:?} {wording}, {n} words: {text}"
                );
                out.push(format!("{}: {text}", task.name()));
            }
        }
        out.join("\n")
    }

    fn other() -> Item {
        let mut other = rich(1);
        for (name, value) in [
            ("setting", "a frozen station"),
            ("hero", "a stubborn doctor"),
            ("villain", "a jealous rival"),
            ("theme", "loyalty"),
            ("mood", "tense"),
        ] {
            other.traits.insert(name.to_owned(), vec![value.to_owned()]);
        }
        other
    }

    #[test]
    fn targets_of_two_rich_films() {
        insta::assert_snapshot!(all(&rich(0), &other()));
    }

    #[test]
    fn targets_of_two_bare_films() {
        let mut thriller = bare(1);
        thriller.genres = vec!["Thriller".to_owned()];
        thriller.year = Some(1971);
        insta::assert_snapshot!(all(&bare(0), &thriller));
    }

    #[test]
    fn targets_of_two_unknown_films() {
        insta::assert_snapshot!(all(&unknown(0), &unknown(1)));
    }
}
