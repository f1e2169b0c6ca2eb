//! Noun phrases: lists of them, names with what they are, examples.

use super::lexeme::{Lexeme, Tag};

/// Places of lexemes in their sentence, in order.
pub(super) type View = Vec<usize>;

/// A part of a predicate: its objects, or a preposition with what follows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    /// The preposition; empty for objects.
    pub(super) preposition: View,
    /// What it is about, one for each of a list.
    pub(super) items: Vec<View>,
    /// Examples of the last item: `such as A and B`.
    pub(super) examples: Vec<View>,
    /// The slot and the item, or the example after them, that it follows.
    pub(super) parent: Option<(usize, usize)>,
}

/// Nouns of works, whose names stand for themselves: `the film Ghost`.
const WORKS: &[&str] = &[
    "film",
    "films",
    "movie",
    "movies",
    "series",
    "show",
    "shows",
    "album",
    "albums",
    "single",
    "singles",
    "song",
    "songs",
    "novel",
    "novels",
    "book",
    "books",
    "drama",
    "dramas",
    "sitcom",
    "sitcoms",
    "play",
    "plays",
    "musical",
    "comedy",
    "magazine",
    "magazines",
    "opera",
    "soundtrack",
    "band",
    "group",
    "track",
    "tracks",
    "hit",
    "hits",
    "program",
    "programme",
    "documentary",
    "thriller",
    "game",
    "newspaper",
    "newspapers",
    "ep",
    "memoir",
    "musicals",
    "miniseries",
    "soap",
    "anime",
    "poem",
    "poems",
    "label",
    "company",
    "production",
    "productions",
];

impl Slot {
    /// Whether it tells a time: `in 1990`, `from 2002`, `until today`.
    pub(super) fn is_time(&self, lexemes: &[Lexeme]) -> bool {
        let is_number = |item: &View| {
            item.iter().any(|at| {
                lexemes[*at].tag == Tag::Number
                    || lexemes[*at].is(&["year", "years", "century", "decade", "age", "season"])
            })
        };
        !self.preposition.is_empty() && self.items.iter().any(is_number)
    }

    /// An item, or an example after them.
    pub(super) fn item(&self, at: usize) -> Option<&View> {
        self.items.iter().chain(&self.examples).nth(at)
    }

    pub(super) fn is_object(&self) -> bool {
        self.preposition.is_empty()
    }
}

/// A name after what it is: `the television series Ghost` as the words before, and the name.
pub(super) fn named(item: &[usize], lexemes: &[Lexeme]) -> Option<(View, View)> {
    let name = item.iter().rposition(|at| {
        !(lexemes[*at].has(&[Tag::Name, Tag::Comma])
            || lexemes[*at].quoted()
            || (lexemes[*at].has(&[Tag::Article]) && lexemes[*at].capital))
    })? + 1;
    let (kind, name) = (&item[..name], &item[name..]);
    let noun = lexemes[*kind.last()?].tag == Tag::Word;
    let name: View = name.iter().copied().skip_while(|at| lexemes[*at].tag == Tag::Comma).collect();
    (noun && !name.is_empty() && !lexemes[name[0]].possessive).then(|| (kind.to_vec(), name))
}

/// Whether the noun before a name is a work's.
pub(super) fn is_work(kind: &[usize], lexemes: &[Lexeme]) -> bool {
    kind.last().is_some_and(|at| lexemes[*at].is(WORKS))
}

/// A phrase without articles, owners and numbers at its beginning.
pub(super) fn bare(item: &[usize], lexemes: &[Lexeme]) -> View {
    let skip = item.iter().take_while(|at| {
        lexemes[**at].has(&[Tag::Article, Tag::Owner, Tag::Object, Tag::Adverb])
            || (lexemes[**at].tag == Tag::Number && lexemes[**at].word.len() < 4)
    });
    let skip = skip.count();
    item[skip..].to_vec()
}

/// A noun in the singular.
pub(super) fn singular(noun: &str) -> String {
    let keeps = ["series", "species", "news", "means", "headquarters", "sports", "politics"];
    if keeps.iter().any(|word| noun.to_lowercase().ends_with(word)) || !noun.ends_with('s') {
        return noun.to_owned();
    }
    if let Some(stem) = noun.strip_suffix("ies") {
        let short = ["mov", "cook", "zomb", "ser"].iter().any(|word| stem.ends_with(word));
        return if short { format!("{stem}ie") } else { format!("{stem}y") };
    }
    // These have an `e` in the plural only, so that the `s` alone is not enough.
    for ending in ["sses", "xes", "ches", "shes", "zzes"] {
        if let Some(stem) = noun.strip_suffix(ending) {
            return format!("{stem}{}", &ending[..ending.len() - 2]);
        }
    }
    if noun.ends_with("ss") || noun.ends_with("us") || noun.ends_with("is") {
        return noun.to_owned();
    }
    noun[..noun.len() - 1].to_owned()
}

/// The indefinite article before a word.
pub(super) fn article(word: &str) -> &'static str {
    let lower = word.to_lowercase();
    let sounds = lower.starts_with(['a', 'e', 'i', 'o', 'u'])
        && !["uni", "use", "eu", "one"].iter().any(|start| lower.starts_with(start));
    if sounds || lower.starts_with("hono") { "an" } else { "a" }
}

/// Whether a capital word tells where somebody is from: `American`, `French`.
pub(super) fn is_demonym(word: &str) -> bool {
    let listed = [
        "french",
        "dutch",
        "welsh",
        "greek",
        "swiss",
        "thai",
        "czech",
        "slovak",
        "filipino",
        "filipina",
        "turk",
        "iraqi",
        "israeli",
        "pakistani",
        "bengali",
        "arab",
        "kurdish",
        "icelandic",
        "hispanic",
        "islandic",
        "kuwaiti",
        "yemeni",
        "nepali",
        "somali",
        "argentine",
        "scot",
        "new zealand",
    ];
    // Short words such as `dan` end like this by chance, so that length counts.
    let ends = ["an", "ish", "ese"].iter().any(|ending| word.ends_with(ending));
    listed.contains(&word) || (ends && word.len() > 4)
}

/// Whether a word reads like an adjective.
pub(super) fn is_adjective(lexeme: &Lexeme) -> bool {
    let word = lexeme.word.as_str();
    let listed = [
        "young",
        "old",
        "new",
        "short",
        "long",
        "former",
        "early",
        "late",
        "large",
        "small",
        "good",
        "great",
        "high",
        "low",
        "rural",
        "modern",
        "classic",
        "unique",
        "strong",
        "diverse",
        "inclusive",
        "live",
        "equal",
        "free",
        "bold",
        "innovative",
    ];
    !lexeme.quoted()
        && !lexeme.capital
        && (listed.contains(&word)
            || (word.len() > 4
                && [
                    "al", "ic", "ive", "ous", "ful", "ary", "able", "ible", "less", "ed", "ant",
                    "ent", "ing",
                ]
                .iter()
                .any(|ending| word.ends_with(ending))))
}

/// Words before `of` that are not part of a name: `CEO of Acme`.
pub(super) const ROLES: &[&str] = &[
    "ceo",
    "president",
    "chairman",
    "chairwoman",
    "chair",
    "director",
    "minister",
    "member",
    "professor",
    "governor",
    "mayor",
    "secretary",
    "founder",
    "head",
    "dean",
    "editor",
    "chief",
    "chancellor",
    "commander",
    "king",
    "queen",
    "author",
    "captain",
    "leader",
];

/// The name at the end of a phrase, or the whole phrase.
pub(super) fn tail_name(item: &[usize], lexemes: &[Lexeme]) -> View {
    let mut start = item
        .iter()
        .rposition(|at| !(lexemes[*at].tag == Tag::Name || lexemes[*at].is(&["of", "the"])))
        .map_or(0, |at| at + 1);
    if let Some(tie) = (start..item.len().saturating_sub(1)).rev().find(|at| {
        lexemes[item[*at]].is(&["of"]) && (*at == start || lexemes[item[*at - 1]].is(ROLES))
    }) {
        start = tie + 1;
    }
    if start < item.len() { item[start..].to_vec() } else { item.to_vec() }
}

/// Gives the first of two adjectives the noun of the second: `social and political issues`.
pub(super) fn share_nouns(items: &mut [View], lexemes: &[Lexeme]) {
    let Some((last, before)) = items.split_last_mut() else { return };
    let adjective = last.iter().position(|at| is_adjective(&lexemes[*at]));
    let Some(adjective) = adjective.filter(|at| *at + 1 < last.len()) else { return };
    for item in before {
        let alone = item.last().is_some_and(|at| is_adjective(&lexemes[*at])) && item.len() <= 2;
        if alone {
            item.extend_from_slice(&last[adjective + 1..]);
        }
    }
}

/// Gives the first of two roles what the last one is of: `the founder and director of the Center`.
pub(super) fn share_tails(items: &mut [View], lexemes: &[Lexeme]) {
    let Some((last, before)) = items.split_last_mut() else { return };
    let Some(tie) = last.iter().position(|at| lexemes[*at].is(&["of"])) else { return };
    for item in before {
        let single = item.iter().filter(|at| lexemes[**at].tag == Tag::Word).count() == 1
            && item.iter().all(|at| lexemes[*at].has(&[Tag::Word, Tag::Article, Tag::Name]));
        let ends_in_noun = item
            .last()
            .is_some_and(|at| lexemes[*at].tag == Tag::Word && !is_adjective(&lexemes[*at]));
        if single && ends_in_noun && tie <= 2 {
            item.extend_from_slice(&last[tie..]);
        }
    }
}

/// Joins the ends of a span of time: `from 2002` `to 2009`.
pub(super) fn join_spans(slots: &mut Vec<Slot>, lexemes: &[Lexeme]) {
    let mut at = 1;
    while at < slots.len() {
        let starts = slots[at - 1]
            .preposition
            .last()
            .is_some_and(|at| lexemes[*at].is(&["from", "between"]));
        let ends = slots[at]
            .preposition
            .first()
            .is_some_and(|at| lexemes[*at].is(&["to", "until", "through", "till"]));
        let times = slots[at - 1].is_time(lexemes)
            && slots[at - 1].items.len() == 1
            && slots[at].items.len() == 1;
        if starts && ends && times {
            let slot = slots.remove(at);
            // Parents are places among the slots, which move down when one is removed.
            for later in &mut slots[at..] {
                if let Some((parent, item)) = &mut later.parent
                    && *parent >= at
                {
                    (*parent, *item) = (*parent - 1, 0);
                }
            }
            let items = &mut slots[at - 1].items;
            items[0].extend(slot.preposition);
            items[0].extend_from_slice(&slot.items[0]);
        } else {
            at += 1;
        }
    }
}

/// How a phrase begins; those of a list begin alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PhraseShape {
    /// With a name.
    Name,
    /// With an article or owner.
    Definite,
    /// With another word.
    Plain,
}

/// How a phrase begins.
pub(super) fn shape(item: &[usize], lexemes: &[Lexeme]) -> PhraseShape {
    match item.first().map(|at| &lexemes[*at]) {
        Some(first) if first.capital || first.quoted() => PhraseShape::Name,
        Some(first) if first.has(&[Tag::Article, Tag::Owner]) => PhraseShape::Definite,
        _ => PhraseShape::Plain,
    }
}

/// A view without marks and links at its ends.
pub(super) fn trimmed(view: &[usize], lexemes: &[Lexeme]) -> View {
    let empty =
        |at: &&usize| lexemes[**at].has(&[Tag::Comma, Tag::Mark, Tag::And, Tag::Open, Tag::Close]);
    let start = view.iter().take_while(empty).count();
    let end = view.len() - view[start..].iter().rev().take_while(empty).count();
    view[start..end].to_vec()
}
