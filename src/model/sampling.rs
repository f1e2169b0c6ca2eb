//! How a token is drawn from logits: temperature, top-k and nucleus, by an inverse distribution function on the host.

use crate::seed::Stream;

/// How answers are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most probable token.
    pub temperature: f64,
    /// Only so many of the most probable tokens can be drawn.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together reach this probability can be drawn (Holtzman et al. 2020,
    /// arXiv 1904.09751); 1 for all.
    pub top_p: f64,
    /// The longest answer, in tokens.
    pub max_new: usize,
}

/// A drawn token, with its natural log-probability under the model itself: before temperature, top-k and top-p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Draw {
    pub(super) token: u32,
    pub(super) log_probability: f32,
}

impl Sampling {
    /// Draws the next token; nothing where the logits are not numbers. Of equally probable tokens the first comes first.
    pub(super) fn draw(&self, logits: &[f32], stream: &mut Stream) -> Option<Draw> {
        let (best, highest) = most_probable(logits)?;
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum();
        let token = if self.temperature == 0.0 { best } else { self.draw_index(logits, highest, stream) };
        let log_probability = f64::from(logits[token]) - f64::from(highest) - sum.ln();
        log_probability.is_finite().then_some(Draw { token: token as u32, log_probability: log_probability as f32 })
    }

    fn draw_index(&self, logits: &[f32], highest: f32, stream: &mut Stream) -> usize {
        let inverse = (1.0 / self.temperature) as f32;
        let weight = |token: usize| f64::from(((logits[token] - highest) * inverse).exp());
        if self.top_k.is_none_or(|most| most >= logits.len()) && self.top_p >= 1.0 {
            let weights: Vec<f64> = (0..logits.len()).map(weight).collect();
            return stream.weighted(&weights);
        }
        let tokens = self.candidates(logits, weight);
        let weights: Vec<f64> = tokens.iter().map(|token| weight(*token)).collect();
        tokens[stream.weighted(&weights)]
    }

    /// The tokens that can be drawn, the most probable first: top-k, and of these the nucleus.
    fn candidates(&self, logits: &[f32], weight: impl Fn(usize) -> f64) -> Vec<usize> {
        let order = |one: &usize, other: &usize| logits[*other].total_cmp(&logits[*one]).then(one.cmp(other));
        let mut tokens: Vec<usize> = (0..logits.len()).collect();
        if let Some(most) = self.top_k.filter(|most| *most < tokens.len()) {
            tokens.select_nth_unstable_by(most - 1, order);
            tokens.truncate(most);
        }
        tokens.sort_unstable_by(order);
        let enough = self.top_p * tokens.iter().map(|token| weight(*token)).sum::<f64>();
        let mut reached = 0.0;
        let nucleus = tokens.iter().position(|token| {
            reached += weight(*token);
            reached >= enough
        });
        tokens.truncate(nucleus.map_or(tokens.len(), |last| last + 1));
        tokens
    }
}

/// The first token with the highest logit; nothing where there is no number among them, or no finite highest.
fn most_probable(logits: &[f32]) -> Option<(usize, f32)> {
    let mut best: Option<(usize, f32)> = None;
    for (token, logit) in logits.iter().enumerate() {
        if best.is_none_or(|(_, highest)| *logit > highest) && !logit.is_nan() {
            best = Some((token, *logit));
        }
    }
    best.filter(|(_, highest)| highest.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: 1.0, max_new: 1 };

    /// How often each of four tokens with probabilities 1/8, 1/2, 1/8, 1/4 is drawn.
    fn shares(sampling: &Sampling) -> [f64; 4] {
        let logits = [0.125f32.ln(), 0.5f32.ln(), 0.125f32.ln(), 0.25f32.ln()].map(|logit| logit + 3.0);
        let (mut stream, mut counts) = (Seed::root(0).stream(), [0.0; 4]);
        for _ in 0..20_000 {
            let draw = sampling.draw(&logits, &mut stream).unwrap();
            assert!(
                (f64::from(draw.log_probability).exp() - [0.125, 0.5, 0.125, 0.25][draw.token as usize]).abs() < 1e-6
            );
            counts[draw.token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    fn assert_near(found: [f64; 4], expected: [f64; 4]) {
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.015), "{found:?}");
    }

    #[test]
    fn draws_follow_the_distribution() {
        assert_near(shares(&PLAIN), [0.125, 0.5, 0.125, 0.25]);
        let squared = Sampling { temperature: 0.5, ..PLAIN };
        assert_near(shares(&squared), [1.0, 16.0, 1.0, 4.0].map(|weight| weight / 22.0));
        assert_near(shares(&Sampling { temperature: 0.0, ..PLAIN }), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn truncation_keeps_the_most_probable() {
        assert_near(shares(&Sampling { top_k: Some(2), ..PLAIN }), [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(shares(&Sampling { top_k: Some(3), ..PLAIN }), [1.0 / 7.0, 4.0 / 7.0, 0.0, 2.0 / 7.0]);
        assert_near(shares(&Sampling { top_p: 0.7, ..PLAIN }), [0.0, 2.0 / 3.0, 0.0, 1.0 / 3.0]);
        assert_near(shares(&Sampling { top_p: 0.3, ..PLAIN }), [0.0, 1.0, 0.0, 0.0]);
        assert_near(shares(&Sampling { top_k: Some(9), ..PLAIN }), [0.125, 0.5, 0.125, 0.25]);
    }

    #[test]
    fn what_is_no_number_is_no_token() {
        let mut stream = Seed::root(0).stream();
        for logits in [[f32::NAN, f32::NAN], [f32::INFINITY, 0.0], [f32::NAN, 0.0], [f32::NEG_INFINITY; 2]] {
            assert_eq!(PLAIN.draw(&logits, &mut stream), None, "{logits:?}");
        }
    }
}
