//! What the sentences say of a film: from its traits and tags, or from its genres' words.

use super::grammar::{list, with_article};
use super::lexicon::{GENERIC, MORE_STRENGTHS, MORE_WEAKNESSES, Words, words};
use crate::data::Item;

/// What is told of one film. Every phrase is ready to stand in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `comedy and romance film`.
    pub kind: String,
    /// `comedy`, `romance`, as they stand before "film": at most two, in the order of the source.
    pub genres: Vec<String>,
    /// `warm`.
    pub mood: String,
    /// ` from the 1990s`, with its space; empty without a year.
    pub era: String,
    /// `1990s`; absent without a year.
    pub decade: Option<String>,
    /// `a fishing village`.
    pub place: Option<String>,
    /// `a retired sailor`.
    pub hero: Option<String>,
    /// After "must": `save the lighthouse`.
    pub goal: Option<String>,
    /// `a ruthless banker`.
    pub villain: Option<String>,
    /// After "about": `love`; from one to three.
    pub themes: Vec<String>,
    /// After "it shows", for a film without a hero: `two people who find each other`; one or two.
    pub stories: Vec<&'static str>,
    /// After "the pace is": `slow`.
    pub pace: String,
    /// Five, the film's own first.
    pub strengths: Vec<String>,
    /// Five, the film's own first.
    pub weaknesses: Vec<String>,
    /// Plural: `fans of comedy films`.
    pub audience: String,
    /// At most three tags; none for a film with traits, whose tags repeat them.
    pub tags: Vec<String>,
    /// The director's name.
    pub director: Option<String>,
    /// Clauses that would make it funnier, sadder and scarier.
    pub turns: [&'static str; 3],
}

impl Facts {
    /// Gathers the facts of a film.
    pub fn of(item: &Item) -> Self {
        let genres: Vec<String> = item.genres.iter().filter_map(|name| genre(name)).collect();
        let known: Vec<&'static Words> = genres.iter().filter_map(|name| words(name)).collect();
        let first = known.first().copied().unwrap_or(&GENERIC);
        let own = |name: &str, most: usize| -> Vec<&str> {
            let values = item.traits.get(name).map_or(&[][..], Vec::as_slice);
            values.iter().take(most).map(String::as_str).collect()
        };
        let one = |name: &str| own(name, 1).first().map(|value| (*value).to_owned());
        // Films of one genre differ by decade in which of the general words they get.
        let decade = item.year.map(|year| year / 10 * 10);
        let turn = decade.map_or(0, |decade| usize::from(decade) / 10);

        let kinds: Vec<&str> = genres
            .iter()
            .take(2)
            .map(|name| words(name).map_or(name.as_str(), |words| words.kind))
            .collect();
        let kind = if kinds.is_empty() {
            "film".to_owned()
        } else {
            format!("{} film", list(&kinds))
        };
        let mood = or_words(own("mood", 1), &known, 1, |words| words.mood);
        let theme = or_words(own("theme", 2), &known, 3, |words| words.theme);
        let pace = or_words(own("pace", 1), &known, 1, |words| words.pace);
        let stories = or_words(Vec::new(), &known, 2, |words| words.story);
        let audience = own("audience", 2);
        Self {
            mood: list(&mood),
            era: decade.map_or_else(String::new, |decade| format!(" from the {decade}s")),
            decade: decade.map(|decade| format!("{decade}s")),
            place: one("setting"),
            hero: one("hero"),
            goal: one("goal"),
            villain: one("villain"),
            themes: theme.into_iter().map(str::to_owned).collect(),
            stories,
            pace: list(&pace),
            strengths: five(
                &own("strength", 3),
                &known,
                |words| words.strengths,
                MORE_STRENGTHS,
                turn,
            ),
            weaknesses: five(
                &own("weakness", 3),
                &known,
                |words| words.weaknesses,
                MORE_WEAKNESSES,
                turn,
            ),
            audience: if audience.is_empty() {
                format!("fans of {kind}s")
            } else {
                list(&audience)
            },
            tags: item
                .tags
                .iter()
                .filter(|tag| item.traits.is_empty() && fits(tag, &item.title))
                .take(3)
                .map(|tag| tag.to_lowercase())
                .collect(),
            director: one("director"),
            turns: first.turns,
            genres: kinds.into_iter().map(str::to_owned).collect(),
            kind,
        }
    }

    /// `a warm comedy film`.
    pub(super) fn a_film(&self) -> String {
        with_article(&format!("{} {}", self.mood, self.kind))
    }

    /// `a warm comedy film from the 1990s`.
    pub(super) fn a_dated_film(&self) -> String {
        format!("{}{}", self.a_film(), self.era)
    }

    /// `forgiveness`, or `love and silly mishaps`.
    pub(super) fn theme(&self) -> String {
        list(&self.themes)
    }

    /// ` set in a fishing village`, with its space, or nothing.
    pub(super) fn set_in(&self) -> String {
        self.place
            .as_ref()
            .map_or_else(String::new, |place| format!(" set in {place}"))
    }

    /// `a slow pace`.
    pub(super) fn a_pace(&self) -> String {
        with_article(&format!("{} pace", self.pace))
    }

    /// The hero, or `its hero`.
    pub(super) fn hero(&self) -> &str {
        self.hero.as_deref().unwrap_or("its hero")
    }

    /// What the film shows, to follow "it": `follows a sailor who must …`, `shows two people who find each other`.
    pub(super) fn plot(&self) -> String {
        let Some(hero) = &self.hero else {
            let touches = if self.tags.is_empty() {
                String::new()
            } else {
                format!(", with touches of {}", list(&self.tags))
            };
            return format!("shows {}{touches}", list(&self.stories));
        };
        let must = [
            self.goal.clone(),
            self.villain
                .as_ref()
                .map(|villain| format!("face {villain}")),
        ];
        let must: Vec<String> = must.into_iter().flatten().collect();
        if must.is_empty() {
            format!("follows {hero}")
        } else {
            format!("follows {hero} who must {}", list(&must))
        }
    }

    /// The film in a few words without its title, for the places of items in plain text:
    /// `warm comedy film; 1990s; a fishing village; …`.
    pub fn attributes(&self) -> String {
        let mut all = vec![format!("{} {}", self.mood, self.kind)];
        all.extend(self.decade.clone());
        let optional = [&self.place, &self.hero, &self.goal, &self.villain];
        all.extend(optional.into_iter().flatten().cloned());
        if self.hero.is_none() {
            all.extend(self.stories.iter().map(|story| (*story).to_owned()));
        }
        all.extend(self.themes.iter().cloned());
        all.push(self.pace.clone());
        all.extend(self.tags.iter().cloned());
        all.extend(self.strengths.iter().take(2).cloned());
        all.extend(self.weaknesses.iter().take(2).cloned());
        all.push(self.audience.clone());
        all.extend(self.director.clone());
        all.join("; ")
    }
}

/// A genre in lower case; `None` for MovieLens' sign of no genre.
fn genre(name: &str) -> Option<String> {
    (!name.starts_with('(') && !name.is_empty()).then(|| name.to_lowercase())
}

/// The film's own words, or those of its first genres.
fn or_words<'a>(
    own: Vec<&'a str>,
    known: &[&'static Words],
    most: usize,
    f: impl Fn(&Words) -> &'a str,
) -> Vec<&'a str> {
    if !own.is_empty() {
        own
    } else if known.is_empty() {
        vec![f(&GENERIC)]
    } else {
        known.iter().take(most).map(|words| f(words)).collect()
    }
}

/// The film's own phrases, then those of its genres in turn, then general ones from the decade's start.
fn five(
    own: &[&str],
    known: &[&'static Words],
    f: impl Fn(&Words) -> [&'static str; 3],
    general: [&'static str; 7],
    turn: usize,
) -> Vec<String> {
    let of_genres = (0..3).flat_map(|place| known.iter().take(3).map(move |words| (*words, place)));
    let generic = f(&GENERIC);
    let of_nothing = generic.iter().copied().filter(|_| known.is_empty());
    let general = (0..general.len()).map(|step| general[(turn + step) % general.len()]);
    // One place is always the decade's.
    let mut decade = general.clone();
    let candidates = own
        .iter()
        .copied()
        .chain(of_genres.map(|(words, place)| f(words)[place]))
        .take(4)
        .chain(decade.next())
        .chain(of_nothing)
        .chain(general);
    let mut all: Vec<String> = Vec::with_capacity(5);
    // A film's own "its perfect timing" and the lexicon's "perfect timing" are one phrase.
    let bare = |phrase: &str| phrase.strip_prefix("its ").unwrap_or(phrase).to_owned();
    for phrase in candidates {
        if !all.iter().any(|known| bare(known) == bare(phrase)) {
            all.push(phrase.to_owned());
        }
        if all.len() == 5 {
            break;
        }
    }
    all
}

/// Whether a tag can stand in a sentence: short, of letters, and not the title.
fn fits(tag: &str, title: &str) -> bool {
    let plain = |text: &str| {
        let words: Vec<String> = text
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        format!(" {} ", words.join(" "))
    };
    let names_title = plain(tag).contains(&plain(title)) && !plain(title).trim().is_empty();
    let letters = tag
        .chars()
        .all(|c| c.is_alphanumeric() || c == ' ' || c == '-' || c == '\'');
    tag.chars().count() <= 24 && letters && tag.chars().any(char::is_alphabetic) && !names_title
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn owned(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    /// A film as the demo catalogue has them.
    pub(in crate::tasks) fn rich(item: u32) -> Item {
        let mut traits = BTreeMap::new();
        for (name, values) in [
            ("mood", ["warm", "sad"].as_slice()),
            ("setting", &["a fishing village"]),
            ("hero", &["a retired sailor"]),
            ("goal", &["save the lighthouse"]),
            ("villain", &["a ruthless banker"]),
            ("theme", &["forgiveness", "duty"]),
            ("pace", &["slow"]),
            ("strength", &["its honest acting", "its quick jokes"]),
            ("weakness", &["its slow middle"]),
            ("audience", &["patient viewers"]),
            ("director", &["Ilsa Morn"]),
            ("star", &["Tom Reed"]),
        ] {
            traits.insert(name.to_owned(), owned(values));
        }
        Item {
            item,
            raw_id: "11".to_owned(),
            title: "Harbour Lights".to_owned(),
            year: Some(1987),
            genres: owned(&["Drama", "Romance"]),
            tags: owned(&["sea", "harbour lights", "friendship"]),
            traits,
            sort: crate::data::ItemSort::Film,
        }
    }

    /// A film as MovieLens has most of them.
    pub(in crate::tasks) fn bare(item: u32) -> Item {
        Item {
            item,
            raw_id: "3".to_owned(),
            title: "Grumpier Old Men".to_owned(),
            year: Some(1995),
            genres: owned(&["Comedy", "Romance"]),
            tags: Vec::new(),
            traits: BTreeMap::new(),
            sort: crate::data::ItemSort::Film,
        }
    }

    /// A film of which only the title is known.
    pub(in crate::tasks) fn unknown(item: u32) -> Item {
        Item {
            year: None,
            genres: owned(&["(no genres listed)"]),
            ..bare(item)
        }
    }

    #[test]
    fn a_rich_film_is_told_by_its_own_traits() {
        insta::assert_snapshot!(Facts::of(&rich(0)).attributes(), @"warm drama and romance film; 1980s; a fishing village; a retired sailor; save the lighthouse; a ruthless banker; forgiveness; duty; slow; its honest acting; its quick jokes; its slow middle; slow scenes; patient viewers; Ilsa Morn");
    }

    #[test]
    fn a_bare_film_is_told_by_its_genres_and_decade() {
        let facts = Facts::of(&bare(0));
        insta::assert_snapshot!(facts.attributes(), @"funny comedy and romance film; 1990s; people who stumble from joke to joke; two people who find each other; silly mishaps; love; quick; sharp jokes; tender chemistry; uneven jokes; easy tears; fans of comedy and romance films");
        let mut older = bare(0);
        older.year = Some(1944);
        assert_ne!(Facts::of(&older).strengths, facts.strengths);
    }

    #[test]
    fn an_unknown_film_still_has_five_of_each() {
        let facts = Facts::of(&unknown(0));
        assert_eq!(facts.strengths.len(), 5);
        assert_eq!(facts.weaknesses.len(), 5);
        assert_eq!(facts.a_dated_film(), "an unusual film");
    }

    #[test]
    fn tags_that_name_the_title_or_are_no_words_are_left_out() {
        assert!(fits("space", "Alien"));
        assert!(!fits("alien (franchise)", "Alien"));
        assert!(!fits("the alien", "Alien"));
        assert!(fits("aliens", "Alien"));
        assert!(!fits("1990", "Alien"));
        assert!(!fits("a tag that goes on and on for ever", "Alien"));
    }
}
