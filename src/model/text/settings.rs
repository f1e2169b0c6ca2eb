//! The `tokenizer_config.json` beside a tokenizer: which token ends an answer, what stands around texts, and which of its
//! settings would change a text's tokens and are not supported.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use super::{
    EncodeError, Tokenizer, TokenizerError,
    chat::{read_object, special_tokens},
};

const FILE: &str = "tokenizer_config.json";

/// Settings that would change which tokens a text has, and what is supported.
const UNSUPPORTED: [(&str, &str); 5] = [
    ("do_lower_case", "a text keeps its letters, unless a normalizer of tokenizer.json changes them"),
    ("fix_mistral_regex", "texts are split as tokenizer.json says"),
    ("remove_space", "a text keeps its spaces"),
    ("split_special_tokens", "a special token that stands in a text is read as what it is"),
    ("strip_accents", "a text keeps its accents, unless a normalizer of tokenizer.json changes them"),
];

/// Classes of transformers 5 that make their own tokenizer of the vocabulary, whatever else tokenizer.json says, with what
/// they split and change texts by.
const OF_THEIR_OWN: [(&str, OwnForm); 4] = [
    ("LlamaTokenizer", OwnForm::Metaspace),
    ("LlamaTokenizerFast", OwnForm::Metaspace),
    ("Qwen2Tokenizer", OwnForm::Composed),
    ("Qwen2TokenizerFast", OwnForm::Composed),
];

/// How a class of transformers 5 writes texts before it splits them.
#[derive(Clone, Copy)]
enum OwnForm {
    /// No normalizer; a space becomes `▁`, one more stands before the text.
    Metaspace,
    /// Normal form C, then byte-level.
    Composed,
}

/// What `tokenizer_config.json` says beside the chat template.
pub(super) struct Settings {
    /// The token that ends an answer.
    pub(super) end: Option<u32>,
    /// What a person should know of the tokenizer.
    pub(super) remarks: Vec<String>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// Names the file that is damaged, the setting that is not supported, or the token that is another one in
    /// `tokenizer.json`.
    pub(super) fn read(directory: &Path, tokenizer: &Tokenizer) -> Result<Self, EncodeError> {
        let fields = read_object(&directory.join(FILE))?.unwrap_or_default();
        let tokens = special_tokens(directory, &fields)?;
        let wrong = |problem: String| TokenizerError::File { path: directory.join(FILE), problem };
        for (field, supported) in UNSUPPORTED {
            if let Some(found) = fields.get(field).filter(|value| **value == Value::Bool(true)) {
                let problem = format!("the field `{field}` is {found}, which is not supported: {supported}");
                return Err(wrong(problem).into());
            }
        }
        check_added(&fields, tokenizer).map_err(wrong)?;
        // It may come from either file.
        let is_here =
            |text: &String| fields.get("eos_token").is_some_and(|token| token.to_string().contains(text.as_str()));
        let file = if tokens.get("eos_token").is_some_and(is_here) { FILE } else { "special_tokens_map.json" };
        let end = named(&tokens, "eos_token", tokenizer)
            .map_err(|problem| TokenizerError::File { path: directory.join(file), problem })?;
        Ok(Self { end, remarks: remarks(&fields, directory, tokenizer) })
    }
}

/// A special token's number.
fn named(tokens: &BTreeMap<String, String>, name: &str, tokenizer: &Tokenizer) -> Result<Option<u32>, String> {
    let Some(text) = tokens.get(name) else { return Ok(None) };
    let missing = || format!("`{name}` is `{text}`, but tokenizer.json has no such token");
    tokenizer.token(text).map(Some).ok_or_else(missing)
}

/// The tokens of `added_tokens_decoder` are those of tokenizer.json.
fn check_added(fields: &Map<String, Value>, tokenizer: &Tokenizer) -> Result<(), String> {
    let added = fields.get("added_tokens_decoder").and_then(Value::as_object);
    for (number, token) in added.into_iter().flatten() {
        let text = token.get("content").and_then(Value::as_str).unwrap_or_default();
        let found = tokenizer.token(text);
        if found.map(|found| found.to_string()).as_ref() != Some(number) {
            let found = found.map_or_else(|| "has no such token".to_owned(), |found| format!("gives it {found}"));
            return Err(format!(
                "`added_tokens_decoder` gives `{text}` the number {number}, but tokenizer.json {found}"
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
            "the tokenizer puts `{end}` behind every text: prompts are read without it, since an answer follows, and \
             answers end once"
        ));
    }
    // As in transformers 5, where there is a tokenizer.json; earlier versions did what the config says.
    for (field, added) in [("add_bos_token", &tokenizer.prefix), ("add_eos_token", &tokenizer.suffix)] {
        let said = fields.get(field).and_then(Value::as_bool);
        if let Some(said) = said.filter(|said| *said == added.is_empty()) {
            let does = if said { "does not" } else { "does" };
            remarks.push(format!(
                "tokenizer_config.json says that `{field}` is {said}, but tokenizer.json {does} put one around texts: \
                 tokenizer.json holds, as in transformers 5"
            ));
        }
    }
    let cleans = fields.get("clean_up_tokenization_spaces") == Some(&Value::Bool(true));
    if cleans && !tokenizer.is_byte_pair() {
        let text = "tokenizer_config.json says `clean_up_tokenization_spaces`: transformers would take spaces out of \
                    answers; here they stay";
        remarks.push(text.to_owned());
    }
    let class = fields.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    if let Some((_, form)) = OF_THEIR_OWN.iter().find(|(name, _)| *name == class)
        && !form.is_that_of(directory)
    {
        remarks.push(format!(
            "tokenizer_config.json names the class `{class}`, for which transformers 5 splits texts otherwise than \
             tokenizer.json says; here tokenizer.json holds"
        ));
    }
    remarks
}

impl OwnForm {
    /// Whether a directory's tokenizer.json has this form itself.
    fn is_that_of(self, directory: &Path) -> bool {
        let Ok(Some(file)) = read_object(&directory.join("tokenizer.json")) else { return true };
        let kind = |part: &str| file.get(part).and_then(|part| part.get("type")).and_then(Value::as_str);
        match self {
            Self::Metaspace => kind("normalizer").is_none() && kind("pre_tokenizer") == Some("Metaspace"),
            Self::Composed => kind("normalizer") == Some("NFC") && kind("pre_tokenizer") == Some("Sequence"),
        }
    }
}
