//! Losses of the logistic family: the margin of a pair through a sigmoid, as of a choice between
//! two (Bradley and Terry).

use super::{
    Algorithm, Dual, Loss, ObjectiveSettings, RewardKind,
    Setting::{Beta, FactMargin, LabelSmoothing, RpoAlpha, Temperature},
    answer::PairOfAnswers,
};

pub(super) const DPO: Algorithm = Algorithm {
    name: "dpo",
    trl: Some("sigmoid"),
    formula: "-(1 - e) log σ(β h) - e log σ(-β h)",
    source: "Rafailov et al. 2023, arXiv 2305.18290; e > 0 (conservative DPO): Mitchell 2023",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.0), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| smoothed(pair.margin(), settings)),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

pub(super) const DPO_NORM: Algorithm = Algorithm {
    name: "dpo_norm",
    trl: Some("sigmoid_norm"),
    formula: "-log σ(β (c_w/|w| - c_l/|l|))",
    source: "Lambert et al. 2024 (Tülu 3), arXiv 2411.15124",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| -(pair.average_margin() * settings.beta()).log_sigmoid()),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

pub(super) const ROBUST: Algorithm = Algorithm {
    name: "robust",
    trl: Some("robust"),
    formula: "(-(1 - e) log σ(β h) + e log σ(-β h)) / (1 - 2e)",
    source: "Chowdhury et al. 2024, arXiv 2403.00409",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let (margin, e) = (pair.margin() * settings.beta(), settings.smoothing());
        ((-margin).log_sigmoid() * e - margin.log_sigmoid() * (1.0 - e)) / (1.0 - 2.0 * e)
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

pub(super) const EXO: Algorithm = Algorithm {
    name: "exo",
    trl: Some("exo_pair"),
    formula: "q (log q - log(1 - e)) + (1 - q) (log(1 - q) - log e), q = σ(β h)",
    source: "Ji et al. 2024, arXiv 2402.00856",
    settings: &[(Beta, 0.1), (LabelSmoothing, 1e-3), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let (margin, e) = (pair.margin() * settings.beta(), settings.smoothing());
        divergence_part(margin, 1.0 - e) + divergence_part(-margin, e)
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

/// One outcome's part of the divergence from the smoothed labels to the policy's preference.
fn divergence_part(margin: Dual, label: f64) -> Dual {
    margin.sigmoid() * (margin.log_sigmoid() - label.ln())
}

pub(super) const DISCOPOP: Algorithm = Algorithm {
    name: "discopop",
    trl: Some("discopop"),
    formula: "-(1 - m) log σ(x) + m e^-x, x = β h, m = σ(x/τ); e^-x at most e^700",
    source: "Lu et al. 2024, arXiv 2406.08414",
    settings: &[(Beta, 0.05), (Temperature, 0.05), (RpoAlpha, 0.0)],
    loss: Loss::Pair(discopop),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

/// `-(1 - e) log σ(β h) - e log σ(-β h)` of a difference.
pub(super) fn smoothed(difference: Dual, settings: &ObjectiveSettings) -> Dual {
    let margin = difference * settings.beta();
    -margin.log_sigmoid() * (1.0 - settings.smoothing())
        - (-margin).log_sigmoid() * settings.smoothing()
}

fn discopop(pair: &PairOfAnswers, settings: &ObjectiveSettings) -> Dual {
    let margin = pair.margin() * settings.beta();
    let sharp = margin / settings.get(Temperature);
    // The product of a vanishing and a huge number as one exponential.
    let exponential = (sharp.log_sigmoid() - margin).at_most(700.0).exp();
    exponential - (-sharp).sigmoid() * margin.log_sigmoid()
}

pub(super) const FACT_DPO: Algorithm = Algorithm {
    name: "fact_dpo",
    trl: None,
    formula: "-log σ(β (h - m (f_l - f_w))), f = 1 for a completion with an error, else 0",
    source: "F-DPO 2026, arXiv 2601.03027",
    settings: &[(Beta, 0.1), (FactMargin, 10.0), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        -((pair.margin() - settings.get(FactMargin) * pair.error_gap) * settings.beta())
            .log_sigmoid()
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};
