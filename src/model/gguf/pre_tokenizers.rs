//! How texts are split before byte-pair encoding, by the names of llama.cpp.

use serde_json::{Value, json};

/// A way of splitting texts.
pub(super) struct PreTokenizer {
    /// llama.cpp's names for it.
    names: &'static [&'static str],
    split: Split,
    /// Whether a piece that is a token as a whole is not put together from merges.
    pub(super) ignore_merges: bool,
    /// Whether texts begin with BOS where the metadata do not say.
    pub(super) adds_bos: bool,
    /// Whether texts are brought into normal form C.
    pub(super) is_composed: bool,
}

/// The pieces of a text.
enum Split {
    /// GPT-2's.
    Gpt2,
    /// Single digits, then GPT-2's.
    DigitsThenGpt2,
    /// The matches of an expression.
    Expression(&'static str),
}

/// Expressions as the models' own tokenizer.json have them.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN2: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const TEKKEN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

const PRE_TOKENIZERS: [PreTokenizer; 5] = [
    PreTokenizer {
        names: &["gpt-2", "gpt2"],
        split: Split::Gpt2,
        ignore_merges: false,
        adds_bos: false,
        is_composed: false,
    },
    PreTokenizer {
        names: &["smollm"],
        split: Split::DigitsThenGpt2,
        ignore_merges: false,
        adds_bos: false,
        is_composed: false,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        split: Split::Expression(LLAMA3),
        ignore_merges: true,
        adds_bos: true,
        is_composed: false,
    },
    PreTokenizer {
        names: &["tekken"],
        split: Split::Expression(TEKKEN),
        ignore_merges: true,
        adds_bos: true,
        is_composed: false,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen"],
        split: Split::Expression(QWEN2),
        ignore_merges: false,
        adds_bos: false,
        is_composed: true,
    },
];

impl PreTokenizer {
    /// The way of this name, `tokenizer.ggml.pre`.
    ///
    /// # Errors
    /// Names another one, and those that are supported.
    pub(super) fn named(name: Option<&str>) -> Result<&'static Self, String> {
        let known = PRE_TOKENIZERS.iter().flat_map(|known| known.names);
        let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
        let known = known.join(", ");
        // Guessed, texts would be split in ways that the model has never seen, without a sign of
        // it.
        let Some(name) = name else {
            return Err(format!(
                "the metadata key `tokenizer.ggml.pre` is missing: files of before May 2024 do not \
                say how texts are split; convert the model again (supported are {known})"
            ));
        };
        let found = PRE_TOKENIZERS.iter().find(|known| known.names.contains(&name));
        found.ok_or_else(|| {
            format!("the pre-tokenizer `{name}` is not supported; supported are {known}")
        })
    }

    /// The `pre_tokenizer` of tokenizer.json.
    pub(super) fn to_json(&self) -> Value {
        let first = match self.split {
            Split::Gpt2 => return byte_level(true),
            Split::DigitsThenGpt2 => json!({"type": "Digits", "individual_digits": true}),
            Split::Expression(expression) => json!({
                "type": "Split",
                "pattern": {"Regex": expression},
                "behavior": "Isolated",
                "invert": false,
            }),
        };
        let is_split = matches!(self.split, Split::Expression(_));
        json!({"type": "Sequence", "pretokenizers": [first, byte_level(!is_split)]})
    }
}

/// Bytes as the letters of byte-level vocabularies, after a split by GPT-2's expression or not.
fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}
