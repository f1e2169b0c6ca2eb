//! The likelihood of targets, and its gradient without a tape through the vocabulary.
//!
//! Every objective here is a function of the targets' log-probabilities. Once its derivative by each of them, c, is
//! known, the gradient by the logits is c (onehot - softmax), which is formed on plain tensors and handed to the tape as
//! a constant: the expensive [targets, vocabulary] tensors are passed over a few times instead of a dozen.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::sequences::{Example, Padded, pad_group};
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

/// Targets whose logits are in memory at once where no gradient is wanted.
const TARGETS: usize = 1024;

/// Runs the model over padded sequences; the log-probabilities come in the order of the targets.
pub(super) fn forward(model: &Transformer, padded: &Padded) -> Forward {
    let hidden = target_states(model, padded);
    let head = model.head().without_autodiff().transpose();
    let (log_probabilities, probabilities, targets) = score(hidden.clone().without_autodiff(), head, &padded.targets);
    Forward { hidden, probabilities, targets, log_probabilities }
}

/// The log-probability of each token of each example's completion, in the steps of training, `batch_tokens` at a time.
pub fn log_probabilities(model: &Transformer, examples: &[Example], batch_tokens: usize) -> Vec<Vec<f32>> {
    let device = model.embedding.val().device();
    let mut order: Vec<usize> = (0..examples.len()).collect();
    order.sort_by_key(|&index| (examples[index].length(), index));
    let mut found: Vec<Vec<f32>> =
        examples.iter().map(|example| Vec::with_capacity(example.completion.len())).collect();
    let head = model.head().transpose();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let fits = |count: &usize| (count + 1) * examples[rest[*count]].length() <= batch_tokens;
        let (group, others) = rest.split_at((0..rest.len()).take_while(fits).count().max(1));
        let padded = pad_group(examples, group, &device);
        let states = target_states(model, &padded);
        for (chunk, targets) in padded.targets.chunks(TARGETS).enumerate() {
            let states = states.clone().narrow(0, chunk * TARGETS, targets.len());
            let (values, _, _) = score(states, head.clone(), targets);
            for (value, example) in values.into_iter().zip(&padded.examples[chunk * TARGETS..]) {
                found[*example].push(value);
            }
        }
        rest = others;
    }
    found
}

/// The hidden states that predict the targets [targets, hidden].
fn target_states(model: &Transformer, padded: &Padded) -> Tensor<2> {
    let positions = integers(&padded.positions, &padded.tokens.device());
    model.hidden(padded.tokens.clone()).select(0, positions)
}

/// The log-probability of each target, the probabilities of all tokens there [targets, vocabulary], and the targets on the
/// device.
fn score(states: Tensor<2>, head: Tensor<2>, targets: &[i32]) -> (Vec<f32>, Tensor<2>, Tensor<1, Int>) {
    let count = targets.len();
    let targets = integers(targets, &states.device());
    let logits = states.matmul(head).cast(DType::F32);
    let shifted = logits.clone() - logits.max_dim(1);
    let target_logits = shifted.clone().gather(1, targets.clone().reshape([count, 1]));
    let exponentials = shifted.exp();
    let sums = exponentials.clone().sum_dim(1);
    let log_probabilities = (target_logits - sums.clone().log()).reshape([count]).into_data();
    let log_probabilities = log_probabilities.try_to_vec::<f32>().expect("they were just cast to float32");
    (log_probabilities, exponentials / sums, targets)
}

fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
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

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};

    use super::*;
    use crate::{
        model::ModelConfig,
        seed::Seed,
        tuning::{sequences::pad, trainer::tests::tiny},
    };

    struct Gradients<'a> {
        gradients: &'a burn::tensor::Gradients,
        values: Vec<f32>,
    }

    impl ModuleVisitor for Gradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = param.val().grad(self.gradients).expect("every parameter has a gradient");
            self.values.extend(gradient.into_data().iter::<f32>());
        }
    }

    fn gradients(model: &Transformer, loss: Tensor<1>) -> Vec<f32> {
        let gradients = loss.backward();
        let mut visitor = Gradients { gradients: &gradients, values: Vec::new() };
        model.visit(&mut visitor);
        visitor.values
    }

    #[test]
    fn gradient_equals_that_of_the_whole_tape() {
        for tied in [true, false] {
            let config = ModelConfig { tie_word_embeddings: tied, ..tiny(23) };
            let model = config.init(&Seed::root(1), &Device::flex().autodiff());
            let examples: Vec<Example> = (1..6)
                .map(|size| Example { prompt: vec![1; size], completion: (3..3 + 2 * size as u32).collect() })
                .collect();
            let padded = pad(&examples, &Device::flex().autodiff()).remove(0);
            let coefficients: Vec<f32> = (0..padded.targets.len()).map(|index| 0.3 - 0.05 * index as f32).collect();
            let count = coefficients.len();
            let of = |values: Vec<i32>| {
                Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &Device::flex().autodiff())
            };
            let rows = model.hidden(padded.tokens.clone()).select(0, of(padded.positions.clone()));
            let every = burn::tensor::activation::log_softmax(model.logits(rows), 1);
            let scored: Tensor<1> = every.gather(1, of(padded.targets.clone()).reshape([count, 1])).reshape([count]);
            let weights =
                Tensor::<1>::from_data(TensorData::new(coefficients.clone(), [count]), &Device::flex().autodiff());
            let expected = gradients(&model, (scored.clone() * weights).sum());
            let forward = forward(&model, &padded);
            for (ours, theirs) in forward.log_probabilities.iter().zip(scored.into_data().iter::<f32>()) {
                assert!((ours - theirs).abs() < 1e-5);
            }
            let found = gradients(&model, forward.surrogate(&model, coefficients, true));
            let scale = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            for (ours, theirs) in found.iter().zip(&expected) {
                assert!((ours - theirs).abs() < 2e-5 * scale, "{ours} {theirs}");
            }
        }
    }
}
