//! Logits as a device gives them.

use std::borrow::Cow;

use burn::tensor::{DType, Tensor, TensorData, bf16, f16};

use crate::model::memory_budget::{Exhausted, failure};

/// Rows of logits, as they were read from a device.
pub(super) struct HostLogits {
    /// [rows, vocab], in any format of states
    data: TensorData,
}

impl HostLogits {
    /// Waits for the device.
    pub(super) fn read(logits: Tensor<2>) -> Result<Self, Exhausted> {
        let data = logits.try_into_data().map_err(|error| failure(&error.to_string()))?;
        Ok(Self { data })
    }

    /// A row in float32, to which shorter formats are converted exactly.
    pub(super) fn row(&self, row: usize) -> Cow<'_, [f32]> {
        let vocabulary = self.data.shape()[1];
        let range = row * vocabulary..(row + 1) * vocabulary;
        let known = "logits have the format of states";
        match self.data.dtype() {
            DType::BF16 => {
                let halves = &self.data.as_slice::<bf16>().expect(known)[range];
                halves.iter().map(|half| half.to_f32()).collect()
            }
            DType::F16 => {
                let halves = &self.data.as_slice::<f16>().expect(known)[range];
                halves.iter().map(|half| half.to_f32()).collect()
            }
            _ => Cow::Borrowed(&self.data.as_slice::<f32>().expect(known)[range]),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn rows_have_the_numbers_of_the_tensor_in_every_format() {
        let numbers = [[0.1f32, -3.0e4, 7.0], [1.0e-3, 2.5, -0.3]];
        for format in [DType::F32, DType::BF16, DType::F16] {
            let logits = Tensor::<2>::from_data(numbers, (&Device::flex(), format));
            let expected: Vec<f32> =
                logits.clone().cast(DType::F32).into_data().try_to_vec().unwrap();
            let logits = HostLogits::read(logits).unwrap();
            assert_eq!([logits.row(0), logits.row(1)].concat(), expected, "{format:?}");
        }
    }
}
