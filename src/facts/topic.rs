//! Topics and their mentions: the name, a part of it, or the name without its qualifier.

use super::{
    normal::normalise,
    preposition::PREPOSITIONS,
    scan::tokens,
    token::Token,
    unicode::{capitalised, shown, unaccented},
    verb::is_verb,
};

/// Whom or what a text is about.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its name in sentences, without the part in parentheses.
    name: String,
    /// The words in parentheses after it, which tell it from others.
    qualifier: Vec<String>,
    /// The words that mention it, the longest first.
    mentions: Vec<Mention>,
}

#[derive(Clone, Debug, PartialEq)]
struct Mention {
    words: Vec<String>,
    /// Whether it is less than the whole name, and so a mention only in its capitals.
    is_short: bool,
}

/// Suffixes of persons' names that are often omitted.
const SUFFIXES: &[&str] = &["jr", "sr", "ii", "iii", "iv", "phd", "md", "esq"];
/// Particles that belong to a last name.
const PARTICLES: &[&str] = &[
    "van", "von", "de", "der", "den", "del", "di", "da", "du", "la", "le", "el", "al", "bin", "ibn",
];
/// Words before a name that are not part of it.
const TITLES: &[&str] = &["dr", "mr", "mrs", "ms", "prof", "professor", "sir"];

/// The same in capitals only, since small they are words of the sentence.
const CAPITAL_TITLES: &[&str] = &[
    "miss",
    "mx",
    "president",
    "lady",
    "lord",
    "general",
    "captain",
    "colonel",
    "major",
    "king",
    "queen",
    "chairman",
    "chairwoman",
    "senator",
    "governor",
    "judge",
    "justice",
    "mayor",
    "secretary",
    "minister",
    "ambassador",
    "dame",
];

/// Ranks before a first name, which alone name nobody.
const RANKS: &[&str] = &[
    "prince", "princess", "king", "queen", "saint", "st", "pope", "lord", "lady", "count",
    "countess", "duke", "duchess", "baron", "baroness", "emperor", "empress", "sir", "dr", "the",
    "new", "north", "south", "east", "west", "san", "los",
];
/// Ranks that a name is complete without.
const BEFORE_NAMES: &[&str] =
    &["pope", "king", "queen", "prince", "princess", "lord", "lady", "dame", "saint", "emperor"];
/// Names of one word that sentences use otherwise, and that count only in capitals: `The Who`,
/// `It`.
const STANDING_FOR_OTHERS: &[&str] = &[
    "who", "it", "them", "her", "him", "us", "she", "he", "they", "you", "we", "this", "that",
    "which", "what", "one", "yes", "no", "if", "so", "in", "on", "at", "as", "i", "a", "the",
];

/// Words beside prepositions that begin a sentence with a capital and are no names.
const SMALL: &[&str] = &[
    "when",
    "while",
    "and",
    "but",
    "or",
    "so",
    "then",
    "later",
    "also",
    "although",
    "though",
    "because",
    "if",
    "however",
    "both",
    "of",
    "that",
    "this",
    "once",
    "did",
    "was",
    "is",
    "has",
    "had",
    "does",
    "today",
    "overall",
    "originally",
    "according",
    "where",
    "who",
    "not",
    "only",
    "even",
    "thus",
    "hence",
    "yet",
    "still",
    "here",
    "there",
    "are",
    "were",
    "can",
    "will",
    "would",
    "could",
    "should",
    "do",
    "historically",
    "currently",
    "modern",
];

/// A name without what follows a comma or tells generations apart.
fn core(name: &str) -> &str {
    name.split(',').next().filter(|core| core.chars().any(char::is_alphabetic)).unwrap_or(name)
}

/// The words of a name without articles.
fn spelt(name: &str) -> Vec<Token> {
    tokens(name).into_iter().filter(|token| !token.article).collect()
}

/// The words of a name without accents, articles and suffixes such as `Jr.`, and where its last
/// name begins: a hyphen parts words, so that is all that is written with the last word.
fn name_words(name: &str) -> (Vec<String>, usize) {
    let found = spelt(name);
    let mut words: Vec<String> = found.iter().map(|token| plain(&token.word)).collect();
    // Articles leave `Jr.` out more often than not.
    let ending = words.iter().rev().take_while(|word| SUFFIXES.contains(&word.as_str())).count();
    words.truncate(words.len() - ending);
    let mut last = words.len().saturating_sub(1);
    while last > 1 && is_joined(name, &found[last - 1], &found[last]) {
        last -= 1;
    }
    (words, last)
}

/// A word without its accents.
fn plain(word: &str) -> String {
    if word.is_ascii() { word.to_owned() } else { unaccented(word) }
}

/// A name without what tells it from others: `Ann Lee` for `Ann Lee (painter)` and for `Ann Lee,
/// painter`.
pub fn bare(name: &str) -> &str {
    let name = name.trim();
    match name.strip_suffix(')').and_then(|rest| rest.rfind('(')) {
        Some(open) if !name[..open].trim().is_empty() => name[..open].trim_end(),
        _ => name,
    }
}

impl Topic {
    /// The topic of this name; the name may be empty.
    pub fn new(name: &str) -> Self {
        let whole = name.trim();
        let name = shown(bare(whole).chars());
        let qualifier = whole[bare(whole).len()..].to_owned();
        let qualifier = spelt(&qualifier).into_iter().map(|token| token.word).collect();
        let mut topic = Self { name: capitalised(&name), qualifier, mentions: Vec::new() };
        let words = spelt(&name).into_iter().map(|token| plain(&token.word)).collect::<Vec<_>>();
        topic.add(&words, words.len() == 1 && STANDING_FOR_OTHERS.contains(&words[0].as_str()));
        // `Cleveland, Ohio`, `John Ray, Baron Ray of Oslo`: what comes before the comma is the name
        // as well.
        let core = core(&name);
        // `Lee, Ann` is Ann Lee.
        let after = spelt(name.strip_prefix(core).unwrap_or_default());
        if (1..=2).contains(&after.len()) {
            let first = after.into_iter().map(|token| plain(&token.word)).collect::<Vec<_>>();
            topic.add(&[first, name_words(core).0].concat(), true);
        }
        let (words, last) = name_words(core);
        // Parts of a name count in capitals only: the painter `Stone` is no stone.
        topic.add(&words, core.len() < name.len() || words.len() < 2);
        if words.len() >= 2 && !words.iter().any(|word| word == "of") {
            // `Ann Lee` for `Ann Mary Lee`.
            if last > 1 {
                topic.add(&[words[..1].to_vec(), words[last..].to_vec()].concat(), true);
            }
            let particles = words[1..last]
                .iter()
                .rev()
                .take_while(|word| PARTICLES.contains(&word.as_str()))
                .count();
            // `Tom Hale` for `Sir Tom Hale`
            if last > 1 && (TITLES.contains(&&*words[0]) || BEFORE_NAMES.contains(&&*words[0])) {
                topic.add(&words[1..], true);
            }
            topic.add(&words[last - particles..], true);
            topic.add(&words[last..], true);
        }
        topic.sorted()
    }

    /// A person, who is also mentioned by a first or second name alone, and by all but the first.
    pub(super) fn of_person(name: &str) -> Self {
        let mut topic = Self::new(name);
        let bare = shown(bare(name).chars());
        let (words, last) = name_words(core(&bare));
        if words.len() >= 2 && !RANKS.contains(&words[0].as_str()) {
            if !words.iter().any(|word| word == "of") {
                topic.add(&words[1..], true);
            }
            let given = words[..last]
                .iter()
                .filter(|word| word.chars().count() > 2 && !PARTICLES.contains(&word.as_str()));
            given.for_each(|word| topic.add(std::slice::from_ref(word), true));
        }
        topic.sorted()
    }

    fn add(&mut self, words: &[String], is_short: bool) {
        if !words.is_empty() && !self.mentions.iter().any(|mention| mention.words == words) {
            self.mentions.push(Mention { words: words.to_vec(), is_short });
        }
    }

    fn sorted(mut self) -> Self {
        self.mentions.sort_by_key(|mention| std::cmp::Reverse(mention.words.len()));
        self
    }

    /// Its name with a capital, without parentheses.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether these words are those in parentheses after its name.
    pub(super) fn is_told_apart_by(&self, words: &[&str]) -> bool {
        !words.is_empty() && self.qualifier == words
    }

    /// Whether these words are its whole name, or a spelling of it with other initials or articles.
    pub(super) fn is_whole_name(&self, words: &[Token]) -> bool {
        let own: Vec<&str> =
            words.iter().filter(|token| !token.article).map(|token| token.word.as_str()).collect();
        own.join(" ") == normalise(&self.name)
    }

    /// Whether there is a name.
    pub fn is_known(&self) -> bool {
        !self.mentions.is_empty()
    }

    /// How many words from here on mention it, a title before the name among them; none where they
    /// do not. A part of its name counts only in capitals, and where no other name is written
    /// before it: `Pierre Curie` is not `Curie`.
    pub fn mention(&self, tokens: &[Token], start: usize) -> Option<usize> {
        let title = usize::from(tokens.get(start).is_some_and(is_title));
        // A title may be part of the name itself: `Lady Gaga`.
        self.named(tokens, start).or_else(|| {
            (title == 1).then(|| self.named(tokens, start + 1)).flatten().map(|n| n + 1)
        })
    }

    fn named(&self, tokens: &[Token], start: usize) -> Option<usize> {
        self.mentions.iter().find_map(|mention| {
            let length = matched(tokens, start, &mention.words)?;
            let is_name = tokens[start..start + length].iter().all(|token| {
                // `Min-ji`
                token.article
                    || token.capital
                    || token.joined
                    || token.word == "of"
                    || token.is_one_of(PARTICLES)
            });
            let is_owner = tokens[start + length - 1].possessive;
            let becomes_anothers = is_name
                && tokens.get(start + length).is_some_and(|next| !is_owner && is_more_name(next));
            let is_anothers =
                follows_name(tokens, start) || (mention.words.len() == 1 && becomes_anothers);
            let mentions = if mention.is_short {
                is_name && !is_anothers
            } else {
                // `Guinea` is not `Equatorial Guinea` (lower-case words are no names), nor `Ada
                // Quill Street` Ada Quill.
                !(becomes_anothers || (mention.could_be_part() && is_name && is_anothers))
            };
            mentions.then_some(length)
        })
    }
}

impl Mention {
    /// Whether longer names of others often end with it.
    fn could_be_part(&self) -> bool {
        self.words.len() == 1 || self.words.iter().any(|word| word == "of")
    }
}

/// Whether a word after a name belongs to it, so that it is a longer name.
fn is_more_name(next: &Token) -> bool {
    let is_rest = next.is_one_of(SUFFIXES) || is_verb(&next.word);
    next.capital && next.mark.is_none() && !is_rest
}

/// Whether another word of a name is written before this one: `Pierre Curie`.
fn follows_name(tokens: &[Token], start: usize) -> bool {
    let Some(before) = start.checked_sub(1).map(|index| &tokens[index]) else { return false };
    before.capital
        && tokens[start].mark.is_none()
        && !before.possessive
        && !before.article
        && !before.dotted
        && !is_title(before)
        // The first word of a sentence has a capital whatever it is.
        && (start > 1 || ![SMALL, PREPOSITIONS].iter().any(|list| before.is_one_of(list)))
}

/// Whether a word stands before a name and is no part of it.
fn is_title(token: &Token) -> bool {
    let word = token.word.as_str();
    TITLES.contains(&word) || (token.capital && CAPITAL_TITLES.contains(&word))
}

/// Whether a token is a word of a name, with its accents or without.
fn is_word(token: &Token, word: &str) -> bool {
    token.word == word || (!token.word.is_ascii() && unaccented(&token.word) == word)
}

/// Whether two words of a name are written as one, with a hyphen.
fn is_joined(name: &str, one: &Token, two: &Token) -> bool {
    two.start == one.end + 1 && name.chars().nth(one.end).is_some_and(|c| !c.is_whitespace())
}

/// Whether a word is an initial inside a name.
fn is_initial(token: &Token) -> bool {
    token.dotted && token.capital && token.mark.is_none() && token.word.len() == 1
}

/// Whether a quotation mark stands before a word.
fn is_quoted(token: Option<&Token>) -> bool {
    token.is_some_and(|token| token.mark == Some('"'))
}

/// How many of these tokens are the words, articles passed over.
fn matched(tokens: &[Token], start: usize, words: &[String]) -> Option<usize> {
    let mut index = start;
    for (number, word) in words.iter().enumerate() {
        // `Sam J. Reed` mentions Sam Reed.
        while number > 0
            && tokens
                .get(index)
                .is_some_and(|token| token.article || (is_initial(token) && *word != token.word))
        {
            index += 1;
        }
        // `Ada "Addy" Quill`
        let nicknamed = number > 0
            && [index, index + 1].iter().all(|at| is_quoted(tokens.get(*at)))
            && is_word(&tokens[index + 1], word);
        index += usize::from(nicknamed);
        let token = tokens.get(index).filter(|token| !token.article && is_word(token, word))?;
        let is_last = number + 1 == words.len();
        if (!is_last && token.possessive)
            || (number > 0
                && !nicknamed
                && matches!(token.mark, Some('(' | ')' | ';' | ':' | '-' | '"')))
        {
            return None;
        }
        index += 1;
    }
    Some(index - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentioned(topic: &str, text: &str) -> Vec<String> {
        let topic = Topic::new(topic);
        let found = tokens(text);
        let mut mentions = Vec::new();
        let mut index = 0;
        while index < found.len() {
            let length = topic.mention(&found, index);
            if let Some(length) = length {
                let words: Vec<&str> =
                    found[index..index + length].iter().map(|token| token.word.as_str()).collect();
                mentions.push(words.join(" "));
            }
            index += length.unwrap_or(1);
        }
        mentions
    }

    #[test]
    fn names_and_parts_of_them_are_mentions() {
        assert_eq!(
            mentioned("Ada Quill", "In 1903 Ada Quill and Dr. Quill met Quill."),
            ["ada quill", "dr quill", "quill"]
        );
        assert_eq!(
            mentioned("Sam Reed Jr.", "Reed, or Sam Reed, or Sam Reed Jr."),
            ["reed", "sam reed", "sam reed jr"]
        );
        assert_eq!(mentioned("J. R. Stone", "J.R. Stone was Stone."), ["jr stone", "stone"]);
        assert_eq!(mentioned("Ana Lee-Ray", "Lee-Ray is no Ray."), ["lee ray"]);
        assert_eq!(
            mentioned("Michael Holm (painter)", "Michael Holm, whom Holm met"),
            ["michael holm", "holm"]
        );
        assert_eq!(mentioned("Vincent van Gogh", "Then van Gogh painted."), ["van gogh"]);
        assert_eq!(mentioned("The Band", "the Band and the band"), ["band", "band"]);
    }

    #[test]
    fn names_with_accents_commas_and_first_names() {
        assert_eq!(
            mentioned("Regina Mart\u{ed}nez", "Martinez met Mart\u{ed}nez."),
            ["martinez", "mart\u{ed}nez"]
        );
        assert_eq!(
            mentioned("John Ray, Baron Ray of Oslo", "John Ray and Ray left Oslo."),
            ["john ray", "ray"]
        );
        assert_eq!(
            mentioned("Guinea", "Guinea borders Equatorial Guinea and Guinea-Bissau."),
            ["guinea"]
        );
        assert_eq!(mentioned("Republic of Ede", "The Democratic Republic of Ede"), [""; 0]);
        assert_eq!(mentioned("hydrogen", "Liquid hydrogen is hydrogen."), ["hydrogen", "hydrogen"]);
        assert_eq!(mentioned("The Who", "The Who, who met Who."), ["who", "who"]);
        let person = Topic::of_person("Lina Medina");
        let found = tokens("Lina gave birth. Lina Ray did not.");
        assert_eq!((person.mention(&found, 0), person.mention(&found, 3)), (Some(1), None));
        assert_eq!(Topic::new("Lina Medina").mention(&found, 0), None);
    }

    #[test]
    fn names_without_titles_and_in_other_orders_are_mentions() {
        assert_eq!(mentioned("Sir Tom Hale", "Tom Hale sang."), ["tom hale"]);
        assert_eq!(mentioned("Pope Leo XX", "Then Leo XX sang."), ["leo xx"]);
        assert_eq!(mentioned("Ada Quill", "Ada \"Addy\" Quill sang."), ["ada addy quill"]);
        assert_eq!(mentioned("Wales, Jim (writer)", "Jim Wales sang."), ["jim wales"]);
        assert_eq!(mentioned("Kim Min-ji", "Min-ji sang."), ["min ji"]);
    }

    #[test]
    fn others_are_no_mentions() {
        assert_eq!(mentioned("Marie Curie", "Pierre Curie met a curie."), [""; 0]);
        assert_eq!(mentioned("Marie Curie", "She and Irene Curie."), [""; 0]);
        assert_eq!(mentioned("", "Ada"), [""; 0]);
        assert_eq!(Topic::new("Michael Holm (painter)").name(), "Michael Holm");
        assert_eq!(bare("(b)"), "(b)");
    }
}
