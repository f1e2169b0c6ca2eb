//! Cuts an article into passages of limited length at the bounds of sentences.

use std::cell::OnceCell;

use crate::{
    facts::{Ranking, is_unspaced, sentences},
    rows::{CharSpan, Evidence},
};

use super::marks::{SEPARATOR, plain};

/// An article as passages, with their words counted.
pub(super) struct CutArticle {
    /// The passages in the order of the article.
    passages: Vec<CutPassage>,
    /// Tokens of all of them.
    pub(super) tokens: usize,
    /// The words of the passages.
    pub(super) ranking: Ranking,
}

/// A passage of an article.
struct CutPassage {
    /// It, without sentences if FActScore marked it.
    passage: Evidence,
    /// The same with its sentences. They are found when the passage is first asked for, since most
    /// passages of a long article never are, and then kept, since others are for every claim.
    whole: OnceCell<Evidence>,
}

impl CutPassage {
    fn whole(&self) -> &Evidence {
        if !self.passage.sentences.is_empty() {
            return &self.passage;
        }
        self.whole.get_or_init(|| {
            let found = sentences(&self.passage.text).into_iter();
            let spans = found.map(|sentence| CharSpan::new(sentence.start, sentence.end));
            Evidence { sentences: spans.collect(), ..self.passage.clone() }
        })
    }
}

impl CutArticle {
    /// Number of passages.
    pub(super) fn len(&self) -> usize {
        self.passages.len()
    }

    /// A passage with its sentences; none behind the last one.
    pub(super) fn passage(&self, index: usize) -> Option<Evidence> {
        self.passages.get(index).map(|passage| passage.whole().clone())
    }

    /// The texts of the passages.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.passages.iter().map(|passage| passage.passage.text.as_str())
    }
}

/// The approximate number of tokens of a text: one for every eight letters begun of each word, and
/// one for each mark and each letter of a script without spaces. English text has about as many
/// tokens in the vocabularies of RoBERTa and Llama.
pub fn approximate_tokens(text: &str) -> usize {
    let (mut tokens, mut letters) = (0, 0);
    for letter in text.chars() {
        if letter.is_alphanumeric() && !is_unspaced(letter) {
            if letters % 8 == 0 {
                tokens += 1;
            }
            letters += 1;
        } else {
            letters = 0;
            tokens += usize::from(!letter.is_whitespace());
        }
    }
    tokens
}

/// Cuts the text of an article into passages of at most `max_tokens` tokens. The passages that
/// FActScore marked are kept, unless they have more than twice as many.
pub(super) fn cut(title: &str, text: &str, max_tokens: usize) -> CutArticle {
    let mut passages = Vec::new();
    let mut tokens = 0;
    let is_marked = text.contains(SEPARATOR);
    for part in text.split(SEPARATOR) {
        let part = plain(part);
        let part = part.trim();
        let length = approximate_tokens(part);
        if is_marked && length <= 2 * max_tokens {
            tokens += length;
            if !part.is_empty() {
                passages.push(Evidence::new(title, part));
            }
        } else {
            tokens += cut_part(title, part, max_tokens, &mut passages);
        }
    }
    let ranking = Ranking::new(passages.iter().map(|passage| passage.text.as_str()));
    let passages = passages.into_iter();
    let passages = passages.map(|passage| CutPassage { passage, whole: OnceCell::new() });
    CutArticle { passages: passages.collect(), tokens, ranking }
}

/// Fills passages with sentences; a sentence that is too long is cut between words. Returns the
/// tokens of all.
fn cut_part(title: &str, part: &str, max_tokens: usize, passages: &mut Vec<Evidence>) -> usize {
    let letters: Vec<char> = part.chars().collect();
    let mut taken: Vec<CharSpan> = Vec::new();
    let (mut tokens, mut all) = (0_usize, 0);
    for sentence in sentences(part) {
        for (start, end, length) in pieces(&sentence.text, max_tokens) {
            if tokens.saturating_add(length) > max_tokens && !taken.is_empty() {
                passages.push(passage(title, &letters, &taken));
                taken.clear();
                tokens = 0;
            }
            taken.push(CharSpan::new(sentence.start + start, sentence.start + end));
            tokens += length;
            all += length;
        }
    }
    if !taken.is_empty() {
        passages.push(passage(title, &letters, &taken));
    }
    all
}

/// A sentence as pieces of at most `max_tokens` tokens: start, end (in characters) and tokens of
/// each.
fn pieces(sentence: &str, max_tokens: usize) -> Vec<(usize, usize, usize)> {
    let whole = approximate_tokens(sentence);
    if whole <= max_tokens {
        return vec![(0, sentence.chars().count(), whole)];
    }
    let mut pieces: Vec<(usize, usize, usize)> = Vec::new();
    let (mut place, mut tokens, mut start, mut end) = (0, 0, 0, 0);
    for word in sentence.split_inclusive(char::is_whitespace) {
        let length = approximate_tokens(word);
        // A first word that is over the limit alone would otherwise leave an empty piece.
        if tokens + length > max_tokens && end > start {
            pieces.push((start, end, tokens));
            (start, tokens) = (place, 0);
        }
        end = place + word.trim_end().chars().count();
        place += word.chars().count();
        tokens += length;
    }
    pieces.push((start, end, tokens));
    pieces
}

/// The passage from the first of these sentences to the last one.
fn passage(title: &str, letters: &[char], taken: &[CharSpan]) -> Evidence {
    let (start, end) = (taken[0].start(), taken[taken.len() - 1].end());
    let sentences =
        taken.iter().map(|span| CharSpan::new(span.start() - start, span.end() - start));
    Evidence {
        title: title.to_owned(),
        text: letters[start..end].iter().collect(),
        sentences: sentences.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(article: &CutArticle) -> Vec<&str> {
        article.texts().collect()
    }

    #[test]
    fn tokens_are_counted() {
        for (text, tokens) in [
            ("", 0),
            ("She sang.", 3),
            ("internationalisation", 3),
            ("1867-11-07", 5),
            ("\u{739b}\u{4e3d}\u{3002}", 3),
        ] {
            assert_eq!(approximate_tokens(text), tokens, "{text}");
        }
    }

    #[test]
    fn passages_end_with_sentences_and_know_them() {
        let text = "Ada Quill sang. She was b\u{f6}rn in Oslo.\nHer sister danced. She died.";
        let article = cut("Ada Quill", text, 12);
        assert_eq!(
            texts(&article),
            ["Ada Quill sang. She was b\u{f6}rn in Oslo.", "Her sister danced. She died."]
        );
        let first = article.passage(0).unwrap();
        let spans: Vec<String> = first.sentences.iter().map(|span| span.of(&first.text)).collect();
        assert_eq!(spans, ["Ada Quill sang.", "She was b\u{f6}rn in Oslo."]);
        assert_eq!(article.tokens, 17);
        assert!(cut("Ada Quill", " \n ", 12).len() == 0);
    }

    #[test]
    fn a_long_sentence_is_cut_between_words() {
        let article = cut("T", "One two three four five six seven", 3);
        assert_eq!(texts(&article), ["One two three", "four five six", "seven"]);
        // A single word that is too long stays whole.
        assert_eq!(
            texts(&cut("T", "a internationalisations b", 2)),
            ["a", "internationalisations", "b"]
        );
    }

    #[test]
    fn marked_passages_are_kept() {
        let text = format!("<s>One. Two.</s><s>Three</s>{SEPARATOR}four five.</s>{SEPARATOR} ");
        let article = cut("T", &text, 4);
        assert_eq!(texts(&article), ["One. Two.\nThree", "four five."]);
        let first = article.passage(0).unwrap();
        assert_eq!(first.sentences.len(), 3);
        // The sentences of a passage are found once, and only if it is asked for.
        let kept: Vec<bool> =
            article.passages.iter().map(|passage| passage.whole.get().is_some()).collect();
        assert_eq!(kept, [true, false]);
        assert_eq!(article.passages[0].whole.get(), Some(&first));
        assert_eq!(texts(&cut("T", &text, 2)), ["One.", "Two.", "Three", "four five."]);
    }
}
