//! Log-probabilities of tokens, and their gradient without autodiff through the vocabulary.
//!
//! Every objective here is a function of the tokens' log-probabilities. From its derivative c by
//! each of them, the gradient by the logits is c (onehot - softmax). It is formed on plain tensors,
//! a chunk of tokens at a time, and handed to autodiff as a constant.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::tokenized::{ComputeOptions, Scoring, TokenizedExample};
use crate::model::{TokenProbabilities, Transformer, multiply, token_probabilities};

/// A forward pass that keeps what its gradient needs.
pub(super) struct Forward {
    /// `[scored tokens, hidden]`: the states that predict them, with autodiff in training.
    states: Tensor<2>,
    /// The probabilities `[scored tokens, vocabulary]`, if one chunk has them all.
    kept: Option<Tensor<2>>,
    targets: Vec<i32>,
    at_once: usize,
    /// Log-probability of each scored token.
    pub log_probabilities: Vec<f32>,
    /// Whether each scored token is the most probable one.
    pub is_top_token: Vec<bool>,
    /// Entropy of the distribution at each scored token, in nats.
    pub entropies: Vec<f32>,
    /// Mean of the logits at each scored token.
    pub mean_logits: Vec<f32>,
    /// Logarithm of the sum of squared probabilities at each scored token; empty unless requested.
    pub collisions: Vec<f32>,
}

/// Gradients by the inputs of the log-probabilities.
pub(super) struct Gradient {
    /// `[scored tokens, hidden]`
    pub by_states: Tensor<2>,
    /// `[vocabulary, hidden]`, where the output layer is trained.
    pub by_head: Option<Tensor<2>>,
}

/// Sum of log-probabilities.
pub(super) fn sum(values: &[f32]) -> f64 {
    // In float64: the rounding of a sum over a long completion would exceed the effect of a step.
    values.iter().map(|value| f64::from(*value)).sum()
}

/// The states that predict the scored tokens.
///
/// # Shapes
/// `[scored tokens, hidden]`
pub(super) fn scored_states(model: &Transformer, scoring: &Scoring) -> Tensor<2> {
    let states = model.states(&scoring.packed);
    scoring.predicting(states)
}

/// Scores tokens from the states that predict them, a chunk at a time; `collisions`: whether to
/// compute sums of squared probabilities.
///
/// # Shapes
/// `states`: `[scored tokens, hidden]`
pub(super) fn forward(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &Scoring,
    compute: ComputeOptions,
    collisions: bool,
) -> Forward {
    let at_once = compute.logits_at_once(scoring.targets.len(), model.config.vocab_size);
    let mut found = Forward {
        states: states.clone(),
        kept: None,
        targets: scoring.targets.clone(),
        at_once,
        log_probabilities: Vec::with_capacity(scoring.targets.len()),
        is_top_token: Vec::with_capacity(scoring.targets.len()),
        entropies: Vec::with_capacity(scoring.targets.len()),
        mean_logits: Vec::with_capacity(scoring.targets.len()),
        collisions: Vec::new(),
    };
    for chunk in chunks(model, states.without_autodiff(), scoring, at_once) {
        found.log_probabilities.extend(chunk.log_probabilities);
        found.is_top_token.extend(chunk.is_top_token);
        found.entropies.extend(chunk.entropies);
        found.mean_logits.extend(chunk.mean_logits);
        if collisions {
            let squares = chunk.probabilities.clone().powi_scalar(2);
            found.collisions.extend(floats(squares.sum_dim(1).log()));
        }
        // Several chunks are recomputed for the gradient, which costs a product with the head each:
        // together they may be any number of times what is allowed at once.
        if scoring.targets.len() <= at_once {
            found.kept = Some(chunk.probabilities);
        }
    }
    found
}

/// Statistics of the scored tokens, `at_once` tokens at a time.
///
/// # Shapes
/// `states`: `[scored tokens, hidden]`
fn chunks(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &Scoring,
    at_once: usize,
) -> impl Iterator<Item = TokenProbabilities> {
    logits(model, states, scoring, at_once)
        .map(|(logits, targets)| token_probabilities(logits, targets))
}

/// The logits at scored tokens, with these tokens, a chunk at a time: over all tokens at once they
/// would be the largest tensor of training.
///
/// # Shapes
/// `states`: `[scored tokens, hidden]`; each chunk's logits: `[at_once, vocabulary]`, the last one
/// shorter.
pub(super) fn logits<'a>(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &'a Scoring,
    at_once: usize,
) -> impl Iterator<Item = (Tensor<2>, &'a [i32])> + use<'a> {
    // The head's gradient is formed by hand, where it is trained.
    let head = model.head().without_autodiff().transpose();
    scoring.targets.chunks(at_once).enumerate().map(move |(number, targets)| {
        let states = states.clone().narrow(0, number * at_once, targets.len());
        (multiply(states, head.clone()), targets)
    })
}

/// Groups examples of similar length, about `batch_tokens` tokens each.
pub(super) fn groups(examples: &[TokenizedExample], batch_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..examples.len()).collect();
    // By index where lengths are equal, so that groups do not depend on the sorting algorithm.
    order.sort_by_key(|&index| (examples[index].length(), index));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for index in order {
        tokens += examples[index].tokens();
        match groups.last_mut() {
            Some(group) if tokens <= batch_tokens => group.push(index),
            // An example beyond the limit is a group of its own, not an error.
            _ => {
                tokens = examples[index].tokens();
                groups.push(vec![index]);
            }
        }
    }
    groups
}

/// The log-probability of each token of each completion, in nats, as in training; about
/// `batch_tokens` tokens per pass.
///
/// # Shapes
/// One list per example, in it one list per completion, in it one number per token.
pub fn log_probabilities(
    model: &Transformer,
    examples: &[TokenizedExample],
    batch_tokens: usize,
    compute: ComputeOptions,
    mut progress: impl FnMut(usize),
) -> Vec<Vec<Vec<f32>>> {
    let device = model.embedding.val().device();
    let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); examples.len()];
    let mut done = 0;
    for group in groups(examples, batch_tokens) {
        let texts = group.iter().map(|index| &examples[*index]);
        let scoring = Scoring::new(&model.config, texts, false, compute, &device);
        // On a thread of the pool, which begins its part of each operation at once.
        let scored = match model.is_on_cpu() {
            true => rayon::scope(|_| one_pass(model, &scoring, compute)),
            false => one_pass(model, &scoring, compute),
        };
        let mut by_answer = scoring.split(&scored).into_iter();
        for index in &group {
            found[*index] = by_answer.by_ref().take(examples[*index].completions.len()).collect();
        }
        done += group.len();
        progress(done);
    }
    found
}

/// The log-probability of each scored token.
fn one_pass(model: &Transformer, scoring: &Scoring, compute: ComputeOptions) -> Vec<f32> {
    let at_once = compute.logits_at_once(scoring.targets.len(), model.config.vocab_size);
    let scored = chunks(model, scored_states(model, scoring), scoring, at_once);
    scored.flat_map(|chunk| chunk.log_probabilities).collect()
}

/// The values of a column `[tokens, 1]`.
fn floats(column: Tensor<2>) -> Vec<f32> {
    column.into_data().try_to_vec().expect("probabilities are float32")
}

/// Indices as a tensor `[values]`.
pub(super) fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

impl Forward {
    /// The gradient of the sum of `coefficient * log-probability`.
    ///
    /// `learn_head`: whether the head (with tied weights: the embedding) is trained.
    ///
    /// # Shapes
    /// `coefficients`: `[scored tokens]`
    pub(super) fn gradient(
        &self,
        model: &Transformer,
        coefficients: &[f32],
        learn_head: bool,
    ) -> Gradient {
        // Plain tensors: autodiff would keep probabilities over the whole vocabulary.
        let states = self.states.clone().without_autodiff();
        let device = states.device();
        let head = model.head().without_autodiff();
        let mut by_states = Vec::new();
        let mut by_head: Option<Tensor<2>> = None;
        for (number, targets) in self.targets.chunks(self.at_once).enumerate() {
            let (first, count) = (number * self.at_once, targets.len());
            let states = states.clone().narrow(0, first, count);
            let probabilities = match &self.kept {
                Some(kept) => kept.clone(),
                None => {
                    let logits = multiply(states.clone(), head.clone().transpose());
                    token_probabilities(logits, targets).probabilities
                }
            };
            // The sum over the vocabulary is a matrix product, in the format of its inputs.
            let format = states.dtype();
            let probabilities = probabilities.cast(format);
            let targets = integers(targets, &device);
            let coefficients =
                TensorData::new(coefficients[first..first + count].to_vec(), [count, 1]);
            let coefficients = Tensor::<2>::from_data(coefficients, (&device, format));
            let expected = multiply(probabilities.clone(), head.clone());
            let at_targets = head.clone().select(0, targets.clone()).cast(format);
            by_states.push((at_targets - expected) * coefficients.clone());
            if learn_head {
                let weighted = states * coefficients;
                let by_chunk = probabilities.transpose().matmul(weighted.clone()).neg();
                // The targets' part of c (onehot - softmax), without a one-hot matrix.
                let by_chunk = by_chunk.select_assign(0, targets, weighted, IndexingUpdateOp::Add);
                by_head = Some(match by_head {
                    Some(sum) => sum + by_chunk,
                    None => by_chunk,
                });
            }
        }
        Gradient { by_states: Tensor::cat(by_states, 0), by_head }
    }

    /// A scalar whose gradient by the model's parameters is that of the sum of `coefficient *
    /// log-probability`; its own value means nothing.
    ///
    /// # Shapes
    /// `coefficients`: `[scored tokens]`
    pub(super) fn surrogate(
        self,
        model: &Transformer,
        coefficients: &[f32],
        learn_head: bool,
    ) -> Tensor<1> {
        let Gradient { by_states, by_head } = self.gradient(model, coefficients, learn_head);
        let surrogate = (self.states * Tensor::from_inner(by_states)).sum();
        match by_head {
            Some(by_head) => surrogate + (model.head() * Tensor::from_inner(by_head)).sum(),
            None => surrogate,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::{Module, ModuleVisitor, Param, ParamGroup},
        optim::GradientsParams,
    };

    use super::*;
    use crate::{
        model::ModelConfig,
        seed::Seed,
        tuning::{
            GradientCheckpointing,
            backward::{ForwardOutputs, Pass},
            test_support::{add_adapter, texts, tiny},
        },
    };

    struct Gradients<'a> {
        gradients: &'a GradientsParams,
        values: Vec<f32>,
    }

    impl ModuleVisitor for Gradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient =
                self.gradients.get::<D>(param.id).expect("every parameter has a gradient");
            self.values.extend(gradient.into_data().iter::<f32>());
        }
    }

    fn values(model: &Transformer, gradients: &GradientsParams) -> Vec<f32> {
        let mut visitor = Gradients { gradients, values: Vec::new() };
        model.visit(&mut visitor);
        visitor.values
    }

    /// Log-probabilities text by text without gradient checkpointing, and the gradient of their
    /// weighted sum.
    fn without_checkpointing(model: &Transformer, coefficients: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let (mut scored, mut loss, mut used) = (Vec::new(), Tensor::<1>::zeros([1], &device), 0);
        for TokenizedExample { prompt, completions } in texts() {
            for answer in completions {
                let tokens: Vec<i32> = prompt
                    .iter()
                    .chain(&answer[..answer.len() - 1])
                    .map(|token| *token as i32)
                    .collect();
                let length = tokens.len();
                let tokens = Tensor::from_data(TensorData::new(tokens, [1, length]), &device);
                let states = model.hidden(tokens).narrow(0, prompt.len() - 1, answer.len());
                let every = burn::tensor::activation::log_softmax(model.logits(states), 1);
                let targets: Vec<i32> = answer.iter().map(|token| *token as i32).collect();
                let found = every.gather(1, integers(&targets, &device).reshape([answer.len(), 1]));
                let weights = coefficients[used..used + answer.len()].to_vec();
                let weights =
                    Tensor::<2>::from_data(TensorData::new(weights, [answer.len(), 1]), &device);
                used += answer.len();
                scored.extend(found.clone().into_data().iter::<f32>());
                loss = loss + (found * weights).sum();
            }
        }
        (scored, values(model, &GradientsParams::from_grads(loss.backward(), model)))
    }

    #[test]
    fn whatever_is_spared_the_numbers_are_those_of_the_whole_tape() {
        for tied in [true, false] {
            let config = ModelConfig { tie_word_embeddings: tied, ..tiny(23) };
            let model = config.init(&Seed::root(1), &Device::flex().autodiff());
            let count: usize =
                texts().iter().flat_map(|text| &text.completions).map(Vec::len).sum();
            let coefficients: Vec<f32> =
                (0..count).map(|index| 0.3 - 0.02 * index as f32).collect();
            let (expected, expected_gradient) = without_checkpointing(&model, &coefficients);
            let scale = expected_gradient.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let plain = ComputeOptions {
                share_prompts: false,
                sort_by_length: false,
                ..ComputeOptions::default()
            };
            for (compute, gradient_checkpointing) in [
                (plain, GradientCheckpointing::Off),
                (ComputeOptions { share_prompts: true, ..plain }, GradientCheckpointing::Off),
                (ComputeOptions { sort_by_length: true, ..plain }, GradientCheckpointing::Off),
                (ComputeOptions { logits_bytes: 7 * 4 * 23, ..plain }, GradientCheckpointing::Off),
                (plain, GradientCheckpointing::PerBlock),
                (
                    ComputeOptions { logits_bytes: 7 * 4 * 23, ..ComputeOptions::default() },
                    GradientCheckpointing::PerBlock,
                ),
            ] {
                let pass = Pass::new(
                    &model,
                    &texts(),
                    gradient_checkpointing,
                    compute,
                    ForwardOutputs::default(),
                );
                let near = |(ours, theirs): (&f32, &f32)| (ours - theirs).abs() < 1e-5;
                assert!(
                    pass.forward.log_probabilities.iter().zip(&expected).all(near),
                    "{compute:?} {gradient_checkpointing:?}"
                );
                let found = values(&model, &pass.backward(&model, &coefficients, true));
                for (ours, theirs) in found.iter().zip(&expected_gradient) {
                    assert!(
                        (ours - theirs).abs() < 1e-5 * scale,
                        "{compute:?} {gradient_checkpointing:?}: {ours} {theirs}"
                    );
                }
            }
        }
    }

    /// Log-probabilities and gradients of all trained parameters.
    fn bits(
        model: &Transformer,
        compute: ComputeOptions,
        checkpointing: GradientCheckpointing,
    ) -> (Vec<f32>, Vec<f32>) {
        let pass = Pass::new(model, &texts(), checkpointing, compute, ForwardOutputs::default());
        let scored = pass.forward.log_probabilities.clone();
        let coefficients: Vec<f32> =
            (0..scored.len()).map(|index| 0.3 - 0.02 * index as f32).collect();
        let gradients = pass.backward(model, &coefficients, model.head_is_trained());
        let mut visitor = TrainedGradients { gradients: &gradients, values: Vec::new() };
        model.visit(&mut visitor);
        (scored, visitor.values)
    }

    struct TrainedGradients<'a> {
        gradients: &'a GradientsParams,
        values: Vec<f32>,
    }

    impl ModuleVisitor for TrainedGradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.get::<D>(param.id);
            self.values.extend(
                gradient
                    .into_iter()
                    .flat_map(|found| found.into_data().iter::<f32>().collect::<Vec<f32>>()),
            );
        }
    }

    /// Free memory may choose checkpointing, which the key of a stage does not have. Of pieces only
    /// the gradient of a trained head is a sum.
    #[test]
    fn neither_checkpointing_nor_pieces_of_logits_change_a_bit_on_the_cpu() {
        let whole = ComputeOptions::default();
        // Two pieces of 25 tokens.
        let pieces = ComputeOptions { logits_bytes: 30 * 4 * 23, ..whole };
        for (is_half, is_adapter, tie_word_embeddings) in [
            (false, false, true),
            (false, false, false),
            (true, false, true),
            (false, true, true),
            (true, true, false),
        ] {
            let config = ModelConfig { tie_word_embeddings, ..tiny(23) };
            let mut model = config.init(&Seed::root(1), &Device::flex());
            if is_half {
                model.computes_in = crate::model::NumberFormat::BFloat16;
            }
            if is_adapter {
                add_adapter(&mut model);
            }
            let mut model = model.train().set_require_grad_group(ParamGroup::all(), !is_adapter);
            if is_adapter {
                let updates = ParamGroup::from_predicate("updates");
                model = model.set_require_grad_group(updates, true);
            }
            let expected = bits(&model, whole, GradientCheckpointing::Off);
            assert!(expected.1.iter().any(|gradient| *gradient != 0.0));
            assert!(expected == bits(&model, whole, GradientCheckpointing::PerBlock));
            let in_pieces = bits(&model, pieces, GradientCheckpointing::Off);
            assert!(expected.0 == in_pieces.0);
            assert!(!is_adapter || expected.1 == in_pieces.1);
        }
    }

    #[test]
    fn prompts_are_scored_from_their_second_token_on() {
        let model = tiny(23).init(&Seed::root(1), &Device::flex().autodiff());
        let text = TokenizedExample { prompt: vec![1, 5, 9, 4], completions: vec![vec![3, 8]] };
        let outputs = ForwardOutputs { prompts: true, collisions: true };
        let pass = Pass::new(
            &model,
            &[text],
            GradientCheckpointing::Off,
            ComputeOptions::default(),
            outputs,
        );
        let by_part = pass.scoring.split(&pass.forward.log_probabilities);
        let whole = TokenizedExample { prompt: vec![1], completions: vec![vec![5, 9, 4, 3, 8]] };
        let expected =
            log_probabilities(&model.valid(), &[whole], 100, ComputeOptions::default(), |_| ());
        let found = [by_part[1].as_slice(), &by_part[0]].concat();
        assert!(found.iter().zip(&expected[0][0]).all(|(one, other)| (one - other).abs() < 1e-5));
        assert!(
            pass.forward
                .collisions
                .iter()
                .all(|collision| *collision < 0.0 && *collision > -(23f32.ln()) - 1e-4)
        );
    }
}
