//! Tokenizers: byte-level BPE (Radford et al. 2019) in the Hugging Face format.

use std::{
    collections::BTreeMap,
    fmt::Display,
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

use crate::{model::files, rows::CharSpan};

/// BOS of tokenizers that apeft trains.
pub const BEGIN_TOKEN: &str = "<s>";
/// EOS of tokenizers that apeft trains.
pub const END_TOKEN: &str = "</s>";
/// Padding token of tokenizers that apeft trains.
pub const PADDING_TOKEN: &str = "<pad>";

/// A tokenizer of the Hugging Face format.
pub struct Tokenizer {
    /// Without its post-processor.
    inner: tokenizers::Tokenizer,
    /// The file's post-processor, kept for writing.
    post_processor: Option<PostProcessorWrapper>,
    /// Tokens before every text: usually BOS.
    pub(super) prefix: Vec<u32>,
    /// Tokens that transformers appends to every text, also to a prompt: none, or EOS.
    /// They are not used here: a completion gets its own EOS.
    pub(super) suffix: Vec<u32>,
}

/// Why a tokenizer could not be trained, read, written or applied.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read or written, or is damaged.
    #[error("{path}: {problem}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// Training or application failed.
    #[error("the tokenizer failed: {0}")]
    Failed(String),
    /// The vocabulary is smaller than the number of bytes.
    #[error(
        "a vocabulary of {0} tokens is too small: 256 bytes and 3 special tokens need at least 259"
    )]
    VocabularyTooSmall(usize),
}

impl Tokenizer {
    /// Trains byte-level BPE with up to `vocab_size` tokens, the first three of them `<s>`, `</s>`
    /// and `<pad>`. Equal texts in any order give the same tokenizer: pairs of equal count are
    /// merged in the order of their token ids.
    ///
    /// # Errors
    /// Fails if the vocabulary has no room for all bytes.
    pub fn train<'a>(
        texts: impl Iterator<Item = &'a str> + Send,
        vocab_size: usize,
    ) -> Result<Self, TokenizerError> {
        if vocab_size < 259 {
            return Err(TokenizerError::VocabularyTooSmall(vocab_size));
        }
        let specials =
            [BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN].map(|token| AddedToken::from(token, true));
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
            // First, so that they have the ids 0, 1 and 2, which models of apeft name.
            .special_tokens(specials.to_vec())
            // With all bytes no text has unknown tokens, whatever the tokenizer was trained on.
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
        let others = ["tokenizer.model", "vocab.json", "vocab.txt", "tiktoken.model"];
        let other = others.into_iter().find(|name| directory.join(name).exists());
        let bytes = files::read(&path).map_err(|error| match other.filter(|_| !path.exists()) {
            Some(other) => wrong(
                &path,
                format!(
                    "it is missing, and `{other}` alone is not read; write it in Python: \
                    `transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
                ),
            ),
            None => wrong(&path, error),
        })?;
        // The library assumes that its input is JSON.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(bytes);
        let fields = serde_json::from_slice::<serde_json::Value>(&bytes)
            .map_err(|error| wrong(&path, format!("it is not JSON: {error}")))?;
        if let Some(share) = fields["model"]["dropout"].as_f64().filter(|share| *share > 0.0) {
            let problem = "tokenization would be random; set it to null";
            return Err(wrong(
                &path,
                format!("the field `model.dropout` is {share}, which is not supported: {problem}"),
            ));
        }
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| wrong(&path, format!("it is not a tokenizer: {error}")))?;
        // Files may contain their author's last settings; texts are never truncated or padded here.
        inner.with_truncation(None).map_err(failed)?;
        inner.with_padding(None);
        Self::new(inner).map_err(|error| wrong(&path, error))
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let (prefix, suffix) = around(&inner)?;
        // The post-processor would also change offsets, and its tokens are known.
        let post_processor = inner.get_post_processor().cloned();
        inner.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Self { inner, post_processor, prefix, suffix })
    }

    /// Writes `tokenizer.json` and the `tokenizer_config.json` with its special tokens; for
    /// tokenizers that apeft trained.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn save(&self, directory: &Path) -> Result<(), TokenizerError> {
        let mut whole = self.inner.clone();
        whole.with_post_processor(self.post_processor.clone());
        let text = whole.to_string(true).map_err(failed)?;
        write(&directory.join("tokenizer.json"), text + "\n")?;
        let config = json!({
            "bos_token": BEGIN_TOKEN,
            "clean_up_tokenization_spaces": false,
            "eos_token": END_TOKEN,
            "pad_token": PADDING_TOKEN,
            "tokenizer_class": "PreTrainedTokenizerFast",
        });
        write(&directory.join("tokenizer_config.json"), format!("{config:#}\n"))
    }

    /// The tokens of a prompt, with one BOS if the tokenizer adds it or the text contains
    /// it, and without EOS, since a completion follows.
    ///
    /// # Errors
    /// Fails if the tokenizer has no token for the text.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = self.encode_continuation(text)?;
        // A data set may have written BOS already, and no model has seen two.
        if !tokens.starts_with(&self.prefix) {
            tokens.splice(0..0, self.prefix.iter().copied());
        }
        Ok(tokens)
    }

    /// The tokens of a text after a prompt, without special tokens.
    ///
    /// # Errors
    /// Fails if the tokenizer has no token for the text.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// The range of characters of each token of a text, for the tokens of
    /// [`Tokenizer::encode_prompt`] (at the start) or [`Tokenizer::encode_continuation`]; none for
    /// added tokens.
    ///
    /// # Errors
    /// Fails where the tokenizer fails.
    pub(super) fn places(
        &self,
        text: &str,
        is_start: bool,
    ) -> Result<Vec<Option<CharSpan>>, TokenizerError> {
        let encoding = self.inner.encode_char_offsets(text, false).map_err(failed)?;
        let added = if is_start && !encoding.get_ids().starts_with(&self.prefix) {
            self.prefix.len()
        } else {
            0
        };
        let places =
            encoding.get_offsets().iter().map(|(from, to)| CharSpan::try_from([*from, *to]).ok());
        Ok(std::iter::repeat_n(None, added).chain(places).collect())
    }

    /// The text that tokens add to previous ones: decoders depend on the beginning of a text
    /// (SentencePiece's remove a space there) and on neighbours (bytes that form one character). So
    /// the combined text encodes to the sampled tokens wherever they are the tokenizer's choice.
    ///
    /// # Errors
    /// Fails where the decoder fails.
    pub fn added(&self, before: &[u32], tokens: &[u32]) -> Result<String, TokenizerError> {
        let known = self.decode(before)?;
        let whole = self.decode(&[before, tokens].concat())?;
        if let Some(added) = whole.strip_prefix(&known) {
            return Ok(added.to_owned());
        }
        // Bytes that form no character with the previous ones are decoded after a letter instead.
        let letter = self.encode_continuation("a")?;
        let (known, whole) = (self.decode(&letter)?, self.decode(&[&letter, tokens].concat())?);
        Ok(whole.strip_prefix(&known).map_or_else(|| whole.clone(), str::to_owned))
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// Fails where the decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, true).map_err(failed)
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// Fails where the decoder fails.
    pub fn decode_with_special(&self, tokens: &[u32]) -> Result<String, TokenizerError> {
        self.inner.decode(tokens, false).map_err(failed)
    }

    /// The number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The first token id that a vocabulary of this size lacks.
    pub(super) fn beyond(&self, vocabulary: usize) -> Option<(String, u32)> {
        let tokens = self.inner.get_vocab(true).into_iter();
        tokens
            .filter(|(_, number)| *number as usize >= vocabulary)
            // The vocabulary is a hash map: the smallest, so that the message is always the same.
            .min_by_key(|(_, number)| *number)
    }

    /// Whether an id belongs to a token.
    pub fn has(&self, token: u32) -> bool {
        self.inner.id_to_token(token).is_some()
    }

    /// The beginning of a text that has at most this many tokens.
    ///
    /// # Errors
    /// Fails where the tokenizer fails.
    pub fn beginning<'a>(&self, text: &'a str, tokens: usize) -> Result<&'a str, TokenizerError> {
        let encoding = self.inner.encode(text, false).map_err(failed)?;
        // By where the first superfluous token begins: its text may share a character with it.
        let end =
            encoding.get_offsets().get(tokens).map(|(from, _)| text.floor_char_boundary(*from));
        Ok(&text[..end.unwrap_or(text.len())])
    }

    /// The texts that are read as special tokens, such as `</s>`, in the order of their ids.
    pub fn special_texts(&self) -> Vec<String> {
        let added = self.inner.get_added_tokens_decoder().into_iter().collect::<BTreeMap<_, _>>();
        added.into_values().filter(|token| token.special).map(|token| token.content).collect()
    }

    /// Whether its model is byte-pair encoding.
    pub(super) fn is_byte_pair(&self) -> bool {
        matches!(self.inner.get_model(), tokenizers::ModelWrapper::BPE(_))
    }

    /// The id of a token, e.g. of [`END_TOKEN`].
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }
}

/// The tokens that a tokenizer adds before and after every text.
fn around(inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
    let [plain, whole] = [false, true].map(|special| inner.encode("a", special));
    let (plain, whole) = (plain.map_err(failed)?, whole.map_err(failed)?);
    let (plain, whole) = (plain.get_ids(), whole.get_ids());
    // A vocabulary without the letter.
    if plain.is_empty() {
        return Ok((whole.to_vec(), Vec::new()));
    }
    match whole.windows(plain.len()).position(|window| window == plain) {
        Some(from) => Ok((whole[..from].to_vec(), whole[from + plain.len()..].to_vec())),
        None => Err(TokenizerError::Failed(
            "its post-processor changes tokens inside a text".to_owned(),
        )),
    }
}

fn write(path: &Path, text: String) -> Result<(), TokenizerError> {
    fs::write(path, text).map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, problem: impl Display) -> TokenizerError {
    TokenizerError::File { path: path.to_owned(), problem: problem.to_string() }
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
    fn a_beginning_has_as_many_tokens_and_ends_with_a_character() {
        let tokenizer = Tokenizer::train(TEXTS.into_iter(), 300).unwrap();
        let text = "Marie Curie 你好 naïve";
        assert_eq!(tokenizer.beginning(text, 1000).unwrap(), text);
        let all = tokenizer.encode_continuation(text).unwrap();
        for count in 0..all.len() {
            let cut = tokenizer.beginning(text, count).unwrap();
            assert!(text.starts_with(cut) && cut.len() < text.len(), "{count}: {cut}");
            assert!(tokenizer.encode_continuation(cut).unwrap().len() <= count, "{count}: {cut}");
        }
        assert_eq!(tokenizer.special_texts(), [BEGIN_TOKEN, END_TOKEN, PADDING_TOKEN]);
    }

    #[test]
    fn a_written_tokenizer_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let tokenizer = Tokenizer::train(TEXTS.into_iter(), 300).unwrap();
        tokenizer.save(directory.path()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        crate::model::copy_companions(directory.path(), copy.path()).unwrap();
        let read = Tokenizer::load(copy.path()).unwrap();
        assert_eq!(
            read.encode_prompt(TEXTS[1]).unwrap(),
            tokenizer.encode_prompt(TEXTS[1]).unwrap()
        );
        fs::write(copy.path().join("tokenizer.json"), "{}").unwrap();
        assert!(
            Tokenizer::load(copy.path())
                .err()
                .unwrap()
                .to_string()
                .contains("tokenizer.json: it is not a tokenizer")
        );
        assert!(matches!(
            Tokenizer::train(TEXTS.into_iter(), 100),
            Err(TokenizerError::VocabularyTooSmall(100))
        ));
    }
}
