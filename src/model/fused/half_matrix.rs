//! Products of float32 rows with a bfloat16 matrix, which is read at half the bytes.
//!
//! Inputs are rounded to bfloat16 and sums are float32, as the processor's own instruction for such
//! products (AVX512-BF16) has them. Without it the same numbers come from float32 instructions.

use burn::tensor::bf16;
use multiversion::multiversion;
use rayon::prelude::*;

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(super) struct HalfMatrix<'a> {
    pub(super) numbers: &'a [bf16],
    /// Inputs and outputs of the product.
    pub(super) sides: [usize; 2],
    pub(super) order: Order,
}

/// Which numbers follow one another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Those of one input.
    ByInput,
    /// Those of one output.
    ByOutput,
}

/// Two numbers of one row or output: those of an even input and the next one, which is the higher
/// half.
type Pair = u32;
/// Pairs of all outputs of a panel for one pair of inputs.
type Line = [Pair; PANEL];

/// Outputs of a panel: their sums for a few rows stay in registers.
const PANEL: usize = 32;
/// Most panels of a task.
const PANELS: usize = 8;
/// Pairs of inputs that are packed at once, so that they stay in the second-level cache.
const DEPTH: usize = 64;
/// Rows whose sums are in registers at once.
const ROWS: usize = 12;

/// The product of rows [rows, inputs] with a matrix.
pub(super) fn multiply(input: &[f32], matrix: HalfMatrix) -> Vec<f32> {
    let [inputs, outputs] = matrix.sides;
    let rows = input.len() / inputs;
    let pairs = inputs.div_ceil(2);
    let rounded = rounded(input, inputs);
    let tasks = outputs.div_ceil(PANEL * PANELS).next_multiple_of(rayon::current_num_threads());
    let width = outputs.div_ceil(tasks).next_multiple_of(PANEL);
    let starts: Vec<usize> = (0..outputs).step_by(width).collect();
    let parts: Vec<Vec<f32>> = starts
        .into_par_iter()
        .map(|from| multiply_columns(&rounded, pairs, matrix, from..outputs.min(from + width)))
        .collect();
    let mut output = Vec::with_capacity(rows * outputs);
    for row in 0..rows {
        for (number, part) in parts.iter().enumerate() {
            let padded = part.len() / rows;
            let used = padded.min(outputs - number * width);
            output.extend_from_slice(&part[row * padded..][..used]);
        }
    }
    output
}

/// Some outputs of a product, padded to whole panels.
fn multiply_columns(
    input: &[Pair],
    pairs: usize,
    matrix: HalfMatrix,
    outputs: std::ops::Range<usize>,
) -> Vec<f32> {
    let rows = input.len() / pairs;
    let panels = outputs.len().div_ceil(PANEL);
    let mut sums = vec![0.0; rows * panels * PANEL];
    let mut packed = vec![[0; PANEL]; DEPTH];
    for first in (0..pairs).step_by(DEPTH) {
        let depth = first..pairs.min(first + DEPTH);
        for panel in 0..panels {
            let from = outputs.start + panel * PANEL;
            let columns = from..outputs.end.min(from + PANEL);
            let lines = &mut packed[..depth.len()];
            pack(matrix, depth.clone(), columns, lines);
            let sums =
                sums.chunks_mut(panels * PANEL).map(|row| &mut row[panel * PANEL..][..PANEL]);
            let input = input.chunks_exact(pairs).map(|row| &row[depth.clone()]);
            let mut rest: Vec<(&[Pair], &mut [f32])> = input.zip(sums).collect();
            add_products(lines, &mut rest);
        }
    }
    sums
}

/// Adds the products of rows with a panel to their sums.
fn add_products(lines: &[Line], rows: &mut [(&[Pair], &mut [f32])]) {
    for rows in rows.chunks_mut(ROWS) {
        #[cfg(target_arch = "x86_64")]
        if hardware::is_there() {
            hardware::add_products(lines, rows);
            continue;
        }
        add_products_portably(lines, rows);
    }
}

/// The numbers of some outputs for some pairs of inputs, a line for each pair; zeros beyond the
/// last output and input.
fn pack(
    matrix: HalfMatrix,
    pairs: std::ops::Range<usize>,
    outputs: std::ops::Range<usize>,
    lines: &mut [Line],
) {
    let [inputs, columns] = matrix.sides;
    if outputs.len() < PANEL {
        lines.fill([0; PANEL]);
    }
    match matrix.order {
        Order::ByInput => {
            for (pair, line) in pairs.zip(lines) {
                let row = |input: usize| &matrix.numbers[input * columns..][outputs.clone()];
                let next = if 2 * pair + 1 < inputs { row(2 * pair + 1) } else { &[] };
                join(row(2 * pair), next, line);
            }
        }
        Order::ByOutput => {
            for (place, output) in outputs.enumerate() {
                let all = &matrix.numbers[output * inputs..][..inputs];
                let numbers = &all[2 * pairs.start..inputs.min(2 * pairs.end)];
                for (line, two) in lines.iter_mut().zip(numbers.chunks(2)) {
                    line[place] = pair(two[0], two.get(1).copied().unwrap_or_default());
                }
            }
        }
    }
}

fn pair(even: bf16, odd: bf16) -> Pair {
    Pair::from(even.to_bits()) | Pair::from(odd.to_bits()) << 16
}

/// The pairs of two rows; without a second one its numbers are 0.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2+fma"))]
fn join(row: &[bf16], next: &[bf16], line: &mut Line) {
    if next.is_empty() {
        line.iter_mut().zip(row).for_each(|(to, even)| *to = pair(*even, bf16::ZERO));
        return;
    }
    line.iter_mut().zip(row.iter().zip(next)).for_each(|(to, (even, odd))| *to = pair(*even, *odd));
}

/// Rows rounded to bfloat16, as pairs.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2+fma"))]
fn rounded(input: &[f32], inputs: usize) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(input.len().div_ceil(2));
    for row in input.chunks_exact(inputs) {
        let (twos, rest) = row.as_chunks::<2>();
        pairs.extend(twos.iter().map(|[even, odd]| bits(*even) | bits(*odd) << 16));
        pairs.extend(rest.iter().map(|even| bits(*even)));
    }
    pairs
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
fn add_products_portably(lines: &[Line], rows: &mut [(&[Pair], &mut [f32])]) {
    for (input, sums) in rows {
        let mut sum = [0.0f32; PANEL];
        for (line, pair) in lines.iter().zip(*input) {
            let [even, odd] = halves(*pair);
            for (sum, weights) in sum.iter_mut().zip(line) {
                let [even_weight, odd_weight] = halves(*weights);
                *sum = even.mul_add(even_weight, odd.mul_add(odd_weight, *sum));
            }
        }
        sums.iter_mut().zip(&sum).for_each(|(to, sum)| *to += sum);
    }
}

#[inline(always)]
fn halves(pair: Pair) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}

#[cfg(target_arch = "x86_64")]
mod hardware {
    //! The same with AVX512-BF16.

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{Line, PANEL, Pair, ROWS};

    /// Numbers in a register.
    const LANES: usize = 16;

    pub(super) fn is_there() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bf16")
    }

    /// Adds the products of at most [`ROWS`] rows with a panel; only where [`is_there`].
    pub(super) fn add_products(lines: &[Line], rows: &mut [(&[Pair], &mut [f32])]) {
        assert!(rows.iter().all(|(input, sums)| input.len() == lines.len() && sums.len() == PANEL));
        // As many rows at once as there are left: their sums are in registers, so that the number
        // is known when this is compiled.
        // SAFETY: the caller has seen that the instructions are there.
        unsafe {
            match rows.len() {
                ROWS => add::<ROWS>(lines, rows),
                count => {
                    let (eight, rest) = rows.split_at_mut(count / 8 * 8);
                    eight.chunks_mut(8).for_each(|rows| add::<8>(lines, rows));
                    let (four, rest) = rest.split_at_mut(rest.len() / 4 * 4);
                    four.chunks_mut(4).for_each(|rows| add::<4>(lines, rows));
                    let (two, rest) = rest.split_at_mut(rest.len() / 2 * 2);
                    two.chunks_mut(2).for_each(|rows| add::<2>(lines, rows));
                    rest.chunks_mut(1).for_each(|rows| add::<1>(lines, rows));
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn add<const COUNT: usize>(lines: &[Line], rows: &mut [(&[Pair], &mut [f32])]) {
        let input: [&[Pair]; COUNT] = std::array::from_fn(|row| &rows[row].0[..lines.len()]);
        let mut sums = [[_mm512_setzero_ps(); PANEL / LANES]; COUNT];
        for (number, line) in lines.iter().enumerate() {
            let weights = [load(&line[..LANES]), load(&line[LANES..])];
            for (sums, input) in sums.iter_mut().zip(input) {
                let pair = as_half(_mm512_set1_epi32(input[number] as i32));
                *sums =
                    [0, 1].map(|part| _mm512_dpbf16_ps(sums[part], pair, as_half(weights[part])));
            }
        }
        for (found, (_, sums)) in sums.iter().zip(rows) {
            for (found, to) in found.iter().zip(sums.chunks_exact_mut(LANES)) {
                add_to(to, *found);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn load(numbers: &[Pair]) -> __m512i {
        assert!(numbers.len() >= LANES);
        // SAFETY: as many numbers are read as there are, at least.
        unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    fn add_to(sums: &mut [f32], more: __m512) {
        assert!(sums.len() >= LANES);
        // SAFETY: as many numbers are read and written as there are, at least.
        unsafe {
            let sum = _mm512_add_ps(_mm512_loadu_ps(sums.as_ptr()), more);
            _mm512_storeu_ps(sums.as_mut_ptr(), sum);
        }
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
            let by_input =
                multiply(&input, HalfMatrix { numbers: &matrix, sides, order: Order::ByInput });
            let by_output =
                multiply(&input, HalfMatrix { numbers: &turned, sides, order: Order::ByOutput });
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
                let matrix = HalfMatrix { numbers: &matrix, sides, order: Order::ByInput };
                let alone = multiply(&input[row * inputs..][..inputs], matrix);
                assert_eq!(alone, by_input[row * outputs..][..outputs]);
            }
        }
    }

    #[test]
    fn the_processors_instruction_gives_the_bits_of_float32_instructions() {
        let lines: Vec<Line> = (0..DEPTH)
            .map(|number| {
                let numbers = halved(&numbers(2 * PANEL, number as u64));
                std::array::from_fn(|place| pair(numbers[2 * place], numbers[2 * place + 1]))
            })
            .collect();
        let input = rounded(&numbers(2 * DEPTH * 7, 3), 2 * DEPTH);
        let run = |how: fn(&[Line], &mut [(&[Pair], &mut [f32])])| {
            let mut sums = vec![0.5; 7 * PANEL];
            let rows = input.chunks_exact(DEPTH).zip(sums.chunks_exact_mut(PANEL));
            how(&lines, &mut rows.collect::<Vec<_>>());
            sums
        };
        assert_eq!(run(add_products), run(|lines, rows| add_products_portably(lines, rows)));
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_even_one() {
        for number in [0.0, -1.5, 1.003_906_2, 1.011_718_8, f32::MAX, f32::INFINITY, 1e-40] {
            assert_eq!(bits(number), u32::from(bf16::from_f32(number).to_bits()), "{number}");
        }
        assert!(bf16::from_bits(bits(f32::NAN) as u16).is_nan());
    }
}
