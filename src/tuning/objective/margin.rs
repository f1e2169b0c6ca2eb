//! Losses that are content once the margin is wide enough.

use super::{
    Algorithm, Loss, RewardKind,
    Setting::{Beta, Delta, Lambda, RpoAlpha},
};

pub(super) const HINGE: Algorithm = Algorithm {
    name: "hinge",
    trl: Some("hinge"),
    formula: "max(0, 1 - β h)",
    source: "Liu et al. 2023 (RSO), arXiv 2309.06657",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| (-(pair.margin() * settings.beta()) + 1.0).positive()),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

pub(super) const SLIC: Algorithm = Algorithm {
    name: "slic",
    trl: None,
    formula: "max(0, δ - l_w + l_l) - λ l_w",
    source: "Zhao et al. 2023, arXiv 2305.10425",
    settings: &[(Delta, 1.0), (Lambda, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let (chosen, rejected) = (pair.chosen.policy, pair.rejected.policy);
        (rejected - chosen + settings.get(Delta)).positive() - chosen * settings.get(Lambda)
    }),
    reward: RewardKind::Summed,
    takes_divergence: false,
};
