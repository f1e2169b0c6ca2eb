//! Rows in tiles whose sums stay in registers, and outputs in columns for each thread.

use std::ops::Range;

use rayon::prelude::*;

/// Numbers of rows of a tile; there is a kernel for each.
const TILES: [usize; 6] = [12, 8, 6, 4, 2, 1];

/// Numbers of a task; fewer are written sooner than a thread is woken.
const TASK: usize = 1 << 14;

/// Rows in tiles: for each place of a row, what all rows of a tile have there.
pub(super) struct TiledRows<T> {
    numbers: Vec<T>,
    /// Numbers of a row.
    length: usize,
    rows: usize,
    /// Most rows of a tile.
    most: usize,
}

/// Some columns of all rows of an output.
pub(super) struct OutputColumns<'a> {
    /// The first one.
    pub(super) from: usize,
    pub(super) rows: Vec<&'a mut [f32]>,
}

impl<T: Copy + Default + Send> TiledRows<T> {
    /// Rows of this many numbers; `write` gets the number of a row, the place of its first number,
    /// and the distance to the next one.
    pub(super) fn new(
        [rows, length]: [usize; 2],
        most: usize,
        write: impl Fn(usize, &mut [T], usize) + Sync,
    ) -> Self {
        let mut numbers = vec![T::default(); rows * length];
        let mut regions = Vec::new();
        let mut rest = numbers.as_mut_slice();
        for tile in tiles(rows, most) {
            let (region, others) = rest.split_at_mut(tile.len() * length);
            regions.push((tile, region));
            rest = others;
        }
        let regions = regions.into_par_iter().with_min_len(TASK.div_ceil(most * length));
        regions.for_each(|(tile, region)| {
            let count = tile.len();
            for (place, row) in tile.enumerate() {
                write(row, &mut region[place..], count);
            }
        });
        Self { numbers, length, rows, most }
    }

    /// The rows of each tile, with its numbers for some places of a row.
    pub(super) fn tiles(&self, places: Range<usize>) -> impl Iterator<Item = (Range<usize>, &[T])> {
        tiles(self.rows, self.most).map(move |rows| {
            let region = &self.numbers[rows.start * self.length..rows.end * self.length];
            let numbers = &region[places.start * rows.len()..places.end * rows.len()];
            (rows, numbers)
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

/// Rows in tiles, the largest first.
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let size = TILES.into_iter().find(|size| *size <= most && from + size <= rows)?;
        from += size;
        Some(from - size..from)
    })
}

impl<'a> OutputColumns<'a> {
    /// An output with rows of this many columns, `width` columns at a time.
    pub(super) fn split(output: &'a mut [f32], columns: usize, width: usize) -> Vec<Self> {
        let starts = (0..columns).step_by(width);
        let mut parts: Vec<Self> =
            starts.map(|from| OutputColumns { from, rows: Vec::new() }).collect();
        for row in output.chunks_exact_mut(columns) {
            parts.iter_mut().zip(row.chunks_mut(width)).for_each(|(part, row)| part.rows.push(row));
        }
        parts
    }

    /// Number of columns.
    pub(super) fn width(&self) -> usize {
        self.rows.first().map_or(0, |row| row.len())
    }
}
