//! Losses in the manner of prospect theory: gains and losses of single answers against a reference point.

use super::{
    Algorithm, Dual, Label, Loss, Reward,
    Setting::{Beta, DesirableWeight, NllWeight, UndesirableWeight},
    Settings,
    answer::{Answer, Statistics},
};

pub(super) const KTO: Algorithm = Algorithm {
    name: "kto",
    trl: Some("KTOTrainer: kto"),
    formula: "w_D (1 - σ(β (r - z))) or w_U (1 - σ(β (z - r))), z = max(0, mean r of answers to other prompts)",
    source: "Ethayarajh et al. 2024, arXiv 2402.01306",
    settings: &[(Beta, 0.1), (DesirableWeight, 1.0), (UndesirableWeight, 1.0), (NllWeight, 0.0)],
    loss: Loss::Single(kto),
    reward: Reward::AgainstReference,
    takes_divergence: false,
};

fn kto(answer: &Answer, label: Label, statistics: &Statistics, settings: &Settings) -> Dual {
    let gain = (answer.ratio() - statistics.reference_point) * settings.beta();
    match label {
        Label::Desirable => (-gain).sigmoid() * settings.get(DesirableWeight),
        Label::Undesirable => gain.sigmoid() * settings.get(UndesirableWeight),
    }
}
