//! From the derivatives of tokens to the gradients of parameters, with all intermediate states in memory or block by block.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use serde::Deserialize;

use super::{
    answered::{Answered, Savings, Scoring},
    likelihood::{Forward, forward, integers, scored_states},
};
use crate::model::Transformer;

/// What is remembered between forward and backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tape {
    /// All intermediate states.
    #[default]
    Whole,
    /// The states before each block; the others are computed a second time (Chen et al. 2016, arXiv 1604.06174).
    Blocks,
}

/// A forward pass over texts in training.
pub(super) struct Pass {
    pub scoring: Scoring,
    pub forward: Forward,
    /// The states before each block, and after the last one, off the tape; empty where the tape holds everything.
    remembered: Vec<Tensor<2>>,
}

/// What a pass does besides scoring answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// Prompts are scored too.
    pub prompts: bool,
    /// The sums of squared probabilities are wanted.
    pub collisions: bool,
}

impl Pass {
    pub(super) fn new(model: &Transformer, texts: &[Answered], tape: Tape, savings: Savings, wishes: Wishes) -> Self {
        let Wishes { prompts, collisions } = wishes;
        let device = model.embedding.val().device();
        let lay_out = |device| Scoring::new(&model.config, texts, prompts, savings, device);
        let scoring = lay_out(&device);
        let mut remembered = Vec::new();
        let states = match tape {
            Tape::Whole => scored_states(model, &scoring),
            Tape::Blocks => {
                let (plain, packed) = (model.valid(), lay_out(&device.clone().inner()).packed);
                let mut states = plain.embed(packed.tokens.clone());
                for block in &plain.blocks {
                    remembered.push(states.clone());
                    states = block.forward(states, &plain.config, &packed);
                }
                remembered.push(states.clone());
                plain.last_norm(states).select(0, integers(&scoring.predictors, &device.clone().inner()))
            }
        };
        let forward = forward(model, states, &scoring, savings.logits_at_once, collisions);
        Self { scoring, forward, remembered }
    }

    /// The gradients of the sum of `coefficient * log-probability`, by all parameters that are trained.
    pub(super) fn backward(mut self, model: &Transformer, coefficients: &[f32], learn_head: bool) -> GradientsParams {
        let Some(last) = self.remembered.pop() else {
            let surrogate = self.forward.surrogate(model, coefficients, learn_head);
            return GradientsParams::from_grads(surrogate.backward(), model);
        };
        let gradient = self.forward.gradient(model, coefficients, learn_head);
        let last = Tensor::from_inner(last).require_grad();
        let predictors = integers(&self.scoring.predictors, &model.embedding.val().device());
        let scored = model.last_norm(last.clone()).select(0, predictors);
        let mut surrogate = (scored * Tensor::from_inner(gradient.by_states)).sum();
        if let Some(by_head) = gradient.by_head {
            surrogate = surrogate + (model.head() * Tensor::from_inner(by_head)).sum();
        }
        let gradients = surrogate.backward();
        let mut by_states = last.grad(&gradients).expect("the loss depends on the last states");
        let mut found = GradientsParams::from_grads(gradients, model);
        for (block, input) in model.blocks.iter().zip(self.remembered).rev() {
            let input = Tensor::from_inner(input).require_grad();
            let output = block.forward(input.clone(), &model.config, &self.scoring.packed);
            let gradients = (output * Tensor::from_inner(by_states)).sum().backward();
            by_states = input.grad(&gradients).expect("a block's output depends on its input");
            add(&mut found, GradientsParams::from_grads(gradients, block), block);
        }
        if model.embedding.is_require_grad() {
            let gradients =
                (model.embed(self.scoring.packed.tokens.clone()) * Tensor::from_inner(by_states)).sum().backward();
            add(&mut found, GradientsParams::from_grads(gradients, model), model);
        }
        found
    }
}

/// Adds gradients of a module's parameters to others.
pub(super) fn add<M: Module>(sum: &mut GradientsParams, more: GradientsParams, module: &M) {
    struct Adder<'a> {
        sum: &'a mut GradientsParams,
        more: GradientsParams,
    }
    impl ModuleVisitor for Adder<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.more.remove::<D>(param.id) else { return };
            let gradient = match self.sum.remove::<D>(param.id) {
                Some(other) => other + gradient,
                None => gradient,
            };
            self.sum.register(param.id, gradient);
        }
    }
    module.visit(&mut Adder { sum, more });
}
