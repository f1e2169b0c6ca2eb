//! What a training run minimises.

use super::{
    answered::Answered,
    held_out,
    preference::{Derivative, MEASURED, Preference},
};

/// What a training run minimises.
#[derive(Debug)]
pub enum Task {
    /// The weighted likelihood of documents.
    Documents,
    /// A preference loss.
    Preference(Box<Preference>),
}

impl Task {
    /// The names of what is measured at each step, in TRL's words.
    pub(super) fn measurements(&self) -> Vec<&'static str> {
        match self {
            Self::Documents => MEASURED[..2].to_vec(),
            Self::Preference(_) => MEASURED.iter().chain(&held_out::MEASURED).copied().collect(),
        }
    }

    /// After how many looks without a lower loss training stops.
    pub(super) fn patience(&self) -> Option<usize> {
        match self {
            Self::Documents => None,
            Self::Preference(preference) => preference.held_out.as_ref()?.patience,
        }
    }
}

/// The loss of documents: the sum of each one's negative log-likelihood times its scale.
///
/// A scale is the weight of the document's group over all the group's tokens in the batch.
pub(super) fn documents(documents: &[Answered], scales: &[f64], log_probabilities: &[Vec<f32>]) -> Derivative {
    let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
    let loss = scales.iter().zip(log_probabilities).map(|(scale, values)| -scale * sum(values)).sum();
    let tokens: usize = documents.iter().map(Answered::tokens).sum();
    let by_token = scales.iter().zip(log_probabilities).map(|(scale, values)| vec![-scale as f32; values.len()]);
    Derivative { by_token: by_token.collect(), measured: vec![loss, tokens as f64] }
}
