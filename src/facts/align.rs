//! Alignment of a claim with the text that states it, word by word.

use rust_stemmers::{Algorithm, Stemmer};

use crate::rows::CharSpan;

use super::{
    scan::tokens,
    similarity::{is_content, stem},
    token::Token,
};

/// The pieces of a text that state a claim, as ranges of characters in order: the longest common
/// subsequence of their stemmed words, then that of the content words that are left (a claim may
/// say last what its sentence says first), until no word is in common. Words that follow each other
/// in the text are one piece. Words of the claim that the text does not have, such as the name in
/// place of a pronoun, are in no piece; without common words there is none.
///
/// Of several subsequences the one with most content words is taken, then with most words, then
/// with the fewest pieces.
pub fn align(claim: &str, text: &str) -> Vec<CharSpan> {
    let stemmer = Stemmer::create(Algorithm::English);
    let said = tokens(text);
    let mut asked: Vec<Option<String>> =
        tokens(claim).iter().map(|token| Some(stem(&stemmer, &token.word))).collect();
    let mut open: Vec<Option<String>> =
        said.iter().map(|token| Some(stem(&stemmer, &token.word))).collect();
    let mut found: Vec<usize> = Vec::new();
    loop {
        let pairs = common(&asked, &open);
        if pairs.is_empty() {
            break;
        }
        for (one, two) in pairs {
            (asked[one], open[two]) = (None, None);
            found.push(two);
        }
        // Articles and the like stand everywhere; only words with content are looked for again.
        for word in &mut asked {
            *word = word.take().filter(|word| is_content(word));
        }
    }
    found.sort_unstable();
    spans(&found, &said)
}

/// The ranges of words in order; neighbours are one piece.
fn spans(words: &[usize], said: &[Token]) -> Vec<CharSpan> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for index in words {
        match pieces.last_mut() {
            // Two words of a contraction share their characters.
            Some((_, last)) if *last + 1 == *index || said[*last].end > said[*index].start => {
                *last = *index;
            }
            _ => pieces.push((*index, *index)),
        }
    }
    let span = |(first, last): (usize, usize)| CharSpan::new(said[first].start, said[last].end);
    pieces.into_iter().map(span).collect()
}

/// Weight of a content word and of another word in a subsequence; a new piece costs 1.
const CONTENT: i64 = 1_000;
const EMPTY: i64 = 20;

/// The best common subsequence, as places in both.
fn common(asked: &[Option<String>], said: &[Option<String>]) -> Vec<(usize, usize)> {
    let sums = Sums::of(asked, said);
    let mut found = Vec::new();
    // Whether the word before is matched, so that this one begins no piece.
    let (mut row, mut column, mut goes_on) = (0, 0, false);
    while row < asked.len() && column < said.len() {
        let at = sums.at(row, column);
        if goes_on && sums.next[at] >= sums.any[at] && sums.next[at] > 0 {
            while sums.both[sums.at(row, column)] != sums.next[at] {
                row += 1;
            }
            found.push((row, column));
            (row, column) = (row + 1, column + 1);
            continue;
        }
        goes_on = sums.any[at] > 0 && sums.both[at] - 1 == sums.any[at];
        if goes_on {
            found.push((row, column));
            (row, column) = (row + 1, column + 1);
        } else if sums.any[at] == 0 {
            break;
        } else if sums.any[at] == sums.any[at + 1] {
            column += 1;
        } else {
            row += 1;
        }
    }
    found
}

/// The best sums of weights from each pair of places on.
struct Sums {
    /// Pairs of a row.
    width: usize,
    /// With any word next.
    any: Vec<i64>,
    /// With this word of the text next.
    next: Vec<i64>,
    /// With both words of the pair matched.
    both: Vec<i64>,
}

/// The sum of words that cannot be matched.
const NEVER: i64 = -1;

impl Sums {
    fn of(asked: &[Option<String>], said: &[Option<String>]) -> Self {
        // Places behind the last words spare the sums a check of their bounds.
        let width = said.len() + 2;
        let size = (asked.len() + 2) * width;
        let mut sums =
            Self { width, any: vec![0; size], next: vec![NEVER; size], both: vec![NEVER; size] };
        // A sum needs those of the places after it, so that the last ones come first.
        for row in (0..asked.len()).rev() {
            for column in (0..said.len()).rev() {
                let at = sums.at(row, column);
                let below = at + width;
                if let (Some(one), Some(two)) = (&asked[row], &said[column])
                    && one == two
                {
                    let weight = if is_content(one) { CONTENT } else { EMPTY };
                    sums.both[at] = weight + sums.any[below + 1].max(sums.next[below + 1]);
                }
                sums.next[at] = sums.next[below].max(sums.both[at]);
                sums.any[at] = sums.any[below].max(sums.any[at + 1]).max(sums.both[at] - 1);
            }
        }
        sums
    }

    fn at(&self, row: usize, column: usize) -> usize {
        row * self.width + column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(claim: &str, text: &str) -> Vec<String> {
        let spans = align(claim, text);
        assert!(spans.windows(2).all(|pair| pair[0].end() <= pair[1].start()));
        spans.iter().map(|span| span.of(text)).collect()
    }

    #[test]
    fn a_claim_is_the_words_that_it_shares_with_the_text_in_order() {
        let text = "She won prizes in Oslo (1901) and Bergen, and directed a film.";
        assert_eq!(pieces("Ada Quill won prizes in Oslo.", text), ["won prizes in Oslo"]);
        assert_eq!(pieces("Ada Quill won a prize in Bergen.", text), ["won prizes in", "Bergen"]);
        assert_eq!(pieces("She directs films.", text), ["She", "directed", "film"]);
        assert_eq!(pieces("She directed prizes.", text), ["She", "prizes", "directed"]);
        assert_eq!(pieces("Nothing like it", text), [""; 0]);
        assert_eq!(pieces("", ""), [""; 0]);
    }

    #[test]
    fn places_are_characters_and_words_near_each_other_are_preferred() {
        let text = "É vrai: é Göödel sang in Oslo, and sang in Bergen.";
        assert_eq!(pieces("Then she sang in Bergen.", text), ["sang in Bergen"]);
        assert_eq!(pieces("Göödel sang.", text), ["Göödel sang"]);
        assert_eq!(pieces("She wasn't there.", "He wasn't there."), ["wasn't there"]);
    }
}
