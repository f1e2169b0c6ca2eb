//! Functions over slices that compile to the widest vector unit of the processor. Sums are added up
//! in a fixed number of lanes, so that their bits do not depend on the unit.

use std::hint::black_box;

use multiversion::multiversion;

/// Lanes of a sum.
const LANES: usize = 16;
/// Numbers that fit the registers of each vector unit, with some left.
const REGISTERS: usize = 64;

/// e to the power of a number, within 2 units in the last place; below -87 it is e to -87, about
/// 1e-38, and above 88 it is e to 88.
#[inline(always)]
pub(super) fn exp(power: f32) -> f32 {
    /// Adding it to a number rounds to a whole one, in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first of which has few digits, so that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Comparisons and no `clamp` or `max`: NaN has to stay NaN.
    let power = if power < -87.0 { -87.0 } else { power };
    let power = if power > 88.0 { 88.0 } else { power };
    let shifted = power.mul_add(std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = whole.mul_add(-LN_2[1], whole.mul_add(-LN_2[0], power));
    // Minimax polynomial of (e^x - 1 - x) / x^2 on half an ln 2 to both sides (Cephes, expf).
    let coefficients =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let curve = coefficients.into_iter().fold(0.0, |sum: f32, next| sum.mul_add(rest, next));
    let of_rest = curve.mul_add(rest * rest, rest) + 1.0;
    of_rest * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(number: f32) -> f32 {
    1.0 / (1.0 + exp(-number))
}

/// The sum of a function of two slices' numbers.
#[inline(always)]
pub(super) fn sum_of(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left_chunks, right_chunks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left_chunks.remainder().iter().zip(right_chunks.remainder());
    let rest: f32 = rest.map(|(left, right)| term(*left, *right)).sum();
    for (left, right) in left_chunks.zip(right_chunks) {
        for lane in 0..LANES {
            lanes[lane] += term(left[lane], right[lane]);
        }
    }
    sum_of_lanes(lanes) + rest
}

/// As a tree, since one addition after another would take longer than all of the products.
#[inline(always)]
fn sum_of_lanes(lanes: [f32; LANES]) -> f32 {
    // Through memory, or else the compiler sums pairs of lanes, from the first product on.
    let lanes = black_box(lanes);
    let eight: [f32; 8] = std::array::from_fn(|lane| lanes[lane] + lanes[lane + 8]);
    let eight = black_box(eight);
    let four: [f32; 4] = std::array::from_fn(|lane| eight[lane] + eight[lane + 4]);
    let four = black_box(four);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Replaces each number by its exponential relative to the largest one; returns the sum.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(super) fn exponentials(numbers: &mut [f32]) -> f32 {
    // By lanes, since a chain of comparisons would not be vectorised.
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = numbers.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    let largest = lanes.into_iter().fold(rest, f32::max);
    for number in numbers.iter_mut() {
        *number = exp(*number - largest);
    }
    sum_of(numbers, numbers, |number, _| number)
}

/// The dot products of a slice with rows of its length, which begin at a distance from each other.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(super) fn dots(left: &[f32], rows: &[f32], distance: usize, products: &mut [f32]) {
    for (product, row) in products.iter_mut().zip(rows.chunks(distance)) {
        *product = sum_of(left, &row[..left.len()], |left, right| left * right);
    }
}

/// Adds multiples of rows, which begin at a distance from each other, to a row.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(super) fn add_multiples(factors: &[f32], rows: &[f32], distance: usize, sum: &mut [f32]) {
    let (blocks, rest) = sum.as_chunks_mut::<REGISTERS>();
    let behind = blocks.len() * REGISTERS;
    for (block, sums) in blocks.iter_mut().enumerate() {
        // A copy, which stays in registers.
        let mut copy = *sums;
        for (factor, row) in factors.iter().zip(rows.chunks(distance)) {
            let row = &row[block * REGISTERS..][..REGISTERS];
            for (sum, number) in copy.iter_mut().zip(row) {
                *sum = factor.mul_add(*number, *sum);
            }
        }
        *sums = copy;
    }
    for (factor, row) in factors.iter().zip(rows.chunks(distance)) {
        for (sum, number) in rest.iter_mut().zip(&row[behind..]) {
            *sum = factor.mul_add(*number, *sum);
        }
    }
}

/// The gradient by scores, given probabilities and the gradient by them, which it replaces.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
pub(super) fn softmax_gradient(probabilities: &[f32], gradient: &mut [f32]) {
    let mean = sum_of(probabilities, gradient, |probability, slope| probability * slope);
    for (slope, probability) in gradient.iter_mut().zip(probabilities) {
        *slope = probability * (*slope - mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_two_units() {
        for step in -87_000..88_000 {
            let power = step as f32 / 1000.0 + 0.000_37;
            let (found, exact) = (f64::from(exp(power)), f64::from(power).exp());
            assert!(
                (found / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON),
                "{power}: {found}"
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn a_softmax_of_one_number_or_of_many_sums_to_one() {
        for length in [1, 2, 15, 16, 17, 100] {
            let mut numbers: Vec<f32> =
                (0..length).map(|index| (index % 7) as f32 - 90.0).collect();
            let sum = exponentials(&mut numbers);
            let exact: f64 = numbers.iter().map(|number| f64::from(*number)).sum();
            assert!((f64::from(sum) / exact - 1.0).abs() < 1e-6);
            assert_eq!(numbers.iter().copied().fold(0.0, f32::max), 1.0);
        }
        let mut numbers = vec![1.0, f32::NAN, 2.0];
        assert!(exponentials(&mut numbers).is_nan());
    }
}
