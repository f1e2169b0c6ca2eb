//! Weights of a GGUF file under transformers' names, dequantised one tensor at a time.

use std::{borrow::Cow, collections::BTreeMap};

use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, View};

use super::{
    names::{RowOrder, gguf_name},
    reader::{GgufFile, GgufTensor},
    rotary_factors::FACTORS,
    stored_type::StoredType,
};
use crate::model::{
    architecture::{ModelConfig, NumberFormat},
    directory::{EMBEDDING, expected_tensors, release},
};

/// A tensor of transformers, whose bytes are made when they are written.
pub(super) struct Dequantised<'a> {
    map: &'a Mmap,
    /// None for a bias that the file leaves out, which is zero.
    tensor: Option<&'a GgufTensor<'a>>,
    shape: Vec<usize>,
    order: RowOrder,
    format: NumberFormat,
}

/// All tensors under transformers' names, in this number format; without one, those that are
/// stored in 16 bits stay so, and all others become float32, which represents them exactly.
///
/// # Errors
/// Names the tensor that is missing, superfluous or of another shape.
pub(super) fn dequantised<'a>(
    file: &'a GgufFile<'a>,
    config: &ModelConfig,
    map: &'a Mmap,
    format: Option<NumberFormat>,
) -> Result<BTreeMap<String, Dequantised<'a>>, String> {
    let (mut tensors, mut used) = (BTreeMap::new(), vec![FACTORS.to_owned()]);
    for (name, shape) in expected_tensors(config, EMBEDDING) {
        let theirs = gguf_name(&name).ok_or_else(|| format!("`{name}` has no name in GGUF"))?;
        let tensor = file.tensors.get(theirs.as_str());
        match tensor {
            Some(tensor) if tensor.shape != shape => {
                return Err(format!(
                    "the tensor `{theirs}` has the shape {:?}, but {shape:?} is expected",
                    tensor.shape
                ));
            }
            // transformers' Llama has either all biases of attention or none.
            None if !(name.ends_with(".bias") && config.attention_output_bias) => {
                return Err(format!("the tensor `{theirs}` is missing"));
            }
            _ => (),
        }
        let order = RowOrder::of(&name, config.architecture.model_type(), config.head_dim);
        let format = format.unwrap_or_else(|| kept_format(tensor));
        tensors.insert(name, Dequantised { map, tensor, shape, order, format });
        used.push(theirs);
    }
    used.sort();
    match file
        .tensors
        .keys()
        .find(|name| used.binary_search_by(|one| one.as_str().cmp(name)).is_err())
    {
        None => Ok(tensors),
        Some(name) => Err(format!(
            "the tensor `{name}` is not part of the architecture `{}` as it is supported",
            config.architecture.model_type()
        )),
    }
}

/// The format that represents a tensor exactly.
fn kept_format(tensor: Option<&GgufTensor>) -> NumberFormat {
    match tensor.map(|tensor| tensor.stored) {
        Some(StoredType::F16) => NumberFormat::Float16,
        Some(StoredType::BF16) => NumberFormat::BFloat16,
        _ => NumberFormat::Float32,
    }
}

/// The format of most weights.
pub(super) fn main_format(tensors: &BTreeMap<String, Dequantised>) -> NumberFormat {
    let size = |format: &NumberFormat| {
        let of_format = tensors.values().filter(|tensor| tensor.format == *format);
        of_format.map(Dequantised::values).sum::<usize>()
    };
    NumberFormat::ALL.into_iter().max_by_key(size).unwrap_or(NumberFormat::Float32)
}

/// The types in which a file's weights are stored, with the numbers of tensors: `Q4_1 (210)`.
pub(super) fn stored_types(file: &GgufFile) -> String {
    let mut counts = BTreeMap::new();
    for tensor in file.tensors.values() {
        *counts.entry(tensor.stored).or_insert(0) += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(stored, count)| format!("{} ({count})", stored.name())).collect();
    counts.join(", ")
}

impl Dequantised<'_> {
    fn values(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of all rows in transformers' order; `convert` writes a value's.
    fn bytes(&self, tensor: &GgufTensor, convert: impl Fn(f32, &mut [u8]) + Sync) -> Vec<u8> {
        let mut bytes = vec![0; self.data_len()];
        let (_, width) = tensor.rows();
        let row_bytes = width * self.format.size();
        let rows = bytes.par_chunks_mut(row_bytes).enumerate();
        rows.for_each_init(
            || vec![0.0; width],
            |values, (row, bytes)| {
                tensor.row(self.order.row_in_file(row), values);
                for (value, bytes) in values.iter().zip(bytes.chunks_exact_mut(self.format.size()))
                {
                    convert(*value, bytes);
                }
            },
        );
        bytes
    }
}

impl View for Dequantised<'_> {
    fn dtype(&self) -> Dtype {
        match self.format {
            NumberFormat::Float32 => Dtype::F32,
            NumberFormat::BFloat16 => Dtype::BF16,
            NumberFormat::Float16 => Dtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let Some(tensor) = self.tensor else { return Cow::Owned(vec![0; self.data_len()]) };
        let bytes = match self.format {
            NumberFormat::Float32 => self.bytes(tensor, |value, bytes| {
                bytes.copy_from_slice(&value.to_le_bytes());
            }),
            NumberFormat::BFloat16 => self.bytes(tensor, |value, bytes| {
                bytes.copy_from_slice(&bf16::from_f32(value).to_le_bytes());
            }),
            NumberFormat::Float16 => self.bytes(tensor, |value, bytes| {
                bytes.copy_from_slice(&f16::from_f32(value).to_le_bytes());
            }),
        };
        // They would count as memory beside the tensor's.
        release(self.map, tensor.data);
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        self.values() * self.format.size()
    }
}
