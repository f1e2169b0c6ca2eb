//! Positions of a completion's characters in the text that a model reads.

use crate::rows::{CharSpan, Message};

/// The ranges of a text that belong to a completion.
pub(super) struct Said {
    spans: Vec<AnswerSpan>,
    /// Number of the completion's characters.
    length: usize,
}

/// A contiguous range of a completion's characters in the text.
struct AnswerSpan {
    /// Its start in the text.
    in_text: usize,
    /// Its start in the completion.
    in_answer: usize,
    length: usize,
}

impl Said {
    /// The spans of a completion after its prompt.
    pub(super) fn after(prompt: &str, answer: &str) -> Self {
        let length = answer.chars().count();
        Self {
            spans: vec![AnswerSpan { in_text: prompt.chars().count(), in_answer: 0, length }],
            length,
        }
    }

    /// Messages in the text that a template made of them and of those before; `begun` is the text
    /// before the first of them, where the template begins a completion. A template may trim what
    /// it writes.
    pub(super) fn in_messages(text: &str, begun: &str, answer: &[Message]) -> Self {
        let shared =
            text.char_indices().zip(begun.chars()).take_while(|((_, one), other)| one == other);
        let mut from = shared.last().map_or(0, |((place, last), _)| place + last.len_utf8());
        let (mut spans, mut in_answer) = (Vec::new(), 0);
        for (number, message) in answer.iter().enumerate() {
            let content = message.content.as_str();
            // Messages are on separate lines in a completion's text.
            in_answer += usize::from(number > 0);
            if let Some((place, wanted)) = find(text, from, content) {
                let trimmed = if wanted == content { 0 } else { leading_spaces(content) };
                let in_text = text[..place].chars().count();
                let length = wanted.chars().count();
                spans.push(AnswerSpan { in_text, in_answer: in_answer + trimmed, length });
                from = place + wanted.len();
            }
            in_answer += content.chars().count();
        }
        Self { spans, length: in_answer }
    }

    /// Range of a token in the completion; empty if it belongs to no character of the completion.
    pub(super) fn place(&self, token: Option<CharSpan>) -> CharSpan {
        let Some([from, to]) = token.map(<[usize; 2]>::from) else {
            return CharSpan::empty(self.length);
        };
        let mut found: Option<CharSpan> = None;
        let mut before = 0;
        for AnswerSpan { in_text, in_answer, length } in &self.spans {
            let (first, last) = (from.max(*in_text), to.min(in_text + length));
            if first < last {
                let first = found.map_or(first - in_text + in_answer, CharSpan::start);
                found = Some(CharSpan::new(first, last - in_text + in_answer));
            }
            if from >= in_text + length {
                before = in_answer + length;
            }
        }
        let is_after = self.spans.last().is_none_or(|last| from >= last.in_text + last.length);
        found.unwrap_or(CharSpan::empty(if is_after { self.length } else { before }))
    }
}

/// A content in a text, whole or trimmed: the first occurrence after an index, or else the last
/// one.
fn find<'a>(text: &str, from: usize, content: &'a str) -> Option<(usize, &'a str)> {
    let wanted = [content, content.trim()];
    for wanted in wanted {
        if let Some(place) = text[from..].find(wanted) {
            return Some((from + place, wanted));
        }
    }
    // A template may move messages, such as a system prompt into the first turn of the user.
    wanted.into_iter().find_map(|wanted| Some((text.rfind(wanted)?, wanted)))
}

fn leading_spaces(content: &str) -> usize {
    content.chars().take_while(|character| character.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &str) -> Message {
        Message { role: "assistant".to_owned(), content: content.to_owned() }
    }

    fn place(said: &Said, from: usize, to: usize) -> CharSpan {
        said.place(Some(CharSpan::new(from, to)))
    }

    /// The characters of `said` that tokens of one character each stand for, with a stroke where
    /// they stand for none.
    fn drawn(said: &Said, text: &str, answer: &str) -> String {
        let answer: Vec<char> = answer.chars().collect();
        let place = |place: usize| said.place(Some(CharSpan::new(place, place + 1)));
        let shown = |span: CharSpan| if span.is_empty() { '-' } else { answer[span.start()] };
        (0..text.chars().count()).map(|token| shown(place(token))).collect()
    }

    #[test]
    fn an_answer_stands_behind_its_prompt() {
        let said = Said::after("Wér? ", "Ada…");
        assert_eq!(drawn(&said, "Wér? Ada…</s>", "Ada…"), "-----Ada…----");
        assert_eq!(
            place(&said, 3, 7),
            CharSpan::new(0, 2),
            "a token that reaches over the boundary"
        );
        assert_eq!(
            (said.place(None), place(&said, 0, 2)),
            (CharSpan::empty(4), CharSpan::empty(0))
        );
        assert_eq!(place(&Said::after("Who?", ""), 4, 4), CharSpan::empty(0));
    }

    #[test]
    fn a_message_is_found_behind_what_begins_it_and_not_in_what_ends_it() {
        let (text, begun) = ("<u>end<|im_end|><a>end<|im_end|>", "<u>end<|im_end|><a>");
        let said = Said::in_messages(text, begun, &[message("end")]);
        assert_eq!(drawn(&said, text, "end"), "-------------------end----------");
        let trimmed = Said::in_messages("<a>Ada</a>", "<a>", &[message("  Ada\n")]);
        assert_eq!(drawn(&trimmed, "<a>Ada</a>", "  Ada\n"), "---Ada----");
        assert_eq!(place(&trimmed, 3, 6), CharSpan::new(2, 5));
        let two = [message("Ada"), message("Bob")];
        let said = Said::in_messages("<a>Ada<b>Bob</b>", "<a>", &two);
        assert_eq!(drawn(&said, "<a>Ada<b>Bob</b>", "Ada\nBob"), "---Ada---Bob----");
    }
}
