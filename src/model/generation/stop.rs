//! Texts at which an answer ends.

use crate::model::text::{Tokenizer, TokenizerError};

/// Tokens that are looked at before those that may hold a stop string, for decoders that look at neighbours.
const CONTEXT: usize = 16;

/// Stop strings, with the tokenizer that says which texts tokens are.
pub struct Stops<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [String],
    /// So many last tokens hold any stop string that ends with the very last one: each token is at least one byte, and a
    /// few more are there for characters that are cut at the front.
    window: usize,
}

impl<'a> Stops<'a> {
    /// Answers end where the first of these texts would begin; empty ones end nothing.
    pub fn new(tokenizer: &'a Tokenizer, texts: &'a [String]) -> Self {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Self { tokenizer, texts, window: longest + 8 }
    }

    /// Whether the last token of an answer to a prompt completes a stop string.
    pub(super) fn is_complete(&self, prompt: &[u32], answer: &[u32]) -> Result<bool, TokenizerError> {
        if self.texts.iter().all(String::is_empty) {
            return Ok(false);
        }
        let (before, last) = answer.split_at(answer.len().saturating_sub(self.window));
        let tail = |tokens: &[u32]| tokens[tokens.len().saturating_sub(CONTEXT)..].to_vec();
        let before = if before.is_empty() { tail(prompt) } else { tail(before) };
        let text = self.tokenizer.added(&before, last)?;
        Ok(self.first(&text).is_some())
    }

    /// What the tokens of an answer add to its prompt's text, up to where the first stop string begins.
    ///
    /// # Errors
    /// Where the decoder fails.
    pub fn text(&self, prompt: &[u32], answer: &[u32]) -> Result<String, TokenizerError> {
        let mut text = self.tokenizer.added(prompt, answer)?;
        if let Some(start) = self.first(&text) {
            text.truncate(start);
        }
        Ok(text)
    }

    fn first(&self, text: &str) -> Option<usize> {
        self.texts.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_before_its_first_stop_string() {
        let tokenizer = Tokenizer::train(["Ada was born. Naïve\n\nQ: who?"].into_iter(), 280).unwrap();
        let texts = ["\n\n".to_owned(), "Q:".to_owned(), "ï".to_owned()];
        let stops = Stops::new(&tokenizer, &texts);
        for (text, expected) in
            [("Ada was\n\nborn", "Ada was"), ("Ada Q: \n\n", "Ada "), ("naïve Q:", "na"), ("Ada\n", "Ada\n")]
        {
            let tokens = tokenizer.encode_continuation(text).unwrap();
            let prompt = tokenizer.encode_prompt("Q:").unwrap();
            assert_eq!(stops.text(&prompt, &tokens).unwrap(), expected);
            let first = (1..=tokens.len()).find(|count| stops.is_complete(&prompt, &tokens[..*count]).unwrap());
            let said = first.map(|count| tokenizer.decode(&tokens[..count]).unwrap());
            assert_eq!(said.is_some(), expected != text, "{text:?}");
            assert!(said.is_none_or(|said| said.starts_with(expected) && said.len() <= expected.len() + 4), "{text:?}");
        }
        assert!(!Stops::new(&tokenizer, &[]).is_complete(&[], &[5]).unwrap());
    }
}
