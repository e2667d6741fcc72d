//! Films: genres, traits, titles.

use super::space::{self, AXES, Vector};
use super::words::{FIRST_NAMES, GENRES, Genre, LAST_NAMES, PACES};
use crate::data::RawFilm;
use crate::seed::Seed;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// How much each trait counts in a film's latent point.
const SECOND_GENRE: f64 = 0.5;
const MOOD: f64 = 0.5;
const THEME: f64 = 0.45;
const SETTING: f64 = 0.4;
const DIRECTOR: f64 = 0.35;
/// Share of films with a second genre.
const TWO_GENRES: f64 = 0.35;
/// How often a trait comes from the first genre; else from the second, or from any where there is none.
const FAITHFUL: f64 = 0.85;
/// Directors and stars of a genre.
const DIRECTORS: usize = 4;
const STARS: usize = 6;

/// Invents films with ids from 1, and their latent points.
pub fn invent(count: u32, seed: Seed) -> (Vec<RawFilm>, Vec<Vector>) {
    let people = People::hire(seed.child("people"));
    let mut titles = BTreeSet::new();
    (1..=count)
        .map(|id| film(id, &people, &mut titles, seed))
        .unzip()
}

fn film(id: u32, people: &People, titles: &mut BTreeSet<String>, seed: Seed) -> (RawFilm, Vector) {
    let mut rng = seed.child("film").at(id.into()).rng();
    // In turn, so that every genre has its share in a small catalogue.
    let first = (id as usize - 1) % GENRES.len();
    let second = rng
        .gen_bool(TWO_GENRES)
        .then(|| (first + rng.gen_range(1..GENRES.len())) % GENRES.len());
    let mut pick = Pick { first, second, rng };

    let mood = pick.some(|genre| &genre.moods, 2);
    let theme = pick.some(|genre| &genre.themes, 2);
    let setting = pick.some(|genre| &genre.settings, 1);
    let hero = pick.some(|genre| &genre.heroes, 1);
    let villain = pick.some(|genre| &genre.villains, 1);
    let goal = pick.some(|genre| &genre.goals, 1);
    let strength = pick.some(|genre| &genre.strengths, 2);
    let weakness = pick.some(|genre| &genre.weaknesses, 2);
    let audience = pick.some(|genre| &genre.audiences, 1);
    let pace = vec![(*pick.one(&PACES)).to_owned()];
    let director = {
        let genre = pick.genre();
        vec![pick.one(&people.directors[genre]).clone()]
    };
    let stars = &people.stars[pick.genre()];
    let star: Vec<String> = stars.choose_multiple(&mut pick.rng, 2).cloned().collect();

    let mut point = [0.0; AXES];
    point[first] += 1.0;
    if let Some(second) = second {
        point[second] += SECOND_GENRE;
    }
    for (weight, values) in [
        (MOOD, &mood),
        (THEME, &theme),
        (SETTING, &setting),
        (DIRECTOR, &director),
    ] {
        for value in values {
            let share = weight / (values.len() as f64).sqrt();
            space::add(&mut point, share, &space::direction(seed, value));
        }
    }

    let (from, to) = GENRES[first].years;
    let year = pick.rng.gen_range(from..=to);
    let title = loop {
        let title = title(&mut pick, &setting[0], &hero[0], &star[0]);
        if titles.insert(title.clone()) {
            break title;
        }
    };
    let mut tags = vec![tag(&setting[0])];
    tags.extend(theme.iter().cloned());
    tags.extend(mood.iter().cloned());
    tags.push(tag(&hero[0]));
    tags.push(format!("{}s", year / 10 * 10));
    let mut seen = BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));

    let genres = [Some(first), second].into_iter().flatten();
    let traits = BTreeMap::from(
        [
            ("mood", mood),
            ("setting", setting),
            ("hero", hero),
            ("goal", goal),
            ("villain", villain),
            ("theme", theme),
            ("pace", pace),
            ("strength", strength),
            ("weakness", weakness),
            ("audience", audience),
            ("director", director),
            ("star", star),
        ]
        .map(|(name, values)| (name.to_owned(), values)),
    );
    let film = RawFilm {
        id,
        title,
        year: Some(year),
        genres: genres.map(|genre| GENRES[genre].name.to_owned()).collect(),
        tags,
        traits,
        ..RawFilm::default()
    };
    (film, point)
}

/// Invented people; each works mostly in one genre.
struct People {
    directors: Vec<Vec<String>>,
    stars: Vec<Vec<String>>,
}

impl People {
    fn hire(seed: Seed) -> Self {
        let mut names: Vec<String> = FIRST_NAMES
            .iter()
            .flat_map(|first| LAST_NAMES.iter().map(move |last| format!("{first} {last}")))
            .collect();
        names.shuffle(&mut seed.rng());
        let (directors, rest) = names.split_at(DIRECTORS * GENRES.len());
        let stars = &rest[..STARS * GENRES.len()];
        Self {
            directors: directors
                .chunks(DIRECTORS)
                .map(<[String]>::to_vec)
                .collect(),
            stars: stars.chunks(STARS).map(<[String]>::to_vec).collect(),
        }
    }
}

/// Draws a film's traits.
struct Pick {
    first: usize,
    second: Option<usize>,
    rng: ChaCha8Rng,
}

impl Pick {
    /// The genre from which the next trait comes.
    fn genre(&mut self) -> usize {
        if self.rng.gen_bool(FAITHFUL) {
            return self.first;
        }
        self.second
            .unwrap_or_else(|| self.rng.gen_range(0..GENRES.len()))
    }

    fn one<'a, T>(&mut self, words: &'a [T]) -> &'a T {
        &words[self.rng.gen_range(0..words.len())]
    }

    /// One to `most` different words of one kind, each from a genre drawn anew.
    fn some<const N: usize>(
        &mut self,
        words: fn(&'static Genre) -> &'static [&'static str; N],
        most: usize,
    ) -> Vec<String> {
        let count = self.rng.gen_range(1..=most);
        let mut chosen: Vec<String> = Vec::new();
        while chosen.len() < count {
            let genre = self.genre();
            let word = *self.one(words(&GENRES[genre]));
            if !chosen.iter().any(|known| known == word) {
                chosen.push(word.to_owned());
            }
        }
        chosen
    }
}

/// A title in one of several shapes, mostly of the first genre's words.
fn title(pick: &mut Pick, setting: &str, hero: &str, star: &str) -> String {
    let genre = pick.genre();
    let noun = *pick.one(&GENRES[genre].nouns);
    let other = *pick.one(&GENRES[pick.first].nouns);
    let adjective = *pick.one(&GENRES[genre].adjectives);
    let place = capitalised(&tag(setting));
    let person = capitalised(&tag(hero));
    let name = star.split(' ').next().unwrap_or(star);
    match pick.rng.gen_range(0..9) {
        0 => format!("The {adjective} {noun}"),
        1 => format!("{adjective} {noun}"),
        2 => format!("{noun} of the {person}"),
        3 => format!("A {noun} for {name}"),
        4 if noun != other => format!("{noun} and {other}"),
        5 => format!("The {person}'s {noun}"),
        6 => format!("{noun} at the {place}"),
        7 => format!("{name} and the {adjective} {noun}"),
        _ => format!("The {noun} of the {adjective} {place}"),
    }
}

/// A phrase without its article, in lower case: `a Mars colony` -> `mars colony`.
fn tag(phrase: &str) -> String {
    phrase
        .split_once(' ')
        .map_or(phrase, |(_, words)| words)
        .to_lowercase()
}

fn capitalised(words: &str) -> String {
    let words: Vec<String> = words
        .split(' ')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|first| first.to_uppercase().chain(chars).collect())
                .unwrap_or_default()
        })
        .collect();
    words.join(" ")
}
