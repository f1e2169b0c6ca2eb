//! From derivatives by token to gradients of parameters, with or without gradient checkpointing.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use serde::Deserialize;

use super::{
    likelihood::{Forward, forward, scored_states},
    tokenized::{ComputeOptions, Scoring, TokenizedExample},
};
use crate::model::{Packed, Transformer};

/// Which intermediate states the forward pass keeps for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientCheckpointing {
    /// All intermediate states.
    #[default]
    Off,
    /// The states before each block; all others are recomputed (Chen et al. 2016, arXiv
    /// 1604.06174).
    PerBlock,
}

/// A forward pass over tokenized examples in training.
pub(super) struct Pass {
    pub scoring: Scoring,
    pub forward: Forward,
    /// The states `[tokens, hidden]` before each block and after the last one, without autodiff;
    /// empty without gradient checkpointing.
    remembered: Vec<Tensor<2>>,
}

/// What a forward pass computes besides the log-probabilities of completions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ForwardOutputs {
    /// Log-probabilities of prompts.
    pub prompts: bool,
    /// Sums of squared probabilities, for WPO weights.
    pub collisions: bool,
}

impl Pass {
    pub(super) fn new(
        model: &Transformer,
        texts: &[TokenizedExample],
        gradient_checkpointing: GradientCheckpointing,
        compute: ComputeOptions,
        outputs: ForwardOutputs,
    ) -> Self {
        let ForwardOutputs { prompts, collisions } = outputs;
        let device = model.embedding.val().device();
        let scoring = Scoring::new(&model.config, texts, prompts, compute, &device);
        let (states, remembered) = match gradient_checkpointing {
            GradientCheckpointing::Off => (scored_states(model, &scoring), Vec::new()),
            GradientCheckpointing::PerBlock => {
                // Blocks run without autodiff, on a layout whose tensors have none either.
                let (plain, device) = (model.valid(), device.inner());
                let layout = Scoring::new(&model.config, texts, prompts, compute, &device);
                let remembered = block_states(&plain, &layout.packed);
                let last = remembered.last().expect("there are the states after the last block");
                (layout.predicting(plain.last_norm(last.clone())), remembered)
            }
        };
        let forward = forward(model, states, &scoring, compute, collisions);
        Self { scoring, forward, remembered }
    }

    /// The gradients of the sum of `coefficient * log-probability` by all trained parameters.
    ///
    /// # Shapes
    /// `coefficients`: `[scored tokens]`
    pub(super) fn backward(
        mut self,
        model: &Transformer,
        coefficients: &[f32],
        learn_head: bool,
    ) -> GradientsParams {
        // Nothing is remembered without gradient checkpointing: autodiff has the whole tape.
        let Some(last) = self.remembered.pop() else {
            let surrogate = self.forward.surrogate(model, coefficients, learn_head);
            return GradientsParams::from_grads(surrogate.backward(), model);
        };
        let gradient = self.forward.gradient(model, coefficients, learn_head);
        let last = Tensor::from_inner(last).require_grad();
        let scored = self.scoring.predicting(model.last_norm(last.clone()));
        let mut surrogate = (scored * Tensor::from_inner(gradient.by_states)).sum();
        if let Some(by_head) = gradient.by_head {
            surrogate = surrogate + (model.head() * Tensor::from_inner(by_head)).sum();
        }
        let gradients = surrogate.backward();
        let mut by_states = last.grad(&gradients).expect("the loss depends on the last states");
        let mut found = GradientsParams::from_grads(gradients, model);
        // Each block's forward pass is repeated with autodiff, and its tape is dropped before the
        // next block's is made: at most one is in memory.
        for (block, input) in model.blocks.iter().zip(self.remembered).rev() {
            let input = Tensor::from_inner(input).require_grad();
            let output = block.forward(input.clone(), &model.config, &self.scoring.packed);
            // A scalar whose gradient is that of the loss through this block, given its gradient by
            // the block's output.
            let gradients = (output * Tensor::from_inner(by_states)).sum().backward();
            by_states = input.grad(&gradients).expect("a block's output depends on its input");
            add(&mut found, GradientsParams::from_grads(gradients, block), block);
        }
        // A frozen embedding needs no gradient, and computing it would take a table of its size.
        if model.embedding.is_require_grad() {
            let gradients = (model.embed(self.scoring.packed.tokens.clone())
                * Tensor::from_inner(by_states))
            .sum()
            .backward();
            add(&mut found, GradientsParams::from_grads(gradients, model), model);
        }
        found
    }
}

/// The states before each block and after the last one.
///
/// # Shapes
/// One tensor `[tokens, hidden]` per block, and one more.
fn block_states(model: &Transformer, packed: &Packed) -> Vec<Tensor<2>> {
    let mut states = vec![model.embed(packed.tokens.clone())];
    for (block, number) in model.blocks.iter().zip(0..) {
        states.push(block.forward(states[number].clone(), &model.config, packed));
    }
    states
}

/// Adds the gradients of a module's parameters to others.
fn add<M: Module>(sum: &mut GradientsParams, more: GradientsParams, module: &M) {
    module.visit(&mut Adder { sum, more });
}

struct Adder<'a> {
    sum: &'a mut GradientsParams,
    more: GradientsParams,
}

impl ModuleVisitor for Adder<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.more.remove::<D>(param.id) else { return };
        // Tied weights get gradients as embedding and as output layer.
        let gradient = match self.sum.remove::<D>(param.id) {
            Some(other) => other + gradient,
            None => gradient,
        };
        self.sum.register(param.id, gradient);
    }
}
