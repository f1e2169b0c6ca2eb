//! Operations on rows that are independent of each other.

use multiversion::multiversion;
use rayon::prelude::*;

use super::vector::{sigmoid, sum_of};

/// Numbers of a task; fewer are computed sooner than a thread is woken.
const TASK: usize = 1 << 14;

/// Rows whose gradients by the scale are summed before others are added; fixed, so that the sum
/// does not depend on the number of threads.
const ROWS_SUMMED: usize = 64;

/// Fills an output by tasks of whole rows; `fill` gets the number of its first row, and these rows.
fn by_rows(rows: usize, width: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    // Whole rows, so that no sum is split between tasks.
    let mut output = vec![0.0; rows * width];
    let at_once = (TASK / width.max(1)).max(1);
    if rows <= at_once {
        fill(0, &mut output);
    } else {
        let tasks = output.par_chunks_mut(at_once * width).enumerate();
        tasks.for_each(|(task, rows)| fill(task * at_once, rows));
    }
    output
}

/// SwiGLU of rows with gate and value side by side.
pub(super) fn swiglu(gate_up: &[f32], width: usize) -> Vec<f32> {
    by_rows(gate_up.len() / (2 * width), width, |first, output| {
        swiglu_rows(&gate_up[2 * first * width..], width, output);
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn swiglu_rows(gate_up: &[f32], width: usize, output: &mut [f32]) {
    for (input, output) in gate_up.chunks_exact(2 * width).zip(output.chunks_exact_mut(width)) {
        let (gates, values) = input.split_at(width);
        for ((output, gate), value) in output.iter_mut().zip(gates).zip(values) {
            *output = gate * sigmoid(*gate) * value;
        }
    }
}

/// The gradient of SwiGLU by gate and value, side by side.
pub(super) fn swiglu_gradient(gate_up: &[f32], gradient: &[f32], width: usize) -> Vec<f32> {
    by_rows(gate_up.len() / (2 * width), 2 * width, |first, output| {
        swiglu_gradient_rows(
            &gate_up[2 * first * width..],
            &gradient[first * width..],
            output,
            width,
        );
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn swiglu_gradient_rows(gate_up: &[f32], gradient: &[f32], output: &mut [f32], width: usize) {
    let inputs = gate_up.chunks_exact(2 * width).zip(gradient.chunks_exact(width));
    for (output, (input, gradient)) in output.chunks_exact_mut(2 * width).zip(inputs) {
        let (gates, values) = input.split_at(width);
        let (by_gates, by_values) = output.split_at_mut(width);
        for column in 0..width {
            let (gate, value, slope) = (gates[column], values[column], gradient[column]);
            let open = sigmoid(gate);
            by_gates[column] = slope * value * open * (1.0 + gate * (1.0 - open));
            by_values[column] = slope * gate * open;
        }
    }
}

/// Root-mean-square norm of rows as long as the scale.
pub(super) fn rms_norm(states: &[f32], scale: &[f32], epsilon: f64) -> Vec<f32> {
    by_rows(states.len() / scale.len(), scale.len(), |first, output| {
        rms_norm_rows(&states[first * scale.len()..], scale, epsilon, output);
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn rms_norm_rows(states: &[f32], scale: &[f32], epsilon: f64, output: &mut [f32]) {
    let width = scale.len();
    for (states, output) in states.chunks_exact(width).zip(output.chunks_exact_mut(width)) {
        let factor = inverse_norm(states, epsilon);
        for ((output, state), scale) in output.iter_mut().zip(states).zip(scale) {
            *output = state * factor * scale;
        }
    }
}

/// One by the root of the mean square.
#[inline(always)]
fn inverse_norm(states: &[f32], epsilon: f64) -> f32 {
    let squares = sum_of(states, states, |state, _| state * state);
    1.0 / (squares / states.len() as f32 + epsilon as f32).sqrt()
}

/// The gradient of the norm by the states.
pub(super) fn rms_norm_gradient(
    states: &[f32],
    scale: &[f32],
    gradient: &[f32],
    epsilon: f64,
) -> Vec<f32> {
    let width = scale.len();
    by_rows(states.len() / width, width, |first, output| {
        let (states, gradient) = (&states[first * width..], &gradient[first * width..]);
        rms_norm_gradient_rows(states, scale, gradient, epsilon, output);
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn rms_norm_gradient_rows(
    states: &[f32],
    scale: &[f32],
    gradient: &[f32],
    epsilon: f64,
    output: &mut [f32],
) {
    let width = scale.len();
    let inputs = states.chunks_exact(width).zip(gradient.chunks_exact(width));
    for (output, (states, gradient)) in output.chunks_exact_mut(width).zip(inputs) {
        // Computed again, which is cheaper than to keep it.
        let factor = inverse_norm(states, epsilon);
        for column in 0..width {
            output[column] = gradient[column] * scale[column];
        }
        let along = sum_of(output, states, |slope, state| slope * state);
        let shrink = factor * factor * along / width as f32;
        for column in 0..width {
            output[column] = factor * (output[column] - shrink * states[column]);
        }
    }
}

/// The gradient of the norm by the scale.
pub(super) fn rms_norm_scale_gradient(
    states: &[f32],
    gradient: &[f32],
    width: usize,
    epsilon: f64,
) -> Vec<f32> {
    // Tasks of a fixed size: the order of their sums is that of the rows.
    let at_once = ROWS_SUMMED * width;
    let parts = states.par_chunks(at_once).zip(gradient.par_chunks(at_once));
    let parts: Vec<Vec<f32>> = parts
        .map(|(states, gradient)| {
            let mut sum = vec![0.0; width];
            for (states, gradient) in states.chunks_exact(width).zip(gradient.chunks_exact(width)) {
                add_scale_gradient(states, gradient, epsilon, &mut sum);
            }
            sum
        })
        .collect();
    parts.into_iter().fold(vec![0.0; width], |mut sum, part| {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sum
    })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma"))]
fn add_scale_gradient(states: &[f32], gradient: &[f32], epsilon: f64, sum: &mut [f32]) {
    let factor = inverse_norm(states, epsilon);
    for ((sum, state), slope) in sum.iter_mut().zip(states).zip(gradient) {
        *sum += slope * state * factor;
    }
}
