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
    processors::{PostProcessorWrapper, template::TemplateProcessing},
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
    /// Without its post-processor.
    inner: tokenizers::Tokenizer,
    /// What the file says is put around texts, for when it is written again.
    post_processor: Option<PostProcessorWrapper>,
    /// What stands before every text: usually the one token that begins it.
    pub(super) prefix: Vec<u32>,
    /// What transformers puts behind every text, also behind a prompt that is to be answered: nothing, or the token that
    /// ends it. Here it is put nowhere: an answer gets its own end.
    pub(super) suffix: Vec<u32>,
}

/// A token's characters in a text, `[from, to)`.
pub(super) type Place = [usize; 2];

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
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
        let fields = serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| wrong(format!("it is not JSON: {error}")))?;
        if let Some(share) = fields["model"]["dropout"].as_f64().filter(|share| *share > 0.0) {
            let problem = "a text would have other tokens each time; set it to null";
            return Err(wrong(format!("the field `model.dropout` is {share}, which is not supported: {problem}")));
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(format!("it is not a tokenizer: {error}")))?;
        // Files may carry the settings of whoever wrote them last; a text is never cut nor filled up here.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        Self::new(inner).map_err(|error| wrong(error.to_string()))
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let (prefix, suffix) = around(&inner)?;
        // It would also move places, and everything that it adds is known now.
        let post_processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Self { inner, post_processor, prefix, suffix })
    }

    /// Writes `tokenizer.json` and the `tokenizer_config.json` by which transformers finds its special tokens; for
    /// tokenizers that we trained.
    ///
    /// # Errors
    /// Names the file that the file system refused.
    pub fn save(&self, directory: &Path) -> Result<(), TokenizerError> {
        let path = directory.join("tokenizer.json");
        let mut whole = self.inner.clone();
        whole.with_post_processor(self.post_processor.clone());
        let text = whole.to_string(true).map_err(failed)?;
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

    /// The tokens of a prompt, begun as the tokenizer begins texts, but never with a second beginning where the text brings
    /// its own, and never ended: an answer follows.
    ///
    /// # Errors
    /// Where the tokenizer has no token for the text.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = self.encode_continuation(text)?;
        if !tokens.starts_with(&self.prefix) {
            tokens.splice(0..0, self.prefix.iter().copied());
        }
        Ok(tokens)
    }

    /// The tokens of a text that follows a prompt: nothing is added.
    ///
    /// # Errors
    /// Where the tokenizer has no token for the text.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// Where each token of a text stands in its characters, token by token as [`Tokenizer::encode_prompt`] (for a start) or
    /// [`Tokenizer::encode_continuation`] gives them; nowhere for what was put before.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub(super) fn places(&self, text: &str, is_start: bool) -> Result<Vec<Option<Place>>, TokenizerError> {
        let encoding = self.inner.encode_char_offsets(text, false).map_err(failed)?;
        let added = if is_start && !encoding.get_ids().starts_with(&self.prefix) { self.prefix.len() } else { 0 };
        let places = encoding.get_offsets().iter().map(|(from, to)| Some([*from, *to]));
        Ok(std::iter::repeat_n(None, added).chain(places).collect())
    }

    /// What tokens add to the text of those before them: decoders look at the beginning of a text (SentencePiece's take a
    /// space away there) and at neighbours (bytes that are one character together). So a text with what is added to it has
    /// the tokens that were drawn, wherever these are the ones that the tokenizer would choose.
    ///
    /// # Errors
    /// Where the decoder fails.
    pub fn added(&self, before: &[u32], tokens: &[u32]) -> Result<String, TokenizerError> {
        let known = self.decode(before)?;
        let whole = self.decode(&[before, tokens].concat())?;
        if let Some(added) = whole.strip_prefix(&known) {
            return Ok(added.to_owned());
        }
        // Bytes that are no character together with those before them: they are read behind a letter instead.
        let letter = self.encode_continuation("a")?;
        let (known, whole) = (self.decode(&letter)?, self.decode(&[&letter, tokens].concat())?);
        Ok(whole.strip_prefix(&known).map_or_else(|| whole.clone(), str::to_owned))
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

    /// The first token, by number, that a model with so many tokens does not have.
    pub(super) fn beyond(&self, vocabulary: usize) -> Option<(String, u32)> {
        let tokens = self.inner.get_vocab(true).into_iter();
        tokens.filter(|(_, number)| *number as usize >= vocabulary).min_by_key(|(_, number)| *number)
    }

    /// Whether a number is that of a token.
    pub fn has(&self, token: u32) -> bool {
        self.inner.id_to_token(token).is_some()
    }

    /// Whether its model is byte-pair encoding.
    pub(super) fn is_byte_pair(&self) -> bool {
        matches!(self.inner.get_model(), tokenizers::ModelWrapper::BPE(_))
    }

    /// The number of a token, e.g. of [`END_TOKEN`].
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }
}

/// What a tokenizer puts before and behind every text.
fn around(inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let encode = |special| Ok(inner.encode("a", special).map_err(failed)?.get_ids().to_vec());
    let (plain, whole): (Vec<u32>, Vec<u32>) = (encode(false)?, encode(true)?);
    if plain.is_empty() {
        return Ok((whole, Vec::new()));
    }
    let is_here = |from: &usize| whole[*from..].starts_with(&plain);
    match (0..=whole.len().saturating_sub(plain.len())).find(is_here) {
        Some(from) => Ok((whole[..from].to_vec(), whole[from + plain.len()..].to_vec())),
        None => Err(TokenizerError::Failed("its post-processor changes the tokens of a text".to_owned())),
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
