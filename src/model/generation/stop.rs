//! Stop strings.

use crate::model::text::{Tokenizer, TokenizerError};

/// Context tokens before those that may contain a stop string, for decoders that use neighbours.
const CONTEXT: usize = 16;

/// Stop strings, with the tokenizer that decodes tokens.
pub struct Stops<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [String],
    /// Number of last tokens that contain any stop string ending with the last one: each token has
    /// at least one byte, plus some for characters that are split at the front.
    window: usize,
}

impl<'a> Stops<'a> {
    /// Ends responses before the first of these texts; empty ones are ignored.
    pub fn new(tokenizer: &'a Tokenizer, texts: &'a [String]) -> Self {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Self { tokenizer, texts, window: longest + 8 }
    }

    /// Whether the last token of a response to a prompt completes a stop string.
    pub(super) fn is_complete(
        &self,
        prompt: &[u32],
        answer: &[u32],
    ) -> Result<bool, TokenizerError> {
        if self.texts.iter().all(String::is_empty) {
            return Ok(false);
        }
        // Only the last tokens: decoding the whole response for each token takes time in its
        // square.
        let (before, last) = answer.split_at(answer.len().saturating_sub(self.window));
        let before = if before.is_empty() { prompt } else { before };
        let context = &before[before.len().saturating_sub(CONTEXT)..];
        let text = self.tokenizer.added(context, last)?;
        Ok(self.first(&text).is_some())
    }

    /// The text of a response after its prompt, up to the first stop string.
    ///
    /// # Errors
    /// Fails where the decoder fails.
    pub fn text(&self, prompt: &[u32], answer: &[u32]) -> Result<String, TokenizerError> {
        let mut text = self.tokenizer.added(prompt, answer)?;
        if let Some(start) = self.first(&text) {
            text.truncate(start);
        }
        Ok(text)
    }

    fn first(&self, text: &str) -> Option<usize> {
        self.texts
            .iter()
            // An empty text is found at once, and would end every response.
            .filter(|stop| !stop.is_empty())
            .filter_map(|stop| text.find(stop.as_str()))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_before_its_first_stop_string() {
        let tokenizer =
            Tokenizer::train(["Ada was born. Naïve\n\nQ: who?"].into_iter(), 280).unwrap();
        let texts = ["\n\n".to_owned(), "Q:".to_owned(), "ï".to_owned()];
        let stops = Stops::new(&tokenizer, &texts);
        for (text, expected) in [
            ("Ada was\n\nborn", "Ada was"),
            ("Ada Q: \n\n", "Ada "),
            ("naïve Q:", "na"),
            ("Ada\n", "Ada\n"),
        ] {
            let tokens = tokenizer.encode_continuation(text).unwrap();
            let prompt = tokenizer.encode_prompt("Q:").unwrap();
            assert_eq!(stops.text(&prompt, &tokens).unwrap(), expected);
            let first = (1..=tokens.len())
                .find(|count| stops.is_complete(&prompt, &tokens[..*count]).unwrap());
            let said = first.map(|count| tokenizer.decode(&tokens[..count]).unwrap());
            assert_eq!(said.is_some(), expected != text, "{text:?}");
            assert!(
                said.is_none_or(
                    |said| said.starts_with(expected) && said.len() <= expected.len() + 4
                ),
                "{text:?}"
            );
        }
        assert!(!Stops::new(&tokenizer, &[]).is_complete(&[], &[5]).unwrap());
    }
}
