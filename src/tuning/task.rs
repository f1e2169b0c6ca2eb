//! The task of a training run: likelihood of documents, or a preference loss.

use strum::VariantArray;

use super::{
    likelihood::sum,
    metric::{Measurements, TrainMetric},
    preference::Preference,
    tokenized::TokenizedExample,
};

/// The loss of a training run.
#[derive(Debug)]
pub enum Task {
    /// Weighted likelihood of documents.
    Documents,
    /// A preference loss on rows, against a reference model.
    Preference(Box<Preference>),
}

impl Task {
    /// The metrics of each step.
    pub(super) fn metrics(&self) -> &'static [TrainMetric] {
        match self {
            // Likelihood has no rewards, and its loss is the likelihood term.
            Self::Documents => &[
                TrainMetric::Loss,
                TrainMetric::NumTokens,
                TrainMetric::GradNorm,
                TrainMetric::LearningRate,
            ],
            Self::Preference(_) => TrainMetric::VARIANTS,
        }
    }

    /// Evaluations without a lower loss before training stops.
    pub(super) fn patience(&self) -> Option<usize> {
        match self {
            Self::Documents => None,
            Self::Preference(preference) => preference.held_out.as_ref()?.patience,
        }
    }
}

/// The derivative of the loss of documents by the log-probability of each token, and the metrics.
/// The loss is the sum over documents of negative log-likelihood times scale.
///
/// A scale is the weight of the document's group over all the group's tokens in the batch.
///
/// # Shapes
/// `log_probabilities` and the derivative: one list per document, in it one number per token.
pub(super) fn documents(
    documents: &[TokenizedExample],
    scales: &[f64],
    log_probabilities: &[Vec<f32>],
) -> (Vec<Vec<f32>>, Measurements) {
    let mut measured = Measurements::default();
    let scaled = scales.iter().zip(log_probabilities);
    measured[TrainMetric::Loss] = scaled.clone().map(|(scale, values)| -scale * sum(values)).sum();
    measured[TrainMetric::NumTokens] =
        documents.iter().map(TokenizedExample::tokens).sum::<usize>() as f64;
    let by_token = scaled.map(|(scale, values)| vec![-scale as f32; values.len()]);
    (by_token.collect(), measured)
}
