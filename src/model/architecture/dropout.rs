//! Dropout by a counter, so that every device drops the same inputs and computes which alone.
//!
//! An input at a row and a column is dropped if the upper 24 bits of its word are below the rate
//! times 2^24. With two keys drawn from the seed's stream, in 32 bits, where products wrap:
//!
//! ```text
//! word(row, column) = mixed(mixed(row ^ key of rows) ^ mixed(column ^ key of columns))
//! mixed(x): x ^= x >> 16; x *= 0x21f0aaad; x ^= x >> 15; x *= 0xd35a2d97; x ^= x >> 15
//! ```
//!
//! `mixed` is C. Wellons' `lowbias32`, a bijection whose output bits each change with probability
//! 1/2 when an input bit does.

use std::ops::Range;

use burn::tensor::{DType, FloatDType, Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::{model::device::is_cpu, seed::Seed};

/// Dropout with a seed: zeroes a share of the inputs and scales the others, so that the mean stays
/// (Srivastava et al. 2014).
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Dropout rate.
    pub rate: f64,
    /// Seed for one step and one update.
    pub seed: Seed,
    /// Rows before the first one, which other devices compute.
    pub before: usize,
}

/// The words of rows and columns of an input.
struct InputWords {
    rows: Vec<u32>,
    columns: Vec<u32>,
}

const FACTORS: [u32; 2] = [0x21f0_aaad, 0xd35a_2d97];

impl Dropout {
    /// An input [rows, in] with some of its numbers dropped.
    pub(super) fn apply(&self, input: Tensor<2>) -> Tensor<2> {
        let (shape, device, format) = (input.dims(), input.device(), input.dtype());
        let words = self.words(shape);
        let mask = if is_cpu(&device) {
            let mask = TensorData::new(self.mask(&words), shape);
            Tensor::from_data(mask, (&device, format))
        } else {
            self.mask_on(&words, |words, shape| {
                Tensor::from_data(TensorData::new(words, shape), (&device, DType::U32))
            })
            .cast(format)
        };
        input * mask
    }

    fn words(&self, [rows, columns]: [usize; 2]) -> InputWords {
        let mut stream = self.seed.stream();
        let mut words = |indices: Range<usize>| {
            let key = stream.below(1 << 32) as u32;
            indices.map(|index| mixed(index as u32 ^ key)).collect()
        };
        InputWords { rows: words(self.before..self.before + rows), columns: words(0..columns) }
    }

    /// Words below this are dropped, after their shift.
    fn limit(&self) -> u32 {
        (self.rate * f64::from(1 << 24)).round() as u32
    }

    /// Factor of the others.
    fn kept(&self) -> f32 {
        (1.0 / (1.0 - self.rate)) as f32
    }

    /// The factors of the inputs, row by row.
    fn mask(&self, InputWords { rows, columns }: &InputWords) -> Vec<f32> {
        let (limit, kept) = (self.limit(), self.kept());
        let mut mask = vec![0.0; rows.len() * columns.len()];
        mask.par_chunks_mut(columns.len().max(1)).zip(rows).for_each(|(mask, row)| {
            for (factor, column) in mask.iter_mut().zip(columns) {
                *factor = if mixed(row ^ column) >> 8 < limit { 0.0 } else { kept };
            }
        });
        mask
    }

    /// The same in tensor operations, which a GPU computes in one kernel.
    fn mask_on(
        &self,
        InputWords { rows, columns }: &InputWords,
        tensor: impl Fn(Vec<u32>, [usize; 2]) -> Tensor<2, Int>,
    ) -> Tensor<2> {
        let shape = [rows.len(), columns.len()];
        let rows = tensor(rows.clone(), [rows.len(), 1]).expand(shape);
        let columns = tensor(columns.clone(), [1, columns.len()]).expand(shape);
        let folded = |word: Tensor<2, Int>, by: u32| {
            word.clone().bitwise_xor(word.bitwise_right_shift_scalar(by))
        };
        let word = folded(rows.bitwise_xor(columns), 16) * FACTORS[0];
        let word = folded(folded(word, 15) * FACTORS[1], 15);
        let is_kept = word.bitwise_right_shift_scalar(8u32).greater_equal_elem(self.limit());
        is_kept.cast(FloatDType::F32) * self.kept()
    }
}

fn mixed(mut word: u32) -> u32 {
    word = (word ^ word >> 16).wrapping_mul(FACTORS[0]);
    word = (word ^ word >> 15).wrapping_mul(FACTORS[1]);
    word ^ word >> 15
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn tensor_operations_drop_what_the_loop_drops() {
        let device = Device::flex();
        for (rate, shape) in [(0.1, [37, 500]), (0.5, [1, 3]), (0.9, [200, 64])] {
            let dropout = Dropout { rate, seed: Seed::root(7), before: 5 };
            let words = dropout.words(shape);
            let mask = dropout.mask_on(&words, |words, shape| {
                Tensor::from_data(TensorData::new(words, shape), (&device, DType::U32))
            });
            assert_eq!(mask.into_data().try_to_vec::<f32>().unwrap(), dropout.mask(&words));
        }
    }

    #[test]
    fn each_row_and_each_column_drops_its_share() {
        let shape = [600, 400];
        let dropout = Dropout { rate: 0.25, seed: Seed::root(3), before: 0 };
        let mask = dropout.mask(&dropout.words(shape));
        let share = |of: &mut dyn Iterator<Item = usize>, count: usize| {
            of.filter(|place| mask[*place] == 0.0).count() as f64 / count as f64
        };
        // Four standard deviations and a half, for a thousand shares.
        for row in 0..shape[0] {
            let found = share(&mut (row * 400..(row + 1) * 400), 400);
            assert!((found - 0.25).abs() < 0.1, "row {row}: {found}");
        }
        for column in 0..shape[1] {
            let found = share(&mut (0..600).map(|row| row * 400 + column), 600);
            assert!((found - 0.25).abs() < 0.08, "column {column}: {found}");
        }
        // Neighbours are dropped together as often as by chance.
        for step in [1, 400] {
            let both = (step..mask.len()).filter(|at| mask[*at] + mask[at - step] == 0.0).count();
            let found = both as f64 / (mask.len() - step) as f64;
            assert!((found - 0.0625).abs() < 0.003, "{step}: {found}");
        }
    }

    #[test]
    fn the_function_is_fixed_for_all_time() {
        assert_eq!([0, 1, u32::MAX].map(mixed), [0, 114555507, 3652544131]);
    }
}
