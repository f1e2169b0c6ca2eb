//! The probabilities of tokens from their logits.

use burn::tensor::{DType, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::device::is_cpu;

/// Statistics of rows of logits, each with one token.
pub struct TokenProbabilities {
    /// Log-probability of the token.
    pub log_probabilities: Vec<f32>,
    /// Whether the token is the most probable one.
    pub is_top_token: Vec<bool>,
    /// The entropy of each row, in nats.
    pub entropies: Vec<f32>,
    /// The mean logit of each row.
    pub mean_logits: Vec<f32>,
    /// Probabilities of all tokens [rows, vocabulary], float32.
    pub probabilities: Tensor<2>,
}

/// Number of partial sums, so that they are vectorised.
const LANES: usize = 16;
/// Logits this far below the largest have probability 0 in float32.
const LOWEST: f32 = -104.0;

/// The probabilities of rows of logits [rows, vocabulary], without autodiff, and those of one token
/// per row.
///
/// On the CPU each row is traversed twice, on all threads; the numbers do not depend on their
/// count.
pub fn token_probabilities(logits: Tensor<2>, tokens: &[i32]) -> TokenProbabilities {
    let (device, [rows, vocabulary]) = (logits.device(), logits.dims());
    if is_cpu(&device) {
        // In place: there is no other tensor of this size.
        let mut values = logits.cast(DType::F32).into_data();
        let of_rows: Vec<OfRow> = values
            .as_mut_slice()
            .expect("they were just cast to float32")
            .par_chunks_mut(vocabulary)
            .zip(tokens)
            .map(|(row, token)| softmax(row, *token as usize))
            .collect();
        return TokenProbabilities {
            log_probabilities: of_rows.iter().map(|row| row.log_probability).collect(),
            is_top_token: of_rows.iter().map(|row| row.is_top_token).collect(),
            entropies: of_rows.iter().map(|row| row.entropy).collect(),
            mean_logits: of_rows.iter().map(|row| row.mean_logit).collect(),
            probabilities: Tensor::from_data(values, &device),
        };
    }
    let logits = logits.cast(DType::F32);
    let mean_logits = logits.clone().mean_dim(1);
    // Elsewhere in whole tensors: fetching the logits would take longer than all of this.
    let shifted = logits.clone() - logits.max_dim(1);
    let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens.to_vec(), [rows]), &device);
    let at_token = shifted.clone().gather(1, tokens.reshape([rows, 1]));
    let exponentials = shifted.clone().exp();
    let sums = exponentials.clone().sum_dim(1);
    // Tokens of probability 0 add nothing, however low their logit.
    let expected = (exponentials.clone() * shifted.clamp_min(LOWEST)).sum_dim(1) / sums.clone();
    let entropies = sums.clone().log() - expected;
    let log_probabilities = at_token.clone() - sums.clone().log();
    // One after the other in one tensor, since each reading waits for the device.
    let columns = Tensor::cat(vec![mean_logits, entropies, log_probabilities, at_token], 0);
    let columns = floats(columns);
    let column = |number: usize| columns[number * rows..][..rows].to_vec();
    TokenProbabilities {
        mean_logits: column(0),
        entropies: column(1),
        log_probabilities: column(2),
        is_top_token: column(3).into_iter().map(|logit| logit == 0.0).collect(),
        probabilities: exponentials / sums,
    }
}

fn floats(values: Tensor<2>) -> Vec<f32> {
    values.cast(DType::F32).into_data().try_to_vec().expect("they were just cast to float32")
}

/// Statistics of one row.
struct OfRow {
    log_probability: f32,
    is_top_token: bool,
    entropy: f32,
    mean_logit: f32,
}

/// Turns a row of logits into probabilities.
fn softmax(row: &mut [f32], token: usize) -> OfRow {
    let highest = row
        .iter()
        .fold(f32::NEG_INFINITY, |highest, logit| if *logit > highest { *logit } else { highest });
    let at_token = row[token] - highest;
    // Sums in lanes, each added in its own order, so that they do not depend on the machine's
    // vectors.
    let (mut sums, mut weighted, mut plain) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
    for lanes in row.chunks_mut(LANES) {
        for (lane, value) in lanes.iter_mut().enumerate() {
            // The exponential for numbers up to 0 would hide NaN.
            let below = *value - highest;
            *value = if below.is_nan() { f32::NAN } else { exponential(below) };
            sums[lane] += *value;
            weighted[lane] += *value * below.max(LOWEST);
            plain[lane] += below;
        }
    }
    let [sum, weighted, plain] = [sums, weighted, plain].map(|lanes| lanes.iter().sum::<f32>());
    let scale = sum.recip();
    row.iter_mut().for_each(|value| *value *= scale);
    OfRow {
        log_probability: at_token - sum.ln(),
        is_top_token: at_token == 0.0,
        entropy: sum.ln() - weighted * scale,
        mean_logit: highest + plain / row.len() as f32,
    }
}

/// The exponential of a number up to 0, to within 2 units of the last place, and the same on every
/// machine: Cody and Waite's reduction and a polynomial, in steps that a compiler turns into
/// vectors.
pub(super) fn exponential(number: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let number = number.max(-87.0);
    // Adding 1.5 * 2^23 rounds to a whole number, and leaves that number in the low bits.
    let shifted = number * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // The logarithm of 2 in two parts: the first has few digits, so that its products are exact.
    let rest = number - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let mut polynomial = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        polynomial = polynomial * rest + coefficient;
    }
    let value = polynomial * rest * rest + rest + 1.0;
    let power =
        f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    // The power of 2 would have no exponent of a normal number.
    let small = number <= -87.0;
    if small { 0.0 } else { value * power }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_digits() {
        for step in 0..200_000 {
            let number = -86.9 * (step as f32) / 200_000.0;
            let (found, expected) = (f64::from(exponential(number)), f64::from(number).exp());
            assert!((found - expected).abs() <= 2.5e-7 * expected, "{number}: {found} {expected}");
        }
        assert_eq!([0.0, -87.5, -1e30, f32::NEG_INFINITY].map(exponential), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn probabilities_are_those_of_a_softmax() {
        let (rows, vocabulary) = (5, 333);
        let logits: Vec<f32> = (0..rows * vocabulary)
            .map(|index| ((index * 7919) % 1013) as f32 / 40.0 - 12.0)
            .collect();
        let tokens = [0, 7, 332, 100, 200];
        let found = token_probabilities(
            Tensor::from_data(TensorData::new(logits.clone(), [rows, vocabulary]), &Device::flex()),
            &tokens,
        );
        let probabilities = floats(found.probabilities);
        for (row, token) in tokens.iter().enumerate() {
            let logits = &logits[row * vocabulary..(row + 1) * vocabulary];
            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let expected = f64::from(logits[*token as usize]) - sum.ln();
            assert!((f64::from(found.log_probabilities[row]) - expected).abs() < 3e-6);
            let probability = f64::from(probabilities[row * vocabulary + *token as usize]);
            assert!((probability - expected.exp()).abs() < 1e-6 * expected.exp());
            assert_eq!(
                found.is_top_token[row],
                logits.iter().all(|logit| *logit <= logits[*token as usize])
            );
            let log_probability = |logit: &f32| f64::from(*logit) - sum.ln();
            let entropy: f64 = logits
                .iter()
                .map(|logit| -log_probability(logit).exp() * log_probability(logit))
                .sum();
            assert!((f64::from(found.entropies[row]) - entropy).abs() < 1e-5);
            let mean =
                logits.iter().map(|logit| f64::from(*logit)).sum::<f64>() / vocabulary as f64;
            assert!((f64::from(found.mean_logits[row]) - mean).abs() < 1e-5);
        }
        let broken = Tensor::from_data([[0.0f32, f32::NAN, 1.0]], &Device::flex());
        assert!(token_probabilities(broken, &[0]).log_probabilities[0].is_nan());
    }
}
