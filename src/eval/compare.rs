//! Paired comparison of two arms.

use super::interval::mean_and_deviation;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// The outcome of a paired t test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedTest {
    /// Mean of the differences, first minus second.
    pub difference: f64,
    /// The statistic.
    pub t: f64,
    /// Degrees of freedom, pairs minus one.
    pub degrees: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Tests whether two arms differ on the same films: a two-sided paired t test of `first[k] − second[k]`.
///
/// `None` with fewer than two pairs. Equal arms have `p = 1`; a difference without any spread has `p = 0`.
///
/// # Panics
/// When the slices differ in length: that is a bug of the caller.
pub fn paired_t(first: &[f64], second: &[f64]) -> Option<PairedTest> {
    assert_eq!(first.len(), second.len(), "paired values");
    if first.len() < 2 {
        return None;
    }
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let (difference, deviation) = mean_and_deviation(&differences);
    let n = differences.len() as f64;
    let degrees = n - 1.0;
    let error = deviation / n.sqrt();
    let (t, p) = if error > 0.0 {
        let t = difference / error;
        let tail = StudentsT::new(0.0, 1.0, degrees).ok()?.cdf(-t.abs());
        (t, 2.0 * tail)
    } else if difference == 0.0 {
        (0.0, 1.0)
    } else {
        (f64::INFINITY.copysign(difference), 0.0)
    };
    Some(PairedTest {
        difference,
        t,
        degrees,
        p,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paired_test_agrees_with_a_hand_computed_one() {
        // Differences 1, 2, 3, 2: mean 2, deviation 0.816497, t = 2/(0.816497/2) = 4.898979, df 3.
        // For df 3 the cdf has a closed form: F(t) = 1/2 + (1/π)(u/(1+u²) + atan u), u = t/√3.
        let found = paired_t(&[2.0, 4.0, 6.0, 5.0], &[1.0, 2.0, 3.0, 3.0]).unwrap();
        let u = 4.898979486f64 / 3f64.sqrt();
        let p = 2.0 * (0.5 - (u / (1.0 + u * u) + u.atan()) / std::f64::consts::PI);
        assert_eq!(found.difference, 2.0);
        assert!((found.t - 4.898979486).abs() < 1e-8, "{found:?}");
        assert!((found.p - p).abs() < 1e-8, "{found:?} and {p}");
    }

    #[test]
    fn edge_cases_have_answers() {
        assert_eq!(paired_t(&[1.0], &[0.0]), None);
        assert_eq!(paired_t(&[1.0, 2.0], &[1.0, 2.0]).unwrap().p, 1.0);
        assert_eq!(paired_t(&[2.0, 3.0], &[1.0, 2.0]).unwrap().p, 0.0);
    }
}
