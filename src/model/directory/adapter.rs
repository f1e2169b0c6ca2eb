//! LoRA adapters in PEFT's format, in and out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use burn::{
    module::Param,
    tensor::{DType, Device, Tensor, TensorData},
};

use super::{
    AdapterConfig, WeightsError,
    adapter_config::unsupported,
    layout::{
        LayerColumns, LayerPart, block_columns, block_prefix, head_columns, linears, linears_mut,
    },
    reading::read_text,
    save::{Stored, write_tensors, write_text},
    tensors::{MappedFiles, Tensors},
};
use crate::{
    model::architecture::{Linear, LowRank, NumberFormat, Transformer, parameter},
    seed::Seed,
};

pub(super) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Prefix of every path in PEFT.
const PREFIX: &str = "base_model.model.";

/// An adapter's config; its updates are part of the model's linear layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Configuration.
    pub config: AdapterConfig,
}

impl Adapter {
    /// Adds new updates to a model: `a` uniform within one over the root of its inputs (PEFT's
    /// default, a Kaiming uniform with slope 5^½), `b` zero, so that the model is unchanged. They
    /// are float32 in any model.
    ///
    /// # Errors
    /// Fails on an invalid pattern, or where the config targets no linear layer.
    pub fn begin(
        config: AdapterConfig,
        model: &mut Transformer,
        seed: &Seed,
    ) -> Result<Self, String> {
        let shape = model.config.clone();
        let mut added =
            NewUpdates { config: &config, seed, device: model.embedding.val().device(), count: 0 };
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in block_columns(&shape).iter().zip(linears_mut(block)) {
                added.add(linear, columns, &block_prefix(number))?;
            }
        }
        if let Some(head) = &mut model.head {
            added.add(head, &head_columns(&shape), "")?;
        }
        match added.count {
            0 => Err("the targets match no linear layer of the model".to_owned()),
            _ => Ok(Self { config }),
        }
    }

    /// The PEFT directory of an artifact: the folder itself, or `adapter` inside a tuned model.
    pub(super) fn folder(directory: &Path) -> PathBuf {
        // `tune` writes the adapter into a folder of the model that it was merged into.
        let inside = directory.join("adapter");
        if !directory.join(CONFIG).exists() && inside.join(CONFIG).exists() {
            inside
        } else {
            directory.to_owned()
        }
    }

    /// The files of the PEFT directory of an artifact: configuration and weights.
    pub fn files(directory: &Path) -> [PathBuf; 2] {
        let directory = Self::folder(directory);
        [CONFIG, WEIGHTS].map(|name| directory.join(name))
    }

    /// Checks that a PEFT directory holds an adapter that [`Adapter::load`] can load; reads only
    /// the header of the weights.
    ///
    /// # Errors
    /// As [`Adapter::load`], except for what depends on the model.
    pub fn check(directory: &Path) -> Result<(), WeightsError> {
        let directory = Self::folder(directory);
        read_config(&directory.join(CONFIG))?;
        let weights = directory.join(WEIGHTS);
        let files = MappedFiles::open(vec![weights.clone()])?;
        Tensors::parse(&weights, &files).map(drop)
    }

    /// Reads a PEFT directory, and adds its updates to a model without any.
    ///
    /// # Errors
    /// Names the file that cannot be read or is damaged, the field that is not supported, or the
    /// tensor that is missing, superfluous or of another shape.
    pub fn load(directory: &Path, model: &mut Transformer) -> Result<Self, WeightsError> {
        let directory = Self::folder(directory);
        let path = directory.join(CONFIG);
        let config = read_config(&path)?;
        let weights = directory.join(WEIGHTS);
        let files = MappedFiles::open(vec![weights.clone()])?;
        let mut reader = AdapterReader {
            tensors: Tensors::parse(&weights, &files)?,
            config: &config,
            format: model.format(),
            taken: BTreeSet::new(),
        };
        let shape = model.config.clone();
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in block_columns(&shape).iter().zip(linears_mut(block)) {
                reader
                    .add(linear, columns, &block_prefix(number))
                    .map_err(|error| error.at(&path))?;
            }
        }
        if let Some(head) = &mut model.head {
            reader.add(head, &head_columns(&shape), "").map_err(|error| error.at(&path))?;
        }
        // After the layers: an update of the output layer must have been taken before its copy.
        reader.take_copies(model)?;
        reader.finish().map_err(|error| error.at(&path))?;
        Ok(Self { config })
    }

    /// Writes a model's updates as a PEFT directory, into an existing folder.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn save(&self, model: &Transformer, directory: &Path) -> Result<(), WeightsError> {
        write_text(&directory.join(CONFIG), &self.config.to_json())?;
        let mut tensors = BTreeMap::new();
        for (number, block) in model.blocks.iter().enumerate() {
            for (columns, linear) in block_columns(&model.config).iter().zip(linears(block)) {
                tensors.extend(columns.updates(linear, &block_prefix(number)));
            }
        }
        tensors.extend(
            model.head.iter().flat_map(|head| head_columns(&model.config).updates(head, "")),
        );
        write_tensors(&tensors, &directory.join(WEIGHTS))
    }
}

/// Reads an `adapter_config.json` and checks that it is supported.
fn read_config(path: &Path) -> Result<AdapterConfig, WeightsError> {
    let text = read_text(path)?;
    let fields = serde_json::from_str(&text)
        .map_err(|error| WeightsError::malformed(path, format!("it is not JSON: {error}")))?;
    if let Some((field, found, supported)) = unsupported(&fields) {
        return Err(WeightsError::Adapter { path: path.to_owned(), field, found, supported });
    }
    // From the text, since a value would not keep the order of patterns.
    serde_json::from_str(&text).map_err(|error| WeightsError::malformed(path, error.to_string()))
}

/// New updates of a model's layers.
struct NewUpdates<'a> {
    config: &'a AdapterConfig,
    seed: &'a Seed,
    device: Device,
    count: usize,
}

impl NewUpdates<'_> {
    /// Adds updates to the targeted parts of a linear layer.
    fn add(
        &mut self,
        linear: &mut Linear,
        columns: &LayerColumns,
        prefix: &str,
    ) -> Result<(), String> {
        for LayerPart { name, from, width } in columns.parts.iter().copied() {
            let path = format!("{prefix}{name}");
            if !self.config.targets(&path)? {
                continue;
            }
            let (rank, scale) = (self.config.rank(&path)?, self.config.scale(&path)?);
            let (mut stream, bound) =
                (self.seed.split(&path).stream(), (columns.input as f64).sqrt().recip());
            let values: Vec<f32> = (0..columns.input * rank)
                .map(|_| (bound * (2.0 * stream.unit() - 1.0)) as f32)
                .collect();
            // In float32 also on a bfloat16 model, whose digits would swallow small steps.
            let options = (&self.device, DType::F32);
            let a = Tensor::from_data(TensorData::new(values, [columns.input, rank]), options);
            let b = Tensor::zeros([rank, width], options);
            linear.updates.push(LowRank {
                a: parameter(&format!("{path}.lora_A"), a),
                b: parameter(&format!("{path}.lora_B"), b),
                from,
                scale,
                dropout: None,
            });
            self.count += 1;
        }
        Ok(())
    }
}

/// Problems of a layer: in its tensors, or in the config's patterns.
enum LayerError {
    Weights(WeightsError),
    Pattern(String),
}

impl LayerError {
    fn at(self, config: &Path) -> WeightsError {
        match self {
            Self::Weights(error) => error,
            Self::Pattern(problem) => WeightsError::malformed(config, problem),
        }
    }
}

struct AdapterReader<'a> {
    tensors: Tensors<'a>,
    config: &'a AdapterConfig,
    format: NumberFormat,
    /// Names of the tensors that layers have used.
    taken: BTreeSet<String>,
}

impl AdapterReader<'_> {
    /// Adds the updates of the targeted parts of a linear layer.
    fn add(
        &mut self,
        linear: &mut Linear,
        columns: &LayerColumns,
        prefix: &str,
    ) -> Result<(), LayerError> {
        for LayerPart { name, from, width } in columns.parts.iter().copied() {
            let path = format!("{prefix}{name}");
            if self.config.targets(&path).map_err(LayerError::Pattern)? {
                let rank = self.config.rank(&path).map_err(LayerError::Pattern)?;
                let scale = self.config.scale(&path).map_err(LayerError::Pattern)?;
                let device = linear.weight.val().device();
                let a = self.factor(&format!("{path}.lora_A"), [rank, columns.input], &device)?;
                let b = self.factor(&format!("{path}.lora_B"), [width, rank], &device)?;
                linear.updates.push(LowRank { a, b, from, scale, dropout: None });
            }
        }
        Ok(())
    }

    /// A factor of an update, transposed; `shape` is that of the file.
    fn factor(
        &mut self,
        path: &str,
        shape: [usize; 2],
        device: &Device,
    ) -> Result<Param<Tensor<2>>, LayerError> {
        let name = format!("{PREFIX}{path}.weight");
        self.tensors.check(&name, &shape).map_err(LayerError::Weights)?;
        let part = [(name, shape[0])];
        let data = self.tensors.transposed(&part, shape[1], NumberFormat::Float32);
        let [(name, _)] = part;
        self.taken.insert(name);
        let data = data.map_err(LayerError::Weights)?;
        Ok(parameter(path, Tensor::from_data(data, (device, DType::F32))))
    }
}

impl AdapterReader<'_> {
    /// Takes the copies of embedding and output layer that PEFT saves beside updates of the latter;
    /// they must equal the model's.
    fn take_copies(&mut self, model: &Transformer) -> Result<(), WeightsError> {
        let shape = [model.config.vocab_size, model.config.hidden_size];
        for (layer, own) in
            [("model.embed_tokens", model.embedding.val()), ("lm_head", model.head_alone())]
        {
            for name in
                [format!("{PREFIX}{layer}.weight"), format!("{PREFIX}{layer}.base_layer.weight")]
            {
                if self.tensors.names().all(|found| found != name) {
                    continue;
                }
                let copy =
                    self.tensors.plain(&[(name.clone(), shape.to_vec())], &shape, self.format)?;
                // Bytes and not values: both were converted to the model's format in the same way.
                if copy.as_bytes() != own.clone().into_data().as_bytes() {
                    let problem = format!(
                        "the tensor `{name}` differs from the base model's; only low-rank \
                        updates are supported"
                    );
                    return Err(WeightsError::malformed(&self.tensors.file(&name), problem));
                }
                self.taken.insert(name);
            }
        }
        Ok(())
    }

    /// Checks that something was loaded and no tensor is left.
    fn finish(&self) -> Result<(), LayerError> {
        if self.taken.is_empty() {
            return Err(LayerError::Pattern(
                "`target_modules` matches no linear layer of the model".to_owned(),
            ));
        }
        // A tensor without a layer would be lost, and the model be another than the adapter's
        // author had.
        let Some(name) = self.tensors.names().find(|name| !self.taken.contains(*name)) else {
            return Ok(());
        };
        let problem =
            format!("the tensor `{name}` belongs to no linear layer that {CONFIG} targets");
        Err(LayerError::Weights(WeightsError::malformed(&self.tensors.file(name), problem)))
    }
}

impl LayerColumns {
    /// The updates of a linear layer under PEFT's names.
    fn updates(&self, linear: &Linear, prefix: &str) -> Vec<(String, Stored)> {
        let mut tensors = Vec::new();
        for LayerPart { name, from, .. } in &self.parts {
            // An update of a part begins where the part does, so that this finds its own.
            for update in linear.updates.iter().filter(|update| update.from == *from) {
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
