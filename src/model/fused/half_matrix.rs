//! Products of float32 rows with a bfloat16 matrix, which is read at half the bytes.
//!
//! Inputs are rounded to bfloat16 and sums are float32, as the processor's own instruction for such
//! products (AVX512-BF16) has them. Without it the same numbers come from float32 instructions.

use std::ops::Range;

use burn::tensor::bf16;
use multiversion::multiversion;
use rayon::prelude::*;

use super::{
    strided::StridedMatrix,
    tiles::{OutputColumns, TiledRows},
};

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
/// Most rows of a tile.
const MOST: usize = 12;
/// Rows of a thread from which it computes whole rows, and packs the matrix on its own.
const OWN_ROWS: usize = 48;

/// A matrix in panels: for each panel, a line of outputs for each pair of inputs.
pub(super) struct HalfPanels {
    lines: Vec<PackedLine>,
    /// Inputs and outputs.
    sides: [usize; 2],
}

/// Sums of a tile's rows and a panel's outputs.
struct TileSums<'a, 'b> {
    rows: &'a mut [&'b mut [f32]],
    /// Columns of the rows.
    columns: Range<usize>,
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
            let rows = output.chunks_exact_mut(outputs).collect();
            add_columns(&rounded(input, inputs), matrix, OutputColumns { from: 0, rows });
        });
        return output;
    }
    let input = rounded(input, inputs);
    let tasks = outputs.div_ceil(PANEL * PANELS).next_multiple_of(threads);
    let width = outputs.div_ceil(tasks).next_multiple_of(PANEL);
    let parts = OutputColumns::split(&mut output, outputs, width);
    parts.into_par_iter().for_each(|part| add_columns(&input, matrix, part));
    output
}

/// Adds some outputs of all rows to sums.
fn add_columns(input: &TiledRows<TwoHalves>, matrix: HalfMatrix, mut sums: OutputColumns) {
    let mut packed = vec![[0; PANEL]; DEPTH * PANELS];
    for from in (0..sums.width()).step_by(PANEL * PANELS) {
        let block = from..sums.width().min(from + PANEL * PANELS);
        for first in (0..input.length()).step_by(DEPTH) {
            let depth = first..input.length().min(first + DEPTH);
            pack(matrix, depth.clone(), sums.from + from..sums.from + block.end, &mut packed);
            for (from, lines) in block.clone().step_by(PANEL).zip(packed.chunks_exact(DEPTH)) {
                add_panel(input, depth.clone(), lines, &mut sums, from);
            }
        }
    }
}

/// Adds the products with some pairs of inputs of a panel to sums from this column on.
fn add_panel(
    input: &TiledRows<TwoHalves>,
    pairs: Range<usize>,
    lines: &[PackedLine],
    sums: &mut OutputColumns,
    from: usize,
) {
    let columns = from..sums.width().min(from + PANEL);
    for (rows, tile) in input.tiles(pairs.clone()) {
        let sums = TileSums { rows: &mut sums.rows[rows], columns: columns.clone() };
        multiply_tile(&lines[..pairs.len()], tile, sums);
    }
}

impl HalfPanels {
    /// A matrix in this form.
    pub(super) fn new(matrix: &StridedMatrix<bf16>) -> Self {
        let sides = matrix.sides();
        let [inputs, outputs] = sides;
        let pairs = inputs.div_ceil(2);
        let mut lines = vec![[0; PANEL]; outputs.div_ceil(PANEL) * pairs];
        lines.par_chunks_exact_mut(pairs).enumerate().for_each(|(panel, lines)| {
            let outputs = panel * PANEL..outputs.min((panel + 1) * PANEL);
            for (number, line) in lines.iter_mut().enumerate() {
                let [mut even, mut odd] = [[bf16::ZERO; PANEL]; 2];
                matrix.copy(2 * number, outputs.clone(), &mut even);
                if 2 * number + 1 < inputs {
                    matrix.copy(2 * number + 1, outputs.clone(), &mut odd);
                }
                *line = std::array::from_fn(|place| pair(even[place], odd[place]));
            }
        });
        Self { lines, sides }
    }

    /// The product of rows [rows, inputs] with it, with the bits of [`multiply`].
    pub(super) fn multiply(&self, input: &[f32]) -> Vec<f32> {
        let [inputs, outputs] = self.sides;
        let input = rounded(input, inputs);
        let mut output = vec![0.0; input.rows() * outputs];
        let panels = outputs.div_ceil(PANEL).div_ceil(rayon::current_num_threads());
        let parts = OutputColumns::split(&mut output, outputs, panels * PANEL);
        parts.into_par_iter().for_each(|mut sums| {
            let all = self.lines.chunks_exact(input.length()).skip(sums.from / PANEL);
            for (from, panel) in (0..sums.width()).step_by(PANEL).zip(all) {
                for (number, lines) in panel.chunks(DEPTH).enumerate() {
                    let pairs = number * DEPTH..number * DEPTH + lines.len();
                    add_panel(&input, pairs, lines, &mut sums, from);
                }
            }
        });
        output
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

impl TileSums<'_, '_> {
    fn lines(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let columns = self.columns.clone();
        self.rows.iter_mut().map(move |row| &mut row[columns.clone()])
    }
}

/// Rows rounded to bfloat16, in tiles of pairs.
fn rounded(input: &[f32], inputs: usize) -> TiledRows<TwoHalves> {
    let sides = [input.len() / inputs, inputs.div_ceil(2)];
    TiledRows::new(sides, MOST, |row, to, distance| {
        round(&input[row * inputs..][..inputs], to, distance);
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
    let rows = sums.rows.len();
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
            match sums.rows.len() {
                12 => multiply_rows::<12>(lines, tile, &mut sums),
                8 => multiply_rows::<8>(lines, tile, &mut sums),
                6 => multiply_rows::<6>(lines, tile, &mut sums),
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
            let panels = HalfPanels::new(&StridedMatrix::by_rows(&matrix, sides));
            assert_eq!(by_input, panels.multiply(&input));
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
        let input = rounded(&numbers(2 * DEPTH * 7, 3), 2 * DEPTH);
        let sizes: Vec<usize> = input.tiles(0..DEPTH).map(|(rows, _)| rows.len()).collect();
        assert_eq!(sizes, [6, 1]);
        for (rows, tile) in input.tiles(0..DEPTH) {
            let run = |how: fn(&[PackedLine], &[TwoHalves], TileSums)| {
                let mut numbers = vec![0.5; rows.len() * 40];
                let mut parts: Vec<&mut [f32]> = numbers.chunks_mut(40).collect();
                how(&lines, tile, TileSums { rows: &mut parts, columns: 0..29 });
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
