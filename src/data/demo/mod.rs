//! An invented catalogue whose causes are known: for a first run without data or network, and for tests.
//!
//! 1. Each film has a first genre, sometimes a second, and traits that mostly come from the first genre's words ([`films`]).
//! 2. Genre, mood, theme, setting and director each have a direction in a latent space; a film is the weighted sum of
//!    its own ([`space`]).
//! 3. A viewer has a taste in the same space, and a momentary interest that follows the films seen last. The next
//!    film is drawn by `exp(taste · film + interest · film + popularity)` among those not yet seen ([`viewers`]).
//!
//! So genre can be recovered from behaviour, and consecutive films are alike: what phase 1 learns from.

mod films;
mod space;
mod viewers;
mod words;

use super::RawCatalog;
use crate::seed::Seed;

/// The keys of [`super::Item::traits`] of a demo film. One value each, but `mood`, `theme`, `strength` and
/// `weakness` have one or two and `star` has two.
///
/// As phrases: "set in `setting`", "`hero` must `goal` and face `villain`", "about `theme`", "the pace is
/// `pace`", "praised for `strength`", "criticised for `weakness`", "loved by `audience`", "directed by
/// `director`", "starring `star`".
pub const TRAITS: [&str; 12] = [
    "mood", "setting", "hero", "goal", "villain", "theme", "pace", "strength", "weakness",
    "audience", "director", "star",
];

/// How large the invented world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoConfig {
    /// Number of films.
    pub films: u32,
    /// Number of users.
    pub users: u32,
    /// Mean number of films that a user sees; each sees at least two thirds of it.
    pub interactions_per_user: u32,
}

impl DemoConfig {
    /// Fewest films for which titles, tastes and popularity make sense.
    pub const FEWEST_FILMS: u32 = 20;
    /// Most films that the words can name differently.
    pub const MOST_FILMS: u32 = 4000;

    /// Films a user sees at least.
    pub fn fewest_interactions(&self) -> u32 {
        (self.interactions_per_user * 2 / 3).max(1)
    }

    /// Films a user sees at most: the mean is in the middle, and nobody sees everything.
    pub fn most_interactions(&self) -> u32 {
        2 * self.interactions_per_user - self.fewest_interactions()
    }
}

/// Invents films and ratings. The same seed and sizes give the same catalogue.
///
/// Film and user ids start at 1. Ratings come user by user, in order of time.
pub fn invent(config: DemoConfig, seed: Seed) -> RawCatalog {
    let seed = seed.child("demo");
    let (films, latent) = films::invent(config.films, seed);
    let ratings = viewers::watch(config, &films, &latent, seed);
    RawCatalog {
        films,
        ratings,
        names: None,
    }
}

#[cfg(test)]
mod tests;
