//! The likelihood of tokens, and its gradient without a tape through the vocabulary.
//!
//! Every objective here is a function of the tokens' log-probabilities. Once its derivative by each of them, c, is known,
//! the gradient by the logits is c (onehot - softmax), which is formed on plain tensors, a chunk of tokens at a time, and
//! handed to the tape as a constant.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};

use super::answered::{Answered, Savings, Scoring};
use crate::model::{TokenProbabilities, Transformer, token_probabilities};

/// A forward pass that remembers what its gradient needs.
pub(super) struct Forward {
    /// [scored tokens, hidden] the states that predict them, on the tape where there is one.
    states: Tensor<2>,
    /// The chunks' probabilities, where they are few enough to be kept.
    kept: Option<Vec<Tensor<2>>>,
    targets: Vec<i32>,
    at_once: usize,
    /// Of each scored token.
    pub log_probabilities: Vec<f32>,
    /// Whether each scored token is the most probable one.
    pub is_likeliest: Vec<bool>,
    /// The entropy of the distribution where each scored token stands, in nats.
    pub entropies: Vec<f32>,
    /// The mean of the logits there.
    pub mean_logits: Vec<f32>,
    /// The logarithm of the sum of squared probabilities where each scored token stands; empty where it is not asked for.
    pub collisions: Vec<f32>,
}

/// Gradients by what the log-probabilities are computed from.
pub(super) struct Gradient {
    /// [scored tokens, hidden]
    pub by_states: Tensor<2>,
    /// [vocabulary, hidden], where the output layer is trained.
    pub by_head: Option<Tensor<2>>,
}

/// Chunks are kept up to this many numbers; more are computed a second time.
const KEPT: usize = 1 << 26;

/// The states that predict the scored tokens [scored tokens, hidden].
pub(super) fn scored_states(model: &Transformer, scoring: &Scoring) -> Tensor<2> {
    let states = model.states(&scoring.packed);
    let predictors = integers(&scoring.predictors, &states.device());
    states.select(0, predictors)
}

/// Scores tokens from the states that predict them; `collisions`: whether these are wanted.
pub(super) fn forward(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &Scoring,
    at_once: usize,
    collisions: bool,
) -> Forward {
    let mut found = Forward {
        states: states.clone(),
        kept: Some(Vec::new()).filter(|_: &Vec<Tensor<2>>| scoring.targets.len() * model.config.vocab_size <= KEPT),
        targets: scoring.targets.clone(),
        at_once,
        log_probabilities: Vec::with_capacity(scoring.targets.len()),
        is_likeliest: Vec::with_capacity(scoring.targets.len()),
        entropies: Vec::with_capacity(scoring.targets.len()),
        mean_logits: Vec::with_capacity(scoring.targets.len()),
        collisions: Vec::new(),
    };
    for chunk in chunks(model, states.without_autodiff(), scoring, at_once) {
        found.log_probabilities.extend(chunk.log_probabilities);
        found.is_likeliest.extend(chunk.is_likeliest);
        found.entropies.extend(chunk.entropies);
        found.mean_logits.extend(chunk.mean_logits);
        if collisions {
            found.collisions.extend(floats(chunk.probabilities.clone().powi_scalar(2).sum_dim(1).log()));
        }
        if let Some(kept) = &mut found.kept {
            kept.push(chunk.probabilities);
        }
    }
    found
}

/// What is known of the scored tokens, so many at a time.
fn chunks(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &Scoring,
    at_once: usize,
) -> impl Iterator<Item = TokenProbabilities> {
    logits(model, states, scoring, at_once).map(|(logits, targets)| token_probabilities(logits, targets))
}

/// The logits where scored tokens stand [tokens, vocabulary], with these tokens, so many at a time.
pub(super) fn logits<'a>(
    model: &Transformer,
    states: Tensor<2>,
    scoring: &'a Scoring,
    at_once: usize,
) -> impl Iterator<Item = (Tensor<2>, &'a [i32])> + use<'a> {
    let head = model.head().without_autodiff().transpose();
    scoring.targets.chunks(at_once).enumerate().map(move |(number, targets)| {
        let states = states.clone().narrow(0, number * at_once, targets.len());
        (states.matmul(head.clone()), targets)
    })
}

/// Which texts go through a model together: those of similar length, about `batch_tokens` tokens at a time.
pub(super) fn groups(answered: &[Answered], batch_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..answered.len()).collect();
    order.sort_by_key(|&index| (answered[index].length(), index));
    let mut rest = order.as_slice();
    let mut groups = Vec::new();
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |index: &&usize| {
            tokens += answered[**index].tokens();
            tokens <= batch_tokens
        };
        let (group, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        groups.push(group.to_vec());
        rest = others;
    }
    groups
}

/// The log-probability of each token of each answer, in the steps of training, about `batch_tokens` tokens at a time.
pub fn log_probabilities(
    model: &Transformer,
    answered: &[Answered],
    batch_tokens: usize,
    savings: Savings,
    mut progress: impl FnMut(usize),
) -> Vec<Vec<Vec<f32>>> {
    let device = model.embedding.val().device();
    let mut found: Vec<Vec<Vec<f32>>> = vec![Vec::new(); answered.len()];
    let mut done = 0;
    for group in groups(answered, batch_tokens) {
        let texts: Vec<Answered> = group.iter().map(|index| answered[*index].clone()).collect();
        let scoring = Scoring::new(&model.config, &texts, false, savings, &device);
        let states = scored_states(model, &scoring);
        let scored = chunks(model, states, &scoring, savings.logits_at_once);
        let scored: Vec<f32> = scored.flat_map(|chunk| chunk.log_probabilities).collect();
        let mut by_answer = scoring.split(&scored).into_iter();
        for index in &group {
            found[*index] = by_answer.by_ref().take(answered[*index].answers.len()).collect();
        }
        done += group.len();
        progress(done);
    }
    found
}

fn floats(column: Tensor<2>) -> Vec<f32> {
    column.into_data().try_to_vec().expect("probabilities are float32")
}

pub(super) fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

impl Forward {
    /// The gradient of the sum of `coefficient * log-probability`.
    ///
    /// `learn_head`: whether the head (for tied weights: the embedding) is among the parameters that are trained.
    pub(super) fn gradient(&self, model: &Transformer, coefficients: &[f32], learn_head: bool) -> Gradient {
        let states = self.states.clone().without_autodiff();
        let device = states.device();
        let head = model.head().without_autodiff();
        let mut by_states = Vec::new();
        let mut by_head: Option<Tensor<2>> = None;
        for (number, targets) in self.targets.chunks(self.at_once).enumerate() {
            let (first, count) = (number * self.at_once, targets.len());
            let states = states.clone().narrow(0, first, count);
            let probabilities = match &self.kept {
                Some(kept) => kept[number].clone(),
                None => token_probabilities(states.clone().matmul(head.clone().transpose()), targets).probabilities,
            };
            let format = head.dtype();
            let probabilities = probabilities.cast(format);
            let targets = integers(targets, &device);
            let coefficients = TensorData::new(coefficients[first..first + count].to_vec(), [count, 1]);
            let coefficients = Tensor::<2>::from_data(coefficients, (&device, format));
            let expected = probabilities.clone().matmul(head.clone());
            by_states.push((head.clone().select(0, targets.clone()) - expected) * coefficients.clone());
            if learn_head {
                let weighted = states * coefficients;
                let by_chunk = probabilities.transpose().matmul(weighted.clone()).neg();
                let by_chunk = by_chunk.select_assign(0, targets, weighted, IndexingUpdateOp::Add);
                by_head = Some(match by_head {
                    Some(sum) => sum + by_chunk,
                    None => by_chunk,
                });
            }
        }
        Gradient { by_states: Tensor::cat(by_states, 0), by_head }
    }

    /// A scalar whose gradient by the model's parameters is that of the sum of `coefficient * log-probability`.
    pub(super) fn surrogate(self, model: &Transformer, coefficients: &[f32], learn_head: bool) -> Tensor<1> {
        let Gradient { by_states, by_head } = self.gradient(model, coefficients, learn_head);
        let surrogate = (self.states * Tensor::from_inner(by_states)).sum();
        match by_head {
            Some(by_head) => surrogate + (model.head() * Tensor::from_inner(by_head)).sum(),
            None => surrogate,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use burn::{
        module::{Module, ModuleVisitor, Param},
        optim::GradientsParams,
    };

    use super::*;
    use crate::{
        model::ModelConfig,
        seed::Seed,
        tuning::{
            Tape,
            backward::{Pass, Wishes},
            trainer::tests::tiny,
        },
    };

    struct Gradients<'a> {
        gradients: &'a GradientsParams,
        values: Vec<f32>,
    }

    impl ModuleVisitor for Gradients<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.get::<D>(param.id).expect("every parameter has a gradient");
            self.values.extend(gradient.into_data().iter::<f32>());
        }
    }

    fn values(model: &Transformer, gradients: &GradientsParams) -> Vec<f32> {
        let mut visitor = Gradients { gradients, values: Vec::new() };
        model.visit(&mut visitor);
        visitor.values
    }

    /// Prompts of several lengths, each with two answers.
    pub(in crate::tuning) fn texts() -> Vec<Answered> {
        let answer = |first: u32, size: u32| (first..first + size).collect::<Vec<u32>>();
        (1..6)
            .map(|size| Answered {
                prompt: vec![1; size as usize],
                answers: vec![answer(3, 2 * size), answer(5, 7 - size)],
            })
            .collect()
    }

    /// Log-probabilities one text after the other through a whole tape, and the gradient of their weighted sum.
    fn by_the_whole_tape(model: &Transformer, coefficients: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let (mut scored, mut loss, mut used) = (Vec::new(), Tensor::<1>::zeros([1], &device), 0);
        for Answered { prompt, answers } in texts() {
            for answer in answers {
                let tokens: Vec<i32> =
                    prompt.iter().chain(&answer[..answer.len() - 1]).map(|token| *token as i32).collect();
                let length = tokens.len();
                let tokens = Tensor::from_data(TensorData::new(tokens, [1, length]), &device);
                let states = model.hidden(tokens).narrow(0, prompt.len() - 1, answer.len());
                let every = burn::tensor::activation::log_softmax(model.logits(states), 1);
                let targets: Vec<i32> = answer.iter().map(|token| *token as i32).collect();
                let found = every.gather(1, integers(&targets, &device).reshape([answer.len(), 1]));
                let weights = coefficients[used..used + answer.len()].to_vec();
                let weights = Tensor::<2>::from_data(TensorData::new(weights, [answer.len(), 1]), &device);
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
            let count: usize = texts().iter().flat_map(|text| &text.answers).map(Vec::len).sum();
            let coefficients: Vec<f32> = (0..count).map(|index| 0.3 - 0.02 * index as f32).collect();
            let (expected, expected_gradient) = by_the_whole_tape(&model, &coefficients);
            let scale = expected_gradient.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let plain = Savings { share_prompts: false, sort_by_length: false, logits_at_once: 4096 };
            for (savings, tape) in [
                (plain, Tape::Whole),
                (Savings { share_prompts: true, ..plain }, Tape::Whole),
                (Savings { sort_by_length: true, ..plain }, Tape::Whole),
                (Savings { logits_at_once: 7, ..plain }, Tape::Whole),
                (plain, Tape::Blocks),
                (Savings { logits_at_once: 7, ..Savings::default() }, Tape::Blocks),
            ] {
                let pass = Pass::new(&model, &texts(), tape, savings, Wishes::default());
                let near = |(ours, theirs): (&f32, &f32)| (ours - theirs).abs() < 1e-5;
                assert!(pass.forward.log_probabilities.iter().zip(&expected).all(near), "{savings:?} {tape:?}");
                let found = values(&model, &pass.backward(&model, &coefficients, true));
                for (ours, theirs) in found.iter().zip(&expected_gradient) {
                    assert!((ours - theirs).abs() < 1e-5 * scale, "{savings:?} {tape:?}: {ours} {theirs}");
                }
            }
        }
    }

    #[test]
    fn prompts_are_scored_from_their_second_token_on() {
        let model = tiny(23).init(&Seed::root(1), &Device::flex().autodiff());
        let text = Answered { prompt: vec![1, 5, 9, 4], answers: vec![vec![3, 8]] };
        let wishes = Wishes { prompts: true, collisions: true };
        let pass = Pass::new(&model, &[text], Tape::Whole, Savings::default(), wishes);
        let by_part = pass.scoring.split(&pass.forward.log_probabilities);
        let whole = Answered { prompt: vec![1], answers: vec![vec![5, 9, 4, 3, 8]] };
        let expected = log_probabilities(&model.valid(), &[whole], 100, Savings::default(), |_| ());
        let found = [by_part[1].as_slice(), &by_part[0]].concat();
        assert!(found.iter().zip(&expected[0][0]).all(|(one, other)| (one - other).abs() < 1e-5));
        assert!(pass.forward.collisions.iter().all(|collision| *collision < 0.0 && *collision > -(23f32.ln()) - 1e-4));
    }
}
