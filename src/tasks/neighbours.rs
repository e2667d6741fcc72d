//! Nearest neighbours by cosine.

use crate::formats::tensors::Array;
use rayon::prelude::*;

/// Returns the nearest other film of each film, by cosine of their vectors, among `films` only.
///
/// Ties go to the lower position in `films`; a film without a vector (all zero) has cosine 0 with every other.
///
/// # Shapes
/// - `vectors`: `[n_items, d]`
/// - `films`: rows of `vectors`, at least two
/// - returns: one film of `films` each
pub fn nearest(vectors: &Array, films: &[u32]) -> Vec<u32> {
    let d = vectors.shape[1];
    let unit: Vec<Vec<f32>> = films
        .iter()
        .map(|film| {
            let start = *film as usize * d;
            let row = &vectors.data[start..start + d];
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            row.iter().map(|x| x * scale).collect()
        })
        .collect();
    (0..films.len())
        .into_par_iter()
        .map(|a| {
            let mut best: Option<(f32, usize)> = None;
            for b in (0..films.len()).filter(|b| *b != a) {
                let cosine: f32 = unit[a].iter().zip(&unit[b]).map(|(x, y)| x * y).sum();
                if best.is_none_or(|(top, _)| cosine > top) {
                    best = Some((cosine, b));
                }
            }
            best.map_or(films[a], |(_, b)| films[b])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_from_the_given_films_only() {
        let vectors = Array::new(
            &[5, 2],
            vec![1.0, 0.0, 0.9, 0.1, 0.0, 2.0, 0.1, 0.9, 5.0, 0.01],
        );
        assert_eq!(nearest(&vectors, &[0, 1, 2, 3, 4]), [4, 4, 3, 2, 0]);
        assert_eq!(nearest(&vectors, &[1, 2, 3]), [3, 3, 2]);
    }

    #[test]
    fn ties_go_to_the_first_and_zero_vectors_do_not_break_it() {
        let vectors = Array::new(&[3, 1], vec![0.0, 1.0, 1.0]);
        assert_eq!(nearest(&vectors, &[0, 1, 2]), [1, 2, 1]);
    }
}
