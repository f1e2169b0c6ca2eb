//! Words of texts in their normal form.

/// A word of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Its normal form.
    pub word: String,
    /// Whether it begins with a capital.
    pub capital: bool,
    /// Whether it possesses what follows: `France's`.
    pub possessive: bool,
    /// Whether it is an article, without meaning of its own.
    pub article: bool,
    /// The separating mark before it, if any: one of `,;:()"-.!?`, a dash as `-`.
    pub mark: Option<char>,
    /// Whether a hyphen ties it to the word before: `Hungarian` in `Austro-Hungarian`.
    pub joined: bool,
    /// Whether a full stop follows it, as after an initial or an abbreviation.
    pub dotted: bool,
    /// Its first character (not byte) in the text.
    pub start: usize,
    /// The character after its last one.
    pub end: usize,
}

impl Token {
    /// Whether its normal form is one of these words.
    pub fn is_one_of(&self, words: &[&str]) -> bool {
        words.contains(&self.word.as_str())
    }
}
