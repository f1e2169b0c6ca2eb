//! Products of few rows with a large matrix, which read the matrix once, on all threads.
//!
//! The kernels behind Burn's products are made for many rows. Each number here is summed in the
//! same order as there, so that a row has the same bits in a batch of any size, and whether memory
//! has room for packed weights or not.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

/// Number of rows up to which it pays.
pub(super) const MOST: usize = 16;

/// Most columns of a task: the sums of a row stay in the first-level cache.
const COLUMNS: usize = 768;

/// The product of rows [rows, inputs] with a matrix [inputs, columns]; `summed` products are added
/// up from 0 before they are added to the sum.
pub(super) fn multiply(input: &[f32], matrix: &[f32], columns: usize, summed: usize) -> Vec<f32> {
    let inputs = matrix.len() / columns;
    let rows = input.len() / inputs;
    let at_once = columns.div_ceil(rayon::current_num_threads()).next_multiple_of(64).min(COLUMNS);
    let tasks: Vec<ColumnTask> = (0..columns)
        .step_by(at_once)
        .map(|from| {
            let width = at_once.min(columns - from);
            ColumnTask { input, matrix, inputs, columns, from, width }
        })
        .collect();
    let parts: Vec<Vec<f32>> =
        tasks.into_par_iter().map(|task| task.multiply(rows, summed)).collect();
    let mut output = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for part in &parts {
            let width = part.len() / rows;
            output.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    output
}

/// Rows, and some columns of a matrix.
struct ColumnTask<'a> {
    input: &'a [f32],
    matrix: &'a [f32],
    inputs: usize,
    columns: usize,
    from: usize,
    width: usize,
}

impl<'a> ColumnTask<'a> {
    fn multiply(&self, rows: usize, summed: usize) -> Vec<f32> {
        let mut sums = vec![0.0; rows * self.width];
        let mut block = vec![0.0; rows * self.width];
        for first in (0..self.inputs).step_by(summed) {
            // Sums of blocks are added up, as they leave the registers there.
            block.fill(0.0);
            add_products(self, first..self.inputs.min(first + summed), &mut block);
            sums.iter_mut().zip(&block).for_each(|(sum, block)| *sum += block);
        }
        sums
    }

    /// The columns in one row of the matrix.
    fn line(&self, row: usize) -> &'a [f32] {
        &self.matrix[row * self.columns + self.from..][..self.width]
    }
}

/// Adds rows of the matrix to the sums [rows, width], each times the inputs' numbers, four rows in
/// one pass over the sums.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn add_products(task: &ColumnTask, lines: Range<usize>, sums: &mut [f32]) {
    // Four at a time, since a pass over the sums costs a read and a write of each.
    let rest = lines.len() % 4;
    for first in (lines.start..lines.end - rest).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|next| task.line(first + next));
        let rows = sums.chunks_exact_mut(task.width).zip(task.input.chunks_exact(task.inputs));
        for (sums, input) in rows {
            let [w, x, y, z] = [0, 1, 2, 3].map(|next| input[first + next]);
            let lines = a.iter().zip(b).zip(c.iter().zip(d));
            for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(lines) {
                let first_two = x.mul_add(*b, w.mul_add(*a, *sum));
                *sum = z.mul_add(*d, y.mul_add(*c, first_two));
            }
        }
    }
    for number in lines.end - rest..lines.end {
        let rows = sums.chunks_exact_mut(task.width).zip(task.input.chunks_exact(task.inputs));
        for (sums, input) in rows {
            for (sum, weight) in sums.iter_mut().zip(task.line(number)) {
                *sum = input[number].mul_add(*weight, *sum);
            }
        }
    }
}
