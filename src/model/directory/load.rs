//! Loading Hugging Face model directories: config and weights under transformers' names.

use std::{collections::BTreeSet, path::Path};

use burn::{
    module::Param,
    tensor::{Tensor, TensorData},
};

use super::{
    WeightsError,
    layout::{
        BLOCK_NORMS, EMBEDDING, HEAD, LayerColumns, NORM, QUERY_KEY_NORMS, block_columns,
        block_prefix, expected_tensors, head_columns,
    },
    reading::{read_optional_json, read_text},
    tensors::{MappedFiles, Tensors},
};
use crate::model::{
    architecture::{
        Block, Linear, ModelConfig, NumberFormat, Transformer, parameter, remarks, tokens,
    },
    device::Placement,
};

impl ModelConfig {
    /// Reads a directory's `config.json`; the EOS tokens of `generation_config.json`, if any, take
    /// precedence.
    ///
    /// # Errors
    /// Names the file that cannot be read, or the field that is wrong.
    pub fn load(directory: &Path) -> Result<Self, WeightsError> {
        if directory.is_file() {
            let problem = "it is a file, not a model directory; `apeft convert FILE DIR` and a \
                stage of kind `import` read GGUF files";
            return Err(WeightsError::malformed(directory, problem));
        }
        let path = directory.join("config.json");
        let text = read_text(&path)?;
        let mut config =
            Self::from_json(&text).map_err(|source| WeightsError::Config { path, source })?;
        let path = directory.join("generation_config.json");
        // Chat models end their turns with tokens that only this file names.
        let Some(generation) = read_optional_json(&path)? else { return Ok(config) };
        if let Some(end) = generation.get("eos_token_id").filter(|end| !end.is_null()) {
            let end = tokens("eos_token_id", end);
            config.eos_token_id = end.map_err(|source| WeightsError::Config { path, source })?;
        }
        Ok(config)
    }
}

impl Transformer {
    /// Reads a model directory: `config.json` and `model.safetensors`, or several files with an
    /// index. Files are mapped, read into memory; f32, f16 and bf16 are converted tensor by tensor,
    /// so that hardly more memory is needed than the weights take.
    ///
    /// # Errors
    /// Names the file that cannot be read or is damaged, or the tensor that is missing,
    /// superfluous, of another shape or not finite.
    pub fn load(directory: &Path, place: &Placement) -> Result<Self, WeightsError> {
        let mut config = ModelConfig::load(directory)?;
        let (files, all) = MappedFiles::of_model(directory)?;
        let tensors = Tensors::parse(&all, &files)?;
        // Before the check, since it decides whether an output layer is expected.
        let embedding = settle_head(&tensors, &mut config)?;
        check(&tensors, &config, embedding)?;
        ModelBuilder { tensors, config: &config, place, embedding }.model()
    }

    /// Checks that a directory holds a complete model that [`Transformer::load`] can read; reads
    /// only the headers.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn check(directory: &Path) -> Result<ModelConfig, WeightsError> {
        let mut config = ModelConfig::load(directory)?;
        let (files, all) = MappedFiles::of_model(directory)?;
        let tensors = Tensors::parse(&all, &files)?;
        // Before the check, since it decides whether an output layer is expected.
        let embedding = settle_head(&tensors, &mut config)?;
        check(&tensors, &config, embedding)?;
        Ok(config)
    }

    /// Remarks for the user on a directory: ignored fields of `config.json`, and an output layer
    /// beside `tie_word_embeddings`.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn remarks(directory: &Path) -> Result<Vec<String>, WeightsError> {
        let mut remarks = remarks(&read_text(&directory.join("config.json"))?);
        if ModelConfig::load(directory)?.tie_word_embeddings
            && !Self::check(directory)?.tie_word_embeddings
        {
            remarks.push(format!(
                "config.json says `tie_word_embeddings`, but `{HEAD}` and `{EMBEDDING}` are both \
                there with different values: they are not tied, and the output layer is \
                `{HEAD}`, as in transformers; set `tie_word_embeddings` to false"
            ));
        }
        Ok(remarks)
    }

    /// The format in which most of a directory's weights are stored.
    ///
    /// # Errors
    /// As [`Transformer::load`].
    pub fn stored_format(directory: &Path) -> Result<NumberFormat, WeightsError> {
        let (files, all) = MappedFiles::of_model(directory)?;
        Ok(Tensors::parse(&all, &files)?.stored_format())
    }
}

/// Decides whether output layer and embedding are tied, as transformers 5 does with
/// `tie_word_embeddings`: with both present they are tied only if equal; with one present it is
/// both.
fn settle_head(tensors: &Tensors, config: &mut ModelConfig) -> Result<&'static str, WeightsError> {
    if !config.tie_word_embeddings {
        return Ok(EMBEDDING);
    }
    match (tensors.has(EMBEDDING), tensors.has(HEAD)) {
        (true, true) => {
            let shape = [config.vocab_size, config.hidden_size];
            // Different values under both names were trained apart, whatever the config says.
            config.tie_word_embeddings = tensors.are_equal(EMBEDDING, HEAD, &shape)?;
            Ok(EMBEDDING)
        }
        (false, true) => Ok(HEAD),
        _ => Ok(EMBEDDING),
    }
}

/// Checks that every tensor of the model has its shape, and that none is superfluous.
fn check(tensors: &Tensors, config: &ModelConfig, embedding: &str) -> Result<(), WeightsError> {
    let mut expected = BTreeSet::new();
    for (name, shape) in expected_tensors(config, embedding) {
        // All headers before any data: a wrong file is found in milliseconds.
        tensors.check(&name, &shape)?;
        expected.insert(name);
    }
    match tensors.names().find(|name| !expected.contains(*name) && !is_harmless(name)) {
        None => Ok(()),
        Some(name) => Err(WeightsError::Extra { path: tensors.file(name), name: name.to_owned() }),
    }
}

/// Some tied directories repeat the embedding as the output layer, some old ones keep the rotary
/// frequencies.
fn is_harmless(name: &str) -> bool {
    name == HEAD || name.ends_with("rotary_emb.inv_freq")
}

/// Builds a model from checked tensors.
struct ModelBuilder<'a> {
    tensors: Tensors<'a>,
    config: &'a ModelConfig,
    place: &'a Placement,
    /// The tensor that is the embedding.
    embedding: &'static str,
}

impl ModelBuilder<'_> {
    fn model(self) -> Result<Transformer, WeightsError> {
        let (config, hidden) = (self.config, self.config.hidden_size);
        let vocabulary = [config.vocab_size, hidden];
        let embedding = self.tensors.plain(
            &[(self.embedding.to_owned(), vocabulary.to_vec())],
            &vocabulary,
            self.place.format,
        )?;
        let head =
            (!config.tie_word_embeddings).then(|| self.linear(&head_columns(config), "", "head"));
        Ok(Transformer {
            embedding: parameter("embedding", self.put(embedding)),
            blocks: (0..config.num_hidden_layers)
                .map(|block| self.block(block))
                .collect::<Result<_, _>>()?,
            norm: self.norm(NORM.to_owned(), hidden, "norm")?,
            head: head.transpose()?,
            config: config.clone(),
            computes_in: self.place.format,
        })
    }

    fn block(&self, block: usize) -> Result<Block, WeightsError> {
        let config = self.config;
        let (theirs, ours) = (block_prefix(block), format!("blocks.{block}."));
        let [query_key_value, attention_output, gate_up, down] = &block_columns(config);
        let [before_attention, before_feed_forward] =
            BLOCK_NORMS.map(|name| format!("{theirs}{name}"));
        let query_key_norms = if config.query_key_norm {
            let [query, key] = QUERY_KEY_NORMS.map(|name| format!("{theirs}{name}"));
            Some([
                self.norm(query, config.head_dim, &format!("{ours}query_norm"))?,
                self.norm(key, config.head_dim, &format!("{ours}key_norm"))?,
            ])
        } else {
            None
        };
        Ok(Block {
            attention_norm: self.norm(
                before_attention,
                config.hidden_size,
                &format!("{ours}attention_norm"),
            )?,
            query_key_value: self.linear(
                query_key_value,
                &theirs,
                &format!("{ours}query_key_value"),
            )?,
            query_key_norms,
            attention_output: self.linear(
                attention_output,
                &theirs,
                &format!("{ours}attention_output"),
            )?,
            feed_forward_norm: self.norm(
                before_feed_forward,
                config.hidden_size,
                &format!("{ours}feed_forward_norm"),
            )?,
            gate_up: self.linear(gate_up, &theirs, &format!("{ours}gate_up"))?,
            down: self.linear(down, &theirs, &format!("{ours}down"))?,
            has_window: config.window(block).is_some(),
        })
    }

    fn norm(
        &self,
        theirs: String,
        size: usize,
        ours: &str,
    ) -> Result<Param<Tensor<1>>, WeightsError> {
        let values = self.tensors.plain(&[(theirs, vec![size])], &[size], self.place.format)?;
        Ok(parameter(ours, self.put(values)))
    }

    fn linear(
        &self,
        columns: &LayerColumns,
        prefix: &str,
        ours: &str,
    ) -> Result<Linear, WeightsError> {
        let parts = columns.parts.iter();
        let weights: Vec<_> = parts
            .clone()
            .map(|part| (format!("{prefix}{}.weight", part.name), part.width))
            .collect();
        let weight = self.tensors.transposed(&weights, columns.input, self.place.format)?;
        let bias = if columns.has_bias {
            let biases: Vec<_> = parts
                .map(|part| (format!("{prefix}{}.bias", part.name), vec![part.width]))
                .collect();
            let bias = self.tensors.plain(&biases, &[columns.output()], self.place.format)?;
            Some(parameter(&format!("{ours}.bias"), self.put(bias)))
        } else {
            None
        };
        Ok(Linear::new(parameter(ours, self.put(weight)), bias))
    }

    fn put<const D: usize>(&self, data: TensorData) -> Tensor<D> {
        Tensor::from_data(data, (&self.place.device, self.place.format.dtype()))
    }
}

#[cfg(test)]
pub(in crate::model) mod tests {
    use std::{fs, path::Path};

    use safetensors::SafeTensors;

    use super::{super::foreign::SINGLE, *};
    use crate::{
        device::DeviceName,
        model::{
            Adapter, LARGEST_FILE, LowRank,
            architecture::config::tests::{one_of_each, tiny},
        },
        seed::Seed,
    };

    /// Values other than the 1 or 0 of a new model, so that no tensor can be mistaken for another.
    fn varied(config: &ModelConfig) -> Transformer {
        let mut model = config.init(&Seed::root(3), &Placement::cpu().device);
        let mut stream = Seed::root(4).stream();
        let mut vary = |vector: &mut burn::module::Param<Tensor<1>>| {
            let [size] = vector.dims();
            let values: Vec<f32> = (0..size).map(|_| stream.normal() as f32).collect();
            *vector = vector.clone().map(|_| {
                Tensor::from_data(TensorData::new(values, [size]), &Placement::cpu().device)
            });
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
        Transformer::load(directory, &Placement::cpu())
    }

    fn values<const D: usize>(parameter: &burn::module::Param<Tensor<D>>) -> Vec<f32> {
        parameter.val().into_data().convert::<f32>().try_to_vec().unwrap()
    }

    fn logits(model: &Transformer) -> Vec<f32> {
        let tokens = Tensor::<2, burn::tensor::Int>::from_data(
            [[1, 7, 3, 30, 2, 2, 9, 4]],
            &Placement::cpu().device,
        );
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
            let low = Transformer::load(
                directory.path(),
                &Placement::named(DeviceName::Cpu, name).unwrap(),
            )
            .unwrap();
            let differences = logits(&low)
                .into_iter()
                .zip(logits(&model))
                .map(|(one, other)| (one - other).abs());
            let largest = differences.fold(0.0, f32::max);
            assert!(largest > 0.0 && largest < error, "{name}: {largest}");
            let copy = tempfile::tempdir().unwrap();
            low.save(copy.path(), LARGEST_FILE).unwrap();
            assert_eq!(Transformer::stored_format(copy.path()).unwrap().name(), name);
            let again =
                Transformer::load(copy.path(), &Placement::named(DeviceName::Cpu, name).unwrap())
                    .unwrap();
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
            assert!(
                before
                    .iter()
                    .zip(logits(&read))
                    .any(|(before, after)| (before - after).abs() > 0.01)
            );
            let merged = logits(&read.clone().merge());
            let close = |(one, other): (&f32, f32)| (one - other).abs() < 1e-4;
            assert!(merged.iter().zip(logits(&read)).all(close));
        }
    }

    /// Random updates in all places that the adapter targets.
    pub(in crate::model) fn add_updates(
        model: &mut Transformer,
        adapter: &crate::model::AdapterConfig,
    ) {
        let config = model.config.clone();
        for (number, block) in model.blocks.iter_mut().enumerate() {
            for (columns, linear) in
                block_columns(&config).iter().zip(super::super::layout::linears_mut(block))
            {
                for part in &columns.parts {
                    let path = block_prefix(number) + part.name;
                    let random = |kind: &str, shape: [usize; 2]| {
                        let mut stream = Seed::root(1).split(&path).split(kind).stream();
                        let values: Vec<f32> = (0..shape[0] * shape[1])
                            .map(|_| stream.normal() as f32 / 4.0)
                            .collect();
                        parameter(
                            kind,
                            Tensor::from_data(
                                TensorData::new(values, shape),
                                &Placement::cpu().device,
                            ),
                        )
                    };
                    if adapter.targets(&path).unwrap() {
                        let rank = adapter.rank(&path).unwrap();
                        let (a, b) =
                            (random("a", [columns.input, rank]), random("b", [rank, part.width]));
                        linear.updates.push(LowRank {
                            a,
                            b,
                            from: part.from,
                            scale: adapter.scale(&path).unwrap(),
                            dropout: None,
                        });
                    }
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
        let third_row_fifth_input =
            f32::from_le_bytes(key.data()[4 * (2 * 16 + 4)..][..4].try_into().unwrap());
        assert_eq!(
            third_row_fifth_input,
            values(&model.blocks[1].query_key_value.weight)[4 * 32 + 16 + 2]
        );
    }

    #[test]
    fn end_tokens_come_from_the_generation_config() {
        let (directory, _) = saved(&tiny());
        fs::write(directory.path().join("generation_config.json"), r#"{"eos_token_id": [4, 1]}"#)
            .unwrap();
        assert_eq!(ModelConfig::load(directory.path()).unwrap().eos_token_id, [4, 1]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rename = |directory: &Path| {
            fs::rename(directory.join("config.json"), directory.join("other")).unwrap()
        };
        let cut = |directory: &Path| {
            let path = directory.join("model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        };
        let messages = [
            error_after(rename),
            error_after(|directory| {
                edit_config(directory, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")
            }),
            error_after(|directory| {
                edit_config(directory, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")
            }),
            error_after(|directory| {
                edit_config(directory, "\"vocab_size\": 32", "\"vocab_size\": 33")
            }),
            error_after(cut),
            error_after(|directory| fs::remove_file(directory.join("model.safetensors")).unwrap()),
            error_after(|directory| {
                fs::remove_file(directory.join("model.safetensors")).unwrap();
                let text = r#"{"weight_map": {"model.norm.weight": "../model.safetensors"}}"#;
                fs::write(directory.join("model.safetensors.index.json"), text).unwrap();
            }),
            error_after(|directory| {
                fs::write(directory.join("generation_config.json"), "{").unwrap()
            }),
        ];
        expect_test::expect![[r#"
            DIR/config.json: No such file or directory (os error 2)
            DIR/model.safetensors: the tensor `model.layers.2.input_layernorm.weight` is missing
            DIR/model.safetensors: the tensor `model.layers.1.input_layernorm.weight` is not part of the model that config.json describes
            DIR/model.safetensors: the tensor `model.embed_tokens.weight` has the shape [32, 16], but [33, 16] is expected
            DIR/model.safetensors: it is a truncated safetensors file: it has 19724 bytes of 19728; download or copy it again
            DIR/model.safetensors: No such file or directory (os error 2)
            DIR/model.safetensors.index.json: `model.norm.weight` must be in a file of this directory, not in "../model.safetensors"
            DIR/generation_config.json: it is not JSON: EOF while parsing an object at line 1 column 1"#]].assert_eq(&messages.join("\n"));
    }
}
