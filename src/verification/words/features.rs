//! The features of a claim beside passages. Those with a positive coefficient can only fall when a
//! word of the claim is replaced by one that the passages lack, or when such a word is added; those
//! with a negative one can only rise. So neither makes a claim more probable.

use std::ops::Range;

use super::{
    lexicon::is_denial,
    passage::{ReadPassage, ReadSentence, SAME_WORD},
    question::{AskedWords, ReadWord, WordKind},
};

/// The names of the features, in their order.
pub const FEATURES: [&str; 21] = [
    "sentence",
    "window",
    "neighbours",
    "passage",
    "all_passages",
    "first_sentence",
    "pairs_of_words",
    "order",
    "whole_in_sentence",
    "whole_in_passages",
    "only_word",
    "number_in_context",
    "name_in_context",
    "missing_weight",
    "missing_number",
    "missing_name",
    "missing_names_weight",
    "has_number",
    "has_name",
    "other_number",
    "denied",
];

/// Values of [`FEATURES`].
pub type Features = [f64; FEATURES.len()];

/// A word that a sentence has at least this strongly counts as found in it.
const FOUND: f64 = 0.5;
/// Number of words that count as near to each other.
const WINDOW: usize = 12;
/// Number of words before a word in which a denial concerns it.
const REACH: usize = 3;
/// Scale of weights, so that features have similar ranges.
const SCALE: f64 = 10.0;

/// A claim beside passages: how strongly each sentence has each of its words.
pub(super) struct Compared<'a> {
    asked: &'a AskedWords,
    sentences: Vec<&'a ReadSentence>,
    /// The sentences of each passage.
    passages: Vec<Range<usize>>,
    strengths: Vec<Vec<f64>>,
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

impl<'a> Compared<'a> {
    /// Compares a claim with passages, best first.
    pub(super) fn new(
        asked: &'a AskedWords,
        passages: impl IntoIterator<Item = &'a ReadPassage>,
    ) -> Self {
        let (mut sentences, mut ranges) = (Vec::new(), Vec::new());
        for passage in passages {
            let start = sentences.len();
            sentences.extend(&passage.sentences);
            ranges.push(start..sentences.len());
        }
        let of_words = |sentence: &&ReadSentence| {
            asked.content.iter().map(|word| sentence.strength(word)).collect()
        };
        let strengths = sentences.iter().map(of_words).collect();
        Self { asked, sentences, passages: ranges, strengths }
    }

    /// The weight of the claim's words that each sentence has.
    pub(super) fn found(&self) -> Vec<f64> {
        self.strengths.iter().map(|found| self.asked.found(found.iter().copied())).collect()
    }

    /// The features.
    pub(super) fn features(&self) -> Features {
        // By weight, not by share: one more missing word must not change which sentence is best.
        let best = best(&self.found());
        let together = self.together(0..self.sentences.len());
        let [numbers, names] =
            [WordKind::Number, WordKind::Name].map(|kind| self.words_of_kind(kind));
        let exact = self.exact();
        let lacks = |words: &[usize]| words.iter().any(|word| exact[*word] < SAME_WORD);
        let missing = |words: &mut dyn Iterator<Item = usize>, found: &[f64]| -> f64 {
            words.map(|word| self.asked.weights[word] * (1.0 - found[word])).sum::<f64>() / SCALE
        };
        let every = 0..self.asked.content.len();
        let is_whole = |found: &[f64]| flag(!found.is_empty() && found.iter().all(|f| *f >= FOUND));
        let whole_in_sentence = largest(self.strengths.iter().map(|found| is_whole(found)));
        [
            best.map_or(0.0, |best| self.share_of(best..best + 1)),
            largest(self.sentences.iter().map(|sentence| self.window(sentence))),
            largest(self.neighbours().map(|range| self.share_of(range))),
            largest(self.passages.iter().map(|range| self.share_of(range.clone()))),
            self.asked.share(together.iter().copied()),
            self.passages
                .first()
                .map_or(0.0, |first| self.share_of(first.start..first.end.min(first.start + 1))),
            self.pairs(),
            best.map_or(0.0, |best| self.order(self.sentences[best])),
            whole_in_sentence,
            is_whole(&together),
            flag(every.len() == 1) * whole_in_sentence,
            self.in_context(&numbers),
            self.in_context(&names),
            missing(&mut every.clone(), &together),
            flag(lacks(&numbers)),
            flag(lacks(&names)),
            missing(&mut names.iter().copied(), &exact),
            flag(!numbers.is_empty()),
            flag(!names.is_empty()),
            flag(self.has_other_number(&numbers)),
            // A claim that denies is judged by a rule, since people labelled too few of them.
            flag(!self.asked.denies && best.is_some_and(|best| self.is_denied(best))),
        ]
    }

    /// Whether the sentence with the most words of the claim denies it where the claim does not,
    /// or the other way round.
    pub(super) fn differs_in_denial(&self) -> bool {
        best(&self.found()).is_some_and(|best| self.asked.denies != self.is_denied(best))
    }

    fn words_of_kind(&self, kind: WordKind) -> Vec<usize> {
        let words = self.asked.content.iter().enumerate();
        words.filter(|(_, word)| word.kind == kind).map(|(index, _)| index).collect()
    }

    /// How strongly sentences have each word between them.
    fn together(&self, range: Range<usize>) -> Vec<f64> {
        let of_word = |word| largest(self.strengths[range.clone()].iter().map(|found| found[word]));
        (0..self.asked.content.len()).map(of_word).collect()
    }

    /// The same, where only the same word counts.
    fn exact(&self) -> Vec<f64> {
        let together = self.together(0..self.sentences.len());
        together.into_iter().map(|found| flag(found >= SAME_WORD)).collect()
    }

    fn share_of(&self, range: Range<usize>) -> f64 {
        self.asked.share(self.together(range).into_iter())
    }

    /// Two sentences of a passage that follow each other, or its only one.
    fn neighbours(&self) -> impl Iterator<Item = Range<usize>> {
        self.passages.iter().flat_map(|passage| {
            let last = passage.end.saturating_sub(1).max(passage.start + 1).min(passage.end);
            (passage.start..last).map(|start| start..(start + 2).min(passage.end))
        })
    }

    /// The largest share of the claim's weight among near words of a sentence.
    fn window(&self, sentence: &ReadSentence) -> f64 {
        let places: Vec<Vec<usize>> =
            self.asked.content.iter().map(|word| sentence.places_of(word)).collect();
        // A window that begins at none of the words has no more of them than one that does.
        let starts = places.iter().flatten().copied();
        largest(starts.map(|start| {
            let is_near =
                |places: &Vec<usize>| places.iter().any(|at| (start..start + WINDOW).contains(at));
            self.asked.share(places.iter().map(|places| flag(is_near(places))))
        }))
    }

    /// Share of the claim's pairs of neighbours that some sentence has.
    fn pairs(&self) -> f64 {
        let has = |[one, two]: &&[String; 2]| {
            self.sentences.iter().any(|sentence| {
                let places = sentence.places.get(one).into_iter().flatten();
                let mut next = places.filter_map(|place| sentence.words.get(place + 1));
                next.any(|word| word.stem == *two)
            })
        };
        let count = self.asked.pairs.len();
        if count == 0 {
            0.0
        } else {
            self.asked.pairs.iter().filter(has).count() as f64 / count as f64
        }
    }

    /// Share of the claim's neighbouring content words that a sentence has in the same order.
    fn order(&self, sentence: &ReadSentence) -> f64 {
        let first = |word: &ReadWord| sentence.places_of(word).first().copied();
        let places: Vec<Option<usize>> = self.asked.content.iter().map(first).collect();
        let is_ordered =
            |pair: &&[Option<usize>]| matches!(pair, [Some(one), Some(two)] if one < two);
        let ordered = places.windows(2).filter(is_ordered).count();
        // Of all neighbours, not of those found: losing a word must not improve the order.
        ordered as f64 / (places.len().max(2) - 1) as f64
    }

    /// Share of the other words' weight in the best sentence that has all of these.
    fn in_context(&self, words: &[usize]) -> f64 {
        if words.is_empty() {
            return 0.0;
        }
        let has_all = |found: &&Vec<f64>| words.iter().all(|word| found[*word] >= SAME_WORD);
        let shares = self.strengths.iter().filter(has_all).map(|found| {
            let [own, whole] = self.weigh_without(words, found);
            if whole > 0.0 { own / whole } else { 1.0 }
        });
        largest(shares)
    }

    /// The weight found of the words other than these, and their whole weight.
    fn weigh_without(&self, words: &[usize], found: &[f64]) -> [f64; 2] {
        let (mut own, mut whole) = (0.0, 0.0);
        for word in (0..found.len()).filter(|word| !words.contains(word)) {
            own += self.asked.weights[word] * found[word];
            whole += self.asked.weights[word];
        }
        [own, whole]
    }

    /// Whether the sentence with most of the other words has another number of the same kind in
    /// place of the claimed one, such as another year.
    fn has_other_number(&self, numbers: &[usize]) -> bool {
        // Without other words, nothing tells which sentence is meant.
        if numbers.is_empty() || numbers.len() == self.asked.content.len() {
            return false;
        }
        let weights: Vec<f64> =
            self.strengths.iter().map(|found| self.weigh_without(numbers, found)[0]).collect();
        best(&weights).is_some_and(|best| {
            let lacking = numbers.iter().filter(|word| self.strengths[best][**word] < SAME_WORD);
            let mut lacking = lacking.map(|word| is_year(&self.asked.content[*word].form));
            lacking.any(|year| self.sentences[best].numbers().any(|known| is_year(known) == year))
        })
    }

    /// Whether a sentence denies something near the claim's words.
    fn is_denied(&self, sentence: usize) -> bool {
        let sentence = self.sentences[sentence];
        self.asked.content.iter().flat_map(|word| sentence.places_of(word)).any(|place| {
            let before = &sentence.words[place.saturating_sub(REACH)..place];
            before.iter().any(|word| is_denial(&word.form))
        })
    }
}

/// The place of the largest value, the first of equals; none without a value above 0.
pub(super) fn best(values: &[f64]) -> Option<usize> {
    let mut best = None;
    for (place, value) in values.iter().enumerate() {
        if *value > best.map_or(0.0, |best: usize| values[best]) {
            best = Some(place);
        }
    }
    best
}

/// Whether a number is a year or a date.
fn is_year(number: &str) -> bool {
    let digits = number.split('-').find(|part| !part.is_empty()).unwrap_or("");
    let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (number.contains('-') || (3..=4).contains(&digits.len()))
}
