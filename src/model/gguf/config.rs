//! The config.json of a GGUF file, from its metadata and the shapes of its tensors.

use serde_json::{Value, json};

use super::{
    metadata::{GgufMetadata, GgufValue, missing},
    reader::GgufFile,
    rotary_factors::rope_scaling,
    stop_tokens::stop_tokens,
};

/// Architectures: llama.cpp's name, which is transformers' `model_type`, and transformers' class.
const ARCHITECTURES: [(&str, &str); 3] = [
    // Mistral's files say llama too.
    ("llama", "LlamaForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
];

/// Keys that are read, or that say nothing about results.
const READ: [&str; 24] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "expert_used_count",
    "feed_forward_length",
    "pooling_type",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
    "vocab_size",
];

/// Keys that would change results, with the value that does not.
const CHANGING: [(&str, f64); 14] = [
    ("attention.causal", 1.0),
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("embedding_scale", 1.0),
    ("expert_count", 0.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("rope.scaling.attn_factor", 1.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("use_parallel_residual", 0.0),
];

/// The name of the architecture and transformers' class for it.
///
/// # Errors
/// Names another architecture, or what the file is instead of a model.
pub(super) fn architecture(file: &GgufFile) -> Result<(&'static str, &'static str), String> {
    if let Some(kind) = file.metadata.text("general.type")?.filter(|kind| *kind != "model") {
        return Err(format!("it holds no model: `general.type` is \"{kind}\""));
    }
    let parts = file.metadata.integer("split.count")?.unwrap_or(1);
    if parts > 1 {
        return Err(format!(
            "it is one of {parts} parts of a model; join them first: \
            `llama-gguf-split --merge FIRST_PART WHOLE.gguf`"
        ));
    }
    let key = "general.architecture";
    let name = file.metadata.text(key)?.ok_or_else(|| missing(key))?;
    let known = ARCHITECTURES.into_iter().find(|(known, _)| *known == name);
    known.ok_or_else(|| {
        let known = ARCHITECTURES.map(|(name, _)| format!("`{name}`")).join(", ");
        format!("the architecture `{name}` is not supported; supported are {known}")
    })
}

/// The fields of config.json.
///
/// # Errors
/// Names the key that is missing, wrong or not supported.
pub(super) fn config(file: &GgufFile) -> Result<Value, String> {
    let (name, class) = architecture(file)?;
    let metadata = &file.metadata;
    check_neutral(metadata, name)?;
    let key = |field: &str| format!("{name}.{field}");
    let [hidden, heads, layers, wide, length] = [
        "embedding_length",
        "attention.head_count",
        "block_count",
        "feed_forward_length",
        "context_length",
    ]
    .map(|field| metadata.required(&key(field)));
    let (hidden, heads, length) = (hidden?, heads?, length?);
    let head = head_width(metadata, name, [hidden, heads])?;
    let epsilon = key("attention.layer_norm_rms_epsilon");
    let theta = metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0);
    check_window(metadata, name, length)?;
    let embedding = "token_embd.weight";
    let embedding = file
        .tensors
        .get(embedding)
        .ok_or_else(|| format!("the tensor `{embedding}` is missing"))?;
    let token = |name: &str| metadata.integer(&format!("tokenizer.ggml.{name}_token_id"));
    let fields = json!({
        "architectures": [class],
        "attention_bias": has_bias(file, "attn_"),
        "bos_token_id": token("bos")?,
        "eos_token_id": stop_tokens(metadata)?,
        "head_dim": head,
        "hidden_size": hidden,
        "intermediate_size": wide?,
        "max_position_embeddings": length,
        "mlp_bias": has_bias(file, "ffn_"),
        "model_type": name,
        "num_attention_heads": heads,
        "num_hidden_layers": layers?,
        "num_key_value_heads":
            metadata.same_integer(&key("attention.head_count_kv"))?.unwrap_or(heads),
        "pad_token_id": token("padding")?,
        "rms_norm_eps": metadata.number(&epsilon)?.ok_or_else(|| missing(&epsilon))?,
        "rope_scaling": rope_scaling(file, name, theta, head)?,
        "rope_theta": theta,
        "tie_word_embeddings": !file.tensors.contains_key("output.weight"),
        "vocab_size": embedding.shape[0],
    });
    Ok(fields)
}

/// Remarks on keys that are not known.
pub(super) fn unknown_keys(file: &GgufFile) -> Vec<String> {
    let Ok((name, _)) = architecture(file) else { return Vec::new() };
    let keys = file.metadata.entries().filter_map(|(key, value)| {
        let field = key.strip_prefix(name)?.strip_prefix('.')?;
        let is_known =
            READ.contains(&field) || CHANGING.iter().any(|(changing, _)| *changing == field);
        (!is_known).then(|| format!("`{key}` = {}", value.shown()))
    });
    let keys: Vec<String> = keys.collect();
    if keys.is_empty() {
        return Vec::new();
    }
    vec![format!("unknown metadata of the GGUF file are ignored: {}", keys.join(", "))]
}

/// Checks the keys that would change results.
fn check_neutral(metadata: &GgufMetadata, name: &str) -> Result<(), String> {
    for (key, value) in metadata.entries() {
        let Some(field) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        let Some((_, neutral)) = CHANGING.iter().find(|(known, _)| *known == field) else {
            continue;
        };
        let found = match value {
            GgufValue::Integer(value) => *value as f64,
            GgufValue::Number(value) => *value,
            GgufValue::Flag(value) => f64::from(u8::from(*value)),
            GgufValue::Text(_) | GgufValue::List(_) => f64::NAN,
        };
        if found != *neutral {
            return Err(format!("`{key}` is {}, which is not supported", value.shown()));
        }
    }
    Ok(())
}

/// The width of a head, which all of a head's parts must have.
fn head_width(
    metadata: &GgufMetadata,
    name: &str,
    [hidden, heads]: [u64; 2],
) -> Result<u64, String> {
    let [key, value, rotated] =
        ["attention.key_length", "attention.value_length", "rope.dimension_count"]
            .map(|field| (format!("{name}.{field}"), field));
    let whole = hidden.checked_div(heads).unwrap_or_default();
    let head = metadata.integer(&key.0)?.unwrap_or(whole);
    for (key, field) in [value, rotated] {
        // Without a width of values or of keys, both are the share of a head in the hidden states.
        let found = metadata.integer(&key)?;
        if let Some(found) = found.filter(|found| *found != head) {
            let rule = match field {
                "rope.dimension_count" => "rotary embeddings cover the whole head",
                _ => "values are as wide as keys",
            };
            return Err(format!(
                "`{key}` is {found}, but a head has {head} dimensions, which is not supported: \
                {rule}"
            ));
        }
    }
    Ok(head)
}

/// A window that is shorter than the longest text would change results; llama.cpp has none for
/// these architectures either.
fn check_window(metadata: &GgufMetadata, name: &str, length: u64) -> Result<(), String> {
    let key = format!("{name}.attention.sliding_window");
    match metadata.same_integer(&key)? {
        Some(window) if window > 0 && window < length => Err(format!(
            "`{key}` is {window}, which is not supported: attention reaches back to the first \
            token"
        )),
        _ => Ok(()),
    }
}

/// Whether a layer of a block, whose name begins so, has a bias.
fn has_bias(file: &GgufFile, layer: &str) -> bool {
    file.tensors.keys().any(|name| {
        let within = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        within.is_some_and(|(_, name)| name.starts_with(layer) && name.ends_with(".bias"))
    })
}
