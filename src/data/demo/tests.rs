use super::*;
use crate::data::{Catalog, Filter, Item, Split};
use std::collections::BTreeSet;

const DEMO: DemoConfig = DemoConfig {
    films: 240,
    users: 400,
    interactions_per_user: 30,
};

fn catalog(seed: u64) -> Catalog {
    let filter = Filter {
        min_rating: 0.0,
        min_interactions: 5,
    };
    Catalog::new(invent(DEMO, Seed::new(seed)), filter).unwrap()
}

#[test]
fn the_seed_decides_everything() {
    let small = DemoConfig {
        films: 40,
        users: 20,
        interactions_per_user: 9,
    };
    assert_eq!(invent(small, Seed::new(1)), invent(small, Seed::new(1)));
    assert_ne!(invent(small, Seed::new(1)), invent(small, Seed::new(2)));
    // The whole catalogue, so that a change of the generator does not go unnoticed: raise the version of `ingest`.
    let text = format!("{:?}", invent(small, Seed::new(1)));
    assert_eq!(
        blake3::hash(text.as_bytes()).to_hex()[..16],
        *"c7e04ef3da3cb058"
    );
}

#[test]
fn the_demo_has_the_promised_size() {
    let catalog = catalog(1);
    assert_eq!(catalog.items.len(), 240);
    assert_eq!(catalog.users.len(), 400);
    let n = catalog.interactions.len();
    assert!((11_000..13_000).contains(&n), "{n}");
    assert!(
        catalog
            .interactions
            .by_user()
            .all(|(_, run)| run.len() >= 20)
    );
    let titles: BTreeSet<&str> = catalog
        .items
        .iter()
        .map(|item| item.title.as_str())
        .collect();
    assert_eq!(titles.len(), 240);
    for item in &catalog.items {
        let keys: Vec<&str> = item.traits.keys().map(String::as_str).collect();
        let wanted: BTreeSet<&str> = TRAITS.into();
        assert_eq!(keys, wanted.into_iter().collect::<Vec<_>>());
        assert!(item.traits.values().all(|values| !values.is_empty()));
    }
}

#[test]
fn the_largest_demo_still_has_different_titles() {
    let config = DemoConfig {
        films: DemoConfig::MOST_FILMS,
        users: 1,
        interactions_per_user: 6,
    };
    let films = invent(config, Seed::new(3)).films;
    let titles: BTreeSet<&str> = films.iter().map(|film| film.title.as_str()).collect();
    assert_eq!(titles.len(), films.len());
}

#[test]
fn popularity_is_skewed() {
    let catalog = catalog(1);
    let mut counts = vec![0usize; 240];
    for &item in &catalog.interactions.items {
        counts[item as usize] += 1;
    }
    counts.sort_unstable();
    let top: usize = counts[192..].iter().sum();
    let share = top as f64 / catalog.interactions.len() as f64;
    assert!(
        share > 0.4,
        "the most seen fifth has {share:.2} of the interactions"
    );
}

fn genre(item: &Item) -> &str {
    &item.genres[0]
}

/// Of items' five nearest neighbours by cosine of training users, the share with the same first genre, mood and so on. A
/// neighbour count, not a model: what any collaborative filter can use.
#[test]
fn genres_and_traits_show_in_behaviour() {
    let catalog = catalog(1);
    let train = Split::leave_one_out(&catalog.interactions).train;
    let n = catalog.items.len();
    let mut together = vec![0f64; n * n];
    for (_, run) in train.by_user() {
        for &a in &train.items[run.clone()] {
            for &b in &train.items[run.clone()] {
                together[a as usize * n + b as usize] += 1.0;
            }
        }
    }
    let share = |alike: &dyn Fn(&Item, &Item) -> bool, nearest: &[(usize, usize)]| {
        let hits = nearest
            .iter()
            .filter(|(a, b)| alike(&catalog.items[*a], &catalog.items[*b]));
        hits.count() as f64 / nearest.len() as f64
    };
    let mut nearest = Vec::new();
    for a in 0..n {
        let cosine =
            |b: usize| together[a * n + b] / (together[a * n + a] * together[b * n + b]).sqrt();
        let mut others: Vec<usize> = (0..n).filter(|&b| b != a).collect();
        others.sort_by(|&x, &y| cosine(y).total_cmp(&cosine(x)).then(x.cmp(&y)));
        nearest.extend(others[..5].iter().map(|&b| (a, b)));
    }
    let all: Vec<(usize, usize)> = (0..n)
        .flat_map(|a| (0..n).filter(move |&b| b != a).map(move |b| (a, b)))
        .collect();
    let genres = share(&|a, b| genre(a) == genre(b), &nearest);
    assert!(genres > 0.6, "{genres:.3}; chance is 1/7");
    for (name, times) in [
        ("mood", 3.0),
        ("theme", 3.0),
        ("setting", 4.0),
        ("director", 4.0),
    ] {
        let alike = |a: &Item, b: &Item| {
            a.values(name)
                .iter()
                .any(|value| b.values(name).contains(value))
        };
        let (found, chance) = (share(&alike, &nearest), share(&alike, &all));
        assert!(
            found > times * chance,
            "{name} {found:.3}, chance {chance:.3}"
        );
    }
}

/// Consecutive films against films of the same user at random: interest must add to taste.
#[test]
fn consecutive_films_are_more_alike_than_a_users_films() {
    let catalog = catalog(1);
    let all = &catalog.interactions;
    let (mut next, mut steps, mut any, mut pairs) = (0, 0, 0, 0);
    for (_, run) in all.by_user() {
        let genres: Vec<&str> = all.items[run]
            .iter()
            .map(|&item| genre(&catalog.items[item as usize]))
            .collect();
        next += genres.windows(2).filter(|pair| pair[0] == pair[1]).count();
        steps += genres.len() - 1;
        for a in 0..genres.len() {
            any += (a + 1..genres.len())
                .filter(|&b| genres[a] == genres[b])
                .count();
            pairs += genres.len() - a - 1;
        }
    }
    let (next, any) = (next as f64 / steps as f64, any as f64 / pairs as f64);
    assert!(next > any + 0.08, "consecutive {next:.3}, any two {any:.3}");
}
