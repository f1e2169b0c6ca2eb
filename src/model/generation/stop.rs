//! Where responses end: at stop strings, or where their lines say so.

use crate::model::text::{Tokenizer, TokenizerError};

/// Context tokens before those that may contain a stop string, for decoders that use neighbours.
const CONTEXT: usize = 16;

/// The place in a response where it ends by its complete lines; none if it goes on. It depends on
/// nothing but the response's text.
pub type EndOfLines = fn(&str) -> Option<usize>;

/// Stop strings, with the tokenizer that decodes tokens.
#[derive(Clone)]
pub struct Stops<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [String],
    ends: Option<EndOfLines>,
    /// Number of last tokens that contain any stop string ending with the last one: each token has
    /// at least one byte, plus some for characters that are split at the front.
    window: usize,
}

impl<'a> Stops<'a> {
    /// Ends responses before the first of these texts; empty ones are ignored.
    pub fn new(tokenizer: &'a Tokenizer, texts: &'a [String]) -> Self {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Self { tokenizer, texts, ends: None, window: longest + 8 }
    }

    /// Ends responses there too.
    pub fn with_end(self, ends: EndOfLines) -> Self {
        Self { ends: Some(ends), ..self }
    }

    /// Whether the last token of a response to a prompt completes a stop string, or a line with
    /// which the response ends.
    pub(super) fn is_complete(
        &self,
        prompt: &[u32],
        answer: &[u32],
    ) -> Result<bool, TokenizerError> {
        if self.completes_last_line(prompt, answer)? {
            return Ok(true);
        }
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

    fn completes_last_line(&self, prompt: &[u32], answer: &[u32]) -> Result<bool, TokenizerError> {
        let (Some(ends), Some((last, before))) = (self.ends, answer.split_last()) else {
            return Ok(false);
        };
        let before = if before.is_empty() { prompt } else { before };
        let context = &before[before.len().saturating_sub(CONTEXT)..];
        // Only a complete line changes anything, and most tokens complete none.
        if !self.tokenizer.added(context, &[*last])?.contains('\n') {
            return Ok(false);
        }
        Ok(ends(&self.tokenizer.added(prompt, answer)?).is_some())
    }

    /// The text of a response after its prompt, up to its end by a stop string or its lines.
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
            .chain(self.ends.and_then(|ends| ends(text)))
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

    #[test]
    fn an_answer_ends_where_its_complete_lines_say_so() {
        let tokenizer = Tokenizer::train(["Ada sang.\nAda sang.\n\n"; 9].into_iter(), 280).unwrap();
        let ends: EndOfLines = |text| text.rfind('\n').and_then(|end| text[..end].find("Bo"));
        let stops = Stops::new(&tokenizer, &[]).with_end(ends);
        let prompt = tokenizer.encode_prompt("Bo\n").unwrap();
        for (text, expected) in [
            ("Ada sang.\nBo sang.\nAda", "Ada sang.\n"),
            ("Ada sang.\nBo sang.", "Ada sang.\nBo sang."),
            ("Ada sang.\nAda\n", "Ada sang.\nAda\n"),
            ("Bo\n", ""),
        ] {
            let tokens = tokenizer.encode_continuation(text).unwrap();
            let text_of = |count: usize| stops.text(&prompt, &tokens[..count]).unwrap();
            assert_eq!(text_of(tokens.len()), expected);
            let mut counts = 1..=tokens.len();
            let first = counts.find(|count| stops.is_complete(&prompt, &tokens[..*count]).unwrap());
            assert_eq!(first.is_some(), expected != text, "{text:?}");
            assert!(first.is_none_or(|count| text_of(count) == expected), "{text:?}");
        }
    }
}
