//! LoRA adapters in PEFT's format, in and out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Tensor, TensorData};

use super::{
    AdapterConfig, WeightsError,
    adapter_config::unsupported,
    layout::{Columns, block_columns, block_prefix, head_columns, linears, linears_mut},
    load::read_text,
    save::{Stored, write_tensors},
    tensors::{MappedFiles, Tensors},
};
use crate::{
    model::architecture::{Linear, LowRank, NumberFormat, Transformer, parameter},
    seed::Seed,
};

pub(super) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before every path.
const PREFIX: &str = "base_model.model.";

/// An adapter's config; its updates live in the model's linear layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// What it is made of.
    pub config: AdapterConfig,
}

impl Adapter {
    /// Adds fresh updates to a model: `a` uniform within one over the root of its inputs (PEFT's default, a Kaiming uniform
    /// with slope 5^½), `b` zero, so that nothing changes yet. They are float32 whatever the model is.
    ///
    /// # Errors
    /// Where a pattern of the config is none, or it targets no linear layer of the model.
    pub fn begin(config: AdapterConfig, model: &mut Transformer, seed: &Seed) -> Result<Self, String> {
        let shape = model.config.clone();
        let device = model.embedding.val().device();
        let mut found = 0;
        let mut add = |linear: &mut Linear, columns: &Columns, prefix: &str| -> Result<(), String> {
            let mut from = 0;
            for (name, width) in &columns.parts {
                let path = format!("{prefix}{name}");
                if config.targets(&path)? {
                    let (rank, scale) = (config.rank(&path)?, config.scale(&path)?);
                    let (mut stream, bound) = (seed.split(&path).stream(), (columns.input as f64).sqrt().recip());
                    let values: Vec<f32> =
                        (0..columns.input * rank).map(|_| (bound * (2.0 * stream.unit() - 1.0)) as f32).collect();
                    let a = Tensor::from_data(TensorData::new(values, [columns.input, rank]), (&device, DType::F32));
                    let b = Tensor::zeros([rank, *width], (&device, DType::F32));
                    let part = |kind: &str, value| parameter(&format!("{path}.lora_{kind}"), value);
                    linear.updates.push(LowRank { a: part("A", a), b: part("B", b), from, scale, dropout: None });
                    found += 1;
                }
                from += width;
            }
            Ok(())
        };
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in block_columns(&shape).iter().zip(linears_mut(block)) {
                add(linear, columns, &block_prefix(number))?;
            }
        }
        if let Some(head) = &mut model.head {
            add(head, &head_columns(&shape), "")?;
        }
        match found {
            0 => Err("the targets name no linear layer of the model".to_owned()),
            _ => Ok(Self { config }),
        }
    }

    /// The PEFT directory of an artifact: the folder itself, or its `adapter` where that of a tuned model is meant.
    pub(super) fn folder(directory: &Path) -> PathBuf {
        let inside = directory.join("adapter");
        if !directory.join(CONFIG).exists() && inside.join(CONFIG).exists() { inside } else { directory.to_owned() }
    }

    /// Reads a PEFT directory, and adds its updates to a model that has none.
    ///
    /// # Errors
    /// Names the file that could not be read or is damaged, the field that asks for something that we do not have, and the
    /// tensor that is missing, left over or of another shape.
    pub fn load(directory: &Path, model: &mut Transformer) -> Result<Self, WeightsError> {
        let directory = Self::folder(directory);
        let path = directory.join(CONFIG);
        let text = read_text(&path)?;
        let malformed = |problem: String| WeightsError::Malformed { path: path.clone(), problem };
        let fields = serde_json::from_str(&text).map_err(|error| malformed(format!("it is not JSON: {error}")))?;
        if let Some((field, found, supported)) = unsupported(&fields) {
            return Err(WeightsError::Adapter { path, field, found, supported });
        }
        let config: AdapterConfig = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let weights = directory.join(WEIGHTS);
        let files = MappedFiles::open(vec![weights.clone()])?;
        let mut reader = Reader {
            tensors: Tensors::parse(&weights, &files)?,
            config: &config,
            format: model.format(),
            taken: BTreeSet::new(),
        };
        let shape = model.config.clone();
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in block_columns(&shape).iter().zip(linears_mut(block)) {
                reader.add(linear, columns, &block_prefix(number)).map_err(|error| error.at(&path))?;
            }
        }
        if let Some(head) = &mut model.head {
            reader.add(head, &head_columns(&shape), "").map_err(|error| error.at(&path))?;
        }
        reader.take_copies(model)?;
        reader.finish().map_err(|error| error.at(&path))?;
        Ok(Self { config })
    }

    /// Writes a model's updates as a PEFT directory, into an existing folder.
    ///
    /// # Errors
    /// Names the file that the file system refused.
    pub fn save(&self, model: &Transformer, directory: &Path) -> Result<(), WeightsError> {
        let path = directory.join(CONFIG);
        fs::write(&path, self.config.to_json()).map_err(|source| WeightsError::Io { path, source })?;
        let mut tensors = BTreeMap::new();
        for (number, block) in model.blocks.iter().enumerate() {
            for (columns, linear) in block_columns(&model.config).iter().zip(linears(block)) {
                tensors.extend(columns.updates(linear, &block_prefix(number)));
            }
        }
        tensors.extend(model.head.iter().flat_map(|head| head_columns(&model.config).updates(head, "")));
        write_tensors(tensors, directory.join(WEIGHTS))
    }
}

/// What can go wrong at a layer: in its tensors, or in the config's patterns.
enum LayerError {
    Weights(WeightsError),
    Pattern(String),
}

impl LayerError {
    fn at(self, config: &Path) -> WeightsError {
        match self {
            Self::Weights(error) => error,
            Self::Pattern(problem) => WeightsError::Malformed { path: config.to_owned(), problem },
        }
    }
}

struct Reader<'a> {
    tensors: Tensors<'a>,
    config: &'a AdapterConfig,
    format: NumberFormat,
    /// The names of tensors that a layer has taken.
    taken: BTreeSet<String>,
}

impl Reader<'_> {
    /// Adds the updates of those parts of a linear layer that the config targets.
    fn add(&mut self, linear: &mut Linear, columns: &Columns, prefix: &str) -> Result<(), LayerError> {
        let mut from = 0;
        for (name, width) in &columns.parts {
            let path = format!("{prefix}{name}");
            if self.config.targets(&path).map_err(LayerError::Pattern)? {
                let rank = self.config.rank(&path).map_err(LayerError::Pattern)?;
                let scale = self.config.scale(&path).map_err(LayerError::Pattern)?;
                let device = linear.weight.val().device();
                let mut read = |kind: &str, shape: [usize; 2]| {
                    let name = format!("{PREFIX}{path}.lora_{kind}.weight");
                    self.tensors.check(&name, &shape).map_err(LayerError::Weights)?;
                    let data = self.tensors.transposed(&[(name.clone(), shape[0])], shape[1], NumberFormat::Float32);
                    self.taken.insert(name);
                    let dtype = (&device, DType::F32);
                    let tensor = Tensor::from_data(data.map_err(LayerError::Weights)?, dtype);
                    Ok(parameter(&format!("{path}.lora_{kind}"), tensor))
                };
                let (a, b) = (read("A", [rank, columns.input])?, read("B", [*width, rank])?);
                linear.updates.push(LowRank { a, b, from, scale, dropout: None });
            }
            from += width;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Takes the copies of embedding and output layer that PEFT puts beside updates of the latter; they must be the model's.
    fn take_copies(&mut self, model: &Transformer) -> Result<(), WeightsError> {
        let shape = [model.config.vocab_size, model.config.hidden_size];
        for (layer, own) in [("model.embed_tokens", model.embedding.val()), ("lm_head", model.head_alone())] {
            for name in [format!("{PREFIX}{layer}.weight"), format!("{PREFIX}{layer}.base_layer.weight")] {
                if self.tensors.names().all(|found| found != name) {
                    continue;
                }
                let copy = self.tensors.plain(&[(name.clone(), shape.to_vec())], &shape, self.format)?;
                if copy.as_bytes() != own.clone().into_data().as_bytes() {
                    let problem =
                        format!("the tensor `{name}` is not the model's own; only low-rank updates are supported");
                    return Err(WeightsError::Malformed { path: self.tensors.file(&name), problem });
                }
                self.taken.insert(name);
            }
        }
        Ok(())
    }

    /// Something was taken, and nothing is left over.
    fn finish(&self) -> Result<(), LayerError> {
        if self.taken.is_empty() {
            return Err(LayerError::Pattern("`target_modules` names no linear layer of the model".to_owned()));
        }
        let Some(name) = self.tensors.names().find(|name| !self.taken.contains(*name)) else { return Ok(()) };
        let problem = format!("the tensor `{name}` belongs to no linear layer that {CONFIG} targets");
        Err(LayerError::Weights(WeightsError::Malformed { path: self.tensors.file(name), problem }))
    }
}

impl Columns {
    /// The updates of a linear layer under PEFT's names.
    fn updates(&self, linear: &Linear, prefix: &str) -> Vec<(String, Stored)> {
        let starts = self.parts.iter().scan(0, |from, (name, width)| {
            let start = *from;
            *from += width;
            Some((start, name))
        });
        let mut tensors = Vec::new();
        for (from, name) in starts {
            for update in linear.updates.iter().filter(|update| update.from == from) {
                for (kind, factor) in [("A", &update.a), ("B", &update.b)] {
                    let [rows, columns] = factor.val().dims();
                    let stored = Stored::Transposed(factor.val(), vec![columns, rows]);
                    tensors.push((format!("{PREFIX}{prefix}{name}.lora_{kind}.weight"), stored));
                }
            }
        }
        tensors
    }
}
