//! A frozen matrix that was rearranged once for products of few rows.

use std::fmt;

use burn::{
    backend::Flex,
    tensor::{DType, Tensor, bf16},
};

use super::{
    extension::{numbers, sides, with_shape},
    half_matrix::HalfPanels,
    operations::plain,
    panels::FloatPanels,
    strided::StridedMatrix,
};
use crate::model::device::products_in_a_block;

/// The numbers of a matrix [in, out] of the CPU, in the order in which products read them.
pub(in crate::model) struct PackedMatrix {
    panels: Panels,
    outputs: usize,
}

/// The panels by number format.
enum Panels {
    Float(FloatPanels),
    Half(HalfPanels),
}

impl PackedMatrix {
    /// A copy of a matrix [in, out] in float32 or bfloat16, without autodiff; `None` for another.
    pub(in crate::model) fn new(matrix: &Tensor<2>) -> Option<Self> {
        let dtype = matrix.dtype();
        let matrix = plain(matrix)?;
        let [_, outputs] = sides(&matrix);
        let panels = match dtype {
            DType::F32 => {
                let numbers = StridedMatrix::new(&matrix, matrix.storage::<f32>());
                Panels::Float(FloatPanels::new(&numbers))
            }
            DType::BF16 => {
                let numbers = StridedMatrix::new(&matrix, matrix.storage::<bf16>());
                Panels::Half(HalfPanels::new(&numbers))
            }
            _ => return None,
        };
        Some(Self { panels, outputs })
    }

    /// The product of float32 states [rows, in] with the matrix [rows, out], with the bits of
    /// [`super::multiply`].
    pub(in crate::model) fn multiply(&self, input: &Tensor<2>) -> Tensor<2> {
        let [rows, inputs] = input.dims();
        let input = plain(input).expect("sampling is on the CPU, without autodiff").to_contiguous();
        let product = match &self.panels {
            Panels::Float(panels) => panels.multiply(numbers(&input), products_in_a_block(inputs)),
            Panels::Half(panels) => panels.multiply(numbers(&input)),
        };
        let product = with_shape(product, vec![rows, self.outputs]);
        Tensor::from_primitive::<Flex>(product)
    }
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PackedMatrix")
    }
}
