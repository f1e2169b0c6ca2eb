//! Where the characters of an answer stand in the text that a model reads.

use super::tokenizer::Place;
use crate::language::Message;

/// The stretches of a text that are an answer's characters.
pub(super) struct Said {
    stretches: Vec<Stretch>,
    /// The answer's characters.
    length: usize,
}

/// Characters of an answer that stand together in the text.
struct Stretch {
    /// Where they begin in the text.
    in_text: usize,
    /// Where they begin in the answer.
    in_answer: usize,
    length: usize,
}

impl Said {
    /// An answer that follows its prompt.
    pub(super) fn after(prompt: &str, answer: &str) -> Self {
        let length = answer.chars().count();
        Self { stretches: vec![Stretch { in_text: prompt.chars().count(), in_answer: 0, length }], length }
    }

    /// Messages in the text that a template made of them and of those before; `begun` is the text before the first of
    /// them, where the template begins an answer. A template may trim what it writes.
    pub(super) fn in_messages(text: &str, begun: &str, answer: &[Message]) -> Self {
        let shared = text.char_indices().zip(begun.chars()).take_while(|((_, one), other)| one == other);
        let mut from = shared.last().map_or(0, |((place, last), _)| place + last.len_utf8());
        let (mut stretches, mut in_answer) = (Vec::new(), 0);
        for (number, message) in answer.iter().enumerate() {
            let content = message.content.as_str();
            // Messages stand one below the other in an answer's text.
            in_answer += usize::from(number > 0);
            if let Some((place, wanted)) = find(text, from, content) {
                let trimmed = if wanted == content { 0 } else { leading_spaces(content) };
                let in_text = text[..place].chars().count();
                let length = wanted.chars().count();
                stretches.push(Stretch { in_text, in_answer: in_answer + trimmed, length });
                from = place + wanted.len();
            }
            in_answer += content.chars().count();
        }
        Self { stretches, length: in_answer }
    }

    /// Where in the answer a token of the text stands; an empty range where it says nothing of the answer.
    pub(super) fn place(&self, token: Option<Place>) -> [usize; 2] {
        let Some([from, to]) = token else { return [self.length; 2] };
        let mut found: Option<[usize; 2]> = None;
        let mut before = 0;
        for Stretch { in_text, in_answer, length } in &self.stretches {
            let (first, last) = (from.max(*in_text), to.min(in_text + length));
            if first < last {
                let [first, last] = [first - in_text + in_answer, last - in_text + in_answer];
                found = Some(found.map_or([first, last], |[earlier, _]| [earlier, last]));
            }
            if from >= in_text + length {
                before = in_answer + length;
            }
        }
        let is_after = self.stretches.last().is_none_or(|last| from >= last.in_text + last.length);
        found.unwrap_or(if is_after { [self.length; 2] } else { [before; 2] })
    }
}

/// A content in a text, whole or trimmed: after a place where it can be found there, or else the last one.
fn find<'a>(text: &str, from: usize, content: &'a str) -> Option<(usize, &'a str)> {
    let after = |wanted: &'a str| text[from..].find(wanted).map(|place| (from + place, wanted));
    let last = |wanted: &'a str| text.rfind(wanted).map(|place| (place, wanted));
    let trimmed = content.trim();
    after(content).or_else(|| after(trimmed)).or_else(|| last(content)).or_else(|| last(trimmed))
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

    /// The characters of `said` that tokens of one character each stand for, with a stroke where they stand for none.
    fn drawn(said: &Said, text: &str, answer: &str) -> String {
        let answer: Vec<char> = answer.chars().collect();
        let place = |place: usize| said.place(Some([place, place + 1]));
        let shown = |[from, to]: [usize; 2]| if from == to { '-' } else { answer[from] };
        (0..text.chars().count()).map(|token| shown(place(token))).collect()
    }

    #[test]
    fn an_answer_stands_behind_its_prompt() {
        let said = Said::after("Wér? ", "Ada…");
        assert_eq!(drawn(&said, "Wér? Ada…</s>", "Ada…"), "-----Ada…----");
        assert_eq!(said.place(Some([3, 7])), [0, 2], "a token that reaches over the boundary");
        assert_eq!((said.place(None), said.place(Some([0, 2]))), ([4; 2], [0; 2]));
        assert_eq!(Said::after("Who?", "").place(Some([4, 4])), [0; 2]);
    }

    #[test]
    fn a_message_is_found_behind_what_begins_it_and_not_in_what_ends_it() {
        let (text, begun) = ("<u>end<|im_end|><a>end<|im_end|>", "<u>end<|im_end|><a>");
        let said = Said::in_messages(text, begun, &[message("end")]);
        assert_eq!(drawn(&said, text, "end"), "-------------------end----------");
        let trimmed = Said::in_messages("<a>Ada</a>", "<a>", &[message("  Ada\n")]);
        assert_eq!(drawn(&trimmed, "<a>Ada</a>", "  Ada\n"), "---Ada----");
        assert_eq!(trimmed.place(Some([3, 6])), [2, 5]);
        let two = [message("Ada"), message("Bob")];
        let said = Said::in_messages("<a>Ada<b>Bob</b>", "<a>", &two);
        assert_eq!(drawn(&said, "<a>Ada<b>Bob</b>", "Ada\nBob"), "---Ada---Bob----");
    }
}
