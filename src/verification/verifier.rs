//! The verifier: its only inputs are the claim's text, its topic and the knowledge.

use crate::{
    facts::{Others, PREPOSITIONS, Token, Topic, is_measure, tokens},
    knowledge::{Knowledge, KnowledgeError, Passage},
    rows::{Claim, ClaimId, Evidence, FactLabel, Page, PageMatch, Verdict},
};

use super::{
    agreement::{Agreement, agreement},
    grammar::is_empty,
    is_checkable,
    quantity::{has, whole},
    statement::{Statement, statements},
};

/// When a sentence of the topic's article supports a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Matching {
    /// Both have the same normal form.
    Exact,
    /// The sentence has all content words of the claim, with the same subject, ties and denials;
    /// and the claim is complete.
    Contained,
}

/// Function words.
const FUNCTION_WORDS: &[&str] = &[
    "is", "was", "are", "were", "be", "been", "has", "have", "had", "of", "in", "on", "at", "by",
    "for", "to", "from", "with", "and", "or", "as", "that", "which", "who", "it", "its", "he",
    "his", "she", "her", "they", "their", "this",
];

/// Function words that can end a sentence.
const END_PRONOUNS: &[&str] = &["it", "its", "his", "her", "that", "this", "they", "he", "she"];

/// Maximum number of sentences in the evidence.
const MOST_EVIDENCE: usize = 3;

/// A claim prepared for comparison.
struct AskedClaim {
    words: Vec<String>,
    /// The words without the topic's name.
    about: Vec<String>,
    tokens: Vec<Token>,
}

/// Verifies one claim. It is supported if a sentence of its topic's article (or, if it has no
/// topic, of the article that its words name) states the same, and no sentence denies it. It is
/// irrelevant without anything to verify or as no fact (`kind`), and unsupported otherwise, also if
/// it is right about another subject. The evidence is the sentences with the most words in common.
///
/// Where a topic is ambiguous, call [`Knowledge::settle_pages`] before: otherwise each claim's
/// words choose its article.
///
/// The probability is 1 or 0. With [`Matching::Contained`] it is the share of the claim's words in
/// the best sentence, halved if they have another subject or tie, and 0 if they are denied.
///
/// # Errors
/// Fails where the knowledge cannot be read.
pub fn verify(
    claim: &Claim,
    knowledge: &Knowledge,
    matching: Matching,
) -> Result<Verdict, KnowledgeError> {
    verify_on_page(claim, &knowledge.page(claim)?, knowledge, matching)
}

/// The same for a claim whose page is known.
///
/// # Errors
/// Fails where the knowledge cannot be read.
pub fn verify_on_page(
    claim: &Claim,
    page: &Page,
    knowledge: &Knowledge,
    matching: Matching,
) -> Result<Verdict, KnowledgeError> {
    if !claim.kind.is_fact() || !is_checkable(&claim.text) {
        return Ok(Verdict::new(claim.id.clone(), FactLabel::Irrelevant, 0.0, Vec::new()));
    }
    let mut best = Best::default();
    if let Some(title) = &page.found {
        // A claim without a topic is about the article that its words name.
        let is_named = page.how == PageMatch::Named;
        let topic = Topic::new(if is_named { title } else { &claim.topic });
        let asked = asked(&claim.text, &topic);
        let passages = knowledge.passages(title)?;
        for (passage, support) in supports(&asked, &passages, &topic, matching) {
            best.add(&asked, title, passage, support);
        }
    }
    // An exact match is a whole sentence of the knowledge.
    let complete = matching == Matching::Exact || !breaks_off(&claim.text);
    Ok(best.verdict(&claim.id, complete))
}

/// How far each sentence of an article states a claim.
fn supports<'a>(
    asked: &AskedClaim,
    passages: &'a [Passage],
    topic: &Topic,
    matching: Matching,
) -> Vec<(&'a Passage, Support)> {
    let said = statements(&asked.tokens, topic, None);
    let pronouns = pronouns(passages);
    let stands = ["she", "he"].map(|pronoun| pronouns.contains(&pronoun));
    let mut others = Others::default();
    let support = |passage: &'a Passage| {
        let support = match matching {
            Matching::Exact => exact(asked, passage, topic),
            Matching::Contained => {
                // After `Her daughter won.`, `She` may be the daughter.
                let of_others =
                    pronouns.first().is_some_and(|pronoun| others.are_meant_by(pronoun));
                others.read(&passage.tokens, topic, stands);
                contained(asked, &said, passage, topic, if of_others { &[] } else { pronouns })
            }
        };
        (passage, support)
    };
    passages.iter().map(support).collect()
}

fn asked(text: &str, topic: &Topic) -> AskedClaim {
    let tokens = whole(&tokens(text), topic).into_owned();
    let mut about = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        match topic.mention(&tokens, index) {
            Some(length) => index += length,
            None => {
                if !tokens[index].article {
                    about.push(tokens[index].word.clone());
                }
                index += 1;
            }
        }
    }
    AskedClaim { words: words_with_topic(&tokens, topic), about, tokens }
}

/// The words of a text, with each mention of its topic by full name as one.
fn words_with_topic(tokens: &[Token], topic: &Topic) -> Vec<String> {
    let mut found = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        let length = topic.mention(tokens, index);
        match length {
            Some(_) => found.push("\u{1}".to_owned()),
            None if tokens[index].article => {}
            None => found.push(tokens[index].word.clone()),
        }
        index += length.unwrap_or(1);
    }
    found
}

/// The pronouns of the topic in an article: `she` or `he`, whichever is more frequent, else `it`
/// and `they`.
fn pronouns(passages: &[Passage]) -> &'static [&'static str] {
    let (mut she, mut he) = (0, 0);
    for (index, token) in passages.iter().flat_map(|passage| passage.tokens.iter().enumerate()) {
        // The symbol `He` inside a sentence is no pronoun.
        if index == 0 || !token.capital || token.mark.is_some() {
            she += usize::from(token.is_one_of(&["she", "her", "herself"]));
            he += usize::from(token.is_one_of(&["he", "his", "him", "himself"]));
        }
    }
    if she + he == 0 {
        &["it", "its", "they", "their"]
    } else if she >= he {
        &["she", "her"]
    } else {
        &["he", "his"]
    }
}

/// How far a sentence states the claim, from 0 to 1, and whether it denies it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Support {
    share: f64,
    denied: bool,
}

impl Support {
    const NONE: Self = Self { share: 0.0, denied: false };
}

fn exact(asked: &AskedClaim, passage: &Passage, topic: &Topic) -> Support {
    let equal = passage.words.len() + MOST_NAME_WORDS >= asked.words.len()
        && words_with_topic(&whole(&passage.tokens, topic), topic) == asked.words;
    Support { share: f64::from(u8::from(equal)), denied: false }
}

/// Maximum words of a mention.
const MOST_NAME_WORDS: usize = 12;

fn contained(
    asked: &AskedClaim,
    said: &[Statement],
    passage: &Passage,
    topic: &Topic,
    pronouns: &[&str],
) -> Support {
    let content: Vec<&String> = asked.about.iter().filter(|word| has_content(word)).collect();
    if content.is_empty() {
        return Support::NONE;
    }
    let known = &*whole(&passage.tokens, topic);
    let there = content.iter().filter(|word| occurs(word, known)).count();
    let share = there as f64 / content.len() as f64;
    // A missing word alone decides; statements are compared only where all are there.
    if share < 1.0 {
        return Support { share, denied: false };
    }
    if asked.tokens.iter().any(|token| is_unspaced_word(&token.word)) {
        let whole = is_whole_part(asked, known, topic);
        return Support { share: if whole { 1.0 } else { 0.5 }, denied: false };
    }
    // `He was a physicist` has an unknown subject.
    if is_of_nobody(asked, topic) {
        return Support { share: 0.5, denied: false };
    }
    // Equal sentences agree, also where the parser understands neither.
    if words_with_topic(known, topic) == asked.words {
        return Support { share: 1.0, denied: false };
    }
    match agreement(said, &statements(known, topic, Some(pronouns))) {
        Agreement::Says => Support { share: 1.0, denied: false },
        Agreement::Denies => Support { share: 0.0, denied: true },
        Agreement::Neither => Support { share: 0.5, denied: false },
    }
}

/// Whether a claim is about a `she` or `he` other than the topic.
fn is_of_nobody(asked: &AskedClaim, topic: &Topic) -> bool {
    let first = asked.tokens.first().map_or("", |token| token.word.as_str());
    let is_named = (0..asked.tokens.len()).any(|at| topic.mention(&asked.tokens, at).is_some());
    matches!(first, "she" | "he" | "her" | "his") && !is_named
}

/// Whether a word must occur in a sentence that supports a claim.
fn has_content(word: &str) -> bool {
    !FUNCTION_WORDS.contains(&word)
        && !PREPOSITIONS.contains(&word)
        && !is_empty(word)
        && !is_denial(word)
}

/// Whether a word is among these; a number, date or span also where they say it.
fn occurs(word: &str, known: &[Token]) -> bool {
    let mut own = known.iter().filter(|token| !token.article);
    own.any(|token| token.word == word || (is_measure(word) && has(&token.word, word)))
}

/// Denials, which are compared as part of statements.
fn is_denial(word: &str) -> bool {
    matches!(word, "not" | "no" | "never" | "neither" | "nor" | "without")
}

fn is_unspaced_word(word: &str) -> bool {
    word.chars().any(|letter| {
        matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
            | '\u{20000}'..='\u{323af}')
    })
}

/// Whether a claim in a script without spaces is a complete sentence or part between marks.
fn is_whole_part(asked: &AskedClaim, known: &[Token], topic: &Topic) -> bool {
    let mut parts: Vec<Vec<Token>> = vec![known.to_vec(), Vec::new()];
    for token in known {
        if token.mark.is_some() {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(token.clone());
        }
    }
    parts.iter().any(|part| words_with_topic(part, topic) == asked.words)
}

/// The sentences nearest to a claim.
#[derive(Default)]
struct Best {
    rank: f64,
    support: f64,
    denied: bool,
    evidence: Vec<Evidence>,
}

impl Best {
    fn add(&mut self, asked: &AskedClaim, title: &str, passage: &Passage, support: Support) {
        self.denied |= support.denied;
        let overlap = asked.about.iter().filter(|word| passage.words.contains(word)).count() as f64;
        if support.share == 0.0 && overlap == 0.0 && !support.denied {
            return;
        }
        let length_apart = (passage.words.len() as f64 - asked.words.len() as f64).abs();
        let rank = 1e6 * support.share.max(f64::from(u8::from(support.denied))) + 1e3 * overlap
            - length_apart;
        // Support outranks common words, and those outrank a similar length.
        if self.evidence.is_empty() || rank > self.rank {
            self.evidence.clear();
            (self.rank, self.support) = (rank, support.share);
        }
        if rank == self.rank && self.evidence.len() < MOST_EVIDENCE {
            self.evidence.push(Evidence::new(title, &passage.text));
        }
    }

    fn verdict(self, claim_id: &ClaimId, complete: bool) -> Verdict {
        let probability = if self.denied { 0.0 } else { self.support };
        let supported = probability == 1.0 && complete;
        let verdict = if supported { FactLabel::Supported } else { FactLabel::Unsupported };
        Verdict::new(claim_id.clone(), verdict, probability, self.evidence)
    }
}

/// Whether a claim ends in a word that needs a continuation; capitalised it is a name, such as the
/// symbol `In`.
fn breaks_off(claim: &str) -> bool {
    let claimed = tokens(claim);
    let last = claimed.iter().rfind(|token| !token.article);
    // A pronoun ends a sentence with a full stop (`The king admired her.`), a preposition does not.
    let end = claim.trim_end_matches(|letter: char| "\"'”’)]* ".contains(letter));
    let is_sentence = end.ends_with(['.', '!', '?', '。', '！', '？']);
    last.is_none_or(|token| {
        !token.capital
            && token.is_one_of(FUNCTION_WORDS)
            && !(is_sentence && token.is_one_of(END_PRONOUNS))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::knowledge::{Article, write};

    fn judged(claim: &str, matching: Matching) -> (FactLabel, f64, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let article = |title: &str, text: &str| Article::new(title, text);
        let articles = [
            article(
                "Marie Curie",
                "Marie Curie was born in Warsaw. Marie Curie was born in 1867. Marie Curie's \
                field was physics. Marie Curie's field was chemistry.",
            ),
            article("Warsaw", "Warsaw is in Poland."),
            article("hydrogen", "Hydrogen is a gas."),
        ];
        write(&path, articles).unwrap();
        let claim = Claim { id: "c".into(), text: claim.to_owned(), ..Claim::default() };
        let verdict = verify(&claim, &Knowledge::open(&path).unwrap(), matching).unwrap();
        (
            verdict.verdict,
            verdict.probability,
            verdict.evidence.into_iter().map(|evidence| evidence.text).collect(),
        )
    }

    #[test]
    fn exact() {
        let supported = [
            "Marie Curie was born in Warsaw.",
            "marie curie was born in Warsaw",
            "Hydrogen is gas",
            "Marie Curie's field was chemistry.",
        ];
        for claim in supported {
            assert_eq!(judged(claim, Matching::Exact).0, FactLabel::Supported, "{claim}");
        }
        let unsupported = [
            "Marie Curie was born in Paris.",
            "Marie Curie was born",
            "Marie Curie was born in Warsaw in 1867.",
            "Warsaw is Marie Curie's field.",
            "Ann Lee was born in Warsaw.",
            "xx",
            "Helium is a gas.",
        ];
        for claim in unsupported {
            assert_eq!(judged(claim, Matching::Exact).0, FactLabel::Unsupported, "{claim}");
        }
        assert_eq!(judged("Where was Marie Curie born?", Matching::Exact).0, FactLabel::Irrelevant);
    }

    #[test]
    fn a_claim_with_a_topic_is_read_in_the_topics_article_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let articles = [
            Article::new("Marie Curie", "Marie Curie was born in Warsaw."),
            Article::new("Pierre Curie", "Pierre Curie was born in Paris. He met Marie Curie."),
        ];
        write(&path, articles).unwrap();
        let knowledge = Knowledge::open(&path).unwrap();
        for matching in [Matching::Exact, Matching::Contained] {
            let label = |topic: &str, text: &str| {
                let (topic, text) = (topic.to_owned(), text.to_owned());
                let claim = Claim { id: "c".into(), topic, text, ..Claim::default() };
                verify(&claim, &knowledge, matching).unwrap().verdict
            };
            let of_marie = "Marie Curie was born in Warsaw.";
            assert_eq!(label("", of_marie), FactLabel::Supported);
            assert_eq!(label("Marie Curie", of_marie), FactLabel::Supported);
            for topic in ["Pierre Curie", "Irene Curie"] {
                assert_eq!(label(topic, of_marie), FactLabel::Unsupported, "{topic}");
            }
            let of_pierre = "Pierre Curie was born in Paris.";
            assert_eq!(label("Pierre Curie", of_pierre), FactLabel::Supported);
        }
    }

    #[test]
    fn evidence_is_the_nearest_sentence() {
        assert_eq!(
            judged("Marie Curie was born in Warsaw.", Matching::Exact).2,
            ["Marie Curie was born in Warsaw."]
        );
        assert_eq!(
            judged("Marie Curie's field was law.", Matching::Exact).2,
            ["Marie Curie's field was physics.", "Marie Curie's field was chemistry."]
        );
        assert!(judged("Marie Curie sang loudly.", Matching::Exact).2.is_empty());
    }

    #[test]
    fn contained() {
        assert_eq!(
            judged("Marie Curie, born in 1867.", Matching::Contained).0,
            FactLabel::Supported
        );
        assert_eq!(
            judged("Marie Curie was born in 1867 in Warsaw.", Matching::Contained),
            (
                FactLabel::Unsupported,
                2.0 / 3.0,
                vec![
                    "Marie Curie was born in Warsaw.".to_owned(),
                    "Marie Curie was born in 1867.".to_owned()
                ]
            )
        );
        assert_eq!(
            judged("Marie Curie was born in", Matching::Contained).0,
            FactLabel::Unsupported
        );
        assert_eq!(judged("Marie Curie was", Matching::Contained).0, FactLabel::Unsupported);
    }

    /// Checks the cases of a file: a text about Ada Quill, and below it claims that it supports
    /// (`+`) or does not (`-`).
    fn check_cases(subject: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/verdicts").join(subject);
        let cases = std::fs::read_to_string(path).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut knowledge = None;
        for (number, line) in cases.lines().enumerate() {
            let place = format!("{subject}:{}", number + 1);
            match line.trim_start().split_once(' ') {
                Some((mark @ ("+" | "-"), text)) => {
                    let claim = Claim {
                        id: "c".into(),
                        topic: "Ada Quill".to_owned(),
                        text: text.to_owned(),
                        ..Claim::default()
                    };
                    let knowledge = knowledge.as_ref().unwrap();
                    let verdict = verify(&claim, knowledge, Matching::Contained).unwrap();
                    let supported = verdict.verdict == FactLabel::Supported;
                    assert_eq!(supported, mark == "+", "{place}: {text} | {verdict:?}");
                }
                Some(("==" | "#", _)) | None => {}
                Some(_) => {
                    let path = folder.path().join(format!("{number}.db"));
                    let article = Article::new("Ada Quill", line);
                    write(&path, [article]).unwrap();
                    knowledge = Some(Knowledge::open(&path).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_denial_supports_nothing_but_a_denial() {
        check_cases("denials.txt");
    }

    #[test]
    fn who_did_what_to_whom_counts() {
        check_cases("roles.txt");
    }

    #[test]
    fn a_claims_number_is_the_whole_number() {
        check_cases("numbers.txt");
    }

    #[test]
    fn a_claims_measure_is_the_whole_measure() {
        check_cases("measures.txt");
    }

    #[test]
    fn spans_of_years_are_one_however_they_are_written() {
        check_cases("years.txt");
    }

    #[test]
    fn she_after_a_sentence_about_others_is_not_the_topic() {
        check_cases("pronouns.txt");
    }
}
