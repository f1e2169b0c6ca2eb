//! Hugging Face model directories, in: config and weights under transformers' names.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use burn::tensor::{Tensor, TensorData};
use serde_json::Value;

use super::{
    WeightsError,
    foreign::{check_shards, no_weights},
    layout::{
        BLOCK_NORMS, Columns, EMBEDDING, HEAD, NORM, QUERY_KEY_NORMS, block_columns, block_prefix, expected_tensors,
        head_columns,
    },
    tensors::{MappedFiles, Tensors},
};
use crate::model::{
    architecture::{Block, Linear, ModelConfig, NumberFormat, Transformer, parameter, remarks, tokens},
    device::Place,
    files,
};

/// The file that says which tensor stands in which of several files.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The file where there is only one.
pub(super) const SINGLE: &str = "model.safetensors";

impl ModelConfig {
    /// Reads a directory's `config.json`; where there is a `generation_config.json`, its end tokens hold.
    ///
    /// # Errors
    /// Names the file that could not be read, and its field that is wrong.
    pub fn load(directory: &Path) -> Result<Self, WeightsError> {
        let path = directory.join("config.json");
        let text = read_text(&path)?;
        let mut config = Self::from_json(&text).map_err(|source| WeightsError::Config { path, source })?;
        let path = directory.join("generation_config.json");
        let generation = match read_json(&path) {
            Err(WeightsError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(config),
            read => read?,
        };
        if let Some(end) = generation.get("eos_token_id").filter(|end| !end.is_null()) {
            let end = tokens("eos_token_id", end);
            config.eos_token_id = end.map_err(|source| WeightsError::Config { path, source })?;
        }
        Ok(config)
    }
}

impl Transformer {
    /// Reads a model directory: `config.json` and `model.safetensors`, or several files with an index. Files are mapped,
    /// not read; f32, f16 and bf16 become the format to compute in, tensor by tensor, so that hardly more memory is
    /// taken than the weights need in it.
    ///
    /// # Errors
    /// Names the file that could not be read or is damaged, and the tensor that is missing, left over, of another shape or
    /// no number.
    pub fn load(directory: &Path, place: &Place) -> Result<Self, WeightsError> {
        let mut config = ModelConfig::load(directory)?;
        let (files, all) = MappedFiles::of_model(directory)?;
        let tensors = Tensors::parse(&all, &files)?;
        let embedding = settle_head(&tensors, &mut config)?;
        check(&tensors, &config, embedding)?;
        Builder { tensors, config: &config, place, embedding }.model()
    }

    /// Whether a directory holds a whole model that [`Transformer::load`] reads; only the files' headers are looked at.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn check(directory: &Path) -> Result<ModelConfig, WeightsError> {
        let mut config = ModelConfig::load(directory)?;
        let (files, all) = MappedFiles::of_model(directory)?;
        let tensors = Tensors::parse(&all, &files)?;
        let embedding = settle_head(&tensors, &mut config)?;
        check(&tensors, &config, embedding)?;
        Ok(config)
    }

    /// What a person should know of a directory that is read: fields of `config.json` that are passed over, and an output
    /// layer of its own where `config.json` says that it is the embedding.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn remarks(directory: &Path) -> Result<Vec<String>, WeightsError> {
        let mut remarks = remarks(&read_text(&directory.join("config.json"))?);
        if ModelConfig::load(directory)?.tie_word_embeddings && !Self::check(directory)?.tie_word_embeddings {
            remarks.push(format!(
                "config.json says `tie_word_embeddings`, but `{HEAD}` and `{EMBEDDING}` are both there with different \
                 values: they are not tied, and the output layer is `{HEAD}`, as in transformers; set \
                 `tie_word_embeddings` to false"
            ));
        }
        Ok(remarks)
    }

    /// The format in which a directory's weights are stored, or most of them.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn stored_format(directory: &Path) -> Result<NumberFormat, WeightsError> {
        let (files, all) = MappedFiles::of_model(directory)?;
        Ok(Tensors::parse(&all, &files)?.stored_format())
    }

    /// The files that hold a directory's weights, its index included.
    ///
    /// # Errors
    /// Names the file that is missing and what is there instead, or an index that is damaged.
    pub fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, WeightsError> {
        let index = directory.join(INDEX);
        let single = directory.join(SINGLE);
        if single.exists() {
            return Ok(vec![single]);
        }
        if !index.exists() {
            return Err(no_weights(directory));
        }
        let mut files = shards(directory, &index)?;
        check_shards(&index, &files)?;
        files.push(index);
        Ok(files)
    }
}

impl MappedFiles {
    /// A directory's weights, and the path that stands for all of them: the only file, or the index.
    fn of_model(directory: &Path) -> Result<(Self, PathBuf), WeightsError> {
        let mut files = Transformer::weight_files(directory)?;
        let all = match files.as_slice() {
            [only] => only.clone(),
            _ => files.pop().expect("the index stands last"),
        };
        Ok((Self::open(files)?, all))
    }
}

/// The files that an index names.
fn shards(directory: &Path, index: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let malformed = |problem: String| WeightsError::Malformed { path: index.to_owned(), problem };
    let value = read_json(index)?;
    let names = value.get("weight_map").and_then(Value::as_object);
    let names = names.ok_or_else(|| malformed("there is no table `weight_map` in it".to_owned()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in names {
        let name = file.as_str().filter(|name| Path::new(name).file_name().is_some_and(|only| only == *name));
        let Some(name) = name else {
            return Err(malformed(format!("`{tensor}` should stand in a file of this directory, not in {file}")));
        };
        files.insert(directory.join(name));
    }
    Ok(files.into_iter().collect())
}

/// Decides which tensor is the embedding, and whether the output layer is another one, as transformers 5 does where
/// `config.json` says that they are one: with both there they are tied only if they are equal, with one there that one is
/// both.
fn settle_head(tensors: &Tensors, config: &mut ModelConfig) -> Result<&'static str, WeightsError> {
    if !config.tie_word_embeddings {
        return Ok(EMBEDDING);
    }
    match (tensors.has(EMBEDDING), tensors.has(HEAD)) {
        (true, true) => {
            let shape = [config.vocab_size, config.hidden_size];
            config.tie_word_embeddings = tensors.are_equal(EMBEDDING, HEAD, &shape)?;
            Ok(EMBEDDING)
        }
        (false, true) => Ok(HEAD),
        _ => Ok(EMBEDDING),
    }
}

/// Every tensor of the model is there in its shape, and nothing is left over.
fn check(tensors: &Tensors, config: &ModelConfig, embedding: &str) -> Result<(), WeightsError> {
    let mut expected = BTreeSet::new();
    for (name, shape) in expected_tensors(config, embedding) {
        tensors.check(&name, &shape)?;
        expected.insert(name);
    }
    let spare = |name: &str| {
        // Some tied directories repeat the embedding under this name, some old ones keep the rotary frequencies.
        name == HEAD || name.ends_with("rotary_emb.inv_freq")
    };
    match tensors.names().find(|name| !expected.contains(*name) && !spare(name)) {
        None => Ok(()),
        Some(name) => Err(WeightsError::Extra { path: tensors.file(name), name: name.to_owned() }),
    }
}

/// Makes a model of checked tensors.
struct Builder<'a> {
    tensors: Tensors<'a>,
    config: &'a ModelConfig,
    place: &'a Place,
    /// The tensor that is the embedding.
    embedding: &'static str,
}

impl Builder<'_> {
    fn model(self) -> Result<Transformer, WeightsError> {
        let (config, hidden) = (self.config, self.config.hidden_size);
        let vocabulary = [config.vocab_size, hidden];
        let embedding =
            self.tensors.plain(&[(self.embedding.to_owned(), vocabulary.to_vec())], &vocabulary, self.place.format)?;
        let head = (!config.tie_word_embeddings).then(|| self.linear(&head_columns(config), "", "head"));
        Ok(Transformer {
            embedding: parameter("embedding", self.put(embedding)),
            blocks: (0..config.num_hidden_layers).map(|block| self.block(block)).collect::<Result<_, _>>()?,
            norm: parameter("norm", self.norm(NORM.to_owned(), hidden)?),
            head: head.transpose()?,
            config: config.clone(),
            computes_in: self.place.format,
        })
    }

    fn block(&self, block: usize) -> Result<Block, WeightsError> {
        let config = self.config;
        let (theirs, ours) = (block_prefix(block), format!("blocks.{block}."));
        let name = |part: &str| ours.clone() + part;
        let norm = |part: &str, size| self.norm(theirs.clone() + part, size);
        let linear = |columns: &Columns, part: &str| self.linear(columns, &theirs, &name(part));
        let [query_key_value, attention_output, gate_up, down] = &block_columns(config);
        let query_key_norms = || -> Result<_, WeightsError> {
            let [query, key] = QUERY_KEY_NORMS;
            let query = parameter(&name("query_norm"), norm(query, config.head_dim)?);
            Ok([query, parameter(&name("key_norm"), norm(key, config.head_dim)?)])
        };
        Ok(Block {
            attention_norm: parameter(&name("attention_norm"), norm(BLOCK_NORMS[0], config.hidden_size)?),
            query_key_value: linear(query_key_value, "query_key_value")?,
            query_key_norms: config.query_key_norm.then(query_key_norms).transpose()?,
            attention_output: linear(attention_output, "attention_output")?,
            feed_forward_norm: parameter(&name("feed_forward_norm"), norm(BLOCK_NORMS[1], config.hidden_size)?),
            gate_up: linear(gate_up, "gate_up")?,
            down: linear(down, "down")?,
            has_window: config.window(block).is_some(),
        })
    }

    fn norm(&self, name: String, size: usize) -> Result<Tensor<1>, WeightsError> {
        Ok(self.put(self.tensors.plain(&[(name, vec![size])], &[size], self.place.format)?))
    }

    fn linear(&self, columns: &Columns, prefix: &str, ours: &str) -> Result<Linear, WeightsError> {
        let named = |kind: &str| {
            let name = |(name, width): &(&str, usize)| (format!("{prefix}{name}.{kind}"), *width);
            columns.parts.iter().map(name).collect::<Vec<_>>()
        };
        let weight = self.tensors.transposed(&named("weight"), columns.input, self.place.format)?;
        let bias = || -> Result<_, WeightsError> {
            let parts: Vec<_> = named("bias").into_iter().map(|(name, width)| (name, vec![width])).collect();
            let bias = self.tensors.plain(&parts, &[columns.output()], self.place.format)?;
            Ok(parameter(&format!("{ours}.bias"), self.put(bias)))
        };
        Ok(Linear {
            weight: parameter(ours, self.put(weight)),
            bias: columns.has_bias.then(bias).transpose()?,
            updates: Vec::new(),
        })
    }

    fn put<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        Tensor::from_data(data, (&self.place.device, self.place.format.dtype()))
    }
}

pub(super) fn read_text(path: &Path) -> Result<String, WeightsError> {
    files::read_text(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

pub(super) fn read_json(path: &Path) -> Result<Value, WeightsError> {
    let malformed =
        |error| WeightsError::Malformed { path: path.to_owned(), problem: format!("it is not JSON: {error}") };
    serde_json::from_str(&read_text(path)?).map_err(malformed)
}

#[cfg(test)]
pub(in crate::model) mod tests {
    use std::{fs, path::Path};

    use safetensors::SafeTensors;

    use super::*;
    use crate::{
        model::{
            Adapter, LARGEST_FILE, LowRank,
            architecture::config::tests::{one_of_each, tiny},
        },
        seed::Seed,
    };

    /// Values that are not 1 or 0 where a fresh model's are, so that no tensor can be mistaken for another.
    fn varied(config: &ModelConfig) -> Transformer {
        let mut model = config.init(&Seed::root(3), &Place::cpu().device);
        let mut stream = Seed::root(4).stream();
        let mut vary = |vector: &mut burn::module::Param<Tensor<1>>| {
            let [size] = vector.dims();
            let values: Vec<f32> = (0..size).map(|_| stream.normal() as f32).collect();
            *vector = vector.clone().map(|_| Tensor::from_data(TensorData::new(values, [size]), &Place::cpu().device));
        };
        vary(&mut model.norm);
        for block in &mut model.blocks {
            vary(&mut block.attention_norm);
            vary(&mut block.feed_forward_norm);
            block.query_key_norms.iter_mut().flatten().for_each(&mut vary);
            for linear in super::super::layout::linears_mut(block) {
                linear.bias.iter_mut().for_each(&mut vary);
            }
        }
        model
    }

    fn load(directory: &Path) -> Result<Transformer, WeightsError> {
        Transformer::load(directory, &Place::cpu())
    }

    fn values<const D: usize>(parameter: &burn::module::Param<Tensor<D>>) -> Vec<f32> {
        parameter.val().into_data().convert::<f32>().try_to_vec().unwrap()
    }

    fn logits(model: &Transformer) -> Vec<f32> {
        let tokens = Tensor::<2, burn::tensor::Int>::from_data([[1, 7, 3, 30, 2, 2, 9, 4]], &Place::cpu().device);
        model.logits(model.hidden(tokens)).into_data().try_to_vec().unwrap()
    }

    fn saved(config: &ModelConfig) -> (tempfile::TempDir, Transformer) {
        let directory = tempfile::tempdir().unwrap();
        let model = varied(config);
        model.save(directory.path(), LARGEST_FILE).unwrap();
        (directory, model)
    }

    fn error_after(change: impl FnOnce(&Path)) -> String {
        let (directory, _) = saved(&tiny());
        change(directory.path());
        let error = load(directory.path()).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    }

    fn edit_config(directory: &Path, from: &str, to: &str) {
        let path = directory.join("config.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    #[test]
    fn what_is_written_is_read_to_the_bit_and_written_again_to_the_byte() {
        for config in one_of_each() {
            let (first, model) = saved(&config);
            let read = load(first.path()).unwrap();
            assert_eq!(logits(&read), logits(&model), "{:?}", config.architecture);
            let second = tempfile::tempdir().unwrap();
            read.save(second.path(), LARGEST_FILE).unwrap();
            for file in ["config.json", "generation_config.json", "model.safetensors"] {
                let read = |directory: &Path| fs::read(directory.join(file)).unwrap();
                assert_eq!(read(first.path()), read(second.path()), "{file}");
            }
        }
    }

    #[test]
    fn several_files_hold_the_same_model() {
        for config in one_of_each() {
            let (whole, model) = saved(&config);
            let parts = tempfile::tempdir().unwrap();
            model.save(parts.path(), 5000).unwrap();
            assert!(Transformer::weight_files(parts.path()).unwrap().len() > 3);
            assert!(!parts.path().join(SINGLE).exists());
            assert_eq!(logits(&load(parts.path()).unwrap()), logits(&load(whole.path()).unwrap()));
        }
    }

    #[test]
    fn formats_are_kept_and_converted() {
        let (directory, model) = saved(&tiny());
        for (name, error) in [("bfloat16", 0.05), ("float16", 0.005)] {
            let low = Transformer::load(directory.path(), &Place::named("cpu", name).unwrap()).unwrap();
            let differences = logits(&low).into_iter().zip(logits(&model)).map(|(one, other)| (one - other).abs());
            let largest = differences.fold(0.0, f32::max);
            assert!(largest > 0.0 && largest < error, "{name}: {largest}");
            let copy = tempfile::tempdir().unwrap();
            low.save(copy.path(), LARGEST_FILE).unwrap();
            assert_eq!(Transformer::stored_format(copy.path()).unwrap().name(), name);
            let again = Transformer::load(copy.path(), &Place::named("cpu", name).unwrap()).unwrap();
            assert_eq!(logits(&again), logits(&low));
        }
    }

    #[test]
    fn an_adapter_is_written_read_and_merged() {
        for config in one_of_each() {
            let (directory, mut model) = saved(&config);
            let adapter: crate::model::AdapterConfig = serde_json::from_str(
                r#"{"r": 2, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj", "o_proj"],
                    "rank_pattern": {"1.mlp.up_proj": 5}, "alpha_pattern": {"v_proj": 7}}"#,
            )
            .unwrap();
            add_updates(&mut model, &adapter);
            let folder = tempfile::tempdir().unwrap();
            let adapter = Adapter { config: adapter };
            adapter.save(&model, folder.path()).unwrap();
            let mut read = load(directory.path()).unwrap();
            let before = logits(&read);
            assert_eq!(Adapter::load(folder.path(), &mut read).unwrap(), adapter);
            assert_eq!(logits(&read), logits(&model));
            assert!(before.iter().zip(logits(&read)).any(|(before, after)| (before - after).abs() > 0.01));
            let merged = logits(&read.clone().merge());
            let close = |(one, other): (&f32, f32)| (one - other).abs() < 1e-4;
            assert!(merged.iter().zip(logits(&read)).all(close));
        }
    }

    /// Random updates wherever the adapter wants them.
    pub(in crate::model) fn add_updates(model: &mut Transformer, adapter: &crate::model::AdapterConfig) {
        let config = model.config.clone();
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in block_columns(&config).iter().zip(super::super::layout::linears_mut(block)) {
                let mut from = 0;
                for (name, width) in &columns.parts {
                    let path = block_prefix(number) + name;
                    let random = |kind: &str, shape: [usize; 2]| {
                        let mut stream = Seed::root(1).split(&path).split(kind).stream();
                        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal() as f32 / 4.0).collect();
                        parameter(kind, Tensor::from_data(TensorData::new(values, shape), &Place::cpu().device))
                    };
                    if adapter.targets(&path).unwrap() {
                        let rank = adapter.rank(&path).unwrap();
                        let (a, b) = (random("a", [columns.input, rank]), random("b", [rank, *width]));
                        linear.updates.push(LowRank {
                            a,
                            b,
                            from,
                            scale: adapter.scale(&path).unwrap(),
                            dropout: None,
                        });
                    }
                    from += width;
                }
            }
        }
    }

    #[test]
    fn names_and_layouts_are_those_of_transformers() {
        let (directory, model) = saved(&tiny());
        let bytes = fs::read(directory.path().join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert!(tensors.tensor("lm_head.weight").is_err());
        let key = tensors.tensor("model.layers.1.self_attn.k_proj.weight").unwrap();
        assert_eq!(key.shape(), [8, 16]);
        let third_row_fifth_input = f32::from_le_bytes(key.data()[4 * (2 * 16 + 4)..][..4].try_into().unwrap());
        assert_eq!(third_row_fifth_input, values(&model.blocks[1].query_key_value.weight)[4 * 32 + 16 + 2]);
    }

    #[test]
    fn end_tokens_come_from_the_generation_config() {
        let (directory, _) = saved(&tiny());
        fs::write(directory.path().join("generation_config.json"), r#"{"eos_token_id": [4, 1]}"#).unwrap();
        assert_eq!(ModelConfig::load(directory.path()).unwrap().eos_token_id, [4, 1]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rename = |directory: &Path| fs::rename(directory.join("config.json"), directory.join("other")).unwrap();
        let cut = |directory: &Path| {
            let path = directory.join("model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        };
        let messages = [
            error_after(rename),
            error_after(|directory| edit_config(directory, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")),
            error_after(|directory| edit_config(directory, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")),
            error_after(|directory| edit_config(directory, "\"vocab_size\": 32", "\"vocab_size\": 33")),
            error_after(cut),
            error_after(|directory| fs::remove_file(directory.join("model.safetensors")).unwrap()),
            error_after(|directory| {
                fs::remove_file(directory.join("model.safetensors")).unwrap();
                let text = r#"{"weight_map": {"model.norm.weight": "../model.safetensors"}}"#;
                fs::write(directory.join("model.safetensors.index.json"), text).unwrap();
            }),
            error_after(|directory| fs::write(directory.join("generation_config.json"), "{").unwrap()),
        ];
        expect_test::expect![[r#"
            DIR/config.json: No such file or directory (os error 2)
            DIR/model.safetensors: the tensor `model.layers.2.input_layernorm.weight` is missing
            DIR/model.safetensors: the tensor `model.layers.1.input_layernorm.weight` belongs to no part of the model that config.json describes
            DIR/model.safetensors: the tensor `model.embed_tokens.weight` has the shape [32, 16], but [33, 16] is expected
            DIR/model.safetensors: it is not a whole safetensors file: it has 19724 bytes of 19728; its download or copy is not complete
            DIR/model.safetensors: No such file or directory (os error 2)
            DIR/model.safetensors.index.json: `model.norm.weight` should stand in a file of this directory, not in "../model.safetensors"
            DIR/generation_config.json: it is not JSON: EOF while parsing an object at line 1 column 1"#]].assert_eq(&messages.join("\n"));
    }
}
