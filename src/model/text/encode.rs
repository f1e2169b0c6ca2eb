//! Prompts and answers as the tokens that a model reads: texts as they are, messages through its chat template.

use std::path::{Path, PathBuf};

use super::{ChatError, ChatTemplate, Tokenizer, TokenizerError, chat::special_token};
use crate::{
    language::{Content, Message},
    model::architecture::ModelConfig,
};

/// What turns prompts and answers into a model's tokens.
pub struct Encoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    directory: PathBuf,
    /// The token that ends an answer.
    end: Option<u32>,
}

/// Why a prompt or an answer could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer failed, or its file is damaged.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template failed, or there is none.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A text was answered with messages, or the other way round.
    #[error("the prompt is a {prompt}, but an answer to it is a {answer}; both must be of one kind")]
    Mixed {
        /// What the prompt is.
        prompt: &'static str,
        /// What the answer is.
        answer: &'static str,
    },
}

/// A prompt with two answers, as TRL encodes them: each answer with its prompt as one text, so that the model is shown what
/// it would see, then cut where both texts still begin like the prompt alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPair {
    /// What both begin with.
    pub prompt: Vec<u32>,
    /// The better answer, its end included.
    pub chosen: Vec<u32>,
    /// The worse answer, its end included.
    pub rejected: Vec<u32>,
    /// Tokens at the end of the prompt alone that are others when an answer follows: more than 0 where tokens reach over
    /// the boundary, or the template writes the prompt differently.
    pub moved: usize,
}

impl Encoder {
    /// Reads a model directory's tokenizer and chat template.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn load(directory: &Path, config: &ModelConfig) -> Result<Self, EncodeError> {
        let tokenizer = Tokenizer::load(directory)?;
        let named = special_token(directory, "eos_token")?.and_then(|token| tokenizer.token(&token));
        Ok(Self {
            template: ChatTemplate::load(directory)?,
            directory: directory.to_owned(),
            end: named.or(config.eos_token_id.first().copied()),
            tokenizer,
        })
    }

    /// The tokens of a prompt: the start of a text as the tokenizer begins it, but never twice; messages as the template
    /// writes them, up to where the model's answer begins.
    ///
    /// # Errors
    /// Where there are messages but no template, or the template refuses them.
    pub fn prompt(&self, prompt: &Content) -> Result<Vec<u32>, EncodeError> {
        match prompt {
            Content::Text(text) => Ok(self.tokenizer.encode_prompt(text)?),
            Content::Messages(messages) => self.render(messages, true),
        }
    }

    /// The tokens of a prompt with two answers.
    ///
    /// # Errors
    /// As [`Encoder::prompt`]; and where prompt and answers are of different kinds.
    pub fn pair(&self, prompt: &Content, chosen: &Content, rejected: &Content) -> Result<EncodedPair, EncodeError> {
        let alone = self.prompt(prompt)?;
        let (chosen, rejected) = (self.whole(prompt, chosen)?, self.whole(prompt, rejected)?);
        let shared = |whole: &[u32]| alone.iter().zip(whole).take_while(|(one, other)| one == other).count();
        let length = shared(&chosen).min(shared(&rejected));
        Ok(EncodedPair {
            moved: alone.len() - length,
            prompt: alone[..length].to_vec(),
            chosen: chosen[length..].to_vec(),
            rejected: rejected[length..].to_vec(),
        })
    }

    /// Where, in the characters of an answer, each of its last `count` tokens stands; an empty range where tokenizer or
    /// template wrote it.
    ///
    /// # Errors
    /// As [`Encoder::pair`].
    pub fn places(&self, prompt: &Content, answer: &Content, count: usize) -> Result<Vec<[usize; 2]>, EncodeError> {
        let tokens = self.whole(prompt, answer)?;
        let (text, said) = match (prompt, answer) {
            (Content::Messages(prompt), Content::Messages(answer)) => {
                let messages: Vec<Message> = prompt.iter().chain(answer).cloned().collect();
                (self.written(&messages, false)?, answer.iter().map(|message| message.content.as_str()).collect())
            }
            _ => (format!("{}{}", prompt.text(), answer.text()), answer.text()),
        };
        // A template may trim what it writes.
        let begin = text.rfind(&said).or_else(|| text.rfind(said.trim())).unwrap_or(text.len());
        let trimmed =
            if text[begin..].starts_with(&said) { 0 } else { said.chars().take_while(|c| c.is_whitespace()).count() };
        let (begin, length) = (text[..begin].chars().count(), said.chars().count());
        let mut places = self.tokenizer.places(&text, matches!(prompt, Content::Text(_)))?;
        // The end token that was added to a text stands nowhere.
        let nowhere = (usize::MAX, usize::MAX);
        places.resize(places.len().max(tokens.len()), nowhere);
        let inside = |place: usize| (place.saturating_sub(begin) + trimmed).min(length);
        let place =
            |(from, to): &(usize, usize)| if *from == usize::MAX { [length; 2] } else { [inside(*from), inside(*to)] };
        Ok(places[places.len() - count..].iter().map(place).collect())
    }

    /// The token that begins a text; none where the tokenizer begins none.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn begin(&self) -> Result<Option<u32>, EncodeError> {
        let alone = self.tokenizer.encode_prompt("")?;
        Ok(alone.first().copied())
    }

    /// The token that says that an answer has ended; none where neither tokenizer nor config names one.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Takes the token away that says that an answer has ended.
    pub fn cut_end(&self, answer: &mut Vec<u32>) {
        if answer.len() > 1 && answer.last().copied() == self.end {
            answer.pop();
        }
    }

    /// Prompt and answer as one; a text gets the end token, unless it has it already, messages what the template writes.
    fn whole(&self, prompt: &Content, answer: &Content) -> Result<Vec<u32>, EncodeError> {
        match (prompt, answer) {
            (Content::Text(prompt), Content::Text(answer)) => {
                let mut tokens = self.tokenizer.encode_prompt(&format!("{prompt}{answer}"))?;
                tokens.extend(self.end.filter(|end| tokens.last() != Some(end)));
                Ok(tokens)
            }
            (Content::Messages(prompt), Content::Messages(answer)) => {
                let messages: Vec<Message> = prompt.iter().chain(answer).cloned().collect();
                self.render(&messages, false)
            }
            (Content::Text(_), _) => Err(EncodeError::Mixed { prompt: "text", answer: "list of messages" }),
            (Content::Messages(_), _) => Err(EncodeError::Mixed { prompt: "list of messages", answer: "text" }),
        }
    }

    fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>, EncodeError> {
        // Templates write the beginning themselves.
        Ok(self.tokenizer.encode_continuation(&self.written(messages, add_generation_prompt)?)?)
    }

    /// The text that the template makes of messages.
    fn written(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, EncodeError> {
        let missing = || ChatError::Missing { directory: self.directory.clone() };
        Ok(self.template.as_ref().ok_or_else(missing)?.render(messages, add_generation_prompt)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    const TEMPLATE: &str = "{% for m in messages %}{{ '<s>' if loop.first else '' }}[{{ m.role }}] {{ m.content }}{{ eos_token if m.role == 'assistant' else '\\n' }}{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

    fn encoder(template: Option<&str>) -> (tempfile::TempDir, Encoder) {
        let directory = tempfile::tempdir().unwrap();
        let texts = ["Who was Ada? Ada was born in London.", "[user] Who? [assistant] Ada was born."];
        Tokenizer::train(texts.into_iter(), 330).unwrap().save(directory.path()).unwrap();
        if let Some(template) = template {
            fs::write(directory.path().join("chat_template.jinja"), template).unwrap();
        }
        let config = crate::model::architecture::config::tests::tiny();
        let encoder = Encoder::load(directory.path(), &config).unwrap();
        (directory, encoder)
    }

    fn text(encoder: &Encoder, tokens: &[u32]) -> String {
        tokens.iter().map(|token| encoder.tokenizer.decode_with_special(&[*token]).unwrap()).collect()
    }

    #[test]
    fn an_answer_has_its_end_once_and_a_prompt_its_beginning_once() {
        let (_directory, encoder) = encoder(None);
        for (prompt, chosen) in [("Who?", " Ada."), ("<s>Who?", " Ada.</s>")] {
            let pair = encoder.pair(&prompt.into(), &chosen.into(), &" Bob.".into()).unwrap();
            assert_eq!(text(&encoder, &pair.prompt), "<s>Who?");
            assert_eq!(text(&encoder, &pair.chosen), " Ada.</s>");
            assert_eq!((text(&encoder, &pair.rejected).as_str(), pair.moved), (" Bob.</s>", 0));
        }
    }

    #[test]
    fn tokens_that_reach_over_the_boundary_belong_to_the_answer() {
        let (_directory, encoder) = encoder(None);
        let pair = encoder.pair(&"Who was A".into(), &"da?".into(), &"d".into()).unwrap();
        assert!(pair.moved > 0);
        let whole: Vec<u32> = pair.prompt.iter().chain(&pair.chosen).copied().collect();
        assert_eq!(text(&encoder, &whole), "<s>Who was Ada?</s>");
    }

    #[test]
    fn messages_go_through_the_template() {
        let (_directory, encoder) = encoder(Some(TEMPLATE));
        let prompt = Content::from_user("Who?", Some("Be brief."));
        assert_eq!(
            text(&encoder, &encoder.prompt(&prompt).unwrap()),
            "<s>[system] Be brief.\n[user] Who?\n[assistant] "
        );
        let answer = |text: &str| prompt.answer(text.to_owned());
        let pair = encoder.pair(&prompt, &answer("Ada."), &answer("Bob.")).unwrap();
        let whole: Vec<u32> = pair.prompt.iter().chain(&pair.chosen).copied().collect();
        assert_eq!(text(&encoder, &whole), "<s>[system] Be brief.\n[user] Who?\n[assistant] Ada.</s>");
        let error = encoder.pair(&prompt, &"Ada.".into(), &answer("Bob.")).unwrap_err().to_string();
        assert_eq!(error, "the prompt is a list of messages, but an answer to it is a text; both must be of one kind");
    }

    #[test]
    fn tokens_know_where_in_the_answer_they_stand() {
        let (_directory, encoder) = encoder(Some(TEMPLATE));
        let messages = Content::from_user("Who was Ada?", None);
        for (prompt, answer) in [
            (Content::from("Who was Ada?"), Content::from(" Ada was born in London.")),
            (messages.clone(), messages.answer(" Ada was born in London.".to_owned())),
        ] {
            let pair = encoder.pair(&prompt, &answer, &answer).unwrap();
            let places = encoder.places(&prompt, &answer, pair.chosen.len()).unwrap();
            assert_eq!(places.len(), pair.chosen.len());
            let said: Vec<char> = answer.text().chars().collect();
            for (token, [from, to]) in pair.chosen.iter().zip(&places) {
                let found: String = said[*from..*to].iter().collect();
                let expected = text(&encoder, &[*token]);
                assert!(found == expected || (found.is_empty() && expected == "</s>"), "{found:?} {expected:?}");
            }
            assert_eq!(places.last(), Some(&[said.len(), said.len()]), "the end stands nowhere");
        }
    }

    #[test]
    fn messages_without_a_template_are_an_error() {
        let (directory, encoder) = encoder(None);
        let error = encoder.prompt(&Content::from_user("Who?", None)).unwrap_err().to_string();
        assert!(
            error.contains("has no chat template") && error.contains(&directory.path().display().to_string()),
            "{error}"
        );
        let config = json!({"chat_template": "{{ messages[0].content }}"});
        fs::write(directory.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let config = crate::model::architecture::config::tests::tiny();
        let encoder = Encoder::load(directory.path(), &config).unwrap();
        assert_eq!(text(&encoder, &encoder.prompt(&Content::from_user("Who?", None)).unwrap()), "Who?");
    }
}
