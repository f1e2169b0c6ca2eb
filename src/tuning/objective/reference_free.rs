//! Losses without reference model: the likelihood of the chosen completions regularises the policy,
//! or nothing does.

use super::{
    Algorithm, Dual, Loss, RewardKind,
    Setting::{Alpha, Beta, Gamma, GammaOverBeta, LabelSmoothing, RpoAlpha},
    logistic::smoothed,
};

pub(super) const CPO: Algorithm = Algorithm {
    name: "cpo",
    trl: Some("CPOTrainer: sigmoid"),
    formula: "-(1 - e) log σ(β (l_w - l_l)) - e log σ(-β (l_w - l_l)), and the chosen completion's \
    likelihood",
    source: "Xu et al. 2024, arXiv 2401.08417",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.0), (RpoAlpha, 1.0)],
    loss: Loss::Pair(|pair, settings| {
        smoothed(pair.chosen.policy - pair.rejected.policy, settings)
    }),
    reward: RewardKind::Summed,
    takes_divergence: false,
};

pub(super) const SIMPO: Algorithm = Algorithm {
    name: "simpo",
    trl: Some("CPOTrainer: simpo, with cpo_alpha 0"),
    formula: "-log σ(β (a_w - a_l) - γ)",
    source: "Meng et al. 2024, arXiv 2405.14734; defaults: those of its Llama-3-Base",
    settings: &[(Beta, 2.0), (Gamma, 1.0), (GammaOverBeta, 0.0), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let margin = (pair.chosen.average() - pair.rejected.average()) * settings.beta();
        -(margin - settings.gamma()).log_sigmoid()
    }),
    reward: RewardKind::PerToken,
    takes_divergence: false,
};

pub(super) const ALPHAPO: Algorithm = Algorithm {
    name: "alphapo",
    trl: Some("CPOTrainer: alphapo"),
    formula: "-log σ(β (r_w - r_l) - γ), r = (1 - e^(-α a))/α",
    source: "Gupta et al. 2025, arXiv 2501.03884",
    settings: &[(Beta, 2.5), (Gamma, 0.1), (GammaOverBeta, 0.0), (Alpha, 0.25), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let [chosen, rejected] = [pair.chosen, pair.rejected]
            .map(|answer| curved(answer.average(), settings.get(Alpha)));
        let margin = (chosen - rejected) * settings.beta();
        -(margin - settings.gamma()).log_sigmoid()
    }),
    reward: RewardKind::Curved,
    takes_divergence: false,
};

/// AlphaPO's reward of a log-probability per token, in units of beta.
pub(super) fn curved(average: Dual, alpha: f64) -> Dual {
    if alpha == 0.0 {
        average
    } else {
        // The exponential of a very improbable completion would be infinite.
        (-(average * -alpha).at_most(80.0).exp() + 1.0) / alpha
    }
}

/// The logarithm of the odds, given that of a probability.
fn log_odds(log_probability: Dual) -> Dual {
    log_probability - log_probability.log_one_minus_exp()
}

pub(super) const ORPO: Algorithm = Algorithm {
    name: "orpo",
    trl: Some("ORPOTrainer"),
    formula: "-β log σ(a_w - log(1 - e^a_w) - a_l + log(1 - e^a_l)), and the chosen completion's \
    likelihood",
    source: "Hong et al. 2024, arXiv 2403.07691",
    settings: &[(Beta, 0.1), (RpoAlpha, 1.0)],
    loss: Loss::Pair(|pair, settings| {
        let ratio = log_odds(pair.chosen.average()) - log_odds(pair.rejected.average());
        -ratio.log_sigmoid() * settings.beta()
    }),
    reward: RewardKind::PerToken,
    takes_divergence: false,
};

pub(super) const SFT: Algorithm = Algorithm {
    name: "sft",
    trl: Some("sft"),
    formula: "only the chosen completion's likelihood: the control of what the preference adds",
    source: "the likelihood of the chosen completions alone",
    settings: &[(RpoAlpha, 1.0)],
    loss: Loss::Nothing,
    reward: RewardKind::Summed,
    takes_divergence: false,
};
