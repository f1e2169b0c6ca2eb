//! A linear layer: a matrix, perhaps a bias, perhaps low-rank updates that an adapter adds to it.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use rayon::prelude::*;

use crate::model::device::is_cpu;

/// Input times matrix, plus bias, plus the updates of an adapter.
#[derive(Module, Debug)]
pub struct Linear {
    /// [in, out]; several projections of the same input stand side by side.
    pub weight: Param<Tensor<2>>,
    /// [out]
    pub bias: Option<Param<Tensor<1>>>,
    /// Updates of columns, in their order, none of which overlap.
    pub updates: Vec<LowRank>,
}

/// A low-rank update (LoRA, Hu et al. 2021, arXiv 2106.09685) of some columns: scale * input * a * b, never as one matrix.
#[derive(Module, Debug)]
pub struct LowRank {
    /// [in, rank]
    pub a: Param<Tensor<2>>,
    /// [rank, width]
    pub b: Param<Tensor<2>>,
    /// The first of the columns.
    #[module(skip)]
    pub from: usize,
    /// What the product is multiplied by.
    #[module(skip)]
    pub scale: f64,
}

impl Linear {
    /// # Shapes
    /// - input: [rows, in]
    /// - output: [rows, out]
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let mut output = product(input.clone(), self.weight.val());
        if let Some(bias) = &self.bias {
            output = output + bias.val().unsqueeze();
        }
        match self.update(input) {
            Some(update) => output + update,
            None => output,
        }
    }

    /// What the adapter adds: one product through the factors of all updates, side by side and below each other, with zeros
    /// where an update has no columns; they are small beside the states.
    fn update(&self, input: Tensor<2>) -> Option<Tensor<2>> {
        let [_, columns] = self.weight.dims();
        let format = input.dtype();
        let wide = |update: &LowRank| {
            let factor = update.b.val().cast(format) * update.scale;
            let [rank, _] = factor.dims();
            let zeros = |width: usize| Tensor::zeros([rank, width], (&factor.device(), format));
            let parts = [(update.from, None), (0, Some(factor.clone())), (columns - update.end(), None)];
            let parts =
                parts.into_iter().filter_map(|(width, part)| part.or_else(|| (width > 0).then(|| zeros(width))));
            Tensor::cat(parts.collect(), 1)
        };
        let a: Vec<_> = self.updates.iter().map(|update| update.a.val().cast(format)).collect();
        let b: Vec<_> = self.updates.iter().map(wide).collect();
        (!a.is_empty()).then(|| input.matmul(Tensor::cat(a, 1)).matmul(Tensor::cat(b, 0)))
    }

    /// The matrix with all updates in it [in, out].
    pub fn merged_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        self.updates.iter().fold(weight, |weight, update| {
            let [inputs, _] = weight.dims();
            let columns = [0..inputs, update.from..update.end()];
            let format = weight.dtype();
            let product = update.a.val().cast(burn::tensor::DType::F32);
            let product = product.matmul(update.b.val().cast(burn::tensor::DType::F32)) * update.scale;
            let changed = weight.clone().slice(columns.clone()).cast(burn::tensor::DType::F32) + product;
            weight.slice_assign(columns, changed.cast(format))
        })
    }

    /// The same layer with its updates in its matrix.
    pub fn merge(self) -> Self {
        if self.updates.is_empty() {
            return self;
        }
        let merged = self.merged_weight();
        Self { weight: self.weight.map(|_| merged), updates: Vec::new(), ..self }
    }
}

/// From so many multiplications on the CPU backend shares a product out among threads itself.
const SHARED_OUT: usize = 192 * 192 * 192;
/// A matrix of fewer numbers is read sooner than threads are woken.
const LARGE: usize = 1 << 19;

/// Input times matrix. With few rows, reading the matrix takes the time, which one thread does at half the speed of two: on
/// the CPU its columns are shared out, which changes no number.
fn product(input: Tensor<2>, matrix: Tensor<2>) -> Tensor<2> {
    let ([rows, inputs], [_, columns]) = (input.dims(), matrix.dims());
    let (threads, numbers) = (rayon::current_num_threads(), inputs * columns);
    let pays = threads > 1 && numbers > LARGE && rows * numbers < SHARED_OUT;
    if !pays || input.is_autodiff() || !is_cpu(&input.device()) {
        return input.matmul(matrix);
    }
    let width = columns.div_ceil(threads).next_multiple_of(64);
    let part = |from: usize| {
        let columns = matrix.clone().narrow(1, from, width.min(columns - from));
        input.clone().matmul(columns)
    };
    let starts: Vec<usize> = (0..columns).step_by(width).collect();
    Tensor::cat(starts.into_par_iter().map(part).collect(), 1)
}

impl LowRank {
    /// The column after its last.
    pub fn end(&self) -> usize {
        let [_, width] = self.b.dims();
        self.from + width
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::model::architecture::transformer::parameter;

    fn matrix(name: &str, rows: usize, columns: usize) -> Param<Tensor<2>> {
        let values: Vec<f32> = (0..rows * columns).map(|index| ((index * 37 + 11) % 17) as f32 / 8.0 - 1.0).collect();
        parameter(name, Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex()))
    }

    #[test]
    fn updates_change_their_columns_whether_merged_or_not() {
        let update = |from: usize| LowRank { a: matrix("a", 5, 2), b: matrix("b", 2, 3), from, scale: 0.5 };
        let plain = Linear { weight: matrix("w", 5, 12), bias: None, updates: Vec::new() };
        let adapted = Linear { updates: vec![update(1), update(8)], ..plain.clone() };
        let input = matrix("x", 4, 5).val();
        let before: Vec<f32> = plain.forward(input.clone()).into_data().try_to_vec().unwrap();
        let after: Vec<f32> = adapted.forward(input.clone()).into_data().try_to_vec().unwrap();
        let changed: Vec<bool> =
            (0..12).map(|column| (0..4).any(|row| before[row * 12 + column] != after[row * 12 + column])).collect();
        assert_eq!(
            changed.iter().enumerate().filter(|(_, changed)| **changed).map(|(column, _)| column).collect::<Vec<_>>(),
            [1, 2, 3, 8, 9, 10]
        );
        let merged: Vec<f32> = adapted.merge().forward(input).into_data().try_to_vec().unwrap();
        assert!(merged.iter().zip(&after).all(|(one, other)| (one - other).abs() < 1e-5));
    }
}
