//! Sentences of an answer without its markup, and where their words stand in the answer.

use super::{
    align::align,
    markup::prose,
    segment::{BLOCK, ranges},
};
use crate::rows::CharSpan;

/// A sentence of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerSentence {
    /// Its text without markup.
    pub text: String,
    /// Place of each of its characters among the answer's characters.
    places: Vec<usize>,
}

/// The sentences of an answer, without headings, code and marks.
pub fn answer_sentences(answer: &str) -> Vec<AnswerSentence> {
    let prose = prose(answer);
    let sentence = |(start, end): (usize, usize)| {
        let kept = (start..end).filter(|index| prose.letters[*index] != BLOCK);
        let (text, places) = kept.map(|index| (prose.letters[index], prose.places[index])).unzip();
        AnswerSentence { text, places }
    };
    let sentences = ranges(&prose.letters).into_iter().map(sentence);
    sentences.filter(|sentence| sentence.text.chars().any(char::is_alphanumeric)).collect()
}

impl AnswerSentence {
    /// Its characters in the answer, from the first to the last one.
    pub fn span(&self) -> CharSpan {
        self.range(0, self.places.len())
    }

    /// The pieces of the answer that state a claim; empty if they have no word in common.
    pub fn pieces(&self, claim: &str) -> Vec<CharSpan> {
        let pieces = align(claim, &self.text).into_iter();
        let mut found: Vec<CharSpan> = Vec::new();
        for span in pieces.map(|piece| self.range(piece.start(), piece.end())) {
            match found.last_mut() {
                // Letters of one entity in the answer's source share a place.
                Some(last) if span.start() < last.end() => {
                    *last = CharSpan::new(last.start(), last.end().max(span.end()));
                }
                _ => found.push(span),
            }
        }
        found
    }

    fn range(&self, start: usize, end: usize) -> CharSpan {
        match self.places.get(start..end) {
            Some([first, .., last]) => CharSpan::new(*first, last + 1),
            Some([only]) => CharSpan::new(*only, only + 1),
            _ => CharSpan::new(0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_places_in_the_answer_with_its_markup() {
        let answer = "# Life\n\n- \u{c4}da **was born** in [Oslo](x)[1]. She sang.";
        let sentences = answer_sentences(answer);
        let texts: Vec<&str> = sentences.iter().map(|sentence| &*sentence.text).collect();
        assert_eq!(texts, ["\u{c4}da was born in Oslo.", "She sang."]);
        let pieces = |claim: &str| -> Vec<String> {
            sentences[0].pieces(claim).iter().map(|span| span.of(answer)).collect()
        };
        assert_eq!(pieces("She was born in Oslo."), ["was born** in [Oslo"]);
        assert_eq!(pieces("Nothing here"), [""; 0]);
        assert_eq!(sentences[1].span().of(answer), "She sang.");
    }
}
