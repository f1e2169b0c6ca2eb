//! What preference tuning minimises: functions of two log-ratios, with their derivatives in closed form.
//!
//! Notation (as in the papers): `u` and `v` are the log-probabilities of the chosen and the rejected answer under the
//! policy minus those under the reference, summed over the answer's tokens, in nats; `h = u - v`.

use serde::{Deserialize, Serialize};

/// A preference algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// `-log sigmoid(beta h)`: Rafailov et al. 2023, arXiv 2305.18290.
    Dpo,
    /// `(h - 1 / (2 beta))^2`, over token averages or sums: Azar et al. 2023, arXiv 2310.12036.
    Ipo,
    /// `max(0, 1 - beta h)`: Liu et al. 2023 (RSO), arXiv 2309.06657.
    Hinge,
    /// No preference term: only the likelihood of the chosen answers (the control of what the preference adds).
    Sft,
}

/// A preference algorithm with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Which loss.
    pub algorithm: Algorithm,
    /// How far the policy may leave the reference; larger is nearer. Above 0.
    pub beta: f64,
    /// For IPO: log-ratios per token (TRL, "confirmed with the authors") instead of per answer (the original code).
    pub average: bool,
    /// For DPO: the probability that a label is wrong (conservative DPO); 0 for plain DPO.
    pub label_smoothing: f64,
}

/// Why parameters do not make an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// A parameter was given that this algorithm does not have.
    #[error("`{parameter}` is not a parameter of the algorithm `{algorithm}`; leave it out")]
    Foreign {
        /// The parameter.
        parameter: &'static str,
        /// The algorithm.
        algorithm: &'static str,
    },
}

/// What a pair loss is a function of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LogRatios {
    /// `u`, in nats.
    pub chosen: f64,
    /// `v`, in nats.
    pub rejected: f64,
    /// Tokens of the chosen answer.
    pub chosen_tokens: usize,
    /// Tokens of the rejected answer.
    pub rejected_tokens: usize,
}

/// A loss and its derivatives by `u` and `v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PairLoss {
    /// The loss.
    pub value: f64,
    /// Its derivative by the chosen answer's log-probability.
    pub by_chosen: f64,
    /// Its derivative by the rejected answer's log-probability.
    pub by_rejected: f64,
}

impl Objective {
    /// The objective of an algorithm; `average` and `label_smoothing` only where the algorithm has them.
    ///
    /// # Errors
    /// Names a parameter that belongs to another algorithm.
    pub fn new(
        algorithm: Algorithm,
        beta: f64,
        average: Option<bool>,
        label_smoothing: Option<f64>,
    ) -> Result<Self, ObjectiveError> {
        let name = match algorithm {
            Algorithm::Dpo => "dpo",
            Algorithm::Ipo => "ipo",
            Algorithm::Hinge => "hinge",
            Algorithm::Sft => "sft",
        };
        let foreign = |parameter| Err(ObjectiveError::Foreign { parameter, algorithm: name });
        if average.is_some() && algorithm != Algorithm::Ipo {
            return foreign("average");
        }
        if label_smoothing.is_some() && algorithm != Algorithm::Dpo {
            return foreign("label_smoothing");
        }
        Ok(Self { algorithm, beta, average: average.unwrap_or(true), label_smoothing: label_smoothing.unwrap_or(0.0) })
    }

    /// Whether the loss looks at the reference at all.
    pub(super) fn needs_reference(&self) -> bool {
        self.algorithm != Algorithm::Sft
    }

    /// The loss of one pair.
    pub(super) fn loss(&self, ratios: LogRatios) -> PairLoss {
        let LogRatios { chosen, rejected, chosen_tokens, rejected_tokens } = ratios;
        let beta = self.beta;
        match self.algorithm {
            Algorithm::Dpo => {
                let smoothing = self.label_smoothing;
                let margin = beta * (chosen - rejected);
                let value = (1.0 - smoothing) * softplus(-margin) + smoothing * softplus(margin);
                let slope = beta * (smoothing * sigmoid(margin) - (1.0 - smoothing) * sigmoid(-margin));
                PairLoss { value, by_chosen: slope, by_rejected: -slope }
            }
            Algorithm::Hinge => {
                let left = 1.0 - beta * (chosen - rejected);
                let slope = if left > 0.0 { -beta } else { 0.0 };
                PairLoss { value: left.max(0.0), by_chosen: slope, by_rejected: -slope }
            }
            Algorithm::Ipo => {
                let (chosen_scale, rejected_scale) = match self.average {
                    true => (1.0 / chosen_tokens as f64, 1.0 / rejected_tokens as f64),
                    false => (1.0, 1.0),
                };
                let off = chosen * chosen_scale - rejected * rejected_scale - 0.5 / beta;
                PairLoss {
                    value: off * off,
                    by_chosen: 2.0 * off * chosen_scale,
                    by_rejected: -2.0 * off * rejected_scale,
                }
            }
            Algorithm::Sft => PairLoss { value: 0.0, by_chosen: 0.0, by_rejected: 0.0 },
        }
    }
}

/// `log(1 + e^x)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors made with 60-digit decimal arithmetic from the papers' formulas: loss, smoothing, u, v, tokens, beta, value,
    /// derivatives.
    const VECTORS: &str = include_str!("../../tests/data/pair_losses.json");

    #[derive(Deserialize)]
    struct Vector {
        loss: String,
        eps: String,
        u: String,
        v: String,
        nw: String,
        nl: String,
        b: String,
        value: f64,
        d_du: f64,
        d_dv: f64,
    }

    #[test]
    fn values_and_derivatives_equal_the_vectors() {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        let mut checked = 0;
        for vector in vectors {
            let number = |text: &str| text.parse::<f64>().unwrap();
            let (algorithm, average) = match vector.loss.as_str() {
                "sigmoid" | "cdpo" => (Algorithm::Dpo, true),
                "hinge" => (Algorithm::Hinge, true),
                "ipo_avg" => (Algorithm::Ipo, true),
                "ipo_sum" => (Algorithm::Ipo, false),
                _ => continue,
            };
            let smoothing = if vector.loss == "cdpo" { number(&vector.eps) } else { 0.0 };
            let objective = Objective { algorithm, beta: number(&vector.b), average, label_smoothing: smoothing };
            let loss = objective.loss(LogRatios {
                chosen: number(&vector.u),
                rejected: number(&vector.v),
                chosen_tokens: number(&vector.nw) as usize,
                rejected_tokens: number(&vector.nl) as usize,
            });
            for (ours, theirs) in
                [(loss.value, vector.value), (loss.by_chosen, vector.d_du), (loss.by_rejected, vector.d_dv)]
            {
                assert!((ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0), "{}: {ours} {theirs}", vector.loss);
            }
            checked += 1;
        }
        assert!(checked >= 20, "only {checked} vectors are of our algorithms");
    }

    #[test]
    fn extremes_stay_finite() {
        for algorithm in [Algorithm::Dpo, Algorithm::Ipo, Algorithm::Hinge, Algorithm::Sft] {
            let objective = Objective::new(algorithm, 10.0, None, None).unwrap();
            for chosen in [-1000.0, 1000.0] {
                let loss =
                    objective.loss(LogRatios { chosen, rejected: -chosen, chosen_tokens: 1, rejected_tokens: 1 });
                assert!(loss.value.is_finite() && loss.by_chosen.is_finite() && loss.by_rejected.is_finite());
            }
        }
    }

    #[test]
    fn a_parameter_of_another_algorithm_is_named() {
        let error = Objective::new(Algorithm::Dpo, 0.1, Some(true), None).unwrap_err();
        assert_eq!(error.to_string(), "`average` is not a parameter of the algorithm `dpo`; leave it out");
    }
}
