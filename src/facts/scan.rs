//! Tokenisation of texts into words in their normal form, with case, possession, and the marks
//! between them.

use super::{
    number,
    token::Token,
    unicode::{Letter, is_letter, is_unspaced, letters, lower},
};

/// Expansion of a contraction.
const CONTRACTIONS: [(&str, &str); 5] =
    [("'m", "am"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'d", "would")];
/// What contractions other than `n't` are made with.
const CONTRACTED: &[&str] = &[
    "i", "you", "he", "she", "it", "we", "they", "who", "that", "there", "could", "would",
    "should", "might",
];
/// Words whose `'s` is `is` or `has`, and no possession.
const NOT_POSSESSIVE: &[&str] =
    &["it", "he", "she", "that", "there", "here", "who", "what", "where", "let"];
/// `n't` written without its apostrophe, where that is no other word.
const BARE_NEGATIONS: &[&str] = &[
    "didnt", "doesnt", "dont", "isnt", "wasnt", "arent", "werent", "hasnt", "havent", "hadnt",
    "couldnt", "wouldnt", "shouldnt", "mustnt", "cannot",
];

/// The words of a text, articles among them.
pub fn tokens(text: &str) -> Vec<Token> {
    let letters = letters(text);
    let mut scan =
        Scan { letters: &letters, found: Vec::new(), from: None, mark: None, hyphen: None };
    let mut index = 0;
    while index < letters.len() {
        // Each letter decides with its neighbours: a lookahead of one, or of a whole date.
        scan.step(index);
        index += 1;
    }
    scan.finish(letters.len());
    // Before initials are joined, which would make `A` part of a name.
    articles_in_capitals(&mut scan.found, text);
    let mut found = number::joined(initials(scan.found));
    // A text of articles alone is a name: `A`, `The The`.
    if found.iter().all(|token| token.article) {
        found.iter_mut().for_each(|token| token.article = false);
    }
    found
}

/// The words found up to a place.
struct Scan<'a> {
    letters: &'a [Letter],
    found: Vec<Token>,
    /// Where the word begins that is being read.
    from: Option<usize>,
    mark: Option<char>,
    /// Where the last hyphen stands.
    hyphen: Option<usize>,
}

impl Scan<'_> {
    fn at(&self, index: usize) -> Option<char> {
        self.letters.get(index).map(|letter| letter.letter)
    }

    fn step(&mut self, index: usize) {
        let letter = self.letters[index].letter;
        let before = index.checked_sub(1).and_then(|before| self.at(before));
        let after = self.at(index + 1);
        let digits_around = is_digit(before) && is_digit(after);
        let inside = self.from.is_some();
        let keeps = match letter {
            letter if is_unspaced(letter) => {
                self.finish(index);
                self.from = Some(index);
                self.finish(index + 1);
                return;
            }
            letter if is_letter(letter) => true,
            '\'' => inside && (before.is_some_and(is_letter)),
            // `.5` is a number, `. 5` the end of a sentence.
            '.' if !inside => is_digit(after) && before.is_none_or(char::is_whitespace),
            '.' => {
                digits_around || (after.is_some_and(char::is_alphabetic) && self.is_initial(index))
            }
            ',' => {
                inside
                    && digits_around
                    && (self.parts_thousands(index) || self.parts_decimals(index))
            }
            '+' | '#' => {
                let bounds = letter == '+' && is_digit(before);
                inside
                    && !after.is_some_and(is_letter)
                    && (bounds || before.is_some_and(|c| c.is_alphabetic() || c == '+'))
            }
            // A minus, or the hyphens of `1867-11-07`; elsewhere hyphens part words.
            '-' => {
                (!inside && is_digit(after) && !before.is_some_and(is_letter))
                    || (inside && self.is_in_iso_date(index))
            }
            _ => false,
        };
        match (keeps, inside) {
            (true, false) => self.from = Some(index),
            (true, true) => {}
            (false, _) => {
                self.finish(index);
                self.punctuate(letter, index);
            }
        }
    }

    /// Whether the word so far is letters with full stops between them, and a last letter follows:
    /// `J.R`, `Ph.D`.
    fn is_initial(&self, index: usize) -> bool {
        let start = self.from.unwrap_or(index);
        let word: String = self.letters[start..index].iter().map(|letter| letter.letter).collect();
        word.split('.')
            .all(|part| part.chars().count() <= 2 && part.chars().all(char::is_alphabetic))
            && !self.at(index + 2).is_some_and(|next| next.is_alphanumeric())
    }

    /// Whether a comma between digits parts thousands: three digits follow, or two and a
    /// comma again (`12,00,000`), and one to three come before.
    fn parts_thousands(&self, index: usize) -> bool {
        let start = self.from.unwrap_or(index);
        let before = (start..index)
            .rev()
            .take_while(|place| self.letters[*place].letter.is_ascii_digit())
            .count();
        let after = self.digits(index + 1);
        let pair = after == 2 && self.at(index + 3) == Some(',');
        (after == 3 || (pair && matches!(self.digits(index + 4), 2 | 3)))
            && (1..=3).contains(&before)
    }

    /// How many digits follow from here on.
    fn digits(&self, from: usize) -> usize {
        let rest = self.letters.get(from..).unwrap_or_default();
        rest.iter().take_while(|letter| letter.letter.is_ascii_digit()).count()
    }

    /// Whether a comma between digits parts decimals, as in `1,5 km`: one or two digits follow, no
    /// further number does, and one to three digits are all that comes before.
    fn parts_decimals(&self, index: usize) -> bool {
        let start = self.from.unwrap_or(index);
        let digits = self.digits(index + 1);
        let end = index + 1 + digits;
        let goes_on = matches!(self.at(end), Some(',' | '.')) && is_digit(self.at(end + 1));
        let follows = start > 0 && matches!(self.at(start - 1), Some(','));
        (1..=2).contains(&digits)
            && !goes_on
            && !follows
            && index - start <= 3
            && self.digits(start) == index - start
    }

    /// Whether a hyphen stands in `1867-11-07`.
    fn is_in_iso_date(&self, index: usize) -> bool {
        let start = self.from.unwrap_or(index);
        let text: String =
            self.letters[start..].iter().take(10).map(|letter| letter.letter).collect();
        let shape =
            text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).eq("9999-99-99".chars());
        shape && !self.at(start + 10).is_some_and(is_letter) && index < start + 10
    }

    fn punctuate(&mut self, letter: char, index: usize) {
        if letter == '-' {
            self.hyphen = Some(index);
        }
        let part = match letter {
            ',' | ';' | ':' | '(' | ')' | '"' | '!' | '?' => letter,
            '\u{3001}' => ',',
            '\u{3002}' => '.',
            '[' => '(',
            ']' => ')',
            '\u{2013}' | '\u{2014}' | '\u{2015}' => '-',
            '-' if self.at(index + 1).is_none_or(char::is_whitespace) => '-',
            '$' | '\u{20ac}' | '\u{a3}' | '\u{a5}' | '%' => {
                let (start, end) = (self.letters[index].start, self.letters[index].end);
                self.push(letter.to_string(), start, end);
                return;
            }
            '.' => {
                let joined =
                    index.checked_sub(1).and_then(|before| self.at(before)).is_some_and(is_letter);
                if joined && let Some(last) = self.found.last_mut() {
                    last.dotted = true;
                }
                return;
            }
            _ => return,
        };
        // Of several marks in a row the one that parts more decides: `"),` is a bracket.
        let is_stronger = self.mark.is_none_or(|mark| mark == ',' || mark == '"');
        if is_stronger {
            self.mark = Some(part);
        }
    }

    /// Ends the word that is being read before this place.
    fn finish(&mut self, index: usize) {
        let Some(from) = self.from.take() else { return };
        let word: String = self.letters[from..index].iter().map(|letter| letter.letter).collect();
        let (start, end) = (self.letters[from].start, self.letters[index - 1].end);
        // A word may add two tokens (`wasn't`), or none; the first of them is tied to the hyphen.
        let (last, count) = (self.found.last().map(|last| last.end), self.found.len());
        self.push(word, start, end);
        let hyphen = self
            .hyphen
            .filter(|hyphen| hyphen + 1 == from)
            .map(|hyphen| self.letters[hyphen].start);
        if let Some(token) = self.found.get_mut(count) {
            token.joined = hyphen.is_some() && hyphen == last;
        }
    }

    /// Adds a word as it is spelt: possession and contractions are parted from it.
    fn push(&mut self, spelt: String, start: usize, end: usize) {
        let word = spelt.trim_end_matches('\'');
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        let article = matches!(word, "the" | "The" | "THE" | "a" | "an" | "An")
            || (word == "A" && self.found.is_empty());
        let small = lower(word);
        let base = small.strip_suffix("'s");
        // `James'` possesses, `it's` does not.
        let owns = base.is_some_and(|base| !NOT_POSSESSIVE.contains(&base))
            || (spelt.ends_with('\'') && small.ends_with('s'));
        let small = base.unwrap_or(&small).to_owned();
        let (first, second) = parted(&small);
        let normal = if first.contains(['\'', '.']) {
            first.replace(['\'', '.'], if is_decimal(&first) { "." } else { "" })
        } else {
            first
        };
        if normal.is_empty() {
            return;
        }
        let mark = self.mark.take();
        let token = Token {
            word: normal,
            capital,
            possessive: owns,
            article,
            mark,
            joined: false,
            dotted: false,
            start,
            end,
        };
        self.found.push(token.clone());
        if let Some(second) = second {
            self.found.push(Token {
                word: second.to_owned(),
                capital: false,
                possessive: false,
                mark: None,
                ..token
            });
        }
    }
}

fn is_decimal(word: &str) -> bool {
    word.contains(|c: char| c.is_ascii_digit()) && word.contains('.')
}

/// What a single letter grades or numbers, so that an `A` after it is no article even in capitals.
const GRADED: &[&str] =
    &["vitamin", "hepatitis", "type", "group", "grade", "plan", "class", "serie", "series"];

/// In a text in capitals, an `A` between two words is an article: `SHE WAS A PHYSICIST`.
fn articles_in_capitals(found: &mut [Token], text: &str) {
    if !found.iter().any(|token| token.capital && matches!(token.word.as_str(), "a" | "an")) {
        return;
    }
    let letters: Vec<char> = text.chars().collect();
    for index in 1..found.len().saturating_sub(1) {
        let (before, after) = (&found[index - 1], &found[index + 1]);
        let beside =
            is_loud(before, &letters) && is_loud(after, &letters) && !before.is_one_of(GRADED);
        if beside && matches!(found[index].word.as_str(), "a" | "an") && !found[index].dotted {
            found[index].article = true;
        }
    }
}

/// Whether a word is written in capitals and longer than a letter.
fn is_loud(token: &Token, letters: &[char]) -> bool {
    token.end > token.start + 1
        && letters[token.start..token.end].iter().all(|letter| letter.is_uppercase())
}

fn is_digit(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_ascii_digit())
}

/// A word of two words as both: `wasn't`, `they're`.
fn parted(word: &str) -> (String, Option<&'static str>) {
    if let Some(base) = word.strip_suffix("n't") {
        let base = match base {
            "wo" => "will",
            "ca" => "can",
            "sha" => "shall",
            base => base,
        };
        return (base.to_owned(), Some("not"));
    }
    if BARE_NEGATIONS.contains(&word) {
        let base = word.strip_suffix("not").or_else(|| word.strip_suffix("nt")).unwrap_or(word);
        return (base.to_owned(), Some("not"));
    }
    for (ending, meant) in CONTRACTIONS {
        if let Some(base) = word.strip_suffix(ending)
            && CONTRACTED.contains(&base)
        {
            return (base.to_owned(), Some(meant));
        }
    }
    (word.to_owned(), None)
}

/// Initials that follow each other as one word, whether a space parts them or not: `J. R. Stone`,
/// `J.R. Stone`.
fn initials(tokens: Vec<Token>) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut open = false;
    for token in tokens {
        let is_one = token.capital && token.dotted && token.word.chars().count() == 1;
        match found.last_mut() {
            Some(last) if open && is_one && token.mark.is_none() => {
                last.word.push_str(&token.word);
                last.end = token.end;
                last.article = false;
            }
            _ => found.push(Token { article: token.article && !is_one, ..token }),
        }
        open = is_one;
    }
    found
}
