//! Text to tokens and back: byte-level BPE (Radford et al. 2019) in the Hugging Face format.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokenizers::{
    AddedToken, TokenizerBuilder,
    decoders::byte_level::ByteLevel,
    models::bpe::{BPE, BpeTrainerBuilder},
    normalizers::NormalizerWrapper,
    processors::template::TemplateProcessing,
};

use crate::model::files;

/// The token that begins a text, in tokenizers that we train.
pub const BEGIN_TOKEN: &str = "<s>";
/// The token that ends a text, in tokenizers that we train.
pub const END_TOKEN: &str = "</s>";
/// The token that fills up rows of a batch, in tokenizers that we train.
pub const PADDING_TOKEN: &str = "<pad>";

/// A tokenizer of the Hugging Face format.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// What its post-processor puts before every text: usually the one token that begins it.
    prefix: Vec<u32>,
}

/// Why a tokenizer could not be made, read, written or applied.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file could not be read or written, or is damaged.
    #[error("{path}: {problem}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Training or applying it failed.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
    /// There are fewer tokens than bytes.
    #[error("a vocabulary of {0} tokens is too small: 256 bytes and 3 special tokens need at least 259")]
    VocabularyTooSmall(usize),
}

impl Tokenizer {
    /// Trains byte-level BPE with up to `vocab_size` tokens, the first three of them `<s>`, `</s>` and `<pad>`. Equal texts
    /// in any order give the same tokenizer: pairs of equal count are merged in the order of their tokens' numbers.
    ///
    /// # Errors
    /// Where the vocabulary has no room for all bytes.
    pub fn train<'a>(texts: impl Iterator<Item = &'a str> + Send, vocab_size: usize) -> Result<Self, TokenizerError> {
        if vocab_size < 259 {
            return Err(TokenizerError::VocabularyTooSmall(vocab_size));
        }
        let specials = [BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN].map(|token| AddedToken::from(token, true));
        let template = TemplateProcessing::builder()
            .try_single(format!("{BEGIN_TOKEN} $A"))
            .and_then(|template| template.try_pair(format!("{BEGIN_TOKEN} $A {BEGIN_TOKEN} $B")))
            .map_err(TokenizerError::Failed)?
            .special_tokens(vec![(BEGIN_TOKEN, 0)])
            .build()
            .map_err(|error| TokenizerError::Failed(error.to_string()))?;
        let byte_level = ByteLevel::default().add_prefix_space(false);
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None::<NormalizerWrapper>)
            .with_pre_tokenizer(Some(byte_level))
            .with_post_processor(Some(template))
            .with_decoder(Some(byte_level))
            .build()
            .map_err(failed)?;
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocab_size)
            .special_tokens(specials.to_vec())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        tokenizer.train(&mut trainer, texts).map_err(failed)?;
        Self::new(tokenizer.into())
    }

    /// Reads a model directory's `tokenizer.json`.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn load(directory: &Path) -> Result<Self, TokenizerError> {
        let path = directory.join("tokenizer.json");
        let bytes = files::read(&path)
            .map_err(|error| TokenizerError::File { path: path.clone(), problem: error.to_string() })?;
        let wrong = |problem: String| TokenizerError::File { path: path.clone(), problem };
        // The library takes for granted that what it reads is JSON.
        serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| wrong(format!("it is not JSON: {error}")))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(format!("it is not a tokenizer: {error}")))?;
        // Files may carry the settings of whoever wrote them last; a text is never cut nor filled up here.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        Self::new(inner)
    }

    fn new(inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let prefix = inner.encode("", true).map_err(failed)?.get_ids().to_vec();
        Ok(Self { inner, prefix })
    }

    /// Writes `tokenizer.json` and the `tokenizer_config.json` by which transformers finds its special tokens; for
    /// tokenizers that we trained.
    ///
    /// # Errors
    /// Names the file that the file system refused.
    pub fn save(&self, directory: &Path) -> Result<(), TokenizerError> {
        let path = directory.join("tokenizer.json");
        let text = self.inner.to_string(true).map_err(failed)?;
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text).map_err(|error| TokenizerError::File { path, problem: error.to_string() })
        };
        write(path, text + "\n")?;
        let config = json!({
            "bos_token": BEGIN_TOKEN,
            "clean_up_tokenization_spaces": false,
            "eos_token": END_TOKEN,
            "pad_token": PADDING_TOKEN,
            "tokenizer_class": "PreTrainedTokenizerFast",
        });
        write(directory.join("tokenizer_config.json"), format!("{config:#}\n"))
    }

    /// The tokens of a prompt, with those that the post-processor adds, but never with a second beginning where the text
    /// brings its own.
    ///
    /// # Errors
    /// Where the tokenizer has no token for the text.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let tokens = self.inner.encode(text, true).map_err(failed)?.get_ids().to_vec();
        let doubled = !self.prefix.is_empty()
            && tokens.strip_prefix(self.prefix.as_slice()).is_some_and(|rest| rest.starts_with(&self.prefix));
        Ok(if doubled { tokens[self.prefix.len()..].to_vec() } else { tokens })
    }

    /// The tokens of a text that follows a prompt: nothing is added.
    ///
    /// # Errors
    /// Where the tokenizer has no token for the text.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// Where each token of a text stands in its characters; nothing is added, or what the tokenizer adds to a start.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub(super) fn places(&self, text: &str, is_start: bool) -> Result<Vec<(usize, usize)>, TokenizerError> {
        Ok(self.inner.encode_char_offsets(text, is_start).map_err(failed)?.get_offsets().to_vec())
    }

    /// The text of tokens, without special ones.
    ///
    /// # Errors
    /// Where the decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, true).map_err(failed)
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// Where the decoder fails.
    pub fn decode_with_special(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, false).map_err(failed)
    }

    /// The number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The number of a token, e.g. of [`END_TOKEN`].
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }
}

fn failed(error: tokenizers::Error) -> TokenizerError {
    TokenizerError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = [
        "Marie Curie was born in Warsaw in 1867. She worked on radioactivity.",
        "The capital of France is Paris; that of Peru is Lima. naïve café, 你好 & 42%!",
        "Helium is a chemical element with symbol He and atomic number 2.",
        "Tell me a bio of Ada Lovelace. Ada Lovelace was born in London in 1815.",
    ];

    #[test]
    fn training_does_not_depend_on_order_or_threads() {
        let first = Tokenizer::train(TEXTS.into_iter(), 400).unwrap();
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| Tokenizer::train(TEXTS.into_iter().rev(), 400)).unwrap();
            assert_eq!(first.inner.to_string(true).unwrap(), again.inner.to_string(true).unwrap());
        }
        assert_eq!(first.vocab_size(), 400);
        assert_eq!(
            [BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN].map(|token| first.token(token)),
            [Some(0), Some(1), Some(2)]
        );
    }

    #[test]
    fn any_text_survives_and_begins_once() {
        let tokenizer = Tokenizer::train(TEXTS.into_iter(), 300).unwrap();
        for text in TEXTS.into_iter().chain(["", " two  spaces ", "\u{1F600}\n\ttab", "Ωmega"]) {
            let tokens = tokenizer.encode_prompt(text).unwrap();
            assert_eq!((tokens[0], tokenizer.decode(&tokens).unwrap().as_str()), (0, text));
            assert_eq!(tokens[1..], tokenizer.encode_continuation(text).unwrap());
            assert_eq!(tokens, tokenizer.encode_prompt(&format!("<s>{text}")).unwrap());
        }
    }

    #[test]
    fn a_written_tokenizer_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::train(TEXTS.into_iter(), 300).unwrap();
        tokenizer.save(directory.path()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        crate::model::copy_companions(directory.path(), copy.path()).unwrap();
        let read = Tokenizer::load(copy.path()).unwrap();
        assert_eq!(read.encode_prompt(TEXTS[1]).unwrap(), tokenizer.encode_prompt(TEXTS[1]).unwrap());
        fs::write(copy.path().join("tokenizer.json"), "{}").unwrap();
        assert!(
            Tokenizer::load(copy.path()).err().unwrap().to_string().contains("tokenizer.json: it is not a tokenizer")
        );
        assert!(matches!(Tokenizer::train(TEXTS.into_iter(), 100), Err(TokenizerError::VocabularyTooSmall(100))));
    }
}
