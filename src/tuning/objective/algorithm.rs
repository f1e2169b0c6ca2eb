//! What an algorithm is: its words, its settings with their defaults, and its loss.

use super::{
    Dual,
    answer::{Answer, Label, PairOfAnswers, Statistics},
};

/// A preference algorithm.
#[derive(Debug)]
pub struct Algorithm {
    /// The word after `algorithm =` in a recipe.
    pub name: &'static str,
    /// What TRL calls it, where it has it: a `loss_type`, or a trainer.
    pub trl: Option<&'static str>,
    /// The loss in formulas, in the notation of the docs.
    pub formula: &'static str,
    /// Who proposed it, and where.
    pub source: &'static str,
    /// The settings that it has, with their defaults; any other is an error.
    pub settings: &'static [(Setting, f64)],
    /// Its loss.
    pub(super) loss: Loss,
    /// What is measured as an answer's reward.
    pub(super) reward: Reward,
    /// Whether log-ratios go through an f-divergence first, where one is chosen: only where the two answers' scores are
    /// subtracted, since each has a term of the prompt that nothing else cancels (as TRL).
    pub takes_divergence: bool,
}

/// What a loss is a function of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loss {
    /// The two answers of a pair.
    Pair(fn(&PairOfAnswers, &Settings) -> Dual),
    /// The margin of a pair, once the batch's margins have been sorted.
    Sorted(Sorted, fn(Dual, &Settings) -> Dual),
    /// One answer with its label; the mean is over answers, a pair's two count as one each.
    Single(OfAnswer),
    /// The same, but where there are pairs the mean is over them: their two answers' losses add up.
    Each(OfAnswer),
    /// No preference at all.
    Nothing,
}

/// What is measured as an answer's reward, in units of beta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reward {
    /// The policy's log-probability less the reference's.
    AgainstReference,
    /// The policy's log-probability; there is no reference.
    Summed,
    /// The same per token.
    PerToken,
    /// The same through AlphaPO's curve.
    Curved,
}

/// The loss of an answer by itself.
pub(super) type OfAnswer = fn(&Answer, Label, &Statistics, &Settings) -> Dual;

/// What is sorted before it is compared (Melnyk et al. 2024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sorted {
    /// The policy's margins against the reference's.
    Margins,
    /// The log-ratios of chosen against those of rejected answers.
    Answers,
}

/// A number, or a choice, that an algorithm can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// How far the policy may leave the reference; larger is nearer.
    Beta,
    /// The probability that a label is wrong.
    LabelSmoothing,
    /// Log-ratios per token instead of per answer.
    Average,
    /// The margin by which the chosen answer shall win.
    Gamma,
    /// The same as a share of beta.
    GammaOverBeta,
    /// The exponent of AlphaPO's reward.
    Alpha,
    /// DiscoPOP's temperature.
    Temperature,
    /// The margin at which the hinge of SLiC is content.
    Delta,
    /// The weight of the chosen answer's summed log-likelihood in SLiC.
    Lambda,
    /// The weight of a desirable answer.
    DesirableWeight,
    /// The weight of an undesirable answer.
    UndesirableWeight,
    /// The weight of the term over single facts.
    FactWeight,
    /// The weight of a wrong fact in it; a right one weighs 1.
    WrongFactWeight,
    /// Whether rewards are compared with their running mean.
    RunningShift,
    /// What the margin must reach where only the rejected answer is wrong.
    FactMargin,
    /// The weight of the chosen answer's negative log-likelihood per token.
    NllWeight,
}

/// The values of all settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settings([f64; Setting::ALL.len()]);

impl Setting {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Beta,
        Self::LabelSmoothing,
        Self::Average,
        Self::Gamma,
        Self::GammaOverBeta,
        Self::Alpha,
        Self::Temperature,
        Self::Delta,
        Self::Lambda,
        Self::DesirableWeight,
        Self::UndesirableWeight,
        Self::FactWeight,
        Self::WrongFactWeight,
        Self::RunningShift,
        Self::FactMargin,
        Self::NllWeight,
    ];

    /// Its word in a recipe.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Beta => "beta",
            Self::LabelSmoothing => "label_smoothing",
            Self::Average => "average",
            Self::Gamma => "gamma",
            Self::GammaOverBeta => "gamma_over_beta",
            Self::Alpha => "alpha",
            Self::Temperature => "temperature",
            Self::Delta => "delta",
            Self::Lambda => "lambda",
            Self::DesirableWeight => "desirable_weight",
            Self::UndesirableWeight => "undesirable_weight",
            Self::FactWeight => "fact_weight",
            Self::WrongFactWeight => "wrong_fact_weight",
            Self::RunningShift => "running_shift",
            Self::FactMargin => "fact_margin",
            Self::NllWeight => "nll_weight",
        }
    }

    /// Whether it is `true` or `false`.
    pub fn is_flag(self) -> bool {
        matches!(self, Self::Average | Self::RunningShift)
    }
}

impl Settings {
    /// The defaults of an algorithm; what it does not have is 0.
    pub(super) fn of(algorithm: &Algorithm) -> Self {
        let mut settings = Self([0.0; Setting::ALL.len()]);
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

    /// The margin by which the chosen answer shall win, however it was said.
    pub(super) fn gamma(&self) -> f64 {
        self.get(Setting::Gamma) + self.beta() * self.get(Setting::GammaOverBeta)
    }
}
