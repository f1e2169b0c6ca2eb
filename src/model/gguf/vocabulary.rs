//! The vocabulary of a GGUF file: tokens with their types, and special tokens by name.

use std::collections::BTreeMap;

use super::{
    metadata::{GgufMetadata, missing},
    reader::GgufFile,
};

/// Type of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    Normal,
    /// Stands for text that has no token.
    Unknown,
    /// Special: never part of a text.
    Control,
    /// Read as one token wherever a text has it.
    UserDefined,
    /// Fills a place of the vocabulary.
    Unused,
    /// One byte, `<0x0A>`.
    Byte,
}

/// All tokens of a file.
pub(super) struct GgufVocabulary<'a> {
    pub(super) tokens: &'a [&'a str],
    pub(super) types: Vec<TokenType>,
    /// Tokens by text.
    pub(super) ids: BTreeMap<&'a str, u32>,
}

impl<'a> GgufVocabulary<'a> {
    /// Reads tokens and types.
    ///
    /// # Errors
    /// Names the key that is missing or does not fit the others.
    pub(super) fn read(file: &'a GgufFile<'a>) -> Result<Self, String> {
        let (key, kinds) = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type");
        let tokens = file.metadata.texts(key)?.ok_or_else(|| missing(key))?;
        let rows = file.tensors.get("token_embd.weight").map_or(0, |tensor| tensor.shape[0]);
        if tokens.len() > rows {
            return Err(format!(
                "`{key}` has {} tokens, but the embedding has {rows}",
                tokens.len()
            ));
        }
        let types = match file.metadata.numbers(kinds)? {
            Some(numbers) => numbers.floats().map(token_type).collect(),
            None => vec![TokenType::Normal; tokens.len()],
        };
        if types.len() != tokens.len() {
            return Err(format!(
                "`{kinds}` has {} elements, but `{key}` has {}",
                types.len(),
                tokens.len()
            ));
        }
        let mut ids = BTreeMap::new();
        for (number, token) in tokens.iter().enumerate() {
            if is_filler(token, number, types[number]) {
                continue;
            }
            if let Some(first) = ids.insert(*token, number as u32) {
                return Err(format!("`{key}` has the token `{token}` twice, {first} and {number}"));
            }
        }
        Ok(Self { tokens, types, ids })
    }

    /// Tokens with their ids and types in order, without those that only fill places.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &'a str, TokenType)> {
        let all = self.tokens.iter().zip(&self.types).enumerate();
        all.filter(|(number, (token, kind))| !is_filler(token, *number, **kind))
            .map(|(number, (token, kind))| (number as u32, *token, *kind))
    }

    /// The text and id of a special token, `eos` or `bos`.
    ///
    /// # Errors
    /// If the vocabulary has no such id.
    pub(super) fn special(
        &self,
        metadata: &GgufMetadata,
        name: &str,
    ) -> Result<Option<(u32, &'a str)>, String> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = metadata.integer(&key)? else { return Ok(None) };
        let token = usize::try_from(id).ok().and_then(|place| self.tokens.get(place));
        match token {
            Some(token) => Ok(Some((id as u32, token))),
            None => Err(format!("`{key}` is {id}, but there are {} tokens", self.tokens.len())),
        }
    }
}

/// Conversions fill the vocabulary up to the rows of the embedding; no text has such a token.
fn is_filler(token: &str, number: usize, kind: TokenType) -> bool {
    kind == TokenType::Unused && token == format!("[PAD{number}]")
}

fn token_type(number: f64) -> TokenType {
    match number {
        2.0 => TokenType::Unknown,
        3.0 => TokenType::Control,
        4.0 => TokenType::UserDefined,
        5.0 => TokenType::Unused,
        6.0 => TokenType::Byte,
        _ => TokenType::Normal,
    }
}
