//! Sampling of a token from logits, on the host.
//!
//! Sampling is specified exactly, so that equal seeds give equal tokens. The logits (after the
//! repetition penalty) are divided by the temperature; weights are `exp(logit - largest)`; top-k,
//! then top-p, then min-p keep the most probable tokens. A number u in [0, 1) of 53 bits comes from
//! the response's own stream. The token is the first at which the sum of weights, in the order of
//! tokens (or from the most probable one on, if some were removed), exceeds u times their sum.

use std::cmp::Ordering;

use crate::{model::softmax::exponential, seed::Stream};

/// Sampling parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// Top-k: number of most probable tokens to sample from.
    pub top_k: Option<usize>,
    /// Top-p: sample from the most probable tokens that together reach this probability (Holtzman
    /// et al. 2020, arXiv 1904.09751); 1 is off.
    pub top_p: f64,
    /// Min-p: minimum probability as a share of the largest one (Nguyen et al. 2024, arXiv
    /// 2407.01082); 0 is off.
    pub min_p: f64,
    /// Repetition penalty: divides the logits of tokens of prompt and response, or multiplies
    /// negative ones (Keskar et al. 2019, arXiv 1909.05858); 1 is off.
    pub repetition_penalty: f64,
    /// Longest response in tokens.
    pub max_new: usize,
}

/// Plain sampling at temperature 1, up to 64 tokens.
impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new: 64,
        }
    }
}

/// A sampled token, with its natural log-probability under the model, before penalty, temperature
/// and truncation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draw {
    pub(super) token: u32,
    pub(super) log_probability: f32,
}

impl Sampling {
    /// Samples the next token; none if the logits are not finite. Of equally probable tokens the
    /// first comes first.
    ///
    /// `seen` are the tokens of prompt and response so far.
    pub(super) fn draw(&self, logits: &[f32], seen: &[u32], stream: &mut Stream) -> Option<Draw> {
        let (best, highest) = most_probable(logits)?;
        let plain = Weights::new(logits, highest, 1.0);
        let token = if self.repetition_penalty != 1.0 {
            let penalised = self.penalise(logits, seen);
            let (best, highest) = most_probable(&penalised)?;
            self.draw_from(&penalised, (best, highest), None, stream)
        } else {
            self.draw_from(logits, (best, highest), Some(&plain), stream)
        };
        let log_probability = f64::from(logits[token]) - f64::from(highest) - plain.sum().ln();
        log_probability
            .is_finite()
            .then_some(Draw { token: token as u32, log_probability: log_probability as f32 })
    }

    fn penalise(&self, logits: &[f32], seen: &[u32]) -> Vec<f32> {
        let penalty = self.repetition_penalty as f32;
        let mut penalised = logits.to_vec();
        for token in seen {
            // From the plain logits: a token that occurs twice is penalised once.
            let logit = logits[*token as usize];
            penalised[*token as usize] =
                if logit < 0.0 { logit * penalty } else { logit / penalty };
        }
        penalised
    }

    /// `plain`: the weights at temperature 1, if known.
    fn draw_from(
        &self,
        logits: &[f32],
        (best, highest): (usize, f32),
        plain: Option<&Weights>,
        stream: &mut Stream,
    ) -> usize {
        if self.temperature == 0.0 {
            return best;
        }
        let tempered;
        let weights = match plain.filter(|_| self.temperature == 1.0) {
            Some(weights) => weights,
            None => {
                // Its inverse would exceed float32, and the most probable token's weight would be
                // NaN.
                tempered =
                    Weights::new(logits, highest, ((1.0 / self.temperature) as f32).min(f32::MAX));
                &tempered
            }
        };
        if self.top_k.is_none_or(|most| most >= logits.len())
            && self.top_p >= 1.0
            && self.min_p <= 0.0
        {
            return weights.draw(stream);
        }
        let tokens = self.candidates(logits, weights);
        let left: Vec<f64> = tokens.iter().map(|token| weights.of(*token)).collect();
        tokens[stream.weighted(&left)]
    }

    /// The tokens to sample from, the most probable first: top-k, then top-p, then min-p.
    fn candidates(&self, logits: &[f32], weights: &Weights) -> Vec<usize> {
        let mut tokens: Vec<usize> =
            (0..logits.len()).filter(|token| weights.values[*token] > 0.0).collect();
        let mut total = weights.sum();
        if let Some(most) = self.top_k.filter(|most| *most < tokens.len()) {
            tokens.select_nth_unstable_by(most - 1, |one, other| by_logit(logits, *one, *other));
            tokens.truncate(most);
            // The order of the sum, too, decides about its last bits.
            tokens.sort_unstable_by(|one, other| by_logit(logits, *one, *other));
            total = tokens.iter().map(|token| weights.of(*token)).sum();
        }
        let enough = self.top_p * total;
        // A nucleus is small: a few of the most probable tokens are sorted, and more only if these
        // do not reach it.
        let mut sorted = 64;
        loop {
            if sorted < tokens.len() {
                tokens.select_nth_unstable_by(sorted, |one, other| by_logit(logits, *one, *other));
            }
            let some = tokens.len().min(sorted);
            tokens[..some].sort_unstable_by(|one, other| by_logit(logits, *one, *other));
            let mut reached = 0.0;
            let last = tokens[..some].iter().position(|token| {
                reached += weights.of(*token);
                reached >= enough
            });
            // The largest weight is 1, so that weights are shares of the largest probability.
            let small = tokens[..some].iter().position(|token| weights.of(*token) < self.min_p);
            if last.is_some() || small.is_some() || some == tokens.len() {
                let nucleus = last.map_or(some, |last| last + 1);
                tokens.truncate(nucleus.min(small.unwrap_or(some)).max(1));
                return tokens;
            }
            sorted *= 8;
        }
    }
}

/// The weight of each token, 1 for the most probable one, with sums of blocks so that few additions
/// wait for each other.
struct Weights {
    values: Vec<f32>,
    sums: Vec<f64>,
}

impl Weights {
    const BLOCK: usize = 64;

    fn new(logits: &[f32], highest: f32, inverse_temperature: f32) -> Self {
        let mut values = vec![0.0; logits.len()];
        for (value, logit) in values.iter_mut().zip(logits) {
            *value = exponential((logit - highest) * inverse_temperature);
        }
        let sums = values
            .chunks(Self::BLOCK)
            .map(|block| block.iter().map(|value| f64::from(*value)).sum())
            .collect();
        Self { values, sums }
    }

    fn of(&self, token: usize) -> f64 {
        f64::from(self.values[token])
    }

    fn sum(&self) -> f64 {
        self.sums.iter().sum()
    }

    fn draw(&self, stream: &mut Stream) -> usize {
        let mut left = stream.unit() * self.sum();
        let mut drawn = None;
        for (block, sum) in self.sums.iter().enumerate() {
            if left >= *sum {
                left -= sum;
                continue;
            }
            let start = block * Self::BLOCK;
            let values = &self.values[start..self.values.len().min(start + Self::BLOCK)];
            drawn = values.iter().position(|value| {
                left -= f64::from(*value);
                left < 0.0
            });
            if drawn.is_some() {
                return start + drawn.unwrap_or_default();
            }
        }
        // Rounding may leave a remainder at the end.
        drawn.or_else(|| self.values.iter().rposition(|value| *value > 0.0)).unwrap_or_default()
    }
}

/// The order of tokens: the most probable first, and of equals the first.
fn by_logit(logits: &[f32], one: usize, other: usize) -> Ordering {
    logits[other].total_cmp(&logits[one]).then(one.cmp(&other))
}

/// The first token with the highest logit; none if one is NaN, or the highest not finite.
fn most_probable(logits: &[f32]) -> Option<(usize, f32)> {
    let (mut highest, mut is_number) = (f32::NEG_INFINITY, true);
    for logit in logits {
        is_number &= !logit.is_nan();
        highest = if *logit > highest { *logit } else { highest };
    }
    let best = logits.iter().position(|logit| *logit == highest)?;
    (is_number && highest.is_finite()).then_some((best, highest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn plain() -> Sampling {
        Sampling::default()
    }

    /// How often each of four tokens with probabilities 1/8, 1/2, 1/8, 1/4 is sampled.
    fn shares(sampling: &Sampling) -> [f64; 4] {
        let logits =
            [0.125f32.ln(), 0.5f32.ln(), 0.125f32.ln(), 0.25f32.ln()].map(|logit| logit + 3.0);
        let (mut stream, mut counts) = (Seed::root(0).stream(), [0.0; 4]);
        for _ in 0..20_000 {
            let draw = sampling.draw(&logits, &[], &mut stream).unwrap();
            assert!(
                (f64::from(draw.log_probability).exp()
                    - [0.125, 0.5, 0.125, 0.25][draw.token as usize])
                    .abs()
                    < 1e-6
            );
            counts[draw.token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    fn assert_near(found: [f64; 4], expected: [f64; 4]) {
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.015),
            "{found:?}"
        );
    }

    #[test]
    fn draws_follow_the_distribution() {
        assert_near(shares(&plain()), [0.125, 0.5, 0.125, 0.25]);
        let squared = Sampling { temperature: 0.5, ..plain() };
        assert_near(shares(&squared), [1.0, 16.0, 1.0, 4.0].map(|weight| weight / 22.0));
        for temperature in [0.0, f64::MIN_POSITIVE, 1e-40, 1e-30] {
            assert_near(shares(&Sampling { temperature, ..plain() }), [0.0, 1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn truncation_keeps_the_most_probable() {
        assert_near(
            shares(&Sampling { top_k: Some(2), ..plain() }),
            [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0],
        );
        assert_near(
            shares(&Sampling { top_k: Some(3), ..plain() }),
            [1.0 / 7.0, 4.0 / 7.0, 0.0, 2.0 / 7.0],
        );
        assert_near(shares(&Sampling { top_p: 0.7, ..plain() }), [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(shares(&Sampling { top_p: 0.3, ..plain() }), [0.0, 1.0, 0.0, 0.0]);
        assert_near(shares(&Sampling { top_k: Some(9), ..plain() }), [0.125, 0.5, 0.125, 0.25]);
        assert_near(shares(&Sampling { min_p: 0.4, ..plain() }), [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(shares(&Sampling { min_p: 1.0, ..plain() }), [0.0, 1.0, 0.0, 0.0]);
        assert_near(
            shares(&Sampling { min_p: 0.2, top_k: Some(3), ..plain() }),
            [1.0 / 7.0, 4.0 / 7.0, 0.0, 2.0 / 7.0],
        );
    }

    #[test]
    fn a_nucleus_of_many_tokens_is_that_of_a_whole_sort() {
        let mut stream = Seed::root(2).stream();
        let logits: Vec<f32> = (0..5000).map(|_| stream.normal() as f32).collect();
        let weights = Weights::new(&logits, most_probable(&logits).unwrap().1, 1.0);
        for (top_p, top_k) in
            [(0.01, None), (0.5, None), (0.97, None), (0.6, Some(900)), (1.0, Some(3000))]
        {
            let found = Sampling { top_p, top_k, ..plain() }.candidates(&logits, &weights);
            let mut all: Vec<usize> = (0..5000).collect();
            all.sort_by(|one, other| logits[*other].total_cmp(&logits[*one]).then(one.cmp(other)));
            all.truncate(top_k.unwrap_or(5000));
            let total: f64 = all.iter().map(|token| f64::from(weights.values[*token])).sum();
            let mut reached = 0.0;
            let fewer = all.iter().take_while(|token| {
                let before = reached;
                reached += f64::from(weights.values[**token]);
                before < top_p * total
            });
            assert_eq!(found, fewer.copied().collect::<Vec<_>>(), "{top_p} {top_k:?}");
        }
    }

    #[test]
    fn what_was_said_already_becomes_less_probable() {
        let greedy = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..plain() };
        let mut stream = Seed::root(0).stream();
        let mut best =
            |logits: &[f32], seen: &[u32]| greedy.draw(logits, seen, &mut stream).unwrap().token;
        assert_eq!(best(&[3.0, 2.0, -1.0], &[]), 0);
        assert_eq!(
            best(&[3.0, 2.0, -1.0], &[0, 0]),
            1,
            "3 / 2 is less than 2, and a token counts once"
        );
        assert_eq!(best(&[-3.0, -2.0, -2.5], &[1]), 2, "-2 * 2 is less than -2.5");
    }

    #[test]
    fn what_is_no_number_is_no_token() {
        let mut stream = Seed::root(0).stream();
        for logits in
            [[f32::NAN, f32::NAN], [f32::INFINITY, 0.0], [f32::NAN, 0.0], [f32::NEG_INFINITY; 2]]
        {
            assert_eq!(plain().draw(&logits, &[], &mut stream), None, "{logits:?}");
        }
    }
}
