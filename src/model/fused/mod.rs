//! Operations of a block that the CPU computes in one pass over memory, on all threads, with
//! gradients written by hand. As compositions of tensor operations they took most of a training
//! step: each wrote its result to memory, and exponentials ran on one thread.
//!
//! They are an extension of Burn's CPU backend in float32; tensors in other formats or on other
//! devices are not theirs.

mod attention;
mod autodiff;
mod cached;
mod extension;
mod few_rows;
mod heads;
mod matrix;
mod operations;
mod rows;
mod vector;

pub(super) use attention::{AttentionLayout, TextSpan};
pub(super) use cached::NewPositions;
pub(super) use heads::Heads;
pub(super) use operations::{
    attend, attend_to, is_fusible, multiply_few_rows, rms_norm, split_heads, swiglu,
};
