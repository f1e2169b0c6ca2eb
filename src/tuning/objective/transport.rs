//! Alignment by optimal transport: the distribution of a batch's margins, not each of them, should
//! exceed the reference model's.

use super::{
    Algorithm, Loss, RewardKind,
    Setting::{Beta, LabelSmoothing, RpoAlpha},
    Sorted,
    logistic::smoothed,
};

pub(super) const AOT: Algorithm = Algorithm {
    name: "aot",
    trl: Some("aot"),
    formula: "dpo of d_i = sort(l_w - l_l)_i - sort(ref l_w - ref l_l)_i, over the whole batch",
    source: "Melnyk et al. 2024, arXiv 2406.05882",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.0), (RpoAlpha, 0.0)],
    loss: Loss::Sorted(Sorted::Margins, smoothed),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};

pub(super) const AOT_UNPAIRED: Algorithm = Algorithm {
    name: "aot_unpaired",
    trl: Some("aot_unpaired"),
    formula: "dpo of d_i = sort(u)_i - sort(v)_i, over the whole batch",
    source: "Melnyk et al. 2024, arXiv 2406.05882",
    settings: &[(Beta, 0.1), (LabelSmoothing, 0.0), (RpoAlpha, 0.0)],
    loss: Loss::Sorted(Sorted::Answers, smoothed),
    reward: RewardKind::AgainstReference,
    takes_divergence: false,
};
