//! Losses that pull log-ratios to a target by squared distance.

use super::{
    Algorithm, Loss, RewardKind,
    Setting::{Average, Beta, RpoAlpha},
};

pub(super) const IPO: Algorithm = Algorithm {
    name: "ipo",
    trl: Some("ipo"),
    formula: "(c_w/|w| - c_l/|l| - 1/(2β))² with `average`, else (h - 1/(2β))²",
    source: "Azar et al. 2023, arXiv 2310.12036; averages: TRL, \"confirmed with the authors\"",
    settings: &[(Beta, 0.1), (Average, 1.0), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let margin =
            if settings.get(Average) > 0.0 { pair.average_margin() } else { pair.margin() };
        (margin - 0.5 / settings.beta()).squared()
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: true,
};

pub(super) const SPPO: Algorithm = Algorithm {
    name: "sppo",
    trl: Some("sppo_hard"),
    formula: "(u - 1/(2β))² + (v + 1/(2β))²",
    source: "Wu et al. 2024, arXiv 2405.00675, with hard labels",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let target = 0.5 / settings.beta();
        (pair.chosen.ratio() - target).squared() + (pair.rejected.ratio() + target).squared()
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};
