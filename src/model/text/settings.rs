//! The `tokenizer_config.json` beside a tokenizer: EOS, tokens around texts, and settings that
//! would change tokens and are not supported.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use super::{
    EncodeError, Tokenizer, TokenizerError,
    chat::{read_object, special_tokens},
};

const FILE: &str = "tokenizer_config.json";

/// Settings that would change tokens, and what is supported instead.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("do_lower_case", "only a normalizer in tokenizer.json changes case"),
    ("fix_mistral_regex", "tokenizer.json decides how texts are split"),
    ("remove_space", "spaces are kept"),
    ("split_special_tokens", "a special token in a text is always read as one token"),
    ("strip_accents", "only a normalizer in tokenizer.json removes accents"),
];

/// Classes of transformers 5 that build their own tokenizer from the vocabulary, ignoring the rest
/// of tokenizer.json, with their normalisation and splitting.
const OF_THEIR_OWN: [(&str, OwnForm); 4] = [
    ("LlamaTokenizer", OwnForm::Metaspace),
    ("LlamaTokenizerFast", OwnForm::Metaspace),
    ("Qwen2Tokenizer", OwnForm::Composed),
    ("Qwen2TokenizerFast", OwnForm::Composed),
];

/// Normalisation and splitting of a class of transformers 5.
#[derive(Clone, Copy)]
enum OwnForm {
    /// No normalizer; a space becomes `▁`, with one more before the text.
    Metaspace,
    /// Normal form C, then byte-level.
    Composed,
}

/// Settings of `tokenizer_config.json` besides the chat template.
pub(super) struct TokenizerConfig {
    /// EOS of a completion.
    pub(super) end: Option<u32>,
    /// Remarks for the user on the tokenizer.
    pub(super) remarks: Vec<String>,
}

impl TokenizerConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// Names the file that is damaged, the setting that is not supported, or the token that differs
    /// in `tokenizer.json`.
    pub(super) fn read(directory: &Path, tokenizer: &Tokenizer) -> Result<Self, EncodeError> {
        let fields = read_object(&directory.join(FILE))?.unwrap_or_default();
        let tokens = special_tokens(directory, &fields)?;
        let path = directory.join(FILE);
        for (field, supported) in UNSUPPORTED {
            if let Some(found) = fields.get(field).filter(|value| **value == Value::Bool(true)) {
                let problem =
                    format!("the field `{field}` is {found}, which is not supported: {supported}");
                return Err(TokenizerError::File { path, problem }.into());
            }
        }
        check_added(&fields, tokenizer)
            .map_err(|problem| TokenizerError::File { path, problem })?;
        // Either file may define it.
        let file = match (tokens.get("eos_token"), fields.get("eos_token")) {
            (Some(text), Some(said)) if said.to_string().contains(text) => FILE,
            _ => "special_tokens_map.json",
        };
        let end = named(&tokens, "eos_token", tokenizer)
            .map_err(|problem| TokenizerError::File { path: directory.join(file), problem })?;
        Ok(Self { end, remarks: remarks(&fields, directory, tokenizer) })
    }
}

/// A special token's id.
fn named(
    tokens: &BTreeMap<String, String>,
    name: &str,
    tokenizer: &Tokenizer,
) -> Result<Option<u32>, String> {
    let Some(text) = tokens.get(name) else { return Ok(None) };
    match tokenizer.token(text) {
        Some(token) => Ok(Some(token)),
        None => Err(format!("`{name}` is `{text}`, but tokenizer.json has no such token")),
    }
}

/// Checks that the tokens of `added_tokens_decoder` are those of tokenizer.json.
fn check_added(fields: &Map<String, Value>, tokenizer: &Tokenizer) -> Result<(), String> {
    let added = fields.get("added_tokens_decoder").and_then(Value::as_object);
    for (number, token) in added.into_iter().flatten() {
        let text = token.get("content").and_then(Value::as_str).unwrap_or_default();
        let found = tokenizer.token(text);
        // transformers adds these tokens with these ids, and so would read other tokens than
        // tokenizer.json says.
        if found.map(|found| found.to_string()).as_ref() != Some(number) {
            let found = found.map_or_else(
                || "has no such token".to_owned(),
                |found| format!("gives it {found}"),
            );
            return Err(format!(
                "`added_tokens_decoder` gives `{text}` the id {number}, but tokenizer.json {found}"
            ));
        }
    }
    Ok(())
}

fn remarks(fields: &Map<String, Value>, directory: &Path, tokenizer: &Tokenizer) -> Vec<String> {
    let mut remarks = Vec::new();
    if !tokenizer.suffix.is_empty() {
        let end = tokenizer.decode_with_special(&tokenizer.suffix).unwrap_or_default();
        remarks.push(format!(
            "the tokenizer appends `{end}` to every text: it is removed from prompts, since a \
            completion follows, and completions get it once"
        ));
    }
    // As in transformers 5 with a tokenizer.json; earlier versions followed the config.
    for (field, added) in
        [("add_bos_token", &tokenizer.prefix), ("add_eos_token", &tokenizer.suffix)]
    {
        let said = fields.get(field).and_then(Value::as_bool);
        if let Some(said) = said.filter(|said| *said == added.is_empty()) {
            let does = if said { "does not" } else { "does" };
            remarks.push(format!(
                "tokenizer_config.json has `{field}` = {said}, but tokenizer.json {does} add the \
                token: tokenizer.json takes precedence, as in transformers 5"
            ));
        }
    }
    let cleans = fields.get("clean_up_tokenization_spaces") == Some(&Value::Bool(true));
    if cleans && !tokenizer.is_byte_pair() {
        let text = "tokenizer_config.json has `clean_up_tokenization_spaces`: transformers would \
            remove spaces from completions; apeft keeps them";
        remarks.push(text.to_owned());
    }
    let class = fields.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    if let Some((_, form)) = OF_THEIR_OWN.iter().find(|(name, _)| *name == class)
        && !form.is_that_of(directory)
    {
        remarks.push(format!(
            "tokenizer_config.json names the class `{class}`, for which transformers 5 splits \
            texts differently from tokenizer.json; tokenizer.json takes precedence here"
        ));
    }
    remarks
}

impl OwnForm {
    /// Whether a directory's tokenizer.json already has this form.
    fn is_that_of(self, directory: &Path) -> bool {
        // A file that cannot be read is an error elsewhere.
        let Ok(Some(file)) = read_object(&directory.join("tokenizer.json")) else { return true };
        let [normalizer, pre_tokenizer] = ["normalizer", "pre_tokenizer"]
            .map(|part| file.get(part).and_then(|part| part.get("type")).and_then(Value::as_str));
        match self {
            Self::Metaspace => normalizer.is_none() && pre_tokenizer == Some("Metaspace"),
            Self::Composed => normalizer == Some("NFC") && pre_tokenizer == Some("Sequence"),
        }
    }
}
