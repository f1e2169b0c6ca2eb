//! The operations on tensors of a model.

use std::sync::Arc;

use burn::{
    backend::{Dispatch, Flex},
    tensor::{DType, Tensor},
};
use burn_flex::FlexTensor;

use super::{
    attention::AttentionLayout,
    cached::{self, NewPositions},
    extension::{FusedOperations, numbers, sides, with_shape},
    few_rows,
};
use crate::model::device::{is_cpu, products_in_a_block};

/// Whether a tensor is in host memory and float32.
pub(in crate::model) fn is_fusible<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_cpu(&tensor.device())
}

/// SwiGLU (Shazeer 2020, arXiv 2002.05202) of gate and value side by side.
///
/// # Shapes
/// - gate_up: [rows, 2 * width]
/// - output: [rows, width]
pub(in crate::model) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::swiglu(gate_up.into_dispatch()))
}

/// Root-mean-square norm (Zhang and Sennrich 2019, arXiv 1910.07467) over the last axis.
///
/// # Shapes
/// - states, output: [.., width]
/// - scale: [width]
pub(in crate::model) fn rms_norm<const D: usize>(
    states: Tensor<D>,
    scale: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let normed = Dispatch::rms_norm(states.into_dispatch(), scale.into_dispatch(), epsilon);
    Tensor::from_dispatch(normed)
}

/// The product of states with a matrix, in the states' format. Of float32 states with a bfloat16
/// matrix on the CPU: inputs are rounded to bfloat16, and the matrix has no gradient.
///
/// # Shapes
/// - input: [rows, in]
/// - matrix: [in, out]
/// - output: [rows, out]
pub fn multiply(input: Tensor<2>, matrix: Tensor<2>) -> Tensor<2> {
    if is_fusible(&input) && matrix.dtype() == DType::BF16 {
        let product = Dispatch::multiply_half(input.into_dispatch(), matrix.into_dispatch());
        return Tensor::from_dispatch(product);
    }
    let matrix = matrix.cast(input.dtype());
    multiply_few_rows(&input, &matrix).unwrap_or_else(|| input.matmul(matrix))
}

/// The product of rows with a matrix, if it pays: without gradients, of few rows, with a matrix
/// whose rows follow one another.
fn multiply_few_rows(input: &Tensor<2>, matrix: &Tensor<2>) -> Option<Tensor<2>> {
    let [rows, _] = input.dims();
    if rows > few_rows::MOST || !is_fusible(input) {
        return None;
    }
    // Autodiff does not know this product, and training has many rows.
    let (input, matrix) = (plain(input)?, plain(matrix)?);
    let ([_, inputs], [_, columns]) = (sides(&input), sides(&matrix));
    let (input, summed) = (input.to_contiguous(), products_in_a_block(inputs));
    let product = few_rows::multiply(numbers(&input), matrix.as_slice()?, columns, summed);
    Some(Tensor::from_primitive::<Flex>(with_shape(product, vec![rows, columns])))
}

/// The CPU backend's tensor, of a tensor without autodiff.
pub(super) fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// Rotated queries, and rotated keys with values, of new positions, without gradients.
///
/// # Shapes
/// - projected: [batch * time, (heads + 2 * kv heads) * head]
/// - queries: [batch, kv heads, heads / kv heads * time, head]
/// - keys, values: [batch, kv heads, time, head]
pub(in crate::model) fn split_heads(
    projected: Tensor<2>,
    positions: &NewPositions,
) -> (Tensor<4>, (Tensor<4>, Tensor<4>)) {
    let projected = plain(&projected).expect("these states are on the CPU, without autodiff");
    let [query, key, value] =
        cached::split(&projected, positions).map(Tensor::from_primitive::<Flex>);
    (query, (key, value))
}

/// Attention of new positions to all up to their own, at most `window` of them, without gradients.
///
/// # Shapes
/// - query: [batch, kv heads, heads / kv heads * time, head]
/// - key, value: [batch, kv heads, positions, head]
/// - output: [batch * time, heads * head]
pub(in crate::model) fn attend_to(
    query: Tensor<4>,
    (key, value): (Tensor<4>, Tensor<4>),
    positions: &NewPositions,
    window: usize,
) -> Tensor<2> {
    let [query, key, value] = [query, key, value]
        .map(|states| plain(&states).expect("these states are on the CPU, without autodiff"));
    Tensor::from_primitive::<Flex>(cached::attend(&query, (&key, &value), positions, window))
}

/// Causal attention of texts with rotary embeddings and grouped queries; no score is written to
/// memory beyond a block of queries.
///
/// # Shapes
/// - projected: [tokens, (heads + 2 * kv heads) * head]
/// - output: [tokens, heads * head]
pub(in crate::model) fn attend(projected: Tensor<2>, layout: Arc<AttentionLayout>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::attend(projected.into_dispatch(), layout))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData, activation};

    use super::*;
    use crate::{model::fused::PackedMatrix, seed::Seed};

    fn random(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
        let mut stream = Seed::root(seed).stream();
        let numbers: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal() as f32).collect();
        Tensor::from_data(TensorData::new(numbers, shape), device)
    }

    /// The value of an operation, and the gradients of a weighted sum by its inputs.
    fn value_and_gradients(
        inputs: &[Tensor<2>],
        operation: impl Fn(&[Tensor<2>]) -> Tensor<2>,
    ) -> Vec<Vec<f32>> {
        let inputs: Vec<Tensor<2>> =
            inputs.iter().map(|input| input.clone().detach().require_grad()).collect();
        let value = operation(&inputs);
        let weights = random(value.dims(), 9, &value.device());
        let gradients = (value.clone() * weights).sum().backward();
        let mut found = vec![value.into_data().try_to_vec().unwrap()];
        for input in inputs {
            found.push(input.grad(&gradients).unwrap().into_data().try_to_vec().unwrap());
        }
        found
    }

    fn assert_near(found: &[Vec<f32>], expected: &[Vec<f32>]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let largest = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5 * largest, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn swiglu_is_the_composition_whatever_the_size() {
        let device = Device::flex().autodiff();
        for [rows, width] in [[1, 1], [3, 17], [900, 40]] {
            let input = random([rows, 2 * width], 1, &device) * 4.0;
            let found = value_and_gradients(std::slice::from_ref(&input), |inputs| {
                swiglu(inputs[0].clone())
            });
            let expected = value_and_gradients(&[input], |inputs| {
                let gate = inputs[0].clone().narrow(1, 0, width);
                activation::silu(gate) * inputs[0].clone().narrow(1, width, width)
            });
            assert_near(&found, &expected);
        }
    }

    #[test]
    fn the_norm_is_the_composition_whatever_the_size() {
        let device = Device::flex().autodiff();
        for [rows, width] in [[1, 3], [5, 33], [700, 64]] {
            let inputs = [random([rows, width], 1, &device), random([1, width], 2, &device)];
            let found = value_and_gradients(&inputs, |inputs| {
                rms_norm(inputs[0].clone(), inputs[1].clone().squeeze_dim(0), 1e-5)
            });
            let expected = value_and_gradients(&inputs, |inputs| {
                let mean_square = inputs[0].clone().powi_scalar(2).mean_dim(1);
                inputs[0].clone() * (mean_square + 1e-5).sqrt().recip() * inputs[1].clone()
            });
            assert_near(&found, &expected);
        }
    }

    #[test]
    fn few_rows_have_the_bits_of_many() {
        let device = Device::flex();
        for [inputs, columns] in [[5, 70], [576, 1536], [1536, 576], [1030, 800], [64, 2048]] {
            let (input, matrix) =
                (random([40, inputs], 1, &device), random([inputs, columns], 2, &device));
            let many: Vec<f32> =
                input.clone().matmul(matrix.clone()).into_data().try_to_vec().unwrap();
            for rows in [1, 2, 3, few_rows::MOST] {
                let few = multiply_few_rows(&input.clone().narrow(0, 7, rows), &matrix).unwrap();
                let few: Vec<f32> = few.into_data().try_to_vec().unwrap();
                assert!(few == many[7 * columns..(7 + rows) * columns], "{inputs} x {columns}");
            }
            for matrix in [matrix.clone(), matrix.transpose().mul_scalar(1.0).transpose()] {
                let packed = PackedMatrix::new(&matrix).unwrap();
                for rows in [1, 3, 17, 40] {
                    let found = packed.multiply(&input.clone().narrow(0, 0, rows));
                    let found: Vec<f32> = found.into_data().try_to_vec().unwrap();
                    assert!(found == many[..rows * columns], "{inputs} x {columns}");
                }
            }
        }
        let (input, matrix) = (random([20, 5], 1, &device), random([5, 6], 2, &device));
        assert!(multiply_few_rows(&input, &matrix).is_none());
    }

    #[test]
    fn views_are_read_in_their_order() {
        let device = Device::flex();
        let input = random([6, 9], 1, &device);
        let view = input.clone().transpose().narrow(1, 2, 4);
        let copy = Tensor::<2>::from_data(view.to_data(), &device);
        assert_eq!(swiglu(view).into_data(), swiglu(copy).into_data());
    }
}
