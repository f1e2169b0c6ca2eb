//! Hugging Face model directories: weights and configs in and out, under transformers' names and in its layouts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use burn::{
    module::Param,
    tensor::{Device, Tensor, TensorData},
};
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

use super::{Block, ConfigError, ModelConfig, Transformer, config::tokens, transformer::parameter};

/// The file that says which tensor stands in which of several files.
const INDEX: &str = "model.safetensors.index.json";
/// The norms of a block, as transformers names them.
const NORMS: [&str; 2] = ["input_layernorm.weight", "post_attention_layernorm.weight"];

/// Why a model directory could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file system said no.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The config is not one of ours.
    #[error("{path}: {source}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// A file is damaged.
    #[error("{path}: {problem}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor that the config asks for is in none of the files.
    #[error("{directory}: the tensor `{name}` is missing from the weights", directory = .directory.display())]
    Missing {
        /// The model directory.
        directory: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor that no part of the model takes.
    #[error("{path}: the tensor `{name}` belongs to no part of the model that config.json describes", path = .path.display())]
    Extra {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the config asks for.
    #[error("{path}: the tensor `{name}` has the shape {found:?}, but config.json asks for {expected:?}", path = .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the config asks for.
        expected: Vec<usize>,
    },
}

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
        if path.exists() {
            let generation: Value = read_json(&path)?;
            if let Some(end) = generation.get("eos_token_id").filter(|end| !end.is_null()) {
                let end = tokens("eos_token_id", end);
                config.eos_token_id = end.map_err(|source| WeightsError::Config { path, source })?;
            }
        }
        Ok(config)
    }
}

impl Transformer {
    /// Reads a model directory: `config.json` and `model.safetensors`, or several files with an index. Files are mapped,
    /// not read; f32, f16 and bf16 become f32.
    ///
    /// # Errors
    /// Names the file that could not be read or is damaged, and the tensor that is missing, left over or of another shape.
    pub fn load(directory: &Path, device: &Device) -> Result<Self, WeightsError> {
        let config = ModelConfig::load(directory)?;
        let files = WeightFiles::open(directory)?;
        let weights = Weights::parse(directory, &files)?;
        weights.check(&config)?;
        weights.build(&config, device)
    }

    /// Whether a directory holds a whole model that [`Transformer::load`] reads; only the files' headers are looked at.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn check(directory: &Path) -> Result<ModelConfig, WeightsError> {
        let config = ModelConfig::load(directory)?;
        let files = WeightFiles::open(directory)?;
        Weights::parse(directory, &files)?.check(&config)?;
        Ok(config)
    }

    /// The files that hold a directory's weights, its index included.
    ///
    /// # Errors
    /// Names an index that is damaged.
    pub fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, WeightsError> {
        let index = directory.join(INDEX);
        let single = directory.join("model.safetensors");
        if single.exists() || !index.exists() {
            return Ok(vec![single]);
        }
        let mut files = shards(directory, &index)?;
        files.push(index);
        Ok(files)
    }

    /// Writes `config.json`, `generation_config.json` and `model.safetensors` (float32) into an existing directory. Equal
    /// models give equal bytes.
    ///
    /// # Errors
    /// Names the file that the file system refused.
    pub fn save(&self, directory: &Path) -> Result<(), WeightsError> {
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|source| WeightsError::Io { path, source })
        };
        write("config.json", self.config.to_json())?;
        let config: Value = serde_json::from_str(&self.config.to_json()).expect("our own JSON");
        let mut generation = json!({ "_from_model_config": true });
        for field in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            generation[field] = config[field].clone();
        }
        write("generation_config.json", format!("{generation:#}\n"))?;
        let tensors = self.tensors();
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many values as the shape says"))
        });
        let path = directory.join("model.safetensors");
        let metadata = Some(std::iter::once(("format".to_owned(), "pt".to_owned())).collect());
        safetensors::serialize_to_file(views, metadata, &path)
            .map_err(|error| WeightsError::Malformed { path, problem: error.to_string() })
    }

    /// All tensors under transformers' names, as shapes and little-endian float32 values.
    fn tensors(&self) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
        let mut tensors = BTreeMap::new();
        let mut plain = |name: String, shape: Vec<usize>, values: Vec<f32>| {
            tensors.insert(name, (shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        };
        let hidden = self.config.hidden_size;
        plain("model.embed_tokens.weight".to_owned(), vec![self.config.vocab_size, hidden], values(&self.embedding));
        plain("model.norm.weight".to_owned(), vec![hidden], values(&self.norm));
        for (layer, block) in self.blocks.iter().enumerate() {
            for (name, norm) in NORMS.iter().zip(block.norms()) {
                plain(format!("model.layers.{layer}.{name}"), vec![hidden], values(norm));
            }
            for (matrix, weights) in matrices(&self.config).iter().zip(block.weights()) {
                let prefix = format!("model.layers.{layer}.");
                for (name, shape, values) in matrix.split(&values(weights)) {
                    plain(prefix.clone() + name, shape, values);
                }
            }
        }
        if let Some(head) = &self.head {
            for (name, shape, values) in head_matrix(&self.config).split(&values(head)) {
                plain(name.to_owned(), shape, values);
            }
        }
        tensors
    }
}

impl Block {
    /// In the order of [`NORMS`].
    fn norms(&self) -> [&Param<Tensor<1>>; 2] {
        [&self.attention_norm, &self.feed_forward_norm]
    }

    /// In the order of [`matrices`].
    fn weights(&self) -> [&Param<Tensor<2>>; 4] {
        [&self.query_key_value, &self.attention_output, &self.gate_up, &self.down]
    }
}

fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Vec<f32> {
    parameter.val().into_data().convert::<f32>().try_to_vec().expect("float32 values")
}

/// One of our matrices [in, out], with the tensors [out, in] of transformers that stand in it side by side.
struct Matrix {
    parts: Vec<(&'static str, usize)>,
    input: usize,
}

/// The matrices of a block.
fn matrices(config: &ModelConfig) -> [Matrix; 4] {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let (query, key) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let query_key_value =
        [("self_attn.q_proj.weight", query), ("self_attn.k_proj.weight", key), ("self_attn.v_proj.weight", key)];
    [
        Matrix { parts: query_key_value.to_vec(), input: hidden },
        Matrix { parts: vec![("self_attn.o_proj.weight", hidden)], input: query },
        Matrix { parts: vec![("mlp.gate_proj.weight", wide), ("mlp.up_proj.weight", wide)], input: hidden },
        Matrix { parts: vec![("mlp.down_proj.weight", hidden)], input: wide },
    ]
}

fn head_matrix(config: &ModelConfig) -> Matrix {
    Matrix { parts: vec![("lm_head.weight", config.vocab_size)], input: config.hidden_size }
}

impl Matrix {
    fn output(&self) -> usize {
        self.parts.iter().map(|(_, output)| output).sum()
    }

    /// Takes the values apart: name, shape and values of each part.
    fn split(&self, values: &[f32]) -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
        let (total, mut from, mut parts) = (self.output(), 0, Vec::new());
        for (name, output) in &self.parts {
            let column = |row: usize| (0..self.input).map(move |input| values[input * total + from + row]);
            let part = (0..*output).flat_map(column).collect();
            parts.push((*name, vec![*output, self.input], part));
            from += output;
        }
        parts
    }
}

/// The mapped files of a model directory.
struct WeightFiles(Vec<(PathBuf, Mmap)>);

impl WeightFiles {
    fn open(directory: &Path) -> Result<Self, WeightsError> {
        let names = Transformer::weight_files(directory)?.into_iter().filter(|path| !path.ends_with(INDEX));
        let map = |path: PathBuf| match File::open(&path).and_then(|file| {
            // SAFETY: the map is only read; artifacts are never changed in place.
            unsafe { Mmap::map(&file) }
        }) {
            Ok(map) => Ok((path, map)),
            Err(source) => Err(WeightsError::Io { path, source }),
        };
        names.map(map).collect::<Result<_, _>>().map(Self)
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

/// The tensors of a directory's files by name.
struct Weights<'a> {
    directory: &'a Path,
    tensors: BTreeMap<String, (&'a Path, TensorView<'a>)>,
}

impl<'a> Weights<'a> {
    fn parse(directory: &'a Path, files: &'a WeightFiles) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for (path, map) in &files.0 {
            let malformed = |problem: String| WeightsError::Malformed { path: path.clone(), problem };
            let parsed = SafeTensors::deserialize(map)
                .map_err(|error| malformed(format!("it is not a whole safetensors file: {error}")))?;
            for (name, view) in parsed.tensors() {
                if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                    let problem = format!("the tensor `{name}` is {:?}; known are F32, F16 and BF16", view.dtype());
                    return Err(malformed(problem));
                }
                if tensors.insert(name.clone(), (path.as_path(), view)).is_some() {
                    return Err(malformed(format!("the tensor `{name}` is in another file of the directory too")));
                }
            }
        }
        Ok(Self { directory, tensors })
    }

    fn build(&self, config: &ModelConfig, device: &Device) -> Result<Transformer, WeightsError> {
        let hidden = config.hidden_size;
        let vector = |name: &str, ours: &str| -> Result<_, WeightsError> {
            let values = self.read(name, &[hidden])?;
            Ok(parameter(ours, Tensor::<1>::from_data(TensorData::new(values, [hidden]), device)))
        };
        let matrix = |matrix: &Matrix, prefix: &str, ours: &str| -> Result<_, WeightsError> {
            let data = TensorData::new(self.join(matrix, prefix)?, [matrix.input, matrix.output()]);
            Ok(parameter(ours, Tensor::<2>::from_data(data, device)))
        };
        let mut blocks = Vec::new();
        for layer in 0..config.num_hidden_layers {
            let (theirs, ours) = (format!("model.layers.{layer}."), format!("blocks.{layer}."));
            let [query_key_value, attention_output, gate_up, down] = matrices(config);
            blocks.push(Block {
                attention_norm: vector(
                    &(theirs.clone() + "input_layernorm.weight"),
                    &(ours.clone() + "attention_norm"),
                )?,
                query_key_value: matrix(&query_key_value, &theirs, &(ours.clone() + "query_key_value"))?,
                attention_output: matrix(&attention_output, &theirs, &(ours.clone() + "attention_output"))?,
                feed_forward_norm: vector(
                    &(theirs.clone() + "post_attention_layernorm.weight"),
                    &(ours.clone() + "feed_forward_norm"),
                )?,
                gate_up: matrix(&gate_up, &theirs, &(ours.clone() + "gate_up"))?,
                down: matrix(&down, &theirs, &(ours + "down"))?,
            });
        }
        let embedding = self.read("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
        let embedding = Tensor::from_data(TensorData::new(embedding, [config.vocab_size, hidden]), device);
        let untied = !config.tie_word_embeddings;
        Ok(Transformer {
            embedding: parameter("embedding", embedding),
            blocks,
            norm: vector("model.norm.weight", "norm")?,
            head: untied.then(|| matrix(&head_matrix(config), "", "head")).transpose()?,
            config: config.clone(),
        })
    }

    /// A tensor, which must have this shape.
    fn find(&self, name: &str, shape: &[usize]) -> Result<&TensorView<'a>, WeightsError> {
        match self.tensors.get(name) {
            None => Err(WeightsError::Missing { directory: self.directory.to_owned(), name: name.to_owned() }),
            Some((_, view)) if view.shape() == shape => Ok(view),
            Some((path, view)) => Err(WeightsError::Shape {
                path: path.to_path_buf(),
                name: name.to_owned(),
                found: view.shape().to_vec(),
                expected: shape.to_vec(),
            }),
        }
    }

    /// The values of a tensor, which must have this shape.
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let view = self.find(name, shape)?;
        let (words, _) = view.data().as_chunks::<2>();
        Ok(match view.dtype() {
            Dtype::F16 => words.iter().map(|word| f16::from_le_bytes(*word).to_f32()).collect(),
            Dtype::BF16 => words.iter().map(|word| bf16::from_le_bytes(*word).to_f32()).collect(),
            _ => view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect(),
        })
    }

    /// The parts of a matrix, transposed and side by side.
    fn join(&self, matrix: &Matrix, prefix: &str) -> Result<Vec<f32>, WeightsError> {
        let parts: Vec<Vec<f32>> = matrix
            .parts
            .iter()
            .map(|(name, output)| self.read(&format!("{prefix}{name}"), &[*output, matrix.input]))
            .collect::<Result<_, _>>()?;
        let mut joined = vec![0.0; matrix.input * matrix.output()];
        joined.par_chunks_mut(matrix.output()).enumerate().for_each(|(input, row)| {
            let column = parts.iter().flat_map(|part| part[input..].iter().step_by(matrix.input));
            row.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
        });
        Ok(joined)
    }

    /// Every tensor of the model is there in its shape, and nothing is left over.
    fn check(&self, config: &ModelConfig) -> Result<(), WeightsError> {
        let expected = expected_tensors(config);
        for (name, shape) in &expected {
            self.find(name, shape)?;
        }
        let spare = |name: &str| {
            // Some tied directories repeat the embedding under this name, some old ones keep the rotary frequencies.
            name == "lm_head.weight" || name.ends_with(".self_attn.rotary_emb.inv_freq")
        };
        match self.tensors.iter().find(|(name, _)| !expected.contains_key(*name) && !spare(name)) {
            None => Ok(()),
            Some((name, (path, _))) => Err(WeightsError::Extra { path: path.to_path_buf(), name: name.clone() }),
        }
    }
}

/// Names and shapes of all tensors of a model, as transformers has them.
fn expected_tensors(config: &ModelConfig) -> BTreeMap<String, Vec<usize>> {
    let hidden = config.hidden_size;
    let mut expected = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ]);
    for layer in 0..config.num_hidden_layers {
        for name in NORMS {
            expected.insert(format!("model.layers.{layer}.{name}"), vec![hidden]);
        }
        for Matrix { parts, input } in matrices(config) {
            let parts =
                parts.into_iter().map(|(name, output)| (format!("model.layers.{layer}.{name}"), vec![output, input]));
            expected.extend(parts);
        }
    }
    if !config.tie_word_embeddings {
        expected.insert("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]);
    }
    expected
}

fn read_text(path: &Path) -> Result<String, WeightsError> {
    fs::read_to_string(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
}

fn read_json(path: &Path) -> Result<Value, WeightsError> {
    let malformed =
        |error| WeightsError::Malformed { path: path.to_owned(), problem: format!("it is not JSON: {error}") };
    serde_json::from_str(&read_text(path)?).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::config::tests::tiny, seed::Seed};

    fn saved(config: &ModelConfig) -> (tempfile::TempDir, Transformer) {
        let directory = tempfile::tempdir().unwrap();
        let model = config.init(&Seed::root(3), &Device::flex());
        model.save(directory.path()).unwrap();
        (directory, model)
    }

    fn error_after(change: impl FnOnce(&Path)) -> String {
        let (directory, _) = saved(&tiny());
        change(directory.path());
        let error = Transformer::load(directory.path(), &Device::flex()).unwrap_err().to_string();
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
        for tie_word_embeddings in [true, false] {
            let (first, model) = saved(&ModelConfig { tie_word_embeddings, ..tiny() });
            let read = Transformer::load(first.path(), &Device::flex()).unwrap();
            assert_eq!(values(&read.blocks[1].gate_up), values(&model.blocks[1].gate_up));
            let second = tempfile::tempdir().unwrap();
            read.save(second.path()).unwrap();
            for file in ["config.json", "generation_config.json", "model.safetensors"] {
                let read = |directory: &Path| fs::read(directory.join(file)).unwrap();
                assert_eq!(read(first.path()), read(second.path()), "{file}");
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
        assert_eq!(third_row_fifth_input, values(&model.blocks[1].query_key_value)[4 * 32 + 16 + 2]);
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
            DIR: the tensor `model.layers.2.input_layernorm.weight` is missing from the weights
            DIR/model.safetensors: the tensor `model.layers.1.input_layernorm.weight` belongs to no part of the model that config.json describes
            DIR/model.safetensors: the tensor `model.embed_tokens.weight` has the shape [32, 16], but config.json asks for [33, 16]
            DIR/model.safetensors: it is not a whole safetensors file: incomplete metadata, file not fully covered
            DIR/model.safetensors: No such file or directory (os error 2)
            DIR/model.safetensors.index.json: `model.norm.weight` should stand in a file of this directory, not in "../model.safetensors"
            DIR/generation_config.json: it is not JSON: EOF while parsing an object at line 1 column 1"#]].assert_eq(&messages.join("\n"));
    }

    #[test]
    fn bytes_turned_at_random_never_panic() {
        let (directory, _) = saved(&tiny());
        let path = directory.path().join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        let mut stream = Seed::root(1).stream();
        for _ in 0..300 {
            let mut bytes = whole.clone();
            bytes[stream.below(1500)] ^= 1 << stream.below(8);
            fs::write(&path, bytes).unwrap();
            let _ = Transformer::load(directory.path(), &Device::flex());
        }
    }

    /// The largest difference of logits to those of transformers, at positions that are not padding.
    fn compare_with_reference(directory: &Path, model: &Transformer) -> f32 {
        let bytes = fs::read(directory.join("reference.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let integers = |name: &str| -> Vec<i64> {
            let (words, _) = tensors.tensor(name).unwrap().data().as_chunks::<8>();
            words.iter().map(|word| i64::from_le_bytes(*word)).collect()
        };
        let (ids, mask) = (integers("input_ids"), integers("attention_mask"));
        let [rows, time, vocabulary] = *tensors.tensor("logits").unwrap().shape() else { panic!("three axes") };
        let (words, _) = tensors.tensor("logits").unwrap().data().as_chunks::<4>();
        let logits: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let mut largest: f32 = 0.0;
        for row in 0..rows {
            let padding = mask[row * time..(row + 1) * time].iter().filter(|seen| **seen == 0).count();
            let text: Vec<i32> = ids[row * time + padding..(row + 1) * time].iter().map(|id| *id as i32).collect();
            let count = text.len();
            let tokens = Tensor::<2, burn::tensor::Int>::from_data(TensorData::new(text, [1, count]), &Device::flex());
            let ours: Vec<f32> = model.logits(model.hidden(tokens)).into_data().try_to_vec().unwrap();
            let theirs = &logits[(row * time + padding) * vocabulary..(row + 1) * time * vocabulary];
            let differences = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs());
            largest = differences.fold(largest, f32::max);
        }
        largest
    }

    fn greedy_tokens(model: &Transformer, prompt: &[u32], max_new: usize) -> Vec<u32> {
        use crate::model::{GenerateError, Generator, Request, Sampling};
        let mut endless = model.clone();
        endless.config.eos_token_id.clear();
        let sampling = Sampling { temperature: 0.0, top_k: None, top_p: 1.0, max_new };
        let generator = Generator { model: &endless, sampling, batch: 1, seed: Seed::root(0) };
        let request = Request { id: String::new(), prompt: prompt.to_vec(), samples: vec![0] };
        let mut tokens = Vec::new();
        let keep = |answer: crate::model::Answer| {
            tokens = answer.tokens;
            Ok::<_, GenerateError>(())
        };
        generator.run(&[request], keep).unwrap();
        tokens
    }

    /// A model of our own with its tokenizer, logits and tokens, for transformers to read.
    fn write_fresh(folder: &Path, texts: &[String]) {
        use crate::model::{Tokenizer, speed::quickstart_shape};
        fs::create_dir_all(folder).unwrap();
        let tokenizer = Tokenizer::train(texts.iter().map(String::as_str), 400).unwrap();
        tokenizer.save(folder).unwrap();
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode_prompt(text).unwrap()).collect();
        fs::write(folder.join("tokens.json"), serde_json::to_string(&tokens).unwrap()).unwrap();
        let config = ModelConfig { vocab_size: tokenizer.vocab_size(), ..quickstart_shape() };
        let mut model = config.init(&Seed::root(9), &Device::flex());
        model.embedding = model.embedding.map(|weights| weights * 30.0);
        model.save(folder).unwrap();
        let ids: Vec<i32> = (0..50).map(|index| index * 37 % config.vocab_size as i32).collect();
        let input = Tensor::<2, burn::tensor::Int>::from_data(TensorData::new(ids.clone(), [1, 50]), &Device::flex());
        let logits: Vec<f32> = model.logits(model.hidden(input)).into_data().try_to_vec().unwrap();
        let bytes: [Vec<u8>; 2] = [
            ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
            logits.iter().flat_map(|logit| logit.to_le_bytes()).collect(),
        ];
        let views = [
            ("input_ids", TensorView::new(Dtype::I32, vec![50], &bytes[0]).unwrap()),
            ("logits", TensorView::new(Dtype::F32, vec![50, config.vocab_size], &bytes[1]).unwrap()),
        ];
        safetensors::serialize_to_file(views, None, &folder.join("ours.safetensors")).unwrap();
    }

    #[test]
    #[ignore = "run by benches/transformers_parity.py"]
    fn transformers_parity() {
        let folder = PathBuf::from(std::env::var("APEFT_PARITY").unwrap());
        let mut directories: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        directories.sort();
        for directory in directories.iter().filter(|directory| directory.join("greedy.json").exists()) {
            let model = Transformer::load(directory, &Device::flex()).unwrap();
            let difference = compare_with_reference(directory, &model);
            let greedy = read_json(&directory.join("greedy.json")).unwrap();
            let ids = |name: &str| -> Vec<u32> { serde_json::from_value(greedy[name].clone()).unwrap() };
            let tokenizer = crate::model::Tokenizer::load(directory).unwrap();
            assert_eq!(tokenizer.encode_prompt(greedy["prompt"].as_str().unwrap()).unwrap(), ids("prompt_ids"));
            let same = greedy_tokens(&model, &ids("prompt_ids"), 32) == ids("greedy_ids");
            let name = directory.file_name().unwrap().display();
            eprintln!("{name}: max difference of logits {difference:.1e}, greedy tokens equal: {same}");
            let low_precision = model_is_low_precision(directory);
            assert!(low_precision || (difference < 1e-4 && same), "{name}");
            fs::create_dir_all(directory.join("again")).unwrap();
            model.save(&directory.join("again")).unwrap();
        }
        let texts: Vec<String> = serde_json::from_value(read_json(&folder.join("texts.json")).unwrap()).unwrap();
        write_fresh(&folder.join("fresh"), &texts);
    }

    /// transformers computed the reference in the format of the weights, we compute in float32.
    fn model_is_low_precision(directory: &Path) -> bool {
        fs::read_to_string(directory.join("config.json")).unwrap().contains("float16")
    }
}
