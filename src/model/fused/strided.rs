//! A matrix in whatever order its numbers have in memory.

use std::ops::Range;

use burn_flex::FlexTensor;

/// A matrix in a slice.
pub(super) struct StridedMatrix<'a, T> {
    /// From the first number on.
    numbers: &'a [T],
    sides: [usize; 2],
    /// Distances to the next row and column.
    strides: [usize; 2],
}

impl<'a, T: Copy> StridedMatrix<'a, T> {
    /// A tensor's matrix within its storage.
    ///
    /// # Panics
    /// On a flipped tensor.
    pub(super) fn new(tensor: &FlexTensor, storage: &'a [T]) -> Self {
        let layout = tensor.layout();
        let of_axis = |axis: usize| {
            let stride = usize::try_from(layout.strides()[axis]).expect("a weight is not flipped");
            (layout.shape()[axis], stride)
        };
        let [(rows, by_row), (columns, by_column)] = [of_axis(0), of_axis(1)];
        let numbers = &storage[layout.start_offset()..];
        Self { numbers, sides: [rows, columns], strides: [by_row, by_column] }
    }

    /// A matrix whose rows follow one another.
    #[cfg(test)]
    pub(super) fn by_rows(numbers: &'a [T], sides: [usize; 2]) -> Self {
        Self { numbers, sides, strides: [sides[1], 1] }
    }

    /// Rows and columns.
    pub(super) fn sides(&self) -> [usize; 2] {
        self.sides
    }

    /// Copies some columns of a row to the beginning of a slice.
    pub(super) fn copy(&self, row: usize, columns: Range<usize>, to: &mut [T]) {
        let [by_row, by_column] = self.strides;
        let (to, numbers) = (&mut to[..columns.len()], &self.numbers[row * by_row..]);
        if by_column == 1 {
            return to.copy_from_slice(&numbers[columns]);
        }
        let numbers = numbers[columns.start * by_column..].iter().step_by(by_column);
        to.iter_mut().zip(numbers).for_each(|(to, number)| *to = *number);
    }
}
