//! Whom an answer is about, and how texts mention it: by its name, a part of it, or without what tells it from others.

use super::{
    capitalised,
    token::{Token, tokens},
    unicode::shown,
};

/// Whom or what a text is about.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// Its name as sentences have it, without what stands in parentheses after it.
    name: String,
    /// The words that mention it, the longest first.
    mentions: Vec<Mention>,
}

#[derive(Clone, Debug, PartialEq)]
struct Mention {
    words: Vec<String>,
    /// Whether it is less than the whole name, and so a mention only in its capitals.
    is_short: bool,
}

/// What follows the name of a person and is often left out.
const SUFFIXES: &[&str] = &["jr", "sr", "ii", "iii", "iv", "phd", "md", "esq"];
/// What stands before a last name and belongs to it.
const PARTICLES: &[&str] =
    &["van", "von", "de", "der", "den", "del", "di", "da", "du", "la", "le", "el", "al", "bin", "ibn"];
/// What stands before a name and is no part of it.
const TITLES: &[&str] = &["dr", "mr", "mrs", "ms", "prof", "professor", "sir"];

/// A name without what tells it from others: `Ann Lee` for `Ann Lee (painter)` and for `Ann Lee, painter`.
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
        let name = shown(bare(name).chars());
        let found: Vec<Token> = tokens(&name).into_iter().filter(|token| !token.article).collect();
        let words: Vec<String> = found.iter().map(|token| token.word.clone()).collect();
        let mut mentions = Vec::new();
        let mut add = |words: &[String], is_short| {
            if !words.is_empty() && !mentions.iter().any(|mention: &Mention| mention.words == words) {
                mentions.push(Mention { words: words.to_vec(), is_short });
            }
        };
        add(&words, false);
        let ending = words.iter().rev().take_while(|word| SUFFIXES.contains(&word.as_str())).count();
        let core = &words[..words.len() - ending];
        add(core, core.len() < 2);
        if core.len() >= 2 {
            // A hyphen parts words, so the last name is all that is written with the last word.
            let mut last = core.len() - 1;
            while last > 1 && is_joined(&name, &found[last - 1], &found[last]) {
                last -= 1;
            }
            if last > 1 {
                add(&[core[..1].to_vec(), core[last..].to_vec()].concat(), true);
            }
            let mut family = last;
            while family > 1 && PARTICLES.contains(&core[family - 1].as_str()) {
                family -= 1;
            }
            add(&core[family..], true);
            add(&core[last..], true);
        }
        mentions.sort_by_key(|mention| std::cmp::Reverse(mention.words.len()));
        Self { name: capitalised(&name), mentions }
    }

    /// Its name with a capital, without parentheses.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a name.
    pub fn is_known(&self) -> bool {
        !self.mentions.is_empty()
    }

    /// How many words from here on mention it, a title before the name among them; none where they do not. A part of its
    /// name counts only in capitals, and where no other name is written before it: `Pierre Curie` is not `Curie`.
    pub fn mention(&self, tokens: &[Token], start: usize) -> Option<usize> {
        let title = usize::from(tokens.get(start).is_some_and(|token| TITLES.contains(&token.word.as_str())));
        self.named(tokens, start)
            .or_else(|| (title == 1).then(|| self.named(tokens, start + 1)).flatten().map(|n| n + 1))
    }

    fn named(&self, tokens: &[Token], start: usize) -> Option<usize> {
        self.mentions.iter().find_map(|mention| {
            let length = matched(tokens, start, &mention.words)?;
            let own = || tokens[start..start + length].iter().filter(|token| !token.article);
            let is_name = own().all(|token| token.capital || PARTICLES.contains(&token.word.as_str()));
            let before = start.checked_sub(1).map(|index| &tokens[index]);
            let is_anothers = before.is_some_and(|before| {
                before.capital
                    && start > 1
                    && tokens[start].mark.is_none()
                    && !before.possessive
                    && !before.article
                    && !TITLES.contains(&before.word.as_str())
            }) || before.is_some_and(|before| {
                start == 1
                    && before.capital
                    && tokens[1].mark.is_none()
                    && !is_small(&before.word)
                    && !before.possessive
                    && !TITLES.contains(&before.word.as_str())
            });
            let goes_on = tokens.get(start + length).is_some_and(|next| {
                next.capital
                    && next.mark.is_none()
                    && !tokens[start + length - 1].possessive
                    && mention.words.len() == 1
            });
            (!mention.is_short || (is_name && !is_anothers && !goes_on)).then_some(length)
        })
    }
}

/// Words that begin a sentence with a capital and are no names.
fn is_small(word: &str) -> bool {
    const SMALL: &[&str] = &[
        "in", "on", "at", "by", "for", "from", "with", "after", "before", "during", "when", "while", "as", "since",
        "and", "but", "or", "so", "then", "later", "also", "although", "though", "because", "if", "however", "both",
        "like", "unlike", "to", "of", "that", "this", "once", "until", "did", "was", "is", "has", "had", "does",
    ];
    SMALL.contains(&word)
}

/// Whether two words of a name are written as one, with a hyphen.
fn is_joined(name: &str, one: &Token, two: &Token) -> bool {
    two.start == one.end + 1 && name.chars().nth(one.end).is_some_and(|c| !c.is_whitespace())
}

/// How many of these tokens are the words, articles passed over.
fn matched(tokens: &[Token], start: usize, words: &[String]) -> Option<usize> {
    let mut index = start;
    for (number, word) in words.iter().enumerate() {
        while number > 0 && tokens.get(index).is_some_and(|token| token.article) {
            index += 1;
        }
        let token = tokens.get(index).filter(|token| !token.article && token.word == *word)?;
        let is_last = number + 1 == words.len();
        if (!is_last && token.possessive)
            || (number > 0 && matches!(token.mark, Some('(' | ')' | ';' | ':' | '-' | '"')))
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
                let words: Vec<&str> = found[index..index + length].iter().map(|token| token.word.as_str()).collect();
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
        assert_eq!(mentioned("Michael Holm (painter)", "Michael Holm, whom Holm met"), ["michael holm", "holm"]);
        assert_eq!(mentioned("Vincent van Gogh", "Then van Gogh painted."), ["van gogh"]);
        assert_eq!(mentioned("The Band", "the Band and the band"), ["band", "band"]);
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
