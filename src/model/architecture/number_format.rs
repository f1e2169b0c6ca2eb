//! The formats of numbers in which weights are stored and models compute.

use burn::tensor::DType;

/// A format of numbers, under PyTorch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFormat {
    /// 32 bits.
    Float32,
    /// 16 bits with the range of float32.
    BFloat16,
    /// 16 bits with more digits and less range.
    Float16,
}

impl NumberFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::BFloat16, Self::Float16];

    /// PyTorch's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        if self == Self::Float32 { 4 } else { 2 }
    }

    pub(in crate::model) fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::BFloat16 => DType::BF16,
            Self::Float16 => DType::F16,
        }
    }
}
