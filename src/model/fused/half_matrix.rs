//! Products of float32 rows with a bfloat16 matrix, which is read at half the bytes.
//!
//! Inputs are rounded to bfloat16 and sums are float32, as the processor's own instruction for such
//! products (AVX512-BF16) has them. Without it the same numbers come from float32 instructions.

use std::ops::Range;

use burn::tensor::bf16;
use multiversion::multiversion;
use rayon::prelude::*;

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(super) struct HalfMatrix<'a> {
    pub(super) numbers: &'a [bf16],
    /// Inputs and outputs of the product.
    pub(super) sides: [usize; 2],
    pub(super) order: StorageOrder,
}

/// Which numbers follow one another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StorageOrder {
    /// Those of one input.
    ByInput,
    /// Those of one output.
    ByOutput,
}

/// Two numbers of one row or output: those of an even input and the next one, which is the higher
/// half.
type TwoHalves = u32;
/// Pairs of all outputs of a panel for one pair of inputs.
type PackedLine = [TwoHalves; PANEL];

/// Outputs of a panel: their sums for a few rows stay in registers.
const PANEL: usize = 32;
/// Most panels of a task.
const PANELS: usize = 16;
/// Pairs of inputs that are packed at once, so that a task's stay in the second-level cache.
const DEPTH: usize = 64;
/// Numbers of rows of a tile, whose sums stay in registers; there is a kernel for each.
const TILES: [usize; 5] = [12, 8, 4, 2, 1];
/// Rows of a thread from which it computes whole rows, and packs the matrix on its own.
const OWN_ROWS: usize = 48;

/// Rows rounded to bfloat16, in tiles: for each pair of inputs, what all rows of a tile have there.
struct RoundedRows {
    numbers: Vec<TwoHalves>,
    /// Pairs of a row.
    pairs: usize,
    rows: usize,
}

/// Sums of a tile's rows and a panel's outputs, within rows of more outputs.
struct TileSums<'a> {
    numbers: &'a mut [f32],
    rows: usize,
    columns: usize,
    /// Distance from a row to the next one.
    distance: usize,
}

/// The product of rows [rows, inputs] with a matrix.
pub(super) fn multiply(input: &[f32], matrix: HalfMatrix) -> Vec<f32> {
    let [inputs, outputs] = matrix.sides;
    let rows = input.len() / inputs;
    let threads = rayon::current_num_threads();
    let mut output = vec![0.0; rows * outputs];
    if rows >= OWN_ROWS * threads {
        let share = rows.div_ceil(threads);
        let shares = output.par_chunks_mut(share * outputs);
        shares.zip(input.par_chunks(share * inputs)).for_each(|(output, input)| {
            add_columns(&RoundedRows::new(input, inputs), matrix, 0..outputs, output);
        });
        return output;
    }
    let input = RoundedRows::new(input, inputs);
    let tasks = outputs.div_ceil(PANEL * PANELS).next_multiple_of(threads);
    let width = outputs.div_ceil(tasks).next_multiple_of(PANEL);
    let starts: Vec<usize> = (0..outputs).step_by(width).collect();
    let parts = starts.par_iter().map(|from| {
        let columns = *from..outputs.min(from + width);
        let mut part = vec![0.0; rows * columns.len()];
        add_columns(&input, matrix, columns, &mut part);
        part
    });
    for (from, part) in starts.iter().zip(parts.collect::<Vec<_>>()) {
        let lines = output.chunks_exact_mut(outputs).zip(part.chunks_exact(part.len() / rows));
        lines.for_each(|(line, part)| line[*from..][..part.len()].copy_from_slice(part));
    }
    output
}

/// Adds some outputs of all rows to sums [rows, outputs].
fn add_columns(input: &RoundedRows, matrix: HalfMatrix, outputs: Range<usize>, sums: &mut [f32]) {
    let mut packed = vec![[0; PANEL]; DEPTH * PANELS];
    for from in outputs.clone().step_by(PANEL * PANELS) {
        let block = from..outputs.end.min(from + PANEL * PANELS);
        for first in (0..input.pairs).step_by(DEPTH) {
            let depth = first..input.pairs.min(first + DEPTH);
            pack(matrix, depth.clone(), block.clone(), &mut packed);
            for (from, lines) in block.clone().step_by(PANEL).zip(packed.chunks_exact(DEPTH)) {
                let columns = PANEL.min(block.end - from);
                for (rows, tile) in input.tiles(depth.clone()) {
                    let at = rows.start * outputs.len() + from - outputs.start;
                    let (numbers, distance) = (&mut sums[at..], outputs.len());
                    let sums = TileSums { numbers, rows: rows.len(), columns, distance };
                    multiply_tile(&lines[..depth.len()], tile, sums);
                }
            }
        }
    }
}

/// Adds the products of the rows of a tile [pairs, rows] with a panel to sums.
fn multiply_tile(lines: &[PackedLine], tile: &[TwoHalves], sums: TileSums) {
    #[cfg(target_arch = "x86_64")]
    if hardware::is_there() {
        return hardware::multiply(lines, tile, sums);
    }
    multiply_portably(lines, tile, sums);
}

impl TileSums<'_> {
    fn lines(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let columns = self.columns;
        self.numbers.chunks_mut(self.distance).take(self.rows).map(move |row| &mut row[..columns])
    }
}

impl RoundedRows {
    fn new(input: &[f32], inputs: usize) -> Self {
        let (rows, pairs) = (input.len() / inputs, inputs.div_ceil(2));
        let mut numbers = vec![0; rows * pairs];
        for tile in tiles(rows) {
            let count = tile.len();
            let region = &mut numbers[tile.start * pairs..][..count * pairs];
            for (place, row) in tile.enumerate() {
                round(&input[row * inputs..][..inputs], &mut region[place..], count);
            }
        }
        Self { numbers, pairs, rows }
    }

    /// The rows of each tile, with its numbers for some pairs of inputs.
    fn tiles(&self, depth: Range<usize>) -> impl Iterator<Item = (Range<usize>, &[TwoHalves])> {
        tiles(self.rows).map(move |rows| {
            let region = &self.numbers[rows.start * self.pairs..rows.end * self.pairs];
            let numbers = &region[depth.start * rows.len()..depth.end * rows.len()];
            (rows, numbers)
        })
    }
}

/// Rows in tiles, the largest first.
fn tiles(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let size = TILES.into_iter().find(|size| from + size <= rows)?;
        from += size;
        Some(from - size..from)
    })
}

/// The numbers of some outputs for some pairs of inputs: [`DEPTH`] lines for each panel, one for
/// each pair; zeros beyond the last output and input.
fn pack(matrix: HalfMatrix, pairs: Range<usize>, outputs: Range<usize>, packed: &mut [PackedLine]) {
    if !outputs.len().is_multiple_of(PANEL) {
        packed[outputs.len() / PANEL * DEPTH..][..DEPTH].fill([0; PANEL]);
    }
    match matrix.order {
        StorageOrder::ByInput => pack_by_input(matrix, pairs, outputs, packed),
        StorageOrder::ByOutput => pack_by_output(matrix, pairs, outputs, packed),
    }
}

/// Whole rows one after another, which are read at the speed of memory.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2+fma"))]
fn pack_by_input(
    matrix: HalfMatrix,
    pairs: Range<usize>,
    outputs: Range<usize>,
    packed: &mut [PackedLine],
) {
    let [inputs, columns] = matrix.sides;
    let none = [bf16::ZERO; PANEL * PANELS];
    for (place, number) in pairs.enumerate() {
        let row = |input: usize| &matrix.numbers[input * columns..][outputs.clone()];
        let is_last = 2 * number + 1 == inputs;
        let (even, odd) = (row(2 * number), if is_last { &none } else { row(2 * number + 1) });
        let panels = even.chunks(PANEL).zip(odd.chunks(PANEL));
        for ((even, odd), lines) in panels.zip(packed.chunks_exact_mut(DEPTH)) {
            let two = even.iter().zip(odd);
            lines[place].iter_mut().zip(two).for_each(|(to, (even, odd))| *to = pair(*even, *odd));
        }
    }
}

fn pack_by_output(
    matrix: HalfMatrix,
    pairs: Range<usize>,
    outputs: Range<usize>,
    packed: &mut [PackedLine],
) {
    let [inputs, _] = matrix.sides;
    for (place, output) in outputs.enumerate() {
        let all = &matrix.numbers[output * inputs..][..inputs];
        let numbers = &all[2 * pairs.start..inputs.min(2 * pairs.end)];
        let lines = &mut packed[place / PANEL * DEPTH..][..DEPTH];
        for (line, two) in lines.iter_mut().zip(numbers.chunks(2)) {
            line[place % PANEL] = pair(two[0], two.get(1).copied().unwrap_or_default());
        }
    }
}

fn pair(even: bf16, odd: bf16) -> TwoHalves {
    TwoHalves::from(even.to_bits()) | TwoHalves::from(odd.to_bits()) << 16
}

/// Writes the pairs of a row rounded to bfloat16, at a distance from each other.
fn round(row: &[f32], pairs: &mut [TwoHalves], distance: usize) {
    let (twos, rest) = row.as_chunks::<2>();
    let twos = twos.iter().map(|[even, odd]| bits(*even) | bits(*odd) << 16);
    let rounded = twos.chain(rest.iter().map(|even| bits(*even)));
    pairs.iter_mut().step_by(distance).zip(rounded).for_each(|(to, pair)| *to = pair);
}

/// The bits of the nearest bfloat16 number, of two equally near ones of the even one.
#[inline(always)]
fn bits(number: f32) -> u32 {
    let bits = number.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1))) >> 16;
    // Rounding could turn what is no number into infinity.
    if number.is_nan() { (bits >> 16) | 0x40 } else { rounded }
}

/// The products of the processor's instruction, from float32 instructions.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn multiply_portably(lines: &[PackedLine], tile: &[TwoHalves], mut sums: TileSums) {
    let rows = sums.rows;
    for (row, to) in sums.lines().enumerate() {
        let mut products = [0.0; PANEL];
        for (line, pair) in lines.iter().zip(tile[row..].iter().step_by(rows)) {
            let [even, odd] = halves(*pair);
            for (sum, weights) in products.iter_mut().zip(line) {
                let [even_weight, odd_weight] = halves(*weights);
                *sum = even.mul_add(even_weight, odd.mul_add(odd_weight, *sum));
            }
        }
        to.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
    }
}

#[inline(always)]
fn halves(pair: TwoHalves) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}

#[cfg(target_arch = "x86_64")]
mod hardware {
    //! The same with AVX512-BF16.

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    };

    use super::{PANEL, PackedLine, TileSums, TwoHalves};

    /// Numbers in a register.
    const LANES: usize = PANEL / 2;

    pub(super) fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bf16")
    }

    /// Adds the products of the rows of a tile with a panel; only where [`is_there`].
    pub(super) fn multiply(lines: &[PackedLine], tile: &[TwoHalves], mut sums: TileSums) {
        // The products are in registers, so that their number is known when this is compiled.
        // SAFETY: the caller has seen that the instructions are there.
        unsafe {
            match sums.rows {
                12 => multiply_rows::<12>(lines, tile, &mut sums),
                8 => multiply_rows::<8>(lines, tile, &mut sums),
                4 => multiply_rows::<4>(lines, tile, &mut sums),
                2 => multiply_rows::<2>(lines, tile, &mut sums),
                1 => multiply_rows::<1>(lines, tile, &mut sums),
                other => unreachable!("no tile has {other} rows"),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply_rows<const ROWS: usize>(
        lines: &[PackedLine],
        tile: &[TwoHalves],
        sums: &mut TileSums,
    ) {
        let (tile, _) = tile.as_chunks::<ROWS>();
        let mut first = [_mm512_setzero_ps(); ROWS];
        let mut second = [_mm512_setzero_ps(); ROWS];
        for (line, pairs) in lines.iter().zip(tile) {
            let (low, high) = load(line);
            for row in 0..ROWS {
                let pair = as_half(_mm512_set1_epi32(pairs[row].cast_signed()));
                first[row] = _mm512_dpbf16_ps(first[row], pair, low);
                second[row] = _mm512_dpbf16_ps(second[row], pair, high);
            }
        }
        for (row, to) in sums.lines().enumerate() {
            let (low, high) = to.split_at_mut(to.len().min(LANES));
            add(low, first[row]);
            add(high, second[row]);
        }
    }

    /// Adds products to at most as many sums as a register has.
    #[target_feature(enable = "avx512f")]
    fn add(sums: &mut [f32], products: __m512) {
        let there = ((1u32 << sums.len().min(LANES)) - 1) as u16;
        // SAFETY: the mask leaves out lanes beyond the sums.
        unsafe {
            let sum = _mm512_add_ps(_mm512_maskz_loadu_ps(there, sums.as_ptr()), products);
            _mm512_mask_storeu_ps(sums.as_mut_ptr(), there, sum);
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load(line: &PackedLine) -> (__m512bh, __m512bh) {
        let (low, high) = line.split_at(LANES);
        // SAFETY: each half has as many numbers as a register.
        let halves = unsafe {
            [_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast())]
        };
        (as_half(halves[0]), as_half(halves[1]))
    }

    #[target_feature(enable = "avx512f")]
    fn as_half(bits: __m512i) -> __m512bh {
        // SAFETY: both types are 512 bits, and any bits are bfloat16 numbers.
        unsafe { std::mem::transmute(bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = Seed::root(seed).stream();
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    fn halved(numbers: &[f32]) -> Vec<bf16> {
        numbers.iter().map(|number| bf16::from_f32(*number)).collect()
    }

    #[test]
    fn products_are_those_of_rounded_numbers_in_both_orders() {
        for [rows, inputs, outputs] in [[1, 5, 3], [13, 130, 33], [30, 64, 300], [4, 576, 1536]] {
            let input = numbers(rows * inputs, 1);
            let matrix = halved(&numbers(inputs * outputs, 2));
            let at = |input: usize, output: usize| f64::from(matrix[input * outputs + output]);
            let turned: Vec<bf16> = (0..outputs)
                .flat_map(|column| matrix.iter().skip(column).step_by(outputs))
                .copied()
                .collect();
            let sides = [inputs, outputs];
            let by_input = multiply(
                &input,
                HalfMatrix { numbers: &matrix, sides, order: StorageOrder::ByInput },
            );
            let by_output = multiply(
                &input,
                HalfMatrix { numbers: &turned, sides, order: StorageOrder::ByOutput },
            );
            assert_eq!(by_input, by_output);
            for row in 0..rows {
                let line = halved(&input[row * inputs..][..inputs]);
                for output in 0..outputs {
                    let terms = line.iter().enumerate();
                    let right: f64 =
                        terms.map(|(place, one)| f64::from(*one) * at(place, output)).sum();
                    let found = f64::from(by_input[row * outputs + output]);
                    assert!(
                        (found - right).abs() < 2e-5 * (inputs as f64).sqrt(),
                        "{found} {right}"
                    );
                }
                // A row's bits do not depend on its neighbours.
                let matrix = HalfMatrix { numbers: &matrix, sides, order: StorageOrder::ByInput };
                let alone = multiply(&input[row * inputs..][..inputs], matrix);
                assert_eq!(alone, by_input[row * outputs..][..outputs]);
            }
        }
    }

    #[test]
    fn the_processors_instruction_gives_the_bits_of_float32_instructions() {
        let lines: Vec<PackedLine> = (0..DEPTH)
            .map(|number| {
                let numbers = halved(&numbers(2 * PANEL, number as u64));
                std::array::from_fn(|place| pair(numbers[2 * place], numbers[2 * place + 1]))
            })
            .collect();
        let input = RoundedRows::new(&numbers(2 * DEPTH * 7, 3), 2 * DEPTH);
        let sizes: Vec<usize> = input.tiles(0..DEPTH).map(|(rows, _)| rows.len()).collect();
        assert_eq!(sizes, [4, 2, 1]);
        for (rows, tile) in input.tiles(0..DEPTH) {
            let run = |how: fn(&[PackedLine], &[TwoHalves], TileSums)| {
                let mut numbers = vec![0.5; rows.len() * 40];
                let (rows, distance) = (rows.len(), 40);
                how(&lines, tile, TileSums { numbers: &mut numbers, rows, columns: 29, distance });
                numbers
            };
            let found = run(multiply_tile);
            assert_eq!(found, run(multiply_portably));
            assert!(found[29..40].iter().all(|number| *number == 0.5));
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_even_one() {
        for number in [0.0, -1.5, 1.003_906_2, 1.011_718_8, f32::MAX, f32::INFINITY, 1e-40] {
            assert_eq!(bits(number), u32::from(bf16::from_f32(number).to_bits()), "{number}");
        }
        assert!(bf16::from_bits(bits(f32::NAN) as u16).is_nan());
    }
}
