//! Encoding of prompts and completions: texts unchanged, messages through the chat template.

use std::path::{Path, PathBuf};

use super::{
    ChatError, ChatTemplate, EncodeError, Tokenizer, settings::TokenizerConfig, spans::Said,
};
use crate::{
    model::architecture::ModelConfig,
    rows::{CharSpan, Content, Message},
};

/// Encoder of prompts and completions for a model.
pub struct Encoder {
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    directory: PathBuf,
    /// EOS of a completion.
    end: Option<u32>,
    remarks: Vec<String>,
}

/// A prompt with two completions, encoded as in TRL: each completion together with its prompt, so
/// that the model sees the same tokens as in use, then cut where both texts still begin like the
/// prompt alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPair {
    /// Common prompt tokens.
    pub prompt: Vec<u32>,
    /// Chosen completion, EOS included.
    pub chosen: Vec<u32>,
    /// Rejected completion, EOS included.
    pub rejected: Vec<u32>,
    /// Number of tokens at the end of the prompt that change when a completion follows: above 0 if
    /// tokens cross the boundary, or if the template renders the prompt differently.
    pub moved: usize,
}

impl Encoder {
    /// Reads a model directory's tokenizer and chat template.
    ///
    /// # Errors
    /// Names the file that is missing or damaged, or the setting that is not supported.
    pub fn load(directory: &Path, config: &ModelConfig) -> Result<Self, EncodeError> {
        let tokenizer = Tokenizer::load(directory)?;
        let settings = TokenizerConfig::read(directory, &tokenizer)?;
        let mut remarks = settings.remarks;
        if let Some((token, number)) = tokenizer.beyond(config.vocab_size) {
            remarks.push(format!(
                "tokenizer.json gives the token `{token}` the id {number}, but the model has {} \
                tokens: a text with it cannot be read",
                config.vocab_size
            ));
        }
        Ok(Self {
            template: ChatTemplate::load(directory)?,
            directory: directory.to_owned(),
            end: settings.end.or(config.eos_token_id.first().copied()),
            remarks,
            tokenizer,
        })
    }

    /// Names another directory in messages: the place that the files were made from.
    pub fn set_directory(&mut self, directory: &Path) {
        directory.clone_into(&mut self.directory);
        if let Some(template) = &mut self.template {
            template.set_directory(directory);
        }
    }

    /// Checks that the model has all tokens of the tokenizer.
    ///
    /// # Errors
    /// Names the first missing one.
    pub fn check_vocabulary(&self, config: &ModelConfig) -> Result<(), EncodeError> {
        let vocabulary = config.vocab_size;
        let Some((token, number)) = self.tokenizer.beyond(vocabulary) else { return Ok(()) };
        let path = self.directory.join("tokenizer.json");
        Err(EncodeError::Beyond { path, token, number, vocabulary })
    }

    /// Remarks for the user on the tokenizer.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The tokens of a prompt: a text with one BOS if the tokenizer adds it; messages as rendered
    /// by the template, up to the beginning of the model's completion.
    ///
    /// # Errors
    /// Fails on messages without template, or if the template refuses them.
    pub fn prompt(&self, prompt: &Content) -> Result<Vec<u32>, EncodeError> {
        match prompt {
            Content::Text(text) => Ok(self.tokenizer.encode_prompt(text)?),
            Content::Messages(messages) => self.render(messages, true),
        }
    }

    /// The tokens of a prompt with two completions.
    ///
    /// # Errors
    /// As [`Encoder::prompt`]; also if prompt and completions are of different types.
    pub fn pair(
        &self,
        prompt: &Content,
        chosen: &Content,
        rejected: &Content,
    ) -> Result<EncodedPair, EncodeError> {
        let alone = self.prompt(prompt)?;
        // Where a token crosses the boundary, the prompt alone has others than prompt and
        // completion.
        let (chosen, rejected) = (self.whole(prompt, chosen)?, self.whole(prompt, rejected)?);
        let length = shared_length(&alone, &chosen).min(shared_length(&alone, &rejected));
        Ok(EncodedPair {
            moved: alone.len() - length,
            prompt: alone[..length].to_vec(),
            chosen: chosen[length..].to_vec(),
            rejected: rejected[length..].to_vec(),
        })
    }

    /// The range of characters in a completion for each of its last `count` tokens; an empty range
    /// for tokens from tokenizer or template. Messages of a completion are on separate lines.
    ///
    /// # Errors
    /// As [`Encoder::pair`].
    pub fn places(
        &self,
        prompt: &Content,
        answer: &Content,
        count: usize,
    ) -> Result<Vec<CharSpan>, EncodeError> {
        let tokens = self.whole(prompt, answer)?;
        let (said, mut places) = match (prompt, answer) {
            (Content::Messages(prompt), Content::Messages(answer)) => {
                let messages: Vec<Message> = prompt.iter().chain(answer).cloned().collect();
                let text = self.written(&messages, false)?;
                // A template that refuses to begin a completion adds nothing to skip.
                let begun = self.written(prompt, true).unwrap_or_default();
                (Said::in_messages(&text, &begun, answer), self.tokenizer.places(&text, false)?)
            }
            _ => {
                let (prompt, answer) = (prompt.text(), answer.text());
                let text = format!("{prompt}{answer}");
                (Said::after(&prompt, &answer), self.tokenizer.places(&text, true)?)
            }
        };
        // EOS that was added to a text has no characters.
        places.resize(tokens.len(), None);
        Ok(places[places.len() - count..].iter().map(|place| said.place(*place)).collect())
    }

    /// Decodes the tokens after a prompt as a completion. For a text, prompt and completion
    /// together encode to these tokens. For messages it is the content of a message, without the
    /// space that some templates write before it.
    ///
    /// # Errors
    /// Fails where the template fails.
    pub fn answer(&self, prompt: &Content, added: String) -> Result<String, EncodeError> {
        let (Content::Messages(messages), Some(rest)) = (prompt, added.strip_prefix(' ')) else {
            return Ok(added);
        };
        let begun = self.written(messages, true)?;
        let Content::Messages(answer) = prompt.answer(rest.to_owned()) else { return Ok(added) };
        let all: Vec<Message> = messages.iter().chain(&answer).cloned().collect();
        let whole = self.written(&all, false)?;
        // Whether the template writes a space is seen by letting it write the completion without
        // one.
        let has_space = whole.strip_prefix(&begun).is_some_and(|said| said.starts_with(&added));
        Ok(if has_space { rest.to_owned() } else { added })
    }

    /// BOS; none if the tokenizer adds none.
    ///
    /// # Errors
    /// Fails where the tokenizer fails.
    pub fn begin(&self) -> Result<Option<u32>, EncodeError> {
        let alone = self.tokenizer.encode_prompt("")?;
        Ok(alone.first().copied())
    }

    /// EOS of a completion; none if neither tokenizer nor config has one.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Removes the EOS of a completion.
    pub fn cut_end(&self, answer: &mut Vec<u32>) {
        // An empty completion would have no token to compute a probability of.
        if answer.len() > 1 && answer.last().copied() == self.end {
            answer.pop();
        }
    }

    /// Prompt and completion together; a text gets EOS unless it has it, messages what the template
    /// renders.
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
            (Content::Text(_), _) => {
                Err(EncodeError::Mixed { prompt: "text", answer: "list of messages" })
            }
            (Content::Messages(_), _) => {
                Err(EncodeError::Mixed { prompt: "list of messages", answer: "text" })
            }
        }
    }

    fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, EncodeError> {
        // Templates write BOS themselves.
        Ok(self.tokenizer.encode_continuation(&self.written(messages, add_generation_prompt)?)?)
    }

    /// The rendered text of messages.
    fn written(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, EncodeError> {
        let Some(template) = &self.template else {
            return Err(ChatError::Missing { directory: self.directory.clone() }.into());
        };
        Ok(template.render(messages, add_generation_prompt)?)
    }
}

/// Number of tokens with which both begin.
fn shared_length(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    const TEMPLATE: &str = "{% for m in messages %}{{ '<s>' if loop.first else '' }}[{{ m.role \
    }}] {{ m.content }}{{ eos_token if m.role == 'assistant' else '\\n' }}{% endfor %}{% if \
    add_generation_prompt %}[assistant] {% endif %}";

    fn encoder(template: Option<&str>) -> (tempfile::TempDir, Encoder) {
        let directory = tempfile::tempdir().unwrap();
        let texts =
            ["Who was Ada? Ada was born in London.", "[user] Who? [assistant] Ada was born."];
        Tokenizer::train(texts.into_iter(), 330).unwrap().save(directory.path()).unwrap();
        if let Some(template) = template {
            fs::write(directory.path().join("chat_template.jinja"), template).unwrap();
        }
        let config =
            ModelConfig { vocab_size: 400, ..crate::model::architecture::config::tests::tiny() };
        let encoder = Encoder::load(directory.path(), &config).unwrap();
        (directory, encoder)
    }

    fn text(encoder: &Encoder, tokens: &[u32]) -> String {
        tokens
            .iter()
            .map(|token| encoder.tokenizer.decode_with_special(&[*token]).unwrap())
            .collect()
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
        assert_eq!(
            text(&encoder, &whole),
            "<s>[system] Be brief.\n[user] Who?\n[assistant] Ada.</s>"
        );
        let error = encoder.pair(&prompt, &"Ada.".into(), &answer("Bob.")).unwrap_err().to_string();
        assert_eq!(
            error,
            "the prompt is a list of messages, but its completion is a text; both must be of the \
            same type"
        );
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
            let length = answer.text().chars().count();
            for (token, place) in pair.chosen.iter().zip(&places) {
                let found = place.of(&answer.text());
                let expected = text(&encoder, &[*token]);
                assert!(
                    found == expected || (found.is_empty() && expected == "</s>"),
                    "{found:?} {expected:?}"
                );
            }
            assert_eq!(places.last(), Some(&CharSpan::empty(length)), "the end stands nowhere");
        }
    }

    /// Each of a completion's characters stands in a token, each token at its place or nowhere, in
    /// the order of the tokens.
    fn check_places(encoder: &Encoder, prompt: &Content, answer: &Content) {
        let pair = encoder.pair(prompt, answer, answer).unwrap();
        let places = encoder.places(prompt, answer, pair.chosen.len()).unwrap();
        assert_eq!(places.len(), pair.chosen.len());
        let length = answer.text().chars().count();
        let mut covered = vec![false; length];
        let mut before = [0, 0];
        for [from, to] in places.into_iter().map(<[usize; 2]>::from) {
            assert!(
                from <= to && to <= length && before[0] <= from && before[1] <= to,
                "{before:?} {from} {to}"
            );
            covered[from..to].fill(true);
            before = [from, to];
        }
        // Tokens that reach over the boundary begin in the prompt; then all of the completion
        // stands in the later ones.
        assert!(covered.iter().all(|covered| *covered), "{prompt:?} {answer:?} {covered:?}");
    }

    /// The directory of a tokenizer of SentencePiece's kind (`benches/text_goldens.py`).
    fn pieces() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text")
    }

    /// An encoder of that directory with this change to its tokenizer.json and config.
    fn encoder_of_pieces(
        change: impl Fn(&mut serde_json::Value),
        config: serde_json::Value,
    ) -> Encoder {
        let directory = tempfile::tempdir().unwrap();
        for (file, is_tokenizer) in [("tokenizer.json", true), ("tokenizer_config.json", false)] {
            let text = fs::read_to_string(pieces().join(file)).unwrap();
            let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
            if is_tokenizer {
                change(&mut value)
            } else {
                value.as_object_mut().unwrap().extend(config.as_object().unwrap().clone())
            }
            fs::write(directory.path().join(file), value.to_string()).unwrap();
        }
        fs::write(directory.path().join("chat_template.jinja"), TEMPLATE).unwrap();
        let config =
            ModelConfig { vocab_size: 500, ..crate::model::architecture::config::tests::tiny() };
        Encoder::load(directory.path(), &config).unwrap()
    }

    fn ends_texts(tokenizer: &mut serde_json::Value) {
        let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let tokens = json!({"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
            "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}});
        tokenizer["post_processor"] = json!({"type": "TemplateProcessing", "special_tokens": tokens,
            "single": [special("<s>"), text, special("</s>")], "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}]});
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn places_cover_the_answer_whatever_the_text(prompt in "\\PC{0,12}", answer in "\\PC{0,20}", begins: bool) {
            let (_directory, byte_level) = encoder(Some(TEMPLATE));
            let prompt = format!("{}{prompt}", if begins { "<s>" } else { "" });
            for encoder in [byte_level, encoder_of_pieces(|_| (), json!({})), encoder_of_pieces(ends_texts, json!({}))] {
                check_places(&encoder, &prompt.as_str().into(), &answer.as_str().into());
            }
        }

        #[test]
        fn places_cover_messages_whatever_they_say(prompt in "\\PC{0,12}", answer in "[^ \n\t]\\PC{0,20}[^ \n\t]") {
            let (_directory, byte_level) = encoder(Some(TEMPLATE));
            let prompt = Content::from_user(prompt, None);
            let answer = prompt.answer(answer.trim().to_owned());
            for encoder in [byte_level, encoder_of_pieces(|_| (), json!({}))] {
                check_places(&encoder, &prompt, &answer);
            }
        }
    }

    /// Llama 2 and Mistral pairs contain BOS: a fact's tokens must be the same, with its
    /// own characters.
    #[test]
    fn places_do_not_move_where_a_prompt_brings_its_own_beginning() {
        let (_directory, byte_level) = encoder(None);
        for encoder in [byte_level, encoder_of_pieces(|_| (), json!({}))] {
            let answer = Content::from(" Ada was born in London.");
            let places = |prompt: &str| {
                let pair = encoder.pair(&prompt.into(), &answer, &answer).unwrap();
                let places = encoder.places(&prompt.into(), &answer, pair.chosen.len()).unwrap();
                (pair.chosen, places)
            };
            let (tokens, found) = places("<s>Who?");
            assert_eq!((tokens.clone(), found.clone()), places("Who?"));
            assert_eq!(found.last(), Some(&CharSpan::empty(24)), "the end stands nowhere");
            let london = found.iter().position(|place| place.end() > 17).unwrap();
            let from_there = encoder.tokenizer.decode(&tokens[london..]).unwrap();
            assert!(from_there.trim_start().starts_with("London"), "{from_there:?}");
        }
    }

    #[test]
    fn no_end_stands_between_prompt_and_answer_where_the_tokenizer_ends_texts() {
        let plain = encoder_of_pieces(|_| (), json!({}));
        let ending = encoder_of_pieces(ends_texts, json!({}));
        assert_eq!(plain.remarks(), &[] as &[String]);
        assert_eq!(ending.remarks().len(), 1, "{:?}", ending.remarks());
        assert!(ending.remarks()[0].starts_with("the tokenizer appends `</s>` to every text"));
        for (prompt, chosen) in
            [("Who was Ada?", " She was born"), ("<s>Who was Ada?", " London.</s>"), ("", "Ada")]
        {
            let (prompt, chosen, rejected) = (prompt.into(), chosen.into(), " Paris".into());
            assert_eq!(ending.prompt(&prompt).unwrap(), plain.prompt(&prompt).unwrap());
            let pair = ending.pair(&prompt, &chosen, &rejected).unwrap();
            assert_eq!(pair, plain.pair(&prompt, &chosen, &rejected).unwrap());
            assert_eq!(
                (pair.moved, pair.chosen.iter().filter(|token| **token == 2).count()),
                (0, 1)
            );
        }
    }

    /// transformers' own differences of texts and tokens of texts.
    #[test]
    fn answers_are_what_tokens_add_as_in_transformers() {
        #[derive(serde::Deserialize)]
        struct Goldens {
            prompts: Vec<Golden>,
            surroundings: Vec<Surrounding>,
        }
        #[derive(serde::Deserialize)]
        struct Golden {
            prompt: String,
            prompt_ids: Vec<u32>,
            answers: Vec<(Vec<u32>, String)>,
        }
        #[derive(serde::Deserialize)]
        struct Surrounding {
            ends: bool,
            config: serde_json::Value,
            ids: Vec<u32>,
        }
        let goldens: Goldens =
            serde_json::from_str(&fs::read_to_string(pieces().join("goldens.json")).unwrap())
                .unwrap();
        let encoder = encoder_of_pieces(|_| (), json!({}));
        let mut spaces = 0;
        for Golden { prompt, prompt_ids, answers } in goldens.prompts {
            assert_eq!(encoder.prompt(&prompt.as_str().into()).unwrap(), prompt_ids);
            for (tokens, expected) in answers {
                assert_eq!(
                    encoder.tokenizer.added(&prompt_ids, &tokens).unwrap(),
                    expected,
                    "{prompt:?} {tokens:?}"
                );
                spaces += usize::from(
                    expected.starts_with(' ')
                        && expected != encoder.tokenizer.decode(&tokens).unwrap(),
                );
            }
        }
        assert!(spaces > 100, "{spaces}");
        for Surrounding { ends, config, ids } in goldens.surroundings {
            let encoder = encoder_of_pieces(
                |value| {
                    if ends {
                        ends_texts(value)
                    }
                },
                config,
            );
            let around =
                [encoder.tokenizer.prefix.as_slice(), &[391, 307, 396], &encoder.tokenizer.suffix]
                    .concat();
            assert_eq!(around, ids);
        }
    }

    #[test]
    fn a_sampled_word_keeps_its_space_and_so_its_token() {
        let encoder = encoder_of_pieces(|_| (), json!({}));
        let prompt = Content::from("Who was Ada?");
        let tokens = encoder.prompt(&prompt).unwrap();
        for word in [" was", " London", "London", " in"] {
            let sampled = encoder.pair(&prompt, &word.into(), &word.into()).unwrap().chosen;
            let said = encoder.tokenizer.added(&tokens, &sampled).unwrap();
            let said = encoder.answer(&prompt, said).unwrap();
            assert_eq!(said, word);
            assert_eq!(
                encoder.pair(&prompt, &said.as_str().into(), &" ".into()).unwrap().chosen,
                sampled
            );
        }
    }

    /// A template that writes the space between prompt and completion itself, as Llama 2's does, is
    /// not handed a second one.
    #[test]
    fn a_message_has_no_space_that_its_template_writes() {
        let answer = |template: &str, added: &str| {
            let (_directory, encoder) = encoder(Some(template));
            encoder.answer(&Content::from_user("Who?", None), added.to_owned()).unwrap()
        };
        let writes = "{% for m in messages %}{{ ('[INST] ' + m.content + ' [/INST]') if m.role \
        == 'user' else ' ' + m.content }}{% endfor %}";
        assert_eq!([answer(writes, " Ada."), answer(writes, "Ada.")], ["Ada.", "Ada."]);
        assert_eq!([answer(TEMPLATE, " Ada."), answer(TEMPLATE, "Ada.")], [" Ada.", "Ada."]);
    }

    #[test]
    fn what_would_give_a_text_other_tokens_is_named() {
        let error = |change: &dyn Fn(&mut serde_json::Value),
                     more: serde_json::Value,
                     vocabulary: usize| {
            let directory = tempfile::tempdir().unwrap();
            let mut tokenizer: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(pieces().join("tokenizer.json")).unwrap())
                    .unwrap();
            change(&mut tokenizer);
            fs::write(directory.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
            fs::write(directory.path().join("tokenizer_config.json"), more.to_string()).unwrap();
            let config = ModelConfig {
                vocab_size: vocabulary,
                ..crate::model::architecture::config::tests::tiny()
            };
            let loaded = Encoder::load(directory.path(), &config);
            let error = loaded.and_then(|encoder| encoder.check_vocabulary(&config)).err();
            error
                .map(|error| error.to_string())
                .unwrap_or_default()
                .replace(&directory.path().display().to_string(), "DIR")
        };
        let nothing: &dyn Fn(&mut serde_json::Value) = &|_| ();
        let texts = [
            error(&|tokenizer| tokenizer["model"]["dropout"] = json!(0.1), json!({}), 500),
            error(nothing, json!({"split_special_tokens": true}), 500),
            error(nothing, json!({"eos_token": "<end>"}), 500),
            error(nothing, json!({"added_tokens_decoder": {"7": {"content": "<pad>"}}}), 500),
            error(nothing, json!({"added_tokens_decoder": {"7": {"content": "</s>"}}}), 500),
            error(nothing, json!({}), 403),
            error(
                nothing,
                json!({"added_tokens_decoder": {"2": {"content": "</s>"}}, "pad_token": "<pad>"}),
                500,
            ),
        ];
        expect_test::expect![[r#"
            DIR/tokenizer.json: the field `model.dropout` is 0.1, which is not supported: tokenization would be random; set it to null
            DIR/tokenizer_config.json: the field `split_special_tokens` is true, which is not supported: a special token in a text is always read as one token
            DIR/tokenizer_config.json: `eos_token` is `<end>`, but tokenizer.json has no such token
            DIR/tokenizer_config.json: `added_tokens_decoder` gives `<pad>` the id 7, but tokenizer.json has no such token
            DIR/tokenizer_config.json: `added_tokens_decoder` gives `</s>` the id 7, but tokenizer.json gives it 2
            DIR/tokenizer.json: the token `▁Curie` has the id 403, but the model of config.json has 403 tokens: its embedding must be enlarged, or the tokenizer belongs to another model
        "#]].assert_eq(&texts.join("\n"));
    }

    #[test]
    fn messages_without_a_template_are_an_error() {
        let (directory, encoder) = encoder(None);
        let error = encoder.prompt(&Content::from_user("Who?", None)).unwrap_err().to_string();
        assert!(
            error.contains("has no chat template")
                && error.contains(&directory.path().display().to_string()),
            "{error}"
        );
        let config = json!({"chat_template": "{{ messages[0].content }}"});
        fs::write(directory.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let config =
            ModelConfig { vocab_size: 400, ..crate::model::architecture::config::tests::tiny() };
        let encoder = Encoder::load(directory.path(), &config).unwrap();
        assert_eq!(
            text(&encoder, &encoder.prompt(&Content::from_user("Who?", None)).unwrap()),
            "Who?"
        );
    }
}
