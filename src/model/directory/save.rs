//! Writing Hugging Face model directories that transformers can load.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::OnceLock,
};

use burn::tensor::{DType, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, View};
use serde_json::json;

use super::{
    WeightsError,
    foreign::{INDEX, SINGLE},
    layout::{
        BLOCK_NORMS, EMBEDDING, LayerColumns, LayerPart, NORM, QUERY_KEY_NORMS, block_columns,
        block_prefix, head_columns, linears,
    },
};
use crate::model::architecture::{Linear, ModelConfig, NumberFormat, Transformer};

/// Default size limit of a file of weights, in bytes.
pub const LARGEST_FILE: usize = 5_000_000_000;

/// A tensor in transformers' layout, whose bytes are made when they are written.
pub(super) enum Stored {
    /// Unchanged.
    Plain(Tensor<1>, Vec<usize>),
    /// A matrix [in, out], transposed.
    Transposed(Tensor<2>, Vec<usize>),
}

impl Transformer {
    /// Writes `config.json`, `generation_config.json` and `model.safetensors`, or several such
    /// files with an index, into an existing directory, in the model's number format. Equal models
    /// give equal bytes. An adapter's updates are left out.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn save(&self, directory: &Path, largest_file: usize) -> Result<(), WeightsError> {
        write_configs(&self.config, self.format(), directory)?;
        write_weights(self.stored(), directory, largest_file)
    }

    /// All tensors under transformers' names.
    fn stored(&self) -> BTreeMap<String, Stored> {
        let mut tensors = BTreeMap::new();
        let config = &self.config;
        let vocabulary = [config.vocab_size, config.hidden_size];
        // The embedding alone has the same layout in transformers: [vocabulary, hidden].
        let flat = self.embedding.val().reshape([vocabulary[0] * vocabulary[1]]);
        tensors.insert(EMBEDDING.to_owned(), Stored::Plain(flat, vocabulary.to_vec()));
        tensors.insert(NORM.to_owned(), Stored::norm(self.norm.val()));
        for (number, block) in self.blocks.iter().enumerate() {
            let prefix = block_prefix(number);
            for (name, norm) in
                BLOCK_NORMS.iter().zip([&block.attention_norm, &block.feed_forward_norm])
            {
                tensors.insert(prefix.clone() + name, Stored::norm(norm.val()));
            }
            for (name, norm) in QUERY_KEY_NORMS.iter().zip(block.query_key_norms.iter().flatten()) {
                tensors.insert(prefix.clone() + name, Stored::norm(norm.val()));
            }
            for (columns, linear) in block_columns(config).iter().zip(linears(block)) {
                tensors.extend(columns.split(linear, &prefix));
            }
        }
        tensors.extend(self.head.iter().flat_map(|head| head_columns(config).split(head, "")));
        tensors
    }
}

impl LayerColumns {
    /// Splits a linear layer into transformers' tensors.
    fn split(&self, linear: &Linear, prefix: &str) -> Vec<(String, Stored)> {
        let mut tensors = Vec::new();
        for LayerPart { name, from, width } in self.parts.iter().copied() {
            let columns = linear.weight.val().narrow(1, from, width);
            tensors.push((
                format!("{prefix}{name}.weight"),
                Stored::Transposed(columns, vec![width, self.input]),
            ));
            if let Some(bias) = &linear.bias {
                tensors.push((
                    format!("{prefix}{name}.bias"),
                    Stored::norm(bias.val().narrow(0, from, width)),
                ));
            }
        }
        tensors
    }
}

impl Stored {
    fn norm(values: Tensor<1>) -> Self {
        let shape = values.dims().to_vec();
        Self::Plain(values, shape)
    }

    fn format(&self) -> DType {
        match self {
            Self::Plain(values, _) => values.dtype(),
            Self::Transposed(values, _) => values.dtype(),
        }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        match self.format() {
            DType::BF16 => Dtype::BF16,
            DType::F16 => Dtype::F16,
            _ => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Plain(_, shape) | Self::Transposed(_, shape) => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = match self {
            Self::Plain(values, _) => values.clone().into_data(),
            Self::Transposed(values, _) => values.clone().transpose().into_data(),
        };
        Cow::Owned(data.as_bytes().to_vec())
    }

    fn data_len(&self) -> usize {
        let bytes = NumberFormat::ALL.into_iter().find(|format| format.dtype() == self.format());
        self.shape().iter().product::<usize>() * bytes.unwrap_or(NumberFormat::Float32).size()
    }
}

pub(in crate::model) fn write_text(path: &Path, text: &str) -> Result<(), WeightsError> {
    fs::write(path, text).map_err(WeightsError::io(path))
}

/// Writes `config.json` and `generation_config.json`.
pub(in crate::model) fn write_configs(
    config: &ModelConfig,
    format: NumberFormat,
    directory: &Path,
) -> Result<(), WeightsError> {
    write_text(&directory.join("config.json"), &config.to_json(format))?;
    let eos = match config.eos_token_id.as_slice() {
        [] => json!(null),
        [one] => json!(one),
        several => json!(several),
    };
    let generation = json!({
        "_from_model_config": true,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": eos,
        "pad_token_id": config.pad_token_id,
    });
    write_text(&directory.join("generation_config.json"), &format!("{generation:#}\n"))
}

/// Writes `model.safetensors`, or several such files with an index.
pub(in crate::model) fn write_weights<T: View>(
    tensors: BTreeMap<String, T>,
    directory: &Path,
    largest_file: usize,
) -> Result<(), WeightsError> {
    let files = into_files(tensors, largest_file);
    let count = files.len();
    let (mut map, mut total) = (BTreeMap::new(), 0);
    for (number, tensors) in files.into_iter().enumerate() {
        let name = match count {
            1 => SINGLE.to_owned(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        for (tensor, stored) in &tensors {
            map.insert(tensor.clone(), name.clone());
            total += stored.data_len();
        }
        write_tensors(&tensors, &directory.join(&name))?;
    }
    if count == 1 {
        return Ok(());
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    write_text(&directory.join(INDEX), &format!("{index:#}\n"))
}

/// Distributes tensors over files, in the order of their names.
fn into_files<T: View>(
    tensors: BTreeMap<String, T>,
    largest_file: usize,
) -> Vec<BTreeMap<String, T>> {
    let (mut files, mut size) = (vec![BTreeMap::new()], 0);
    for (name, tensor) in tensors {
        // A tensor above the limit has a file of its own.
        if size > 0 && size + tensor.data_len() > largest_file {
            files.push(BTreeMap::new());
            size = 0;
        }
        size += tensor.data_len();
        files.last_mut().expect("there is always a last file").insert(name, tensor);
    }
    files
}

/// A tensor that is checked while it is written.
struct Checked<'a, T> {
    name: &'a str,
    stored: &'a T,
    /// The first tensor with values that are not finite.
    wrong: &'a OnceLock<String>,
}

impl<T: View> View for Checked<'_, T> {
    fn dtype(&self) -> Dtype {
        self.stored.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.stored.shape()
    }

    // The bytes are there anyway: a pass over all tensors before would make them twice.
    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.stored.data();
        let (pairs, _) = data.as_chunks::<2>();
        let is_finite = match self.stored.dtype() {
            Dtype::BF16 => pairs.par_iter().all(|word| bf16::from_le_bytes(*word).is_finite()),
            Dtype::F16 => pairs.par_iter().all(|word| f16::from_le_bytes(*word).is_finite()),
            _ => {
                data.as_chunks::<4>().0.par_iter().all(|word| f32::from_le_bytes(*word).is_finite())
            }
        };
        if !is_finite {
            self.wrong.get_or_init(|| self.name.to_owned());
        }
        data
    }

    fn data_len(&self) -> usize {
        self.stored.data_len()
    }
}

/// Writes a safetensors file with PyTorch's metadata and default permissions. A file with values
/// that cannot be read again is removed.
pub(super) fn write_tensors<T: View>(
    tensors: &BTreeMap<String, T>,
    path: &Path,
) -> Result<(), WeightsError> {
    let metadata = Some(std::iter::once(("format".to_owned(), "pt".to_owned())).collect());
    // The library writes to a temporary file with owner-only permissions and renames it.
    let modes = File::create(path)
        .and_then(|file| file.metadata())
        .map_err(WeightsError::io(path))?
        .permissions();
    let wrong = OnceLock::new();
    let checked =
        tensors.iter().map(|(name, stored)| (name, Checked { name, stored, wrong: &wrong }));
    safetensors::serialize_to_file(checked, metadata, path)
        .map_err(|error| WeightsError::malformed(path, error.to_string()))?;
    fs::set_permissions(path, modes).map_err(WeightsError::io(path))?;
    let Some(name) = wrong.into_inner() else { return Ok(()) };
    fs::remove_file(path).map_err(WeightsError::io(path))?;
    let format = match tensors.get(&name).map(View::dtype) {
        Some(Dtype::BF16) => NumberFormat::BFloat16,
        Some(Dtype::F16) => NumberFormat::Float16,
        _ => NumberFormat::Float32,
    };
    Err(WeightsError::NotFinite { path: path.to_owned(), name, format: format.name() })
}
