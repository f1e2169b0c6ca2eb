//! Operations of a block that the CPU computes in one pass over memory, on all threads, with
//! gradients written by hand. As compositions of tensor operations they took most of a training
//! step: each wrote its result to memory, and exponentials ran on one thread.
//!
//! They are an extension of Burn's CPU backend for states in float32, with weights in float32 or
//! bfloat16; other tensors are not theirs.

mod attention;
mod autodiff;
mod cached;
mod extension;
mod few_rows;
mod half_matrix;
mod heads;
mod matrix;
mod operations;
mod packed_matrix;
mod panels;
mod rows;
mod strided;
mod tiles;
mod vector;

pub(super) use attention::{AttentionLayout, TextSpan};
pub(super) use cached::NewPositions;
pub(super) use heads::Heads;
pub use operations::multiply;
pub(super) use operations::{attend, attend_to, is_fusible, rms_norm, split_heads, swiglu};
pub(super) use packed_matrix::PackedMatrix;
