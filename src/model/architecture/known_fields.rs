//! Fields of a `config.json` that are not read: those without effect, those that would change
//! results and so must be neutral, and unknown ones.

use serde_json::{Map, Value};

use super::{Architecture, ConfigError};

/// Neutral values of a field that would change results.
enum Neutral {
    /// Null, false, 0, or an empty text, list or table.
    Nothing,
    /// Null or 1: a factor.
    One,
    /// Null, false, 0, empty, or 1: a number of experts.
    AtMostOne,
    /// Null or true.
    True,
    /// Null or one of these values.
    Words(&'static [&'static str]),
    /// Nothing, or a list of ones: no layer differs.
    Ones,
}

/// Fields that change results in any family with Llama's blocks: the neutral value, and what is
/// supported instead.
const CHANGING: [(&str, Neutral, &str); 65] = [
    ("add_cross_attention", Neutral::Nothing, "models have no encoder"),
    ("add_qkv_bias", Neutral::Nothing, "`attention_bias` decides about biases"),
    ("alibi", Neutral::Nothing, "positions are rotary"),
    (
        "attention_chunk_size",
        Neutral::Nothing,
        "attention reaches back to the first token, or over `sliding_window`",
    ),
    ("attention_in_bias", Neutral::Nothing, "`attention_bias` decides about biases"),
    (
        "attention_multiplier",
        Neutral::Nothing,
        "attention scores are divided by the square root of `head_dim`",
    ),
    ("attention_out_bias", Neutral::Nothing, "`attention_bias` decides about biases"),
    ("attn_bias", Neutral::Nothing, "`attention_bias` decides about biases"),
    ("attn_logit_softcapping", Neutral::Nothing, "scores are not capped"),
    ("clip_qkv", Neutral::Nothing, "queries, keys and values are not clipped"),
    ("compression_config", Neutral::Nothing, "weights are float32, float16 or bfloat16"),
    ("dim_model_base", Neutral::Nothing, "the output layer is not scaled"),
    ("dual_chunk_attention_config", Neutral::Nothing, "attention is not cut into chunks"),
    ("embedding_multiplier", Neutral::One, "embeddings are not scaled"),
    ("embedding_scale", Neutral::One, "embeddings are not scaled"),
    ("final_logit_softcapping", Neutral::Nothing, "logits are not capped"),
    ("first_k_dense_replace", Neutral::Nothing, "there are no experts"),
    ("full_attention_interval", Neutral::Nothing, "`layer_types` decides about layers"),
    // Gemma's name of `hidden_act`.
    ("hidden_activation", Neutral::Words(&["silu", "swish"]), "the activation is `silu`"),
    ("interleaved", Neutral::Nothing, "rotary embeddings pair the halves of a head"),
    ("is_causal", Neutral::True, "attention is causal"),
    ("is_encoder_decoder", Neutral::Nothing, "models have no encoder"),
    ("kv_lora_rank", Neutral::Nothing, "keys and values are not compressed"),
    ("layernorm_type", Neutral::Words(&["rmsnorm", "rms_norm"]), "norms are RMSNorm"),
    ("lm_head_bias", Neutral::Nothing, "the output layer has no bias"),
    ("logit_scale", Neutral::One, "logits are not scaled"),
    ("logits_scaling", Neutral::One, "logits are not scaled"),
    ("moe_intermediate_size", Neutral::Nothing, "there are no experts"),
    ("moe_num_experts", Neutral::AtMostOne, "there are no experts"),
    ("mrope_section", Neutral::Nothing, "positions are one-dimensional"),
    (
        "mup_attn_multiplier",
        Neutral::One,
        "attention scores are divided by the square root of `head_dim`",
    ),
    ("mup_embedding_multiplier", Neutral::One, "embeddings are not scaled"),
    ("mup_width_multiplier", Neutral::One, "the output layer is not scaled"),
    ("n_routed_experts", Neutral::AtMostOne, "there are no experts"),
    ("n_shared_experts", Neutral::Nothing, "there are no experts"),
    ("no_rope_layer_interval", Neutral::Nothing, "all layers have rotary positions"),
    ("no_rope_layers", Neutral::Ones, "all layers have rotary positions"),
    ("nope_layers", Neutral::Nothing, "all layers have rotary positions"),
    ("norm_type", Neutral::Words(&["rmsnorm", "rms_norm"]), "norms are RMSNorm"),
    ("normalization_type", Neutral::Words(&["rmsnorm", "rms_norm"]), "norms are RMSNorm"),
    ("num_experts", Neutral::AtMostOne, "there are no experts"),
    ("num_local_experts", Neutral::AtMostOne, "there are no experts"),
    ("parallel_attn", Neutral::Nothing, "attention and feed-forward layer run one after the other"),
    ("partial_rotary_factor", Neutral::One, "rotary embeddings cover the whole head"),
    ("per_layer_config", Neutral::Nothing, "all layers have the same sizes"),
    ("position_embedding_type", Neutral::Words(&["rope", "rotary"]), "positions are rotary"),
    ("post_norm", Neutral::Nothing, "norms come before attention and feed-forward layer"),
    ("pruned_heads", Neutral::Nothing, "heads cannot be pruned"),
    ("q_lora_rank", Neutral::Nothing, "queries are not compressed"),
    ("quantization_config", Neutral::Nothing, "weights are float32, float16 or bfloat16"),
    (
        "query_pre_attn_scalar",
        Neutral::Nothing,
        "attention scores are divided by the square root of `head_dim`",
    ),
    ("residual_multiplier", Neutral::One, "residuals are not scaled"),
    ("rope_interleaved", Neutral::Nothing, "rotary embeddings pair the halves of a head"),
    ("rotary_dim", Neutral::Nothing, "rotary embeddings cover the whole head"),
    ("rotary_pct", Neutral::One, "rotary embeddings cover the whole head"),
    ("sandwich_norm", Neutral::Nothing, "norms come before attention and feed-forward layer"),
    (
        "scale_attention_logits",
        Neutral::One,
        "attention scores are divided by the square root of `head_dim`",
    ),
    ("scale_depth", Neutral::Nothing, "residuals are not scaled"),
    ("scale_emb", Neutral::One, "embeddings are not scaled"),
    ("scale_embedding", Neutral::Nothing, "embeddings are not scaled"),
    ("use_alibi", Neutral::Nothing, "positions are rotary"),
    ("use_bidirectional_attention", Neutral::Nothing, "attention is causal"),
    ("use_mrope", Neutral::Nothing, "positions are one-dimensional"),
    (
        "use_parallel_residual",
        Neutral::Nothing,
        "attention and feed-forward layer run one after the other",
    ),
    ("value_head_dim", Neutral::Nothing, "values have the size of keys, `head_dim`"),
];

/// Fields that only some architectures support; for others they must have the neutral
/// value.
const OF_SOME: [(&str, &[Architecture], &str); 6] = [
    (
        "attention_bias",
        &[Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3],
        "its attention has no biases",
    ),
    ("mlp_bias", &[Architecture::Llama], "its feed-forward layers have no biases"),
    (
        "qkv_bias",
        &[Architecture::Qwen2],
        "the architecture and `attention_bias` decide about biases",
    ),
    ("qk_layernorm", &[Architecture::Qwen3], "its queries and keys have no norms"),
    ("qk_norm", &[Architecture::Qwen3], "its queries and keys have no norms"),
    ("use_qk_norm", &[Architecture::Qwen3], "its queries and keys have no norms"),
];

/// Fields that are read, here or for the configuration.
const READ: [&str; 27] = [
    "architectures",
    "attention_bias",
    "bos_token_id",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "mlp_bias",
    "model_type",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "pad_token_id",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
    "qkv_bias",
];

/// Fields without effect on results: names, versions, formats, settings of training and of other
/// heads, and those of generation, which transformers takes from `generation_config.json`.
const HARMLESS: [&str; 79] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "classifier_dropout_prob",
    "cls_token_id",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "layer_norm_eps",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_new_tokens",
    "max_seq_len",
    "max_sequence_length",
    "min_length",
    "min_p",
    "model_max_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_nextn_predict_layers",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// Dropout rates, which transformers applies in training.
const DROPOUTS: [&str; 6] =
    ["attention_dropout", "attn_pdrop", "dropout", "embd_pdrop", "hidden_dropout", "resid_pdrop"];

impl Neutral {
    fn allows(&self, value: &Value) -> bool {
        match self {
            Self::Nothing => is_nothing(value),
            Self::One => value.is_null() || is_one(value),
            Self::AtMostOne => is_nothing(value) || is_one(value),
            Self::True => value.is_null() || *value == Value::Bool(true),
            Self::Words(words) => {
                value.is_null() || value.as_str().is_some_and(|value| words.contains(&value))
            }
            Self::Ones => {
                is_nothing(value)
                    || value.as_array().is_some_and(|values| values.iter().all(is_one))
            }
        }
    }
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

/// Whether a value is neutral: null, false, 0, or an empty text, list or table.
pub(in crate::model) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Checks that no field needs a feature that no architecture supports.
///
/// # Errors
/// Names the first such field, with its value.
pub(super) fn check(fields: &Map<String, Value>) -> Result<(), ConfigError> {
    for (field, neutral, supported) in CHANGING {
        // Tools write fields of other families with values that change nothing.
        if let Some(value) = fields.get(field).filter(|value| !neutral.allows(value)) {
            return Err(ConfigError::unsupported(field, value, supported));
        }
    }
    Ok(())
}

/// Checks that no field needs a feature of other architectures.
///
/// # Errors
/// Names the first such field, with its value.
pub(super) fn check_of_architecture(
    fields: &Map<String, Value>,
    architecture: Architecture,
) -> Result<(), ConfigError> {
    for (field, has_it, supported) in OF_SOME {
        let asked = fields.get(field).filter(|value| !is_nothing(value));
        if let Some(value) = asked.filter(|_| !has_it.contains(&architecture)) {
            return Err(ConfigError::NotOfArchitecture {
                architecture: architecture.class(),
                field,
                found: value.to_string(),
                supported,
            });
        }
    }
    Ok(())
}

/// Remarks for the user on a `config.json`: unknown fields, dropout that is not applied, code that
/// is not run.
pub(in crate::model) fn remarks(fields: &Map<String, Value>) -> Vec<String> {
    let mut remarks = Vec::new();
    // Such models say `LlamaForCausalLM` too, and may compute something else.
    if fields.contains_key("auto_map") {
        let text = "config.json names code of its own (`auto_map`), which is not run: the model \
        is computed as its \
                    architecture says";
        remarks.push(text.to_owned());
    }
    for field in DROPOUTS {
        if let Some(value) = fields.get(field).filter(|value| !is_nothing(value)) {
            remarks.push(format!(
                "config.json: `{field}` is {value}, but dropout is not applied in training"
            ));
        }
    }
    // A neutral value of an unknown field is what a model without that feature has.
    let said = fields.iter().filter(|(_, value)| !is_nothing(value)).map(|(field, _)| field);
    let unknown: Vec<String> =
        said.filter(|field| !is_known(field)).map(|field| format!("`{field}`")).collect();
    if !unknown.is_empty() {
        let (count, names) = (unknown.len(), unknown.join(", "));
        let fields = if count == 1 { "field" } else { "fields" };
        remarks.push(format!(
            "config.json has {count} {fields} that are unknown and ignored: {names}"
        ));
    }
    remarks
}

fn is_known(field: &str) -> bool {
    [&READ[..], &HARMLESS, &DROPOUTS].iter().any(|fields| fields.contains(&field))
        || CHANGING.iter().any(|(name, ..)| *name == field)
        || OF_SOME.iter().any(|(name, ..)| *name == field)
}
