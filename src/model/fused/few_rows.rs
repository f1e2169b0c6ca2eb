//! Products of few rows with a large matrix, which read the matrix once, on all threads.
//!
//! The kernels behind Burn's products are made for many rows. Each number here is summed in the same
//! order as there, so that a row has the same bits in a batch of any size.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

/// Number of rows up to which it pays.
pub(super) const MOST: usize = 16;

/// Columns of a task.
const COLUMNS: usize = 768;

/// The product of rows [rows, inputs] with a matrix [inputs, columns]; `summed` products are added
/// up from 0 before they are added to the sum.
pub(super) fn multiply(input: &[f32], matrix: &[f32], columns: usize, summed: usize) -> Vec<f32> {
    let inputs = matrix.len() / columns;
    let rows = input.len() / inputs;
    let starts: Vec<usize> = (0..columns).step_by(COLUMNS).collect();
    let parts: Vec<Vec<f32>> = starts
        .into_par_iter()
        .map(|from| {
            let width = COLUMNS.min(columns - from);
            let mut sums = vec![0.0; rows * width];
            let mut block = vec![0.0; rows * width];
            for first in (0..inputs).step_by(summed) {
                let last = inputs.min(first + summed);
                block.fill(0.0);
                for row in (first..last).step_by(4) {
                    let lines = Lines { input, matrix, inputs, columns, from };
                    add_lines(&lines, row..last.min(row + 4), &mut block, width);
                }
                sums.iter_mut().zip(&block).for_each(|(sum, block)| *sum += block);
            }
            sums
        })
        .collect();
    let mut output = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        for part in &parts {
            let width = part.len() / rows;
            output.extend_from_slice(&part[row * width..(row + 1) * width]);
        }
    }
    output
}

/// Rows, and the columns of a matrix from one on.
struct Lines<'a> {
    input: &'a [f32],
    matrix: &'a [f32],
    inputs: usize,
    columns: usize,
    from: usize,
}

/// Adds up to four lines of the matrix to the sums [rows, width], each times the rows' numbers.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn add_lines(lines: &Lines, range: Range<usize>, sums: &mut [f32], width: usize) {
    let line = |number: usize| {
        let at = number * lines.columns + lines.from;
        &lines.matrix[at..at + width]
    };
    let rows = sums.chunks_exact_mut(width).zip(lines.input.chunks_exact(lines.inputs));
    if range.len() == 4 {
        let first = range.start;
        let [a, b, c, d] = [line(first), line(first + 1), line(first + 2), line(first + 3)];
        for (sums, input) in rows {
            let [w, x, y, z] = [input[first], input[first + 1], input[first + 2], input[first + 3]];
            for column in 0..width {
                let sum = w.mul_add(a[column], sums[column]);
                let sum = x.mul_add(b[column], sum);
                let sum = y.mul_add(c[column], sum);
                sums[column] = z.mul_add(d[column], sum);
            }
        }
    } else {
        for (sums, input) in rows {
            for number in range.clone() {
                for (sum, weight) in sums.iter_mut().zip(line(number)) {
                    *sum = input[number].mul_add(*weight, *sum);
                }
            }
        }
    }
}
