//! The operations on tensors with autodiff.

use std::sync::Arc;

use burn::backend::{
    Autodiff,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    tensor::FloatTensor,
};

use super::{
    attention::AttentionLayout,
    extension::{FusedGradients, FusedOperations},
};

impl<B, C> FusedOperations for Autodiff<B, C>
where
    B: FusedOperations + FusedGradients,
    C: CheckpointStrategy,
{
    fn swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = gate_up.node();
        let gate_up = gate_up.into_primitive();
        match Swiglu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(gate_up.clone(), B::swiglu(gate_up)),
            OpsKind::UnTracked(step) => step.finish(B::swiglu(gate_up)),
        }
    }

    fn rms_norm(
        states: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let nodes = [states.node(), scale.node()];
        let (states, scale) = (states.into_primitive(), scale.into_primitive());
        let normed = B::rms_norm(states.clone(), scale.clone(), epsilon);
        match RmsNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((states, scale, epsilon), normed),
            OpsKind::UnTracked(step) => step.finish(normed),
        }
    }

    fn attend(projected: FloatTensor<Self>, layout: Arc<AttentionLayout>) -> FloatTensor<Self> {
        let node = projected.node();
        let projected = projected.into_primitive();
        let mixed = B::attend(projected.clone(), layout.clone());
        match Attend.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish((projected, layout), mixed),
            OpsKind::UnTracked(step) => step.finish(mixed),
        }
    }

    fn multiply_half(input: FloatTensor<Self>, matrix: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = input.node();
        let (input, matrix) = (input.into_primitive(), matrix.into_primitive());
        let product = B::multiply_half(input, matrix.clone());
        match MultiplyHalf.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(matrix, product),
            OpsKind::UnTracked(step) => step.finish(product),
        }
    }
}

#[derive(Debug)]
struct Swiglu;

impl<B: FusedGradients> Backward<B, 1> for Swiglu {
    type State = FloatTensor<B>;

    fn backward(self, step: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(step.parents, step.node, grads, |gradient| {
            B::swiglu_gradient(step.state, gradient)
        });
    }
}

#[derive(Debug)]
struct RmsNorm;

impl<B: FusedGradients> Backward<B, 2> for RmsNorm {
    /// States, scale and epsilon.
    type State = (FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, step: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&step.node);
        let (states, scale, epsilon) = step.state;
        let [by_states, by_scale] = step.parents;
        // Adapters leave the scale frozen, and then nobody asks for its gradient.
        if let Some(node) = by_scale {
            let found = B::rms_norm_scale_gradient(states.clone(), gradient.clone(), epsilon);
            grads.register::<B>(node.id, found);
        }
        if let Some(node) = by_states {
            let found = B::rms_norm_gradient(states, scale, gradient, epsilon);
            grads.register::<B>(node.id, found);
        }
    }
}

#[derive(Debug)]
struct Attend;

impl<B: FusedGradients> Backward<B, 1> for Attend {
    type State = (FloatTensor<B>, Arc<AttentionLayout>);

    fn backward(self, step: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (projected, layout) = step.state;
        unary::<B, _>(step.parents, step.node, grads, |gradient| {
            B::attend_gradient(projected, gradient, &layout)
        });
    }
}

#[derive(Debug)]
struct MultiplyHalf;

impl<B: FusedOperations> Backward<B, 1> for MultiplyHalf {
    type State = FloatTensor<B>;

    fn backward(self, step: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(step.parents, step.node, grads, |gradient| {
            B::multiply_half(gradient, B::float_transpose(step.state))
        });
    }
}
