//! The likelihood of targets, and its gradient without a tape through the vocabulary.
//!
//! Every objective here is a function of the targets' log-probabilities. Once its derivative by each of them, c, is
//! known, the gradient by the logits is c (onehot - softmax), which is formed on plain tensors and handed to the tape as
//! a constant: the expensive [targets, vocabulary] tensors are passed over a few times instead of a dozen.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::sequences::Padded;
use crate::model::Transformer;

/// A forward pass that remembers what its gradient needs.
pub(super) struct Forward {
    /// [targets, hidden] hidden states that predict the targets, on the tape where there is one.
    hidden: Tensor<2>,
    /// [targets, vocabulary] probabilities, off the tape.
    probabilities: Tensor<2>,
    targets: Tensor<1, Int>,
    /// The log-probability of each target.
    pub log_probabilities: Vec<f32>,
}

/// Runs the model over padded sequences; the log-probabilities come in the order of the targets.
pub(super) fn forward(model: &Transformer, padded: &Padded) -> Forward {
    let device = padded.tokens.device();
    let count = padded.targets.len();
    let index = |values: &[i32], device: &Device| -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
    };
    let hidden = model.hidden(padded.tokens.clone()).select(0, index(&padded.positions, &device));
    let plain = hidden.clone().without_autodiff();
    let head = model.head().without_autodiff();
    let targets = index(&padded.targets, &plain.device());
    let logits = plain.matmul(head.transpose());
    let shifted = logits.clone() - logits.max_dim(1);
    let target_logits = shifted.clone().gather(1, targets.clone().reshape([count, 1]));
    let exponentials = shifted.exp();
    let sums = exponentials.clone().sum_dim(1);
    let log_probabilities = (target_logits - sums.clone().log()).reshape([count]);
    let log_probabilities =
        log_probabilities.cast(DType::F32).into_data().to_vec::<f32>().expect("log-probabilities are float32");
    Forward { hidden, probabilities: exponentials / sums, targets, log_probabilities }
}

impl Forward {
    /// A scalar whose gradient by the model's parameters is that of the sum of `coefficient * log-probability`.
    ///
    /// `learn_head`: whether the head (for tied weights: the embedding) is among the parameters that are trained.
    pub(super) fn surrogate(self, model: &Transformer, coefficients: Vec<f32>, learn_head: bool) -> Tensor<1> {
        let device = self.probabilities.device();
        let count = coefficients.len();
        let coefficients = Tensor::<2>::from_data(TensorData::new(coefficients, [count, 1]), &device);
        let head = model.head();
        let plain_head = head.clone().without_autodiff();
        let expected = self.probabilities.clone().matmul(plain_head.clone());
        let by_hidden = (plain_head.select(0, self.targets.clone()) - expected) * coefficients.clone();
        let surrogate = (self.hidden.clone() * Tensor::from_inner(by_hidden)).sum();
        if !learn_head {
            return surrogate;
        }
        let weighted = self.hidden.without_autodiff() * coefficients;
        let by_head = (self.probabilities.transpose().matmul(weighted.clone()).neg()).select_assign(
            0,
            self.targets,
            weighted,
            burn::tensor::IndexingUpdateOp::Add,
        );
        surrogate + (head * Tensor::from_inner(by_head)).sum()
    }
}
