//! Users who watch films, one after the other.

use super::DemoConfig;
use super::space::{self, AXES, Vector};
use super::words::GENRES;
use crate::data::{RawFilm, RawRating};
use crate::seed::Seed;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Gumbel, Normal, StandardNormal};

/// How strongly lasting taste and momentary interest steer the next choice.
const TASTE: f64 = 2.2;
const INTEREST: f64 = 1.6;
/// Exponent of popularity by rank (Zipf). At 0.8 the rarest of the default 240 films stays in the
/// 5-core.
const POPULARITY: f64 = 0.8;
/// How much of the momentary interest is left after each film.
const MEMORY: f64 = 0.4;
/// Spread of taste on the axes that are no genre.
const OTHER_TASTES: f64 = 0.8;
/// 2010-01-01, and the span of first visits: ten years.
const FIRST_DAY: i64 = 1_262_304_000;
const SPAN: i64 = 10 * 365 * DAY;
const DAY: i64 = 86_400;

/// Ratings of all users, user by user in order of time. Users have ids from 1.
pub fn watch(
    config: DemoConfig,
    films: &[RawFilm],
    points: &[Vector],
    seed: Seed,
) -> Vec<RawRating> {
    let mut rng = seed.child("popularity").rng();
    let mut popularity: Vec<f64> = (1..=films.len())
        .map(|rank| -POPULARITY * (rank as f64).ln())
        .collect();
    popularity.shuffle(&mut rng);
    let world = World {
        films,
        points,
        popularity,
    };
    (1..=config.users)
        .flat_map(|user| {
            let mut rng = seed.child("user").at(user.into()).rng();
            let most = config.most_interactions().min(config.films);
            let fewest = config.fewest_interactions().min(most);
            let count = rng.gen_range(fewest..=most);
            world.history(user, count, &mut rng)
        })
        .collect()
}

struct World<'a> {
    films: &'a [RawFilm],
    points: &'a [Vector],
    /// Logarithm of each film's popularity.
    popularity: Vec<f64>,
}

impl World<'_> {
    fn history(&self, user: u32, count: u32, rng: &mut ChaCha8Rng) -> Vec<RawRating> {
        let taste = taste(rng);
        let gumbel = Gumbel::new(0.0, 1.0).expect("the scale is positive");
        let mut interest = [0.0; AXES];
        let mut unseen: Vec<usize> = (0..self.films.len()).collect();
        let mut timestamp = FIRST_DAY + rng.gen_range(0..SPAN);
        let mut ratings = Vec::with_capacity(count as usize);
        for _ in 0..count {
            // The greatest of utility + Gumbel noise is a draw from the softmax of the utilities.
            let mut best: Option<(f64, usize)> = None;
            for (place, &film) in unseen.iter().enumerate() {
                let point = &self.points[film];
                let value = TASTE * space::dot(&taste, point)
                    + INTEREST * space::dot(&interest, point)
                    + self.popularity[film]
                    + gumbel.sample(rng);
                if best.is_none_or(|(most, _)| value > most) {
                    best = Some((value, place));
                }
            }
            let Some((_, place)) = best else { break };
            let film = unseen.remove(place);
            let point = &self.points[film];
            interest = interest.map(|value| MEMORY * value);
            space::add(&mut interest, 1.0 - MEMORY, point);
            ratings.push(RawRating {
                user,
                film: self.films[film].id,
                rating: rating(space::dot(&taste, point), rng),
                timestamp,
            });
            timestamp += if rng.gen_bool(0.6) {
                rng.gen_range(2 * 3600..6 * 3600)
            } else {
                rng.gen_range(DAY..20 * DAY)
            };
        }
        ratings
    }
}

/// One to three favourite genres, no liking for the others, and small tastes on the other axes.
fn taste(rng: &mut ChaCha8Rng) -> Vector {
    let mut taste = [0.0; AXES];
    let mut genres: Vec<usize> = (0..GENRES.len()).collect();
    genres.shuffle(rng);
    let favourites = rng.gen_range(1..=3);
    for (place, &genre) in genres.iter().take(favourites).enumerate() {
        taste[genre] = 1.0 - 0.2 * place as f64;
    }
    for value in &mut taste {
        let noise: f64 = StandardNormal.sample(rng);
        *value += OTHER_TASTES * noise;
    }
    taste
}

/// Half stars from 0.5 to 5, around 3.5 and higher where the film is to the user's taste.
fn rating(liking: f64, rng: &mut ChaCha8Rng) -> f32 {
    let noise = Normal::new(0.0, 0.7).expect("the deviation is positive");
    let stars: f64 = 3.0 + 0.6 * liking + noise.sample(rng);
    ((stars * 2.0).round() / 2.0).clamp(0.5, 5.0) as f32
}
