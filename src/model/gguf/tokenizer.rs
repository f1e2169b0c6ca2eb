//! The tokenizer.json of a GGUF file: byte-level BPE, or SentencePiece's BPE with byte fallback.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::{Map, Value, json};

use super::{
    metadata::{GgufMetadata, missing},
    pre_tokenizers::PreTokenizer,
    reader::GgufFile,
    vocabulary::{GgufVocabulary, TokenType},
};

/// SentencePiece's letter for a space.
const SPACE: &str = "▁";

/// Parts of tokenizer.json in which tokenizers differ.
struct TokenizerParts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
    /// Whether texts begin with BOS, where the metadata do not say.
    adds_bos: bool,
}

/// tokenizer.json and tokenizer_config.json.
///
/// # Errors
/// Names the key that is missing or wrong, or the tokenizer or pre-tokenizer that is not supported.
pub(super) fn tokenizer(file: &GgufFile) -> Result<[Value; 2], String> {
    let metadata = &file.metadata;
    let key = "tokenizer.ggml.model";
    let kind = metadata.text(key)?.ok_or_else(|| missing(key))?;
    let vocabulary = GgufVocabulary::read(file)?;
    let parts = match kind {
        "gpt2" => byte_level_parts(metadata, &vocabulary)?,
        "llama" => sentence_piece_parts(metadata, &vocabulary)?,
        _ => {
            return Err(format!(
                "the tokenizer `{kind}` is not supported; supported are `gpt2` (byte-level BPE) \
                and `llama` (SentencePiece)"
            ));
        }
    };
    let around = Around::read(metadata, &vocabulary, parts.adds_bos)?;
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(&vocabulary),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": around.post_processor(),
        "decoder": parts.decoder,
        "model": parts.model,
    });
    Ok([tokenizer, config(metadata, &vocabulary, &around)?])
}

/// The fields of tokenizer_config.json.
fn config(
    metadata: &GgufMetadata,
    vocabulary: &GgufVocabulary,
    around: &Around,
) -> Result<Value, String> {
    let mut fields = json!({
        "add_bos_token": around.bos.is_some(),
        "add_eos_token": around.eos.is_some(),
        "clean_up_tokenization_spaces": false,
        // Other classes of transformers 5 build the tokenizer in their own way.
        "tokenizer_class": "PreTrainedTokenizerFast",
    });
    let names = [("bos", "bos"), ("eos", "eos"), ("padding", "pad"), ("unknown", "unk")];
    for (theirs, ours) in names {
        if let Some((_, token)) = vocabulary.special(metadata, theirs)? {
            fields[format!("{ours}_token")] = json!(token);
        }
    }
    Ok(fields)
}

/// Tokens that are read as one wherever they stand.
fn added_tokens(vocabulary: &GgufVocabulary) -> Vec<Value> {
    let added = vocabulary.entries().filter(|(_, _, kind)| {
        matches!(kind, TokenType::Control | TokenType::UserDefined | TokenType::Unknown)
    });
    added
        .map(|(id, token, kind)| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": kind != TokenType::UserDefined,
            })
        })
        .collect()
}

/// Tokens before and after every text.
struct Around<'a> {
    bos: Option<(u32, &'a str)>,
    eos: Option<(u32, &'a str)>,
}

impl<'a> Around<'a> {
    fn read(
        metadata: &GgufMetadata,
        vocabulary: &GgufVocabulary<'a>,
        adds_bos: bool,
    ) -> Result<Self, String> {
        let mut both = [None; 2];
        for ((name, default), found) in [("bos", adds_bos), ("eos", false)].iter().zip(&mut both) {
            let key = format!("tokenizer.ggml.add_{name}_token");
            let said = metadata.flag(&key)?;
            if said.unwrap_or(*default) {
                *found = vocabulary.special(metadata, name)?;
            }
            if said == Some(true) && found.is_none() {
                return Err(format!(
                    "`{key}` is true, but the key `tokenizer.ggml.{name}_token_id` is missing"
                ));
            }
        }
        let [bos, eos] = both;
        Ok(Self { bos, eos })
    }

    /// Null without such tokens.
    fn post_processor(&self) -> Value {
        if self.bos.is_none() && self.eos.is_none() {
            return Value::Null;
        }
        let mut tokens = Map::new();
        for (id, token) in self.bos.iter().chain(&self.eos) {
            let entry = json!({"id": token, "ids": [id], "tokens": [token]});
            tokens.insert((*token).to_owned(), entry);
        }
        let pair: Vec<Value> = self.template("A", 0).chain(self.template("B", 1)).collect();
        json!({
            "type": "TemplateProcessing",
            "single": self.template("A", 0).collect::<Vec<_>>(),
            "pair": pair,
            "special_tokens": tokens,
        })
    }

    /// A text between its tokens.
    fn template(&self, text: &str, number: u32) -> impl Iterator<Item = Value> {
        let special = move |(_, token): &(u32, &str)| {
            let part = json!({"id": token, "type_id": number});
            json!({"SpecialToken": part})
        };
        let text = json!({"Sequence": {"id": text, "type_id": number}});
        let before = self.bos.iter().map(special);
        before.chain(std::iter::once(text)).chain(self.eos.iter().map(special))
    }
}

/// Tokens by text; all of them, so that added tokens keep their ids.
fn vocabulary_json(vocabulary: &GgufVocabulary) -> Value {
    let tokens = vocabulary.entries().map(|(id, token, _)| (token.to_owned(), json!(id)));
    Value::Object(tokens.collect())
}

fn byte_level_parts(
    metadata: &GgufMetadata,
    vocabulary: &GgufVocabulary,
) -> Result<TokenizerParts, String> {
    let pre = PreTokenizer::named(metadata.text("tokenizer.ggml.pre")?)?;
    let key = "tokenizer.ggml.merges";
    let merges = metadata.texts(key)?.ok_or_else(|| missing(key))?;
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        // The first letter can be a space in itself, in vocabularies that are not byte-level.
        let at = merge.char_indices().skip(1).find(|(_, letter)| *letter == ' ');
        let pair = at.map(|(at, _)| (&merge[..at], &merge[at + 1..]));
        let is_known = pair.is_some_and(|(left, right)| {
            let both = format!("{left}{right}");
            [left, right, &both].iter().all(|token| vocabulary.ids.contains_key(token))
        });
        let Some((left, right)) = pair.filter(|_| is_known) else {
            return Err(format!(
                "`{key}` has `{merge}`, but its parts and the whole are not all tokens"
            ));
        };
        pairs.push(json!([left, right]));
    }
    Ok(TokenizerParts {
        normalizer: if pre.is_composed { json!({"type": "NFC"}) } else { Value::Null },
        pre_tokenizer: pre.to_json(),
        // The setting has no effect; transformers writes it so.
        decoder: json!({
            "type": "ByteLevel",
            "add_prefix_space": true,
            "trim_offsets": true,
            "use_regex": true,
        }),
        model: bpe(vocabulary, pairs, json!({"ignore_merges": pre.ignore_merges})),
        adds_bos: pre.adds_bos,
    })
}

/// The model of tokenizer.json, with the settings that differ.
fn bpe(vocabulary: &GgufVocabulary, merges: Vec<Value>, settings: Value) -> Value {
    let mut model = json!({
        "type": "BPE",
        "dropout": null,
        "unk_token": null,
        "continuing_subword_prefix": null,
        "end_of_word_suffix": null,
        "fuse_unk": false,
        "byte_fallback": false,
        "ignore_merges": false,
        "vocab": vocabulary_json(vocabulary),
        "merges": merges,
    });
    for (field, value) in settings.as_object().into_iter().flatten() {
        model[field] = value.to_owned();
    }
    model
}

/// As transformers has Llama 2's: spaces become letters, one is put before each text.
fn sentence_piece_parts(
    metadata: &GgufMetadata,
    vocabulary: &GgufVocabulary,
) -> Result<TokenizerParts, String> {
    let has_prefix = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let mut normalizers = vec![json!({"type": "Prepend", "prepend": SPACE})];
    normalizers.truncate(usize::from(has_prefix));
    normalizers.push(replace);
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if has_prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let unknown = vocabulary.entries().find(|(_, _, kind)| *kind == TokenType::Unknown);
    let has_bytes =
        (0..=255u8).all(|byte| vocabulary.ids.contains_key(format!("<0x{byte:02X}>").as_str()));
    let settings = json!({
        "unk_token": unknown.map(|(_, token, _)| token),
        "fuse_unk": true,
        "byte_fallback": has_bytes,
    });
    Ok(TokenizerParts {
        normalizer: json!({"type": "Sequence", "normalizers": normalizers}),
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        model: bpe(vocabulary, merges_of_scores(metadata, vocabulary)?, settings),
        adds_bos: true,
    })
}

/// The merges that give the pieces in the order of their scores: for each piece every pair of
/// pieces that makes it. Equal scores in transformers' order, longer left parts first.
fn merges_of_scores(
    metadata: &GgufMetadata,
    vocabulary: &GgufVocabulary,
) -> Result<Vec<Value>, String> {
    let key = "tokenizer.ggml.scores";
    let scores = metadata.numbers(key)?.ok_or_else(|| missing(key))?;
    let scores: Vec<f64> = scores.floats().collect();
    if scores.len() != vocabulary.tokens.len() {
        return Err(format!(
            "`{key}` has {} elements, but there are {} tokens",
            scores.len(),
            vocabulary.tokens.len()
        ));
    }
    let normal = vocabulary.entries().filter(|(_, _, kind)| *kind == TokenType::Normal);
    let pieces: BTreeMap<&str, u32> = normal.map(|(id, token, _)| (token, id)).collect();
    let mut merges = Vec::new();
    for (id, piece) in vocabulary.tokens.iter().enumerate() {
        if pieces.get(piece) != Some(&(id as u32)) {
            continue;
        }
        let first = merges.len();
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(one), Some(other)) = (pieces.get(left), pieces.get(right)) {
                merges.push((scores[id], [left, right], [*one, *other]));
            }
        }
        merges[first..].sort_by_key(|(_, _, ids)| *ids);
    }
    merges.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
    // Stable within equal scores.
    for equal in merges.chunk_by_mut(|one, other| one.0 == other.0) {
        equal.sort_by_key(|(_, parts, _)| Reverse(parts.map(|part| part.chars().count())));
    }
    Ok(merges.into_iter().map(|(_, parts, _)| json!(parts)).collect())
}
