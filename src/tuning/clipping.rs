//! Clipping by the norm of all gradients together, as PyTorch's `clip_grad_norm_` does; Burn clips each parameter alone.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};

/// Scales all gradients so that their common Euclidean norm is at most `limit`; returns the norm before.
pub(super) fn clip<M: Module>(model: &M, gradients: &mut GradientsParams, limit: f64) -> f64 {
    let mut squares = Squares { gradients, sum: 0.0 };
    model.visit(&mut squares);
    let norm = squares.sum.sqrt();
    if norm > limit {
        // PyTorch's epsilon, so that curves agree to the last digit.
        model.visit(&mut Scale { gradients, factor: limit / (norm + 1e-6) });
    }
    norm
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sum: f64,
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            // Along the last axis first: a sum over a whole tensor would depend on the number of threads.
            let squares = gradient.powi_scalar(2).sum_dim(D - 1).into_data().iter::<f64>().sum::<f64>();
            self.sum += squares;
        }
    }
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}
