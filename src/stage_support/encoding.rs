//! Parameters of tokenization.

use serde::Deserialize;

use crate::tuning::Truncation;

/// Other names of number formats.
pub const OTHER_DTYPES: [(&str, &str); 4] = [
    ("bf16", "write `dtype = \"bfloat16\"`"),
    ("fp16", "write `dtype = \"float16\"`"),
    ("fp32", "write `dtype = \"float32\"`"),
    ("half", "write `dtype = \"float16\"`"),
];

/// Former names of `logits_bytes`, which counted tokens.
pub const LOGITS_BY_TOKENS: [(&str, &str); 2] =
    [("logits_chunk_size", IN_BYTES), ("logits_at_once", IN_BYTES)];
const IN_BYTES: &str = "write `logits_bytes`: 4 bytes for each token and entry of the vocabulary";

/// Tokenization of rows.
#[derive(Debug, PartialEq, Deserialize, apeft_derive::Parameters)]
pub struct EncodingParameters {
    /// Longest prompt with completion in tokens; longer ones are truncated by `truncation_mode`.
    #[parameter(
        default = 1024, min = 1, max = 1 << 20, aliases = ["max_completion_length"],
        foreign = [("max_prompt_length", "write `max_length`, of prompt and completion together")]
    )]
    pub max_length: usize,
    /// Truncation: the prompt's beginning, then ends of completions; or their ends only
    /// (keep_start).
    #[parameter(default = "prompt", former = "truncation", foreign_values = [
        ("keep_end", "`keep_end` has no equivalent; the nearest is `truncation_mode = \"prompt\"`"),
    ])]
    pub truncation_mode: Truncation,
    /// Number format of states and frozen weights; trained weights are float32. `reference` needs
    /// the same.
    #[parameter(
        default = "float32", words = &["float32", "bfloat16"],
        former = "precision", aliases = ["torch_dtype"],
        foreign = [
            ("bf16", "write `dtype = \"bfloat16\"`"),
            ("fp16", "write `dtype = \"bfloat16\"`: training in float16 is not offered"),
            ("tf32", "remove it: products are in the `dtype`"),
        ],
        foreign_values = [
            ("bf16", "write `dtype = \"bfloat16\"`"),
            ("fp32", "write `dtype = \"float32\"`"),
            ("fp16", "write `dtype = \"bfloat16\"`: training in float16 is not offered"),
            ("float16", "write `dtype = \"bfloat16\"`: training in float16 is not offered"),
            ("auto", "write `dtype = \"bfloat16\"` or `dtype = \"float32\"`"),
        ]
    )]
    pub dtype: String,
}
