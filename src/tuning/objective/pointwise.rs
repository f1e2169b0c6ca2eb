//! Losses of each single completion of a pair, against the reference model.

use super::{
    Algorithm, Desirability, Loss, RewardKind,
    Setting::{Beta, RpoAlpha, RunningShift},
};

pub(super) const NCA: Algorithm = Algorithm {
    name: "nca",
    trl: Some("nca_pair"),
    formula: "-log σ(β u) - ½ log σ(-β u) - ½ log σ(-β v)",
    source: "Chen et al. 2024, arXiv 2402.05369",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let (chosen, rejected) =
            (pair.chosen.ratio() * settings.beta(), pair.rejected.ratio() * settings.beta());
        -chosen.log_sigmoid() - ((-chosen).log_sigmoid() + (-rejected).log_sigmoid()) / 2.0
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

pub(super) const BCO: Algorithm = Algorithm {
    name: "bco",
    trl: Some("bco_pair"),
    formula: "-log σ(β u - s) and -log σ(-(β v - s)), s the mean of all β r so far; 0 without \
    `running_shift` (TRL)",
    source: "Jung et al. 2024, arXiv 2404.04656",
    settings: &[(Beta, 0.1), (RunningShift, 1.0), (RpoAlpha, 0.0)],
    loss: Loss::Each(|answer, label, statistics, settings| {
        let reward =
            answer.ratio() * settings.beta() - statistics.shift * settings.get(RunningShift);
        match label {
            Desirability::Desirable => -reward.log_sigmoid(),
            Desirability::Undesirable => -(-reward).log_sigmoid(),
        }
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

pub(super) const APO_ZERO: Algorithm = Algorithm {
    name: "apo_zero",
    trl: Some("apo_zero"),
    formula: "1 - σ(β u) and σ(β v): for completions that are better than the model's own",
    source: "D'Oosterlinck et al. 2024, arXiv 2408.06266",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Each(|answer, label, _, settings| {
        let reward = answer.ratio() * settings.beta();
        match label {
            Desirability::Desirable => (-reward).sigmoid(),
            Desirability::Undesirable => reward.sigmoid(),
        }
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

pub(super) const APO_DOWN: Algorithm = Algorithm {
    name: "apo_down",
    trl: Some("apo_down"),
    formula: "σ(β u) + 1 - σ(β (u - v)): for a model that is better than the chosen completions",
    source: "D'Oosterlinck et al. 2024, arXiv 2408.06266",
    settings: &[(Beta, 0.1), (RpoAlpha, 0.0)],
    loss: Loss::Pair(|pair, settings| {
        let (chosen, rejected) =
            (pair.chosen.ratio() * settings.beta(), pair.rejected.ratio() * settings.beta());
        chosen.sigmoid() + (rejected - chosen).sigmoid()
    }),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};
