//! Clipping by the global gradient norm, as PyTorch's `clip_grad_norm_`; Burn clips each parameter
//! alone.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{DType, Tensor},
};

/// Scales all gradients so that their global Euclidean norm is at most `limit`; returns the norm
/// before.
pub(super) fn clip<M: Module>(model: &M, gradients: &mut GradientsParams, limit: f64) -> f64 {
    // The plain squares first: scaled ones are 0 where gradients are small.
    let norm = [1.0, SMALL]
        .into_iter()
        .map(|scale| norm(model, gradients, scale))
        .find(|norm| norm.is_finite());
    let norm = norm.unwrap_or(f64::INFINITY);
    if norm > limit {
        // PyTorch's epsilon, so that curves agree to the last digit.
        model.visit(&mut GradientScale { gradients, factor: limit / (norm + 1e-6) });
    }
    norm
}

/// Scale that keeps squared gradients within the range of float32 where some exceed it.
const SMALL: f64 = 1e-25;

/// The global norm of all gradients, computed on numbers that are scaled before they are squared.
fn norm<M: Module>(model: &M, gradients: &GradientsParams, scale: f64) -> f64 {
    let mut squares = Squares { gradients, scale, sums: Vec::new() };
    model.visit(&mut squares);
    let counts: Vec<usize> = squares.sums.iter().map(|sums| sums.dims()[0]).collect();
    if counts.is_empty() {
        return 0.0;
    }
    // All of them at once, since each reading waits for the device.
    let sums = Tensor::cat(squares.sums, 0).into_data();
    let mut sums = sums.iter::<f64>();
    let by_parameter = counts.into_iter().map(|count| sums.by_ref().take(count).sum::<f64>());
    by_parameter.sum::<f64>().sqrt() / scale
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    scale: f64,
    /// Per parameter, sums of squares along the last axis, in float32.
    sums: Vec<Tensor<1>>,
}

struct GradientScale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        // Frozen parameters have no gradient.
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            // Along the last axis first: a sum over a whole tensor would depend on the number of
            // threads.
            let gradient = if self.scale == 1.0 { gradient } else { gradient * self.scale };
            let sums = gradient.powi_scalar(2).sum_dim(D - 1).cast(DType::F32);
            let count = sums.shape().num_elements();
            self.sums.push(sums.reshape([count]));
        }
    }
}

impl ModuleVisitor for GradientScale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::{module::ParamId, tensor::Device};

    use super::*;

    #[derive(Module, Debug)]
    struct Two {
        first: Param<Tensor<1>>,
        second: Param<Tensor<2>>,
    }

    /// By hand: 3 and 4 have the norm 5, whatever their scale.
    #[test]
    fn the_norm_is_right_where_its_square_is_beyond_float32() {
        let device = Device::flex();
        let model = Two {
            first: Param::initialized(ParamId::from(1), Tensor::zeros([2], &device)),
            second: Param::initialized(ParamId::from(2), Tensor::zeros([1, 2], &device)),
        };
        for scale in [1.0, 1e-3, 1e25, 1e37] {
            let mut gradients = GradientsParams::new();
            gradients
                .register(model.first.id, Tensor::<1>::from_floats([3.0 * scale, 0.0], &device));
            gradients
                .register(model.second.id, Tensor::<2>::from_floats([[0.0, 4.0 * scale]], &device));
            let norm = clip(&model, &mut gradients, 1.0);
            assert!((norm / (5.0 * scale) - 1.0).abs() < 1e-6, "{norm} at {scale}");
            let first = gradients
                .get::<1>(model.first.id)
                .unwrap()
                .into_data()
                .try_to_vec::<f32>()
                .unwrap();
            let expected = if scale < 0.1 { 3e-3 } else { 0.6 };
            assert!((first[0] - expected).abs() < 1e-5, "{first:?} at {scale}");
        }
        let mut gradients = GradientsParams::new();
        gradients.register(model.first.id, Tensor::<1>::from_floats([f32::INFINITY, 0.0], &device));
        assert!(!clip(&model, &mut gradients, 1.0).is_finite());
    }
}
