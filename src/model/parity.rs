//! For developers: logits and files compared with transformers and PEFT; run by
//! `benches/transformers_parity.py` and `benches/smollm2_parity.py`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::{Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{
    Adapter, AdapterConfig, LARGEST_FILE, ModelConfig, Placement, Tokenizer, Transformer,
    architecture::config::tests::one_of_each, directory::tests::add_updates,
};
use crate::{device::DeviceName, seed::Seed};

/// The rows of tokens in a file from transformers, without padding.
fn token_rows(path: &Path) -> Vec<Vec<i32>> {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<i64> {
        let (words, _) = tensors.tensor(name).unwrap().data().as_chunks::<8>();
        words.iter().map(|word| i64::from_le_bytes(*word)).collect()
    };
    let [_, time] = *tensors.tensor("input_ids").unwrap().shape() else { panic!("two axes") };
    let (ids, mask) = (integers("input_ids"), integers("attention_mask"));
    let seen = |(ids, mask): (&[i64], &[i64])| {
        ids.iter().zip(mask).filter(|(_, seen)| **seen == 1).map(|(id, _)| *id as i32).collect()
    };
    ids.chunks(time).zip(mask.chunks(time)).map(seen).collect()
}

/// Writes the logits after each token of each row: tensors `0`, `1`, ... [tokens, vocabulary].
fn write_logits(model: &Transformer, rows: &[Vec<i32>], path: &Path) {
    let logits = |row: &Vec<i32>| -> Vec<u8> {
        let tokens = Tensor::<2, Int>::from_data(
            TensorData::new(row.clone(), [1, row.len()]),
            &Placement::cpu().device,
        );
        model.logits(model.hidden(tokens)).into_data().as_bytes().to_vec()
    };
    let bytes: Vec<Vec<u8>> = rows.iter().map(logits).collect();
    let shape = |index: usize| vec![rows[index].len(), model.config.vocab_size];
    let views = bytes.iter().enumerate().map(|(index, bytes)| {
        (index.to_string(), TensorView::new(Dtype::F32, shape(index), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Own models, one per architecture, with tokenizers, adapters and logits, for transformers and
/// PEFT to read.
fn write_fresh(folder: &Path, texts: &[String]) {
    let tokenizer = Tokenizer::train(texts.iter().map(String::as_str), 400).unwrap();
    let tokens: Vec<Vec<u32>> =
        texts.iter().map(|text| tokenizer.encode_prompt(text).unwrap()).collect();
    for config in one_of_each() {
        let directory = folder.join(format!("fresh-{}", config.architecture.model_type()));
        fs::create_dir_all(directory.join("adapter")).unwrap();
        tokenizer.save(&directory).unwrap();
        fs::write(directory.join("tokens.json"), serde_json::to_string(&tokens).unwrap()).unwrap();
        let config = ModelConfig { vocab_size: tokenizer.vocab_size(), ..config };
        let mut model = config.init(&Seed::root(9), &Placement::cpu().device);
        model.embedding = model.embedding.map(|weights| weights * 30.0);
        model.save(&directory, LARGEST_FILE).unwrap();
        let rows =
            vec![(0..50).map(|index| index * 37 % config.vocab_size as i32).collect::<Vec<i32>>()];
        fs::write(directory.join("rows.json"), serde_json::to_string(&rows).unwrap()).unwrap();
        write_logits(&model, &rows, &directory.join("ours.safetensors"));
        let fields = r#"{"r": 3, "lora_alpha": 9, "use_rslora": true, "target_modules": ["q_proj", "o_proj", "up_proj"],
            "rank_pattern": {"layers.1.mlp.up_proj": 5}, "alpha_pattern": {"q_proj": 4}}"#;
        let adapter: AdapterConfig = serde_json::from_str(fields).unwrap();
        add_updates(&mut model, &adapter);
        Adapter { config: adapter }.save(&model, &directory.join("adapter")).unwrap();
        write_logits(&model, &rows, &directory.join("adapted.safetensors"));
    }
}

#[test]
#[ignore = "run by benches/transformers_parity.py"]
fn transformers_parity() {
    let folder = PathBuf::from(std::env::var("APEFT_PARITY").unwrap());
    for directory in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let reference = directory.join("reference.safetensors");
        if !reference.exists() {
            continue;
        }
        let mut model = Transformer::load(&directory, &Placement::cpu()).unwrap();
        let rows = token_rows(&reference);
        write_logits(&model, &rows, &directory.join("ours.safetensors"));
        let low =
            Transformer::load(&directory, &Placement::named(DeviceName::Cpu, "bfloat16").unwrap())
                .unwrap();
        write_logits(&low, &rows, &directory.join("bfloat16.safetensors"));
        if directory.join("adapter").exists() {
            Adapter::load(&directory.join("adapter"), &mut model).unwrap();
            write_logits(&model, &rows, &directory.join("adapted.safetensors"));
            write_logits(&model.merge(), &rows, &directory.join("merged.safetensors"));
        }
    }
    let texts = fs::read_to_string(folder.join("texts.json")).unwrap();
    write_fresh(&folder, &serde_json::from_str::<Vec<String>>(&texts).unwrap());
}

/// Writes the tokens of texts, and their log-probabilities from the second one on.
#[test]
#[ignore = "run by benches/smollm2_parity.py"]
fn smollm2_parity() {
    let folder = PathBuf::from(std::env::var("APEFT_PARITY").unwrap());
    let directory = PathBuf::from(std::env::var("APEFT_PARITY_MODEL").unwrap());
    let texts: Vec<String> =
        serde_json::from_str(&fs::read_to_string(folder.join("texts.json")).unwrap()).unwrap();
    let model = Transformer::load(&directory, &Placement::cpu()).unwrap();
    let tokenizer = Tokenizer::load(&directory).unwrap();
    let mut rows = Vec::new();
    for text in texts {
        let tokens = tokenizer.encode_prompt(&text).unwrap();
        // An empty text has nothing to score.
        if tokens.is_empty() {
            rows.push(serde_json::json!({"tokens": [], "scores": []}));
            continue;
        }
        let ids: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
        let row = TensorData::new(ids, [1, tokens.len()]);
        let row = Tensor::<2, Int>::from_data(row, &Placement::cpu().device);
        let logits: Vec<f32> = model.logits(model.hidden(row)).into_data().try_to_vec().unwrap();
        let after = logits.chunks(model.config.vocab_size).zip(&tokens[1..]);
        let scores = after.map(|(logits, token)| {
            let most = logits.iter().copied().fold(f32::MIN, f32::max);
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
            f64::from(logits[*token as usize] - most) - sum.ln()
        });
        rows.push(serde_json::json!({"tokens": tokens, "scores": scores.collect::<Vec<_>>()}));
    }
    fs::write(folder.join("scores.json"), serde_json::to_string(&rows).unwrap()).unwrap();
}
