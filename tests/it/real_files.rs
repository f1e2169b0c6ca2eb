//! Tokenizers and configs of real models from the data sets: read like their reference
//! implementations, or rejected by name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use apeft::{
    model::{
        Adapter, Encoder, ModelConfig, Placement, Tokenizer, Transformer, generation_settings,
        text::ChatTemplate,
    },
    rows::{Content, Message, json_lines},
};
use serde::Deserialize;
use serde_json::Value;

use crate::data_sets::folder;

/// The small model of the test data.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-llama")
}

/// Tokens of llama.cpp's test texts, recorded from transformers, without special tokens.
#[test]
fn texts_have_the_tokens_that_llama_cpp_recorded() {
    #[derive(Deserialize)]
    struct Recorded {
        text: String,
        ids: Vec<u32>,
    }
    let Some(folder) = folder("tokenizers") else { return };
    for name in ["gpt-2", "phi-3"] {
        let directory = tempfile::tempdir().unwrap();
        let file = folder.join(format!("{name}.tokenizer.json"));
        fs::copy(file, directory.path().join("tokenizer.json")).unwrap();
        let tokenizer = Tokenizer::load(directory.path()).unwrap();
        let rows: Vec<Recorded> =
            json_lines::read(&folder.join(format!("{name}.gold_dev.jsonl"))).unwrap();
        assert!(rows.len() >= 24, "{name}: {}", rows.len());
        for Recorded { text, ids } in rows {
            assert_eq!(tokenizer.encode_continuation(&text).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{name}: {text:?}");
            // After a prompt it is the same text, leading space included.
            let prompt = tokenizer.encode_prompt("Who?").unwrap();
            let both = tokenizer.encode_prompt(&format!("Who?{text}")).unwrap();
            if both.starts_with(&prompt) {
                assert_eq!(
                    tokenizer.added(&prompt, &both[prompt.len()..]).unwrap(),
                    text,
                    "{name}: {text:?}"
                );
            }
        }
    }
}

/// Tokens of transformers 5.23.0 for this tokenizer and chat template.
#[test]
fn a_chat_of_smollm2_has_the_tokens_of_transformers() {
    let Some(folder) = folder("tokenizers") else { return };
    let directory = folder.join("smollm2-135m-instruct");
    let config =
        ModelConfig::from_json(&fs::read_to_string(directory.join("config.json")).unwrap())
            .unwrap();
    assert_eq!(
        (config.hidden_size, config.num_hidden_layers, config.num_key_value_heads),
        (576, 30, 3)
    );
    assert_eq!(
        (config.vocab_size, config.tie_word_embeddings, config.eos_token_id.as_slice()),
        (49152, true, &[2][..])
    );
    let encoder = Encoder::load(&directory, &config).unwrap();
    encoder.check_vocabulary(&config).unwrap();
    assert_eq!(encoder.end(), Some(2));
    let message = Message { role: "user".to_owned(), content: "Who was Marie Curie?".to_owned() };
    let chat = [
        1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411,
        407, 19712, 8182, 2, 198, 1, 4093, 198, 10576, 436, 21089, 4202, 519, 47, 2, 198, 1, 520,
        9531, 198,
    ];
    assert_eq!(encoder.prompt(&Content::Messages(vec![message])).unwrap(), chat);
    for (text, tokens) in [
        ("Who was Marie Curie?", &[10576, 436, 21089, 4202, 519, 47][..]),
        (
            " 12,742 km — “oblate”\n\n\tx",
            &[216, 33, 34, 28, 39, 36, 34, 6381, 1841, 619, 675, 12837, 573, 1116, 197, 104],
        ),
        ("1867 was 🦙", &[33, 40, 38, 39, 436, 15107, 116, 243]),
    ] {
        assert_eq!(encoder.prompt(&text.into()).unwrap(), tokens, "{text:?}");
    }
}

#[derive(Deserialize)]
struct Config {
    repo: String,
    kind: String,
    content: Value,
}

/// Adapters, generation settings, special tokens and models from the Hub: read like PEFT and
/// transformers, or rejected with the name of a field or file.
#[test]
fn configs_of_the_hub_are_read_or_refused_by_name() {
    let Some(folder) = folder("model-configs") else { return };
    let rows: Vec<Config> = json_lines::read(&folder.join("configs_dev.jsonl")).unwrap();
    assert!(rows.len() >= 75, "{}", rows.len());
    let mut model = Transformer::load(&tiny(), &Placement::cpu()).unwrap();
    for Config { repo, kind, content } in &rows {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(kind), content.to_string()).unwrap();
        match kind.as_str() {
            "adapter_config.json" => {
                let error = Adapter::load(directory.path(), &mut model).unwrap_err().to_string();
                assert!(error.contains(adapter_problem(content)), "{repo}: {error}");
            }
            "config.json" => {
                let error = ModelConfig::from_json(&content.to_string()).unwrap_err().to_string();
                assert!(
                    error.contains(content["architectures"][0].as_str().unwrap()),
                    "{repo}: {error}"
                );
            }
            "generation_config.json" => {
                let said = generation_settings(directory.path()).unwrap();
                let suggests = content.get("temperature").is_some();
                assert_eq!(
                    said.is_some_and(|said| said.contains("temperature 0.6")),
                    suggests,
                    "{repo}"
                );
            }
            "special_tokens_map.json" => special_tokens_are_known(directory.path(), repo, content),
            other => panic!("{repo}: {other}"),
        }
    }
}

/// Errors of adapters that have a config and no weights.
fn adapter_problem(config: &Value) -> &'static str {
    let is_said =
        |field: &str| config.get(field).is_some_and(|value| !value.is_null() && *value != false);
    match config["peft_type"].as_str() {
        Some("LORA") => {}
        _ => return "`peft_type`",
    }
    match ["target_modules", "use_dora", "kasa_config"].map(is_said) {
        [false, ..] => "`target_modules`",
        [_, true, _] => "`use_dora`",
        [.., true] => "`kasa_config`",
        _ => "adapter_model.safetensors",
    }
}

fn special_tokens_are_known(directory: &Path, repo: &str, content: &Value) {
    let names = ["bos_token", "eos_token", "unk_token", "pad_token"];
    let template = names.map(|name| format!("{{{{ {name} }}}}")).join("|");
    fs::write(directory.join("chat_template.jinja"), template).unwrap();
    let text = |name: &str| {
        let token = &content[name];
        token.as_str().or_else(|| token["content"].as_str()).unwrap_or_default().to_owned()
    };
    let message = Message { role: "user".to_owned(), content: "hi".to_owned() };
    let rendered =
        ChatTemplate::load(directory).unwrap().unwrap().render(&[message], false).unwrap();
    assert_eq!(rendered, names.map(text).join("|"), "{repo}");
}

/// A trained adapter of GPT-2, whose matrices are transposed.
#[test]
fn an_adapter_of_another_architecture_is_refused_by_field() {
    let Some(folder) = folder("model-configs") else { return };
    let mut model = Transformer::load(&tiny(), &Placement::cpu()).unwrap();
    let error =
        Adapter::load(&folder.join("gpt2-lora-adapter"), &mut model).unwrap_err().to_string();
    assert!(error.contains("`fan_in_fan_out`"), "{error}");
    // Without that field its layers are not those of a Llama.
    let directory = tempfile::tempdir().unwrap();
    fs::copy(
        folder.join("gpt2-lora-adapter/adapter_model.safetensors"),
        directory.path().join("adapter_model.safetensors"),
    )
    .unwrap();
    let config = fs::read_to_string(folder.join("gpt2-lora-adapter/adapter_config.json")).unwrap();
    let config = config.replace("\"fan_in_fan_out\": true", "\"fan_in_fan_out\": false");
    fs::write(directory.path().join("adapter_config.json"), config).unwrap();
    let error = Adapter::load(directory.path(), &mut model).unwrap_err().to_string();
    assert!(error.contains("`target_modules` matches no linear layer of the model"), "{error}");
}
