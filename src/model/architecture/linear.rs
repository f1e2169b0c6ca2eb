//! A linear layer: a matrix, an optional bias, and optional low-rank updates of an adapter.

use std::sync::Arc;

use burn::{
    module::{Module, Param},
    tensor::{DType, Tensor},
};

use super::Dropout;
use crate::model::fused::{self, PackedMatrix};

/// Input times matrix, plus bias, plus the updates of an adapter.
#[derive(Module, Debug)]
pub struct Linear {
    /// [in, out]; several projections of the same input are concatenated.
    pub weight: Param<Tensor<2>>,
    /// [out]
    pub bias: Option<Param<Tensor<1>>>,
    /// Updates of columns, in order, without overlap.
    pub updates: Vec<LowRank>,
    /// The weight as the CPU reads it while sampling.
    #[module(skip)]
    packed: Option<Arc<PackedMatrix>>,
}

/// A low-rank update (LoRA, Hu et al. 2021, arXiv 2106.09685) of some columns: scale * input * a *
/// b, never as one matrix.
#[derive(Module, Debug)]
pub struct LowRank {
    /// [in, rank]
    pub a: Param<Tensor<2>>,
    /// [rank, width]
    pub b: Param<Tensor<2>>,
    /// The first of the columns.
    #[module(skip)]
    pub from: usize,
    /// Scale of the product.
    #[module(skip)]
    pub scale: f64,
    /// In training: dropout of its input.
    #[module(skip)]
    pub dropout: Option<Dropout>,
}

impl Linear {
    /// A layer without an adapter.
    pub fn new(weight: Param<Tensor<2>>, bias: Option<Param<Tensor<1>>>) -> Self {
        Self { weight, bias, updates: Vec::new(), packed: None }
    }

    /// # Shapes
    /// - input: [rows, in]
    /// - output: [rows, out]
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let format = input.dtype();
        let mut output = match &self.packed {
            Some(packed) => packed.multiply(&input),
            None => fused::multiply(input.clone(), self.weight.val()),
        };
        if let Some(bias) = &self.bias {
            output = output + bias.val().cast(format).unsqueeze();
        }
        // Added to the output, since the merged matrix would be as large as the frozen one.
        match self.update(input) {
            Some(update) => output + update,
            None => output,
        }
    }

    /// Packs the weight for products of few rows on the CPU, beside the weight.
    pub(in crate::model) fn pack(&mut self) {
        self.packed = PackedMatrix::new(&self.weight.val()).map(Arc::new);
    }

    /// The adapter's part of the output: one product through the concatenated factors of all
    /// updates, with zeros where an update has no columns; the factors are small beside the states.
    fn update(&self, input: Tensor<2>) -> Option<Tensor<2>> {
        let [_, columns] = self.weight.dims();
        let format = input.dtype();
        if self.updates.is_empty() {
            return None;
        }
        let a = self.updates.iter().map(|update| update.a.val().cast(format));
        let b = self.updates.iter().map(|update| update.wide(columns, format)).collect();
        let narrow = if self.updates.iter().any(|update| update.dropout.is_some()) {
            // Each update drops other inputs, so that the first factors are not one product.
            let left = self.updates.iter().map(|update| update.left_of(input.clone()));
            Tensor::cat(left.zip(a).map(|(input, a)| input.matmul(a)).collect(), 1)
        } else {
            input.matmul(Tensor::cat(a.collect(), 1))
        };
        Some(narrow.matmul(Tensor::cat(b, 0)))
    }

    /// The matrix with all updates merged [in, out].
    pub fn merged_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        self.updates.iter().fold(weight, |weight, update| {
            let [inputs, _] = weight.dims();
            let columns = [0..inputs, update.from..update.end()];
            let format = weight.dtype();
            // In float32, since a small update is lost in the digits of a bfloat16 weight.
            let [a, b] = [&update.a, &update.b].map(|factor| factor.val().cast(DType::F32));
            let product = a.matmul(b) * update.scale;
            let changed = weight.clone().slice(columns.clone()).cast(DType::F32) + product;
            weight.slice_assign(columns, changed.cast(format))
        })
    }

    /// The same layer with its updates merged.
    pub fn merge(self) -> Self {
        if self.updates.is_empty() {
            return self;
        }
        let merged = self.merged_weight();
        Self::new(self.weight.map(|_| merged), self.bias)
    }
}

impl LowRank {
    /// The second factor with zeros where the update has no columns [rank, columns].
    fn wide(&self, columns: usize, format: DType) -> Tensor<2> {
        let factor = self.b.val().cast(format) * self.scale;
        let ([rank, _], device) = (factor.dims(), factor.device());
        let [before, after] = [self.from, columns - self.end()]
            .map(|width| (width > 0).then(|| Tensor::zeros([rank, width], (&device, format))));
        Tensor::cat([before, Some(factor), after].into_iter().flatten().collect(), 1)
    }

    /// Applies dropout to an input [rows, in].
    fn left_of(&self, input: Tensor<2>) -> Tensor<2> {
        match &self.dropout {
            Some(dropout) => dropout.apply(input),
            None => input,
        }
    }

    /// End of its column range.
    pub fn end(&self) -> usize {
        let [_, width] = self.b.dims();
        self.from + width
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::{model::architecture::transformer::parameter, seed::Seed};

    fn matrix(name: &str, rows: usize, columns: usize) -> Param<Tensor<2>> {
        let values: Vec<f32> =
            (0..rows * columns).map(|index| ((index * 37 + 11) % 17) as f32 / 8.0 - 1.0).collect();
        parameter(
            name,
            Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex()),
        )
    }

    #[test]
    fn dropout_leaves_the_mean_and_is_drawn_from_the_seed() {
        let dropout = |step: u64| Some(Dropout { rate: 0.25, seed: Seed::root(step), before: 0 });
        let update = |step| LowRank {
            a: matrix("a", 5, 2),
            b: matrix("b", 2, 3),
            from: 0,
            scale: 1.0,
            dropout: dropout(step),
        };
        let input = Tensor::<2>::ones([400, 5], &Device::flex());
        let left = |step| -> Vec<f32> {
            update(step).left_of(input.clone()).into_data().try_to_vec().unwrap()
        };
        let found = left(1);
        assert!(found.iter().all(|value| *value == 0.0 || (value * 0.75 - 1.0).abs() < 1e-6));
        let dropped =
            found.iter().filter(|value| **value == 0.0).count() as f64 / found.len() as f64;
        assert!((dropped - 0.25).abs() < 0.04, "{dropped}");
        assert!(found == left(1) && found != left(2));
        // Another device's share of the rows drops what one device would.
        let mut rest = update(1);
        rest.dropout = Some(Dropout { rate: 0.25, seed: Seed::root(1), before: 150 });
        let rest = rest.left_of(input.clone().narrow(0, 150, 250)).into_data();
        assert_eq!(rest.try_to_vec::<f32>().unwrap(), found[150 * 5..]);
        let plain = Linear::new(matrix("w", 5, 3), None);
        let adapted = Linear { updates: vec![update(1)], ..plain.clone() };
        let expected = plain.forward(input.clone())
            + update(1).left_of(input.clone()).matmul(update(1).a.val()).matmul(update(1).b.val());
        let values = |tensor: Tensor<2>| -> Vec<f32> { tensor.into_data().try_to_vec().unwrap() };
        let (found, expected) = (values(adapted.forward(input)), values(expected));
        assert!(found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-5));
    }

    #[test]
    fn updates_change_their_columns_whether_merged_or_not() {
        let update = |from: usize| LowRank {
            a: matrix("a", 5, 2),
            b: matrix("b", 2, 3),
            from,
            scale: 0.5,
            dropout: None,
        };
        let plain = Linear::new(matrix("w", 5, 12), None);
        let adapted = Linear { updates: vec![update(1), update(8)], ..plain.clone() };
        let input = matrix("x", 4, 5).val();
        let before: Vec<f32> = plain.forward(input.clone()).into_data().try_to_vec().unwrap();
        let after: Vec<f32> = adapted.forward(input.clone()).into_data().try_to_vec().unwrap();
        let changed: Vec<bool> = (0..12)
            .map(|column| (0..4).any(|row| before[row * 12 + column] != after[row * 12 + column]))
            .collect();
        assert_eq!(
            changed
                .iter()
                .enumerate()
                .filter(|(_, changed)| **changed)
                .map(|(column, _)| column)
                .collect::<Vec<_>>(),
            [1, 2, 3, 8, 9, 10]
        );
        let merged: Vec<f32> = adapted.merge().forward(input).into_data().try_to_vec().unwrap();
        assert!(merged.iter().zip(&after).all(|(one, other)| (one - other).abs() < 1e-5));
    }
}
