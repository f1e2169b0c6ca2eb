//! Number formats of stored weights and of computation.

use burn::tensor::DType;

/// A number format, under PyTorch's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFormat {
    /// 32 bits.
    Float32,
    /// bfloat16: 16 bits with the range of float32.
    BFloat16,
    /// float16: 16 bits with more digits and less range.
    Float16,
}

impl NumberFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float32, Self::BFloat16, Self::Float16];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }

    /// Size in bytes.
    pub fn size(self) -> usize {
        if self == Self::Float32 { 4 } else { 2 }
    }

    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::Float32 => DType::F32,
            Self::BFloat16 => DType::BF16,
            Self::Float16 => DType::F16,
        }
    }
}
