//! The latent space: a direction for each word that matters to taste.

use crate::seed::Seed;
use rand_distr::{Distribution as _, StandardNormal};

/// Axes of the space. The first seven are the genres.
pub const AXES: usize = 20;

/// A point or direction.
pub type Vector = [f64; AXES];

/// The direction of a word (a mood, a theme, a director …): a random unit vector that depends on the word only.
pub fn direction(seed: Seed, word: &str) -> Vector {
    let mut rng = seed.child("direction").child(word).rng();
    let mut vector = [0.0; AXES];
    for value in &mut vector {
        *value = StandardNormal.sample(&mut rng);
    }
    let norm = dot(&vector, &vector).sqrt();
    vector.map(|value| value / norm)
}

/// Adds `weight · other` to `vector`.
pub fn add(vector: &mut Vector, weight: f64, other: &Vector) {
    for (value, other) in vector.iter_mut().zip(other) {
        *value += weight * other;
    }
}

/// The dot product.
pub fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
