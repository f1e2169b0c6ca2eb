//! An algorithm: its name, its settings with defaults, and its loss.

use strum::{EnumCount, IntoStaticStr, VariantArray};

use super::{
    Dual,
    answer::{Desirability, LossAnswer, PairOfAnswers, Statistics},
};

/// A preference algorithm, an entry of [`super::ALGORITHMS`].
#[derive(Debug)]
pub struct Algorithm {
    /// Value of `algorithm` in a recipe.
    pub name: &'static str,
    /// TRL's name, where TRL has it: a `loss_type` or a trainer.
    pub trl: Option<&'static str>,
    /// Formula of the loss, in the notation of the docs.
    pub formula: &'static str,
    /// Authors, year and arXiv number.
    pub source: &'static str,
    /// Its settings with defaults; any other is an error.
    pub settings: &'static [(Setting, f64)],
    /// Its loss, and what a row of it depends on.
    pub(super) loss: Loss,
    /// Quantity that is logged as a completion's reward.
    pub(super) reward: RewardKind,
    /// Whether log-ratios may go through an f-divergence first. Only where the two completions'
    /// scores are subtracted, since each has a term of the prompt that nothing else cancels (as in
    /// TRL).
    pub takes_divergence: bool,
}

/// What a loss depends on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The two completions of a pair.
    Pair(fn(&PairOfAnswers, &ObjectiveSettings) -> Dual),
    /// The margin of a pair, once the batch's margins have been sorted.
    Sorted(Sorted, fn(Dual, &ObjectiveSettings) -> Dual),
    /// One completion with its label; the mean is over completions, and a pair counts as two.
    Single(AnswerLoss),
    /// One completion with its label; with pairs the mean is over pairs, whose two losses add up.
    Each(AnswerLoss),
    /// No preference term: the likelihood term is the loss.
    Nothing,
}

/// Quantity that is logged as a completion's reward, in units of beta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RewardKind {
    /// Log-probability under the policy minus that under the reference model.
    AgainstReference,
    /// Log-probability under the policy, without reference model.
    Summed,
    /// Log-probability under the policy per token.
    PerToken,
    /// Log-probability under the policy per token, through AlphaPO's curve.
    Curved,
}

/// The loss of a single completion.
pub(super) type AnswerLoss = fn(&LossAnswer, Desirability, &Statistics, &ObjectiveSettings) -> Dual;

/// Quantities that are sorted before comparison (Melnyk et al. 2024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// Margins of the policy against those of the reference model.
    Margins,
    /// Log-ratios of chosen against those of rejected completions.
    Answers,
}

/// A number or a choice of an algorithm.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumCount, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Setting {
    /// KL regularisation strength; larger stays closer to the reference model.
    Beta,
    /// Probability that a label is wrong.
    LabelSmoothing,
    /// Log-ratios per token instead of per completion.
    Average,
    /// Margin by which the chosen completion should win.
    Gamma,
    /// The margin as a share of beta.
    GammaOverBeta,
    /// Exponent of AlphaPO's reward.
    Alpha,
    /// Temperature of DiscoPOP's mixture of two losses.
    Temperature,
    /// Margin at which SLiC's hinge is zero.
    Delta,
    /// Weight of the chosen completion's summed log-likelihood in SLiC.
    Lambda,
    /// The weight of a desirable completion.
    DesirableWeight,
    /// The weight of an undesirable completion.
    UndesirableWeight,
    /// Weight of the term over single facts.
    FactWeight,
    /// Weight of an unsupported fact in that term; a supported one has 1.
    WrongFactWeight,
    /// Whether rewards are compared with their running mean.
    RunningShift,
    /// Margin that is required where only the rejected completion has unsupported facts.
    FactMargin,
    /// Weight of the chosen completion's negative log-likelihood per token.
    RpoAlpha,
}

/// The values of all settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ObjectiveSettings([f64; Setting::COUNT]);

impl Setting {
    /// All settings, in the order of the variants.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether its value is `true` or `false`.
    pub fn is_flag(self) -> bool {
        matches!(self, Self::Average | Self::RunningShift)
    }
}

impl ObjectiveSettings {
    /// The defaults of an algorithm; settings that it does not have are 0.
    pub(super) fn of(algorithm: &Algorithm) -> Self {
        let mut settings = Self([0.0; Setting::COUNT]);
        algorithm.settings.iter().for_each(|(setting, value)| settings.set(*setting, *value));
        settings
    }

    /// The value of a setting.
    pub(super) fn get(&self, setting: Setting) -> f64 {
        self.0[setting as usize]
    }

    pub(super) fn set(&mut self, setting: Setting, value: f64) {
        self.0[setting as usize] = value;
    }

    pub(super) fn beta(&self) -> f64 {
        self.get(Setting::Beta)
    }

    pub(super) fn smoothing(&self) -> f64 {
        self.get(Setting::LabelSmoothing)
    }

    /// The margin by which the chosen completion should win, from either setting.
    pub(super) fn gamma(&self) -> f64 {
        self.get(Setting::Gamma) + self.beta() * self.get(Setting::GammaOverBeta)
    }
}
