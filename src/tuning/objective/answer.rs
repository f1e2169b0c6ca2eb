//! What losses look at: answers with their log-probabilities, alone and in pairs.

use super::Dual;

/// An answer, as a loss sees it. Log-probabilities are in nats.
#[derive(Clone, Copy, Debug)]
pub(in crate::tuning) struct Answer {
    /// Under the policy, summed over the tokens that count: what the loss is differentiated by.
    pub policy: Dual,
    /// Under the reference, over the same tokens.
    pub reference: f64,
    /// Policy against reference, through the f-divergence where one is chosen.
    pub score: Dual,
    /// How many tokens it has.
    pub tokens: f64,
}

/// Whether an answer is to become likelier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tuning) enum Label {
    /// It is.
    Desirable,
    /// It is not.
    Undesirable,
}

/// The two answers of a pair.
#[derive(Clone, Copy, Debug)]
pub(in crate::tuning) struct PairOfAnswers {
    pub chosen: Answer,
    pub rejected: Answer,
    /// How much wronger the rejected answer is, by whether each states anything wrong: 1, 0 or -1.
    pub wronger: f64,
}

/// What a loss knows of the whole batch, as constants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::tuning) struct Statistics {
    /// How far the policy has moved from the reference on answers to other prompts, in nats, at least 0.
    pub reference_point: f64,
    /// The same by the facts that they state.
    pub fact_point: f64,
    /// The mean of all rewards so far.
    pub shift: f64,
}

/// The f-divergence that holds the policy to the reference (Wang et al. 2023, arXiv 2309.16240): what log-ratios become.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Divergence {
    /// `r`: the reverse Kullback-Leibler divergence, of plain DPO.
    #[default]
    ReverseKl,
    /// `1 - e^-r`: the forward Kullback-Leibler divergence.
    ForwardKl,
    /// `log 2 + log sigmoid(r)`: that of Jensen and Shannon.
    JensenShannon,
    /// `(e^((a - 1) r) - 1) / (a - 1)`: the alpha-divergence; `r` where a is 1.
    Alpha(f64),
}

/// Exponents above this one would overflow in what comes after (TRL's bound).
const LARGEST_EXPONENT: f64 = 80.0;
/// Nearer to 1 than this the alpha-divergence is the reverse Kullback-Leibler divergence (TRL's bound).
const NEAR_ONE: f64 = 1e-6;

impl Divergence {
    /// What a log-ratio becomes; 0 where it is 0, so that scores per token can be compared too.
    fn score(self, ratio: Dual) -> Dual {
        match self {
            Self::ReverseKl => ratio,
            Self::ForwardKl => -(-ratio).at_most(LARGEST_EXPONENT).exp() + 1.0,
            Self::JensenShannon => ratio.log_sigmoid() + std::f64::consts::LN_2,
            Self::Alpha(alpha) if (alpha - 1.0).abs() < NEAR_ONE => ratio,
            Self::Alpha(alpha) => ((ratio * (alpha - 1.0)).at_most(LARGEST_EXPONENT).exp() - 1.0) / (alpha - 1.0),
        }
    }
}

impl Answer {
    /// The first or the second of the answers by whose log-probability a loss is differentiated.
    pub(super) fn new(which: usize, policy: f64, reference: f64, tokens: f64, divergence: Divergence) -> Self {
        let policy = Dual::variable(policy, which);
        Self { policy, reference, score: divergence.score(policy - reference), tokens }
    }

    /// Policy against reference.
    pub(super) fn ratio(&self) -> Dual {
        self.policy - self.reference
    }

    /// The policy's log-probability per token.
    pub(super) fn average(&self) -> Dual {
        self.policy / self.tokens
    }
}

impl PairOfAnswers {
    /// By how much the score of the chosen answer is larger.
    pub(super) fn margin(&self) -> Dual {
        self.chosen.score - self.rejected.score
    }

    /// The same for scores per token.
    pub(super) fn average_margin(&self) -> Dual {
        self.chosen.score / self.chosen.tokens - self.rejected.score / self.rejected.tokens
    }
}
