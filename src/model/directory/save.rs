//! Hugging Face model directories, out: what transformers loads as it is.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use burn::tensor::{DType, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, View};
use serde_json::json;

use super::{
    WeightsError,
    layout::{
        BLOCK_NORMS, Columns, EMBEDDING, NORM, QUERY_KEY_NORMS, block_columns, block_prefix, head_columns, linears,
    },
    load::{INDEX, SINGLE},
};
use crate::model::architecture::{Linear, NumberFormat, Transformer};

/// The largest file of weights, in bytes, where nothing else is wanted.
pub const LARGEST_FILE: usize = 5_000_000_000;

/// A tensor as transformers has it, whose bytes are made when they are written.
pub(super) enum Stored {
    /// As it is.
    Plain(Tensor<1>, Vec<usize>),
    /// A matrix of ours [in, out], transposed.
    Transposed(Tensor<2>, Vec<usize>),
}

impl Transformer {
    /// Writes `config.json`, `generation_config.json` and `model.safetensors`, or several such files with an index, into
    /// an existing directory, in the format in which the model computes. Equal models give equal bytes. Updates of an
    /// adapter are left out.
    ///
    /// # Errors
    /// Names the file that the file system refused.
    pub fn save(&self, directory: &Path, largest_file: usize) -> Result<(), WeightsError> {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|source| WeightsError::Io { path, source })
        };
        write("config.json", self.config.to_json(self.format()))?;
        let eos = match self.config.eos_token_id.as_slice() {
            [] => json!(null),
            [one] => json!(one),
            several => json!(several),
        };
        let generation = json!({
            "_from_model_config": true,
            "bos_token_id": self.config.bos_token_id,
            "eos_token_id": eos,
            "pad_token_id": self.config.pad_token_id,
        });
        write("generation_config.json", format!("{generation:#}\n"))?;
        let files = into_files(self.stored(), largest_file);
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
            write_tensors(tensors, directory.join(name))?;
        }
        if count == 1 {
            return Ok(());
        }
        let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
        write(INDEX, format!("{index:#}\n"))
    }

    /// All tensors under transformers' names.
    fn stored(&self) -> BTreeMap<String, Stored> {
        let mut tensors = BTreeMap::new();
        let config = &self.config;
        let vocabulary = [config.vocab_size, config.hidden_size];
        let flat = self.embedding.val().reshape([vocabulary[0] * vocabulary[1]]);
        tensors.insert(EMBEDDING.to_owned(), Stored::Plain(flat, vocabulary.to_vec()));
        tensors.insert(NORM.to_owned(), Stored::norm(self.norm.val()));
        for (number, block) in self.blocks.iter().enumerate() {
            let prefix = block_prefix(number);
            for (name, norm) in BLOCK_NORMS.iter().zip([&block.attention_norm, &block.feed_forward_norm]) {
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

impl Columns {
    /// Takes a linear layer of ours apart.
    fn split(&self, linear: &Linear, prefix: &str) -> Vec<(String, Stored)> {
        let (mut from, mut parts) = (0, Vec::new());
        for (name, width) in &self.parts {
            let columns = linear.weight.val().narrow(1, from, *width);
            parts.push((format!("{prefix}{name}.weight"), Stored::Transposed(columns, vec![*width, self.input])));
            if let Some(bias) = &linear.bias {
                parts.push((format!("{prefix}{name}.bias"), Stored::norm(bias.val().narrow(0, from, *width))));
            }
            from += width;
        }
        parts
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

/// Shares tensors out among files, in the order of their names.
fn into_files(tensors: BTreeMap<String, Stored>, largest_file: usize) -> Vec<BTreeMap<String, Stored>> {
    let (mut files, mut size) = (vec![BTreeMap::new()], 0);
    for (name, tensor) in tensors {
        if size > 0 && size + tensor.data_len() > largest_file {
            files.push(BTreeMap::new());
            size = 0;
        }
        size += tensor.data_len();
        files.last_mut().expect("there is always a last file").insert(name, tensor);
    }
    files
}

/// A tensor that is looked at while it is written.
struct Checked<'a> {
    name: &'a str,
    stored: &'a Stored,
    /// The first tensor with values that are not finite.
    wrong: &'a OnceLock<String>,
}

impl View for Checked<'_> {
    fn dtype(&self) -> Dtype {
        self.stored.dtype()
    }

    fn shape(&self) -> &[usize] {
        self.stored.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.stored.data();
        let (pairs, _) = data.as_chunks::<2>();
        let is_finite = match self.stored.format() {
            DType::BF16 => pairs.par_iter().all(|word| bf16::from_le_bytes(*word).is_finite()),
            DType::F16 => pairs.par_iter().all(|word| f16::from_le_bytes(*word).is_finite()),
            _ => data.as_chunks::<4>().0.par_iter().all(|word| f32::from_le_bytes(*word).is_finite()),
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

/// Writes a safetensors file as PyTorch's own are marked, with the modes of any new file. A file with values that could
/// not be read again is not left behind.
pub(super) fn write_tensors(tensors: BTreeMap<String, Stored>, path: PathBuf) -> Result<(), WeightsError> {
    let metadata = Some(std::iter::once(("format".to_owned(), "pt".to_owned())).collect());
    let io = |source| WeightsError::Io { path: path.clone(), source };
    // The library writes beside and renames, and what it renames only its owner may read.
    let modes = File::create(&path).and_then(|file| file.metadata()).map_err(io)?.permissions();
    let wrong = OnceLock::new();
    let checked = |(name, stored)| (name, Checked { name, stored, wrong: &wrong });
    safetensors::serialize_to_file(
        tensors.iter().map(|(name, stored)| checked((name.as_str(), stored))),
        metadata,
        &path,
    )
    .map_err(|error| WeightsError::Malformed { path: path.clone(), problem: error.to_string() })?;
    fs::set_permissions(&path, modes).map_err(io)?;
    let Some(name) = wrong.get() else { return Ok(()) };
    fs::remove_file(&path).map_err(io)?;
    let format =
        NumberFormat::ALL.into_iter().find(|format| Some(format.dtype()) == tensors.get(name).map(Stored::format));
    Err(WeightsError::NotFinite { path, name: name.clone(), format: format.map_or("float32", NumberFormat::name) })
}
