//! Words and marks of a sentence with their parts of speech, as far as lists, endings and
//! neighbours tell.

/// Part of speech of a word, or a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// `the`, `a`, `another`.
    Article,
    /// `her`, `his`, or a name with `'s`.
    Owner,
    /// A pronoun that can be a subject.
    Pronoun,
    /// A pronoun that is an object: `him`, `her` where it owns nothing.
    Object,
    /// `who`, `which`, `where`.
    Relative,
    /// `and`.
    And,
    /// `or`.
    Or,
    /// `but`, `while`, `when`: begins a clause of its own.
    Link,
    /// A preposition.
    Preposition,
    /// `to`.
    To,
    /// A form of `be`.
    Be,
    /// `has`, `can`.
    Auxiliary,
    /// A finite verb or a past participle.
    Verb,
    /// A form in `ing`.
    Gerund,
    /// An adverb.
    Adverb,
    /// `not`, `never`.
    Not,
    /// A name, or a quotation.
    Name,
    /// A number, a date, a quantity.
    Number,
    /// Any other word: a noun, an adjective.
    Word,
    /// A comma.
    Comma,
    /// An opening or closing bracket.
    Open,
    /// A closing bracket.
    Close,
    /// Any other mark that parts: `;`, `:`, a dash.
    Mark,
}

/// A word or a mark of a sentence.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lexeme {
    pub(super) tag: Tag,
    /// Normal form; empty for marks.
    pub(super) word: String,
    /// Its first letter.
    pub(super) start: usize,
    /// The letter after its last one.
    pub(super) end: usize,
    /// Number of the quotation that it stands in; 0 outside.
    pub(super) quotation: usize,
    /// Whether it begins with a capital.
    pub(super) capital: bool,
    /// Whether it possesses what follows.
    pub(super) possessive: bool,
    /// Its place among the tokens of the sentence; that of the next one for marks.
    pub(super) token: usize,
}

impl Lexeme {
    pub(super) fn is(&self, words: &[&str]) -> bool {
        !self.quoted() && words.contains(&self.word.as_str())
    }

    pub(super) fn quoted(&self) -> bool {
        self.quotation > 0
    }

    /// Whether it denies a verb: `not`, `never`, `wasn't`.
    pub(super) fn denies(&self) -> bool {
        self.tag == Tag::Not || self.has(&[Tag::Be, Tag::Auxiliary]) && self.word.ends_with(" not")
    }

    pub(super) fn has(&self, tags: &[Tag]) -> bool {
        tags.contains(&self.tag)
    }
}
