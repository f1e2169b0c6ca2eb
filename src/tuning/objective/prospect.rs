//! Losses after prospect theory: gains and losses of single completions against a reference point.

use super::{
    Algorithm, Desirability, Dual, Loss, ObjectiveSettings, RewardKind,
    Setting::{Beta, DesirableWeight, FactWeight, RpoAlpha, UndesirableWeight, WrongFactWeight},
    answer::{LossAnswer, Statistics},
};

pub(super) const KTO: Algorithm = Algorithm {
    name: "kto",
    trl: Some("KTOTrainer: kto"),
    formula: "w_D (1 - σ(β (r - z))) or w_U (1 - σ(β (z - r))), z = max(0, mean r of completions \
    to other prompts)",
    source: "Ethayarajh et al. 2024, arXiv 2402.01306",
    settings: &[(Beta, 0.1), (DesirableWeight, 1.0), (UndesirableWeight, 1.0), (RpoAlpha, 0.0)],
    loss: Loss::Single(kto),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

pub(super) const FACT_KTO: Algorithm = Algorithm {
    name: "fact_kto",
    trl: None,
    formula: "kto + w_f mean over facts f of (1 - σ(β (r_f - z_f))) or w_w (1 - σ(β (z_f - \
    r_f))), z_f = max(0, mean r a \
              fact of completions of other prompts)",
    source: "FactAlign: Huang and Chen 2024, arXiv 2410.01691, with facts by their spans instead \
    of whole sentences",
    settings: &[
        (Beta, 0.1),
        (DesirableWeight, 1.0),
        (UndesirableWeight, 1.0),
        (FactWeight, 1.0),
        (WrongFactWeight, 4.0),
        (RpoAlpha, 0.0),
    ],
    // The completions' part only: each fact has a loss of its own (`Objective::fact_loss`).
    loss: Loss::Single(kto),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

fn kto(
    answer: &LossAnswer,
    label: Desirability,
    statistics: &Statistics,
    settings: &ObjectiveSettings,
) -> Dual {
    let gain = (answer.ratio() - statistics.reference_point) * settings.beta();
    match label {
        Desirability::Desirable => (-gain).sigmoid() * settings.get(DesirableWeight),
        Desirability::Undesirable => gain.sigmoid() * settings.get(UndesirableWeight),
    }
}
