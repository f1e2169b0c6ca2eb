//! Losses of preference tuning. One file per family; a new algorithm is an entry in one of them and
//! a line in the list.
//!
//! Notation (as in the papers): `w` is the chosen, `l` the rejected completion, `|y|` a
//! completion's tokens, `l_y` its log-probability under the policy, `a_y = l_y/|y|`; `u`, `v` (or
//! `r`) are log-probabilities under the policy less those under the reference, `c` the same through
//! an f-divergence, `h = c_w - c_l`; `σ` is the logistic function. All in nats.

mod algorithm;
mod answer;
mod batch;
mod dual;
mod logistic;
mod margin;
mod pointwise;
mod prospect;
mod recipe;
mod reference_free;
mod reward;
mod squared;
mod table;
mod transport;

pub use algorithm::{Algorithm, Setting};
pub use answer::Divergence;
pub use recipe::{Objective, ObjectiveError};
pub use table::algorithms_table;

pub(super) use answer::{Desirability, LossRow, ScoredCompletion, Statistics};
pub(super) use batch::RowLoss;

use algorithm::{Loss, ObjectiveSettings, RewardKind, Sorted};
use dual::Dual;

// A slice and not an enum, so that a new algorithm touches no `match`.
/// All algorithms, in the order of the docs.
pub const ALGORITHMS: &[&Algorithm] = &[
    &logistic::DPO,
    &logistic::DPO_NORM,
    &logistic::ROBUST,
    &logistic::EXO,
    &logistic::DISCOPOP,
    &squared::IPO,
    &squared::SPPO,
    &margin::HINGE,
    &margin::SLIC,
    &pointwise::NCA,
    &pointwise::BCO,
    &pointwise::APO_ZERO,
    &pointwise::APO_DOWN,
    &transport::AOT,
    &transport::AOT_UNPAIRED,
    &prospect::KTO,
    &prospect::FACT_KTO,
    &reference_free::CPO,
    &reference_free::SIMPO,
    &reference_free::ALPHAPO,
    &reference_free::ORPO,
    &reference_free::SFT,
    &logistic::FACT_DPO,
];
