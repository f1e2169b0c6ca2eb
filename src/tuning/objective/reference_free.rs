//! Losses without a reference: what holds the policy is the likelihood of the chosen answers, or nothing.

use super::{
    Algorithm, Dual, Loss, Reward,
    Setting::{Alpha, Beta, Gamma, GammaOverBeta, LabelSmoothing, NllWeight},
    logistic::smoothed,
};

pub(super) const CPO: Algorithm = Algorithm {
    name: "cpo",
    trl: Some("CPOTrainer: sigmoid"),
    formula: "-(1 - e) log σ(β (l_w - l_l)) - e log σ(-β (l_w - l_l)), and the chosen answer's likelihood",
    source: "Xu et al. 2024, arXiv 2401.08417",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.0), (NllWeight, 1.0)],
    loss: Loss::Pair(|pair, settings| smoothed(pair.chosen.policy - pair.rejected.policy, settings)),
    reward: Reward::Summed,
    takes_divergence: false,
};

pub(super) const SIMPO: Algorithm = Algorithm {
    name: "simpo",
    trl: Some("CPOTrainer: simpo, with cpo_alpha 0"),
    formula: "-log σ(β (a_w - a_l) - γ)",
    source: "Meng et al. 2024, arXiv 2405.14734; defaults: those of its Llama-3-Base",
    settings: &[(Beta, 2.0), (Gamma, 1.0), (GammaOverBeta, 0.0), (NllWeight, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let margin = (pair.chosen.average() - pair.rejected.average()) * settings.beta();
        -(margin - settings.gamma()).log_sigmoid()
    }),
    reward: Reward::PerToken,
    takes_divergence: false,
};

pub(super) const ALPHAPO: Algorithm = Algorithm {
    name: "alphapo",
    trl: Some("CPOTrainer: alphapo"),
    formula: "-log σ(β (r_w - r_l) - γ), r = (1 - e^(-α a))/α",
    source: "Gupta et al. 2025, arXiv 2501.03884",
    settings: &[(Beta, 2.5), (Gamma, 0.1), (GammaOverBeta, 0.0), (Alpha, 0.25), (NllWeight, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let reward = |average: Dual| curved(average, settings.get(Alpha));
        let margin = (reward(pair.chosen.average()) - reward(pair.rejected.average())) * settings.beta();
        -(margin - settings.gamma()).log_sigmoid()
    }),
    reward: Reward::Curved,
    takes_divergence: false,
};

/// AlphaPO's reward of a log-probability per token, in units of beta.
pub(super) fn curved(average: Dual, alpha: f64) -> Dual {
    if alpha == 0.0 { average } else { (-(average * -alpha).at_most(80.0).exp() + 1.0) / alpha }
}

pub(super) const ORPO: Algorithm = Algorithm {
    name: "orpo",
    trl: Some("ORPOTrainer"),
    formula: "-β log σ(a_w - log(1 - e^a_w) - a_l + log(1 - e^a_l)), and the chosen answer's likelihood",
    source: "Hong et al. 2024, arXiv 2403.07691",
    settings: &[(Beta, 0.1), (NllWeight, 1.0)],
    loss: Loss::Pair(|pair, settings| {
        let log_odds = |average: Dual| average - average.log_one_minus_exp();
        let ratio = log_odds(pair.chosen.average()) - log_odds(pair.rejected.average());
        -ratio.log_sigmoid() * settings.beta()
    }),
    reward: Reward::PerToken,
    takes_divergence: false,
};

pub(super) const SFT: Algorithm = Algorithm {
    name: "sft",
    trl: Some("sft"),
    formula: "only the chosen answer's likelihood: the control of what the preference adds",
    source: "the likelihood of the chosen answers alone",
    settings: &[(NllWeight, 1.0)],
    loss: Loss::Nothing,
    reward: Reward::Summed,
    takes_divergence: false,
};
