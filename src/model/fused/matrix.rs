//! Small matrix products on one thread, of parts of slices.

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(super) struct MatrixView<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    /// Distance from a number to the next one of its column.
    row_stride: usize,
    /// Distance from a number to the next one of its row.
    column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// The first rows of a slice with rows of this many columns.
    pub(super) fn new(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(numbers.len() >= rows * columns, "a matrix has all its rows");
        Self { numbers, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Rows of this many columns that begin at a distance from each other.
    pub(super) fn with_distance(
        numbers: &'a [f32],
        rows: usize,
        columns: usize,
        distance: usize,
    ) -> Self {
        let last = rows.saturating_sub(1) * distance + columns;
        assert!(numbers.len() >= last, "a matrix has all its rows");
        Self { numbers, rows, columns, row_stride: distance, column_stride: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What a product does with the numbers that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// Replaces them.
    Replace,
    /// Is added to them.
    Add,
}

/// Writes a product to the beginning of a slice, row by row.
pub(super) fn multiply(left: MatrixView, right: MatrixView, output: &mut [f32], write: Write) {
    // Checked in release builds too, since the call below trusts them.
    assert_eq!(left.columns, right.rows, "sides of a product match");
    assert!(output.len() >= left.rows * right.columns, "a product fits");
    let strides = |matrix: MatrixView| (matrix.column_stride as isize, matrix.row_stride as isize);
    let ((left_column, left_row), (right_column, right_row)) = (strides(left), strides(right));
    // SAFETY: a matrix lies within its slice, and the product within the output, as asserted above
    // and by `MatrixView::new`; the output is borrowed mutably, so it overlaps with neither.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            output.as_mut_ptr(),
            1,
            right.columns as isize,
            write == Write::Add,
            left.numbers.as_ptr(),
            left_column,
            left_row,
            right.numbers.as_ptr(),
            right_column,
            right_row,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_transposed_matrices_are_added_up() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 2.0, 1.0, 1.0, 1.0];
        let mut output = [0.5; 5];
        // [2, 3] times [3, 2]
        let (left, right) =
            (MatrixView::new(&left, 2, 3), MatrixView::new(&right, 2, 3).transposed());
        multiply(left, right, &mut output, Write::Replace);
        assert_eq!(output, [7.0, 6.0, 16.0, 15.0, 0.5]);
        multiply(left, right, &mut output, Write::Add);
        assert_eq!(output, [14.0, 12.0, 32.0, 30.0, 0.5]);
    }
}
