//! Preference tuning: what is trained on, the policy's results on it, and the derivative of the
//! loss by the log-probability of each token.

mod batch_sums;
mod config;
mod derivative;
mod evaluation;
mod facts;
mod held_out;
mod metrics;
mod mismatch;
mod view;

pub use config::{KlPairs, Modifiers, MovingReference, NllReduction, Preference};
pub use held_out::HeldOut;

pub(super) use derivative::derivative;
pub(super) use evaluation::Evaluation;
pub(super) use held_out::HeldOutProgress;
pub(super) use metrics::measured;
pub(super) use mismatch::{ReferencePoints, answer_sums};
pub(super) use view::{PolicyView, ViewedRows};
