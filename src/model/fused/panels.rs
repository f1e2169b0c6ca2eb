//! Products of few rows with a float32 matrix that was rearranged for them: in panels of the
//! outputs that fit two registers, which are read once and in the order of memory.
//!
//! Each number is summed in the order of the kernels behind Burn's products, so that a row has the
//! same bits in a batch of any size.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    strided::StridedMatrix,
    tiles::{OutputColumns, TiledRows},
};

/// A matrix in panels of outputs; each has a line of outputs for each input, with zeros beyond the
/// last output.
pub(super) struct FloatPanels {
    numbers: Vec<f32>,
    /// Inputs and outputs.
    sides: [usize; 2],
    /// Outputs of a panel.
    width: usize,
}

/// Numbers in a register.
struct Lanes;

/// The products of all rows with some outputs.
struct ColumnProducts<'a> {
    panels: &'a FloatPanels,
    input: &'a TiledRows<f32>,
    /// Products that are summed before a sum leaves the registers.
    summed: usize,
    output: OutputColumns<'a>,
}

impl FloatPanels {
    /// A matrix in this form.
    pub(super) fn new(matrix: &StridedMatrix<f32>) -> Self {
        let (sides, width) = (matrix.sides(), 2 * Arch::new().dispatch(Lanes));
        let [inputs, outputs] = sides;
        let mut numbers = vec![0.0; outputs.next_multiple_of(width) * inputs];
        numbers.par_chunks_exact_mut(width * inputs).enumerate().for_each(|(panel, lines)| {
            let outputs = panel * width..outputs.min((panel + 1) * width);
            for (input, line) in lines.chunks_exact_mut(width).enumerate() {
                matrix.copy(input, outputs.clone(), line);
            }
        });
        Self { numbers, sides, width }
    }

    /// The product of rows [rows, inputs] with it; `summed` products are added up from 0 before
    /// they are added to the sum.
    pub(super) fn multiply(&self, input: &[f32], summed: usize) -> Vec<f32> {
        let [inputs, outputs] = self.sides;
        let rows = input.len() / inputs;
        // Two registers of sums a row, and some for numbers of the matrix.
        let most = if self.width == 32 { 12 } else { 6 };
        let input = TiledRows::new([rows, inputs], most, |row, to, distance| {
            let numbers = &input[row * inputs..][..inputs];
            to.iter_mut().step_by(distance).zip(numbers).for_each(|(to, number)| *to = *number);
        });
        let mut output = vec![0.0; rows * outputs];
        let panels = outputs.div_ceil(self.width).div_ceil(rayon::current_num_threads());
        let parts = OutputColumns::split(&mut output, outputs, panels * self.width);
        parts.into_par_iter().for_each(|output| {
            Arch::new().dispatch(ColumnProducts { panels: self, input: &input, summed, output });
        });
        output
    }
}

impl WithSimd for Lanes {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

impl WithSimd for ColumnProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let ([inputs, _], width) = (self.panels.sides, self.panels.width);
        for from in (0..self.output.width()).step_by(width) {
            let panel = &self.panels.numbers[(self.output.from + from) * inputs..];
            for first in (0..inputs).step_by(self.summed) {
                let block = first..inputs.min(first + self.summed);
                let (lines, _) = S::as_simd_f32s(&panel[block.start * width..block.end * width]);
                let (lines, _) = lines.as_chunks::<2>();
                for (rows, tile) in self.input.tiles(block) {
                    let sums = &mut self.output.rows[rows];
                    match sums.len() {
                        12 => add_products::<S, 12>(simd, lines, tile, sums, from),
                        8 => add_products::<S, 8>(simd, lines, tile, sums, from),
                        6 => add_products::<S, 6>(simd, lines, tile, sums, from),
                        4 => add_products::<S, 4>(simd, lines, tile, sums, from),
                        2 => add_products::<S, 2>(simd, lines, tile, sums, from),
                        1 => add_products::<S, 1>(simd, lines, tile, sums, from),
                        other => unreachable!("no tile has {other} rows"),
                    }
                }
            }
        }
    }
}

/// Adds the products of a tile [inputs, rows] with a panel to sums from this column on.
#[inline(always)]
fn add_products<S: Simd, const ROWS: usize>(
    simd: S,
    lines: &[[S::f32s; 2]],
    tile: &[f32],
    sums: &mut [&mut [f32]],
    from: usize,
) {
    let (tile, _) = tile.as_chunks::<ROWS>();
    let mut products = [[simd.splat_f32s(0.0); 2]; ROWS];
    for ([low, high], numbers) in lines.iter().zip(tile) {
        for row in 0..ROWS {
            let number = simd.splat_f32s(numbers[row]);
            products[row][0] = simd.mul_add_f32s(number, *low, products[row][0]);
            products[row][1] = simd.mul_add_f32s(number, *high, products[row][1]);
        }
    }
    for (sums, products) in sums.iter_mut().zip(products) {
        let registers = sums[from..].chunks_mut(S::F32_LANES);
        for (sums, products) in registers.zip(products) {
            let sum = simd.add_f32s(simd.partial_load_f32s(sums), products);
            simd.partial_store_f32s(sums, sum);
        }
    }
}
