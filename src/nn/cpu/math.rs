//! Functions of one number written so that loops over them vectorise, and sums in a fixed order.

const LANES: usize = 16;

/// `eˣ` within 2 units in the last place for `x` in `[−87.3, 88.3]`; outside, the value at the end of that range.
///
/// Range reduction by `ln 2` in two parts and a polynomial of degree 5 (Cephes, `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4_f32;
    p = p.mul_add(r, 1.398_199_9e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 5.0e-1);
    let y = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    y * power
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent: an odd rational function (Eigen, `generic_fast_tanh_float`).
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let s = x * x;
    let mut p = -2.760_768_5e-16_f32;
    p = p.mul_add(s, 2.000_188e-13);
    p = p.mul_add(s, -8.604_672e-11);
    p = p.mul_add(s, 5.122_297e-8);
    p = p.mul_add(s, 1.485_722_4e-5);
    p = p.mul_add(s, 6.372_619e-4);
    p = p.mul_add(s, 4.893_525e-3);
    let mut q = 1.198_258_4e-6_f32;
    q = q.mul_add(s, 1.185_347_1e-4);
    q = q.mul_add(s, 2.268_434_6e-3);
    q = q.mul_add(s, 4.893_525e-3);
    x * p / q
}

/// The error function: an odd rational function on `[−4, 4]` (Eigen, `generic_fast_erf_float`).
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_3e-10_f32;
    p = p.mul_add(s, 2.770_681_4e-8);
    p = p.mul_add(s, -2.101_024e-6);
    p = p.mul_add(s, -5.692_506_5e-5);
    p = p.mul_add(s, -7.349_906_3e-4);
    p = p.mul_add(s, -2.954_6e-3);
    p = p.mul_add(s, -1.609_603_3e-2);
    let mut q = -1.456_607_2e-5_f32;
    q = q.mul_add(s, -2.133_740_6e-4);
    q = q.mul_add(s, -1.682_827e-3);
    q = q.mul_add(s, -7.373_329e-3);
    q = q.mul_add(s, -1.426_473_9e-2);
    x * p / q
}

/// The sum of `f(a, b)` over all pairs, in sixteen lanes and then lane by lane.
#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_full, a_rest) = a.as_chunks::<LANES>();
    let (b_full, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_full.iter().zip(b_full) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += f(a, b);
    }
    lanes.iter().sum()
}

/// The sum of `f(a)` over all numbers.
#[inline(always)]
pub(super) fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(a, a, |x, _| f(x))
}

/// The sum of products.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum2(a, b, |x, y| x * y)
}

/// The sums of products of `a` with every row of `b`, all of one length: each in eight lanes, which are then added in pairs, so that a row's
/// result does not depend on the rows beside it.
#[inline(always)]
pub(super) fn dots<const B: usize>(a: &[f32], b: [&[f32]; B]) -> [f32; B] {
    const LANES: usize = 8;
    let (full_a, rest_a) = a.as_chunks::<LANES>();
    let mut lanes = [[0.0_f32; LANES]; B];
    let full_b = b.map(|b| &b.as_chunks::<LANES>().0[..full_a.len()]);
    for (at, a) in full_a.iter().enumerate() {
        for j in 0..B {
            for lane in 0..LANES {
                lanes[j][lane] = a[lane].mul_add(full_b[j][at][lane], lanes[j][lane]);
            }
        }
    }
    let mut sums = [0.0; B];
    for j in 0..B {
        let [a, b, c, d, e, f, g, h] = lanes[j];
        sums[j] = ((a + e) + (c + g)) + ((b + f) + (d + h));
    }
    let done = full_a.len() * LANES;
    for (at, a) in rest_a.iter().enumerate() {
        for j in 0..B {
            sums[j] = a.mul_add(b[j][done + at], sums[j]);
        }
    }
    sums
}

/// The greatest number; −∞ of none.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (full, rest) = a.as_chunks::<LANES>();
    for a in full {
        for lane in 0..LANES {
            lanes[lane] = if a[lane] > lanes[lane] {
                a[lane]
            } else {
                lanes[lane]
            };
        }
    }
    for (lane, &a) in lanes.iter_mut().zip(rest) {
        *lane = lane.max(a);
    }
    lanes.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The greatest of `|f(x) − g(x)| / max(|g(x)|, floor)` over a fine grid.
    fn worst(range: f32, floor: f64, f: impl Fn(f32) -> f32, g: impl Fn(f64) -> f64) -> f64 {
        (-200_000..=200_000)
            .map(|i| {
                let x = i as f32 / 200_000.0 * range;
                let expected = g(f64::from(x));
                (f64::from(f(x)) - expected).abs() / expected.abs().max(floor)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_functions_agree_with_double_precision() {
        // f32 carries 6e-8 of relative error a rounding; the rational functions are given with a few roundings.
        assert!(worst(87.0, 0.0, exp, f64::exp) < 2e-7);
        assert!(worst(20.0, 1e-6, tanh, f64::tanh) < 5e-7);
        assert!(worst(6.0, 1e-6, erf, statrs::function::erf::erf) < 1e-6);
        assert!(worst(40.0, 0.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 4e-7);
    }

    #[test]
    fn extremes_and_nan_pass_through() {
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        assert!(exp(-1e9) < 2e-38 && exp(1e9) > 1e38);
        assert_eq!(sigmoid(1e9), 1.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn sums_take_every_number() {
        for n in 0..70_usize {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(&a, |x| x), (n * n.saturating_sub(1) / 2) as f32);
            let ones = vec![1.0; n];
            let all = (n * n.saturating_sub(1) / 2) as f32;
            let squares = sum(&a, |x| x * x);
            assert_eq!(dots(&a, [&ones, &a, &ones]), [all, squares, all]);
            assert_eq!(
                max(&a),
                if n == 0 {
                    f32::NEG_INFINITY
                } else {
                    (n - 1) as f32
                }
            );
        }
    }
}
