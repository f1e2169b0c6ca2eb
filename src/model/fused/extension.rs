//! The operations as an extension of Burn's backends, and what the CPU backend computes for them.

use std::sync::Arc;

use burn::{
    backend::{Backend, Flex, backend_extension, tensor::FloatTensor},
    tensor::{TensorData, bf16},
};
use burn_flex::FlexTensor;

use super::{
    attention::{AttentionLayout, attend, attend_gradient},
    half_matrix::{self, HalfMatrix, StorageOrder},
    rows,
};

/// Operations that the CPU computes in one pass; shapes as in [`super`].
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOperations: Backend {
    /// SwiGLU.
    fn swiglu(gate_up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Root-mean-square norm.
    fn rms_norm(
        states: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Attention of texts.
    fn attend(projected: FloatTensor<Self>, layout: Arc<AttentionLayout>) -> FloatTensor<Self>;

    /// The product with a frozen bfloat16 matrix.
    fn multiply_half(input: FloatTensor<Self>, matrix: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Their gradients; `gradient` is the one by the output.
pub(super) trait FusedGradients: Backend {
    /// By gate and value side by side.
    fn swiglu_gradient(
        gate_up: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// By the states.
    fn rms_norm_gradient(
        states: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// By the scale.
    fn rms_norm_scale_gradient(
        states: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// By the projected states.
    fn attend_gradient(
        projected: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        layout: &AttentionLayout,
    ) -> FloatTensor<Self>;
}

impl FusedOperations for Flex {
    fn swiglu(gate_up: FlexTensor) -> FlexTensor {
        let [rows, double] = sides(&gate_up);
        let gate_up = gate_up.to_contiguous();
        with_shape(rows::swiglu(numbers(&gate_up), double / 2), vec![rows, double / 2])
    }

    fn rms_norm(states: FlexTensor, scale: FlexTensor, epsilon: f64) -> FlexTensor {
        let (shape, states, scale) =
            (states.layout().shape().to_vec(), states.to_contiguous(), scale.to_contiguous());
        with_shape(rows::rms_norm(numbers(&states), numbers(&scale), epsilon), shape)
    }

    fn attend(projected: FlexTensor, layout: Arc<AttentionLayout>) -> FlexTensor {
        let [tokens, _] = sides(&projected);
        let projected = projected.to_contiguous();
        with_shape(attend(numbers(&projected), &layout), vec![tokens, layout.heads.output_width()])
    }

    fn multiply_half(input: FlexTensor, matrix: FlexTensor) -> FlexTensor {
        let ([rows, _], sides) = (sides(&input), sides(&matrix));
        let input = input.to_contiguous();
        // A transposed matrix is read where it is: copying it would take longer than the product.
        let is_transposed = matrix.layout().strides() == [1, sides[0] as isize];
        let order = if is_transposed { StorageOrder::ByOutput } else { StorageOrder::ByInput };
        let matrix = if is_transposed { matrix } else { matrix.to_contiguous() };
        let halves = &matrix.storage::<bf16>()[matrix.layout().start_offset()..];
        let matrix = HalfMatrix { numbers: halves, sides, order };
        with_shape(half_matrix::multiply(numbers(&input), matrix), vec![rows, sides[1]])
    }
}

impl FusedGradients for Flex {
    fn swiglu_gradient(gate_up: FlexTensor, gradient: FlexTensor) -> FlexTensor {
        let [rows, double] = sides(&gate_up);
        let (gate_up, gradient) = (gate_up.to_contiguous(), gradient.to_contiguous());
        let found = rows::swiglu_gradient(numbers(&gate_up), numbers(&gradient), double / 2);
        with_shape(found, vec![rows, double])
    }

    fn rms_norm_gradient(
        states: FlexTensor,
        scale: FlexTensor,
        gradient: FlexTensor,
        epsilon: f64,
    ) -> FlexTensor {
        let shape = states.layout().shape().to_vec();
        let [states, scale, gradient] =
            [states, scale, gradient].map(|tensor| tensor.to_contiguous());
        let (states, scale, gradient) = (numbers(&states), numbers(&scale), numbers(&gradient));
        with_shape(rows::rms_norm_gradient(states, scale, gradient, epsilon), shape)
    }

    fn rms_norm_scale_gradient(
        states: FlexTensor,
        gradient: FlexTensor,
        epsilon: f64,
    ) -> FlexTensor {
        let width = *states.layout().shape().last().expect("states have an axis");
        let (states, gradient) = (states.to_contiguous(), gradient.to_contiguous());
        let (states, gradient) = (numbers(&states), numbers(&gradient));
        with_shape(rows::rms_norm_scale_gradient(states, gradient, width, epsilon), vec![width])
    }

    fn attend_gradient(
        projected: FlexTensor,
        gradient: FlexTensor,
        layout: &AttentionLayout,
    ) -> FlexTensor {
        let shape = sides(&projected).to_vec();
        let (projected, gradient) = (projected.to_contiguous(), gradient.to_contiguous());
        with_shape(attend_gradient(numbers(&projected), numbers(&gradient), layout), shape)
    }
}

/// Rows and columns of a matrix.
pub(super) fn sides(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

/// The numbers of a contiguous tensor.
pub(super) fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the tensor is contiguous and float32")
}

pub(super) fn with_shape(numbers: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(numbers, shape))
}
