//! Inputs of losses: completions with their log-probabilities, single and in pairs.

use super::Dual;

/// A completion in a loss. Log-probabilities are in nats.
#[derive(Clone, Copy, Debug)]
pub(in crate::tuning) struct LossAnswer {
    /// Under the policy, summed over the counted tokens; losses are differentiated by it.
    pub policy: Dual,
    /// Under the reference model, over the same tokens.
    pub reference: f64,
    /// Policy against reference model, through the f-divergence if any.
    pub score: Dual,
    /// Number of tokens over which the sums are taken.
    pub tokens: f64,
}

/// Whether a completion should become more or less probable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tuning) enum Desirability {
    /// It should become more probable.
    Desirable,
    /// It should become less probable.
    Undesirable,
}

/// The two completions of a pair.
#[derive(Clone, Copy, Debug)]
pub(in crate::tuning) struct PairOfAnswers {
    pub chosen: LossAnswer,
    pub rejected: LossAnswer,
    /// 1 if only the rejected completion has unsupported facts, -1 if only the chosen one has, else
    /// 0.
    pub error_gap: f64,
}

/// Log-probabilities of a completion, in nats, summed over the counted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::tuning) struct ScoredCompletion {
    /// Sum under the policy.
    pub policy: f64,
    /// Sum under the reference model.
    pub reference: f64,
    /// Number of tokens.
    pub tokens: f64,
}

/// A row in a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::tuning) enum LossRow {
    /// Two completions to one prompt.
    Pair {
        chosen: ScoredCompletion,
        rejected: ScoredCompletion,
        /// 1 if only the rejected completion has unsupported facts, -1 if only the chosen one has,
        /// else 0.
        error_gap: f64,
    },
    /// A completion with its label.
    Single { answer: ScoredCompletion, label: Desirability },
}

/// Batch statistics, constant in the derivative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::tuning) struct Statistics {
    /// Mean log-ratio of policy and reference model on completions of other prompts, in nats, at
    /// least 0.
    pub reference_point: f64,
    /// The same per stated fact.
    pub fact_point: f64,
    /// The mean of all rewards so far.
    pub shift: f64,
}

/// The f-divergence between policy and reference model (Wang et al. 2023, arXiv 2309.16240), as a
/// map of log-ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Divergence {
    /// `r`: reverse Kullback-Leibler divergence, as in plain DPO.
    #[default]
    ReverseKl,
    /// `1 - e^-r`: forward Kullback-Leibler divergence.
    ForwardKl,
    /// `log 2 + log sigmoid(r)`: Jensen-Shannon divergence.
    JensenShannon,
    /// `(e^((a - 1) r) - 1) / (a - 1)`: the alpha-divergence; `r` where a is 1.
    Alpha(f64),
}

/// Larger exponents would overflow later (TRL's bound).
const LARGEST_EXPONENT: f64 = 80.0;
/// Nearer to 1 than this the alpha-divergence is the reverse Kullback-Leibler divergence (TRL's
/// bound).
const NEAR_ONE: f64 = 1e-6;

impl Divergence {
    /// Maps a log-ratio; 0 stays 0, so that scores per token can be compared too.
    fn score(self, ratio: Dual) -> Dual {
        match self {
            Self::ReverseKl => ratio,
            Self::ForwardKl => -(-ratio).at_most(LARGEST_EXPONENT).exp() + 1.0,
            Self::JensenShannon => ratio.log_sigmoid() + std::f64::consts::LN_2,
            // The formula's limit; the formula itself would divide by 0.
            Self::Alpha(alpha) if (alpha - 1.0).abs() < NEAR_ONE => ratio,
            Self::Alpha(alpha) => {
                ((ratio * (alpha - 1.0)).at_most(LARGEST_EXPONENT).exp() - 1.0) / (alpha - 1.0)
            }
        }
    }
}

impl LossAnswer {
    /// Score of the policy against the reference model.
    pub(super) fn ratio(&self) -> Dual {
        self.policy - self.reference
    }

    /// Log-probability under the policy per token.
    pub(super) fn average(&self) -> Dual {
        self.policy / self.tokens
    }
}

impl ScoredCompletion {
    /// The completion in a loss; `which`: the one of two variables by which the loss is
    /// differentiated.
    pub(super) fn answer(&self, which: usize, divergence: Divergence) -> LossAnswer {
        let Self { policy, reference, tokens } = *self;
        let policy = Dual::variable(policy, which);
        LossAnswer { policy, reference, score: divergence.score(policy - reference), tokens }
    }

    /// Score of the policy against the reference model.
    pub(super) fn ratio(&self) -> f64 {
        self.policy - self.reference
    }

    /// The same completion if the policy were the reference model.
    fn at_start(self) -> Self {
        Self { policy: self.reference, ..self }
    }
}

impl LossRow {
    /// The two completions of a pair.
    pub(super) fn pair(&self, divergence: Divergence) -> PairOfAnswers {
        let Self::Pair { chosen, rejected, error_gap } = self else {
            unreachable!("single completions were refused before")
        };
        PairOfAnswers {
            chosen: chosen.answer(0, divergence),
            rejected: rejected.answer(1, divergence),
            error_gap: *error_gap,
        }
    }

    /// The same row if the policy were the reference model.
    pub(in crate::tuning) fn at_start(self) -> Self {
        match self {
            Self::Pair { chosen, rejected, error_gap } => {
                Self::Pair { chosen: chosen.at_start(), rejected: rejected.at_start(), error_gap }
            }
            Self::Single { answer, label } => Self::Single { answer: answer.at_start(), label },
        }
    }
}

impl PairOfAnswers {
    /// Difference of scores, chosen minus rejected.
    pub(super) fn margin(&self) -> Dual {
        self.chosen.score - self.rejected.score
    }

    /// The same for scores per token.
    pub(super) fn average_margin(&self) -> Dual {
        self.chosen.score / self.chosen.tokens - self.rejected.score / self.rejected.tokens
    }
}
