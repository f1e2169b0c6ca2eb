//! The verifier: it sees the claim's text, its topic and the knowledge, and nothing else.

use crate::{
    facts::{Token, Topic, is_measure, tells, tokens},
    knowledge::{Knowledge, KnowledgeError, Passage},
    language::{Claim, Evidence, Judgement, Verdict},
};

use super::{
    agreement::{Agreement, agreement},
    grammar::{PREPOSITIONS, is_empty},
    is_checkable,
    statement::{Statement, statements},
};

/// When a claim counts as supported by a sentence of the document about its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Both are equal in their normal form.
    Exact,
    /// The sentence has all words of the claim that carry meaning and says them of the same, tied in the same way, denied
    /// or not; and the claim does not break off.
    Contained,
}

/// Words that carry no fact by themselves.
const FUNCTION_WORDS: &[&str] = &[
    "is", "was", "are", "were", "be", "been", "has", "have", "had", "of", "in", "on", "at", "by", "for", "to", "from",
    "with", "and", "or", "as", "that", "which", "who", "it", "its", "he", "his", "she", "her", "they", "their", "this",
];

/// At most so many sentences are shown as evidence.
const MOST_EVIDENCE: usize = 3;

/// A claim as it is compared.
struct Asked {
    words: Vec<String>,
    /// The words without the topic's name.
    about: Vec<String>,
    tokens: Vec<Token>,
}

/// Judges one claim: it is supported where a sentence of the article about its topic says the same (or of the article that
/// it names at its beginning, where it does not name its topic), and no sentence denies it; irrelevant where there is nothing
/// to check, and unsupported otherwise. The evidence are the sentences with the most words in common.
///
/// The probability is 1 or 0; with [`Matching::Contained`] it is the share of the claim's words that the best sentence has,
/// half of it where they are said of something else, and 0 where they are denied.
///
/// # Errors
/// Where the knowledge cannot be read.
pub fn verify(claim: &Claim, knowledge: &Knowledge, matching: Matching) -> Result<Verdict, KnowledgeError> {
    let verdict =
        |verdict, probability, evidence| Verdict { claim_id: claim.id.clone(), verdict, probability, evidence };
    if !is_checkable(&claim.text) {
        return Ok(verdict(Judgement::Irrelevant, 0.0, Vec::new()));
    }
    let mut best = Best::default();
    for (title, topic) in articles(claim, knowledge)? {
        let asked = asked(&claim.text, &topic);
        let said = statements(&asked.tokens, &topic, &[]);
        let passages = knowledge.passages(&title)?;
        let pronouns = pronouns(&passages);
        for passage in passages.iter() {
            let support = match matching {
                Matching::Exact => exact(&asked, passage, &topic),
                Matching::Contained => contained(&asked, &said, passage, &topic, pronouns),
            };
            best.add(&asked, &title, passage, support);
        }
    }
    let complete = matching == Matching::Exact || !breaks_off(&tokens(&claim.text));
    Ok(best.verdict(&claim.id, complete))
}

/// The articles that can speak of a claim, each with its topic as its sentences mention it.
fn articles(claim: &Claim, knowledge: &Knowledge) -> Result<Vec<(String, Topic)>, KnowledgeError> {
    let mut found = Vec::new();
    let known = knowledge.title_of(&claim.topic)?;
    let mut is_named = false;
    if let Some(title) = known {
        let topic = Topic::new(&claim.topic);
        let spelt = tokens(&claim.text);
        is_named = (0..spelt.len()).any(|index| topic.mention(&spelt, index).is_some());
        found.push((title, topic));
    }
    if !is_named {
        let anywhere = found.is_empty() && claim.topic.is_empty();
        let named = knowledge.title_in(&claim.text, anywhere)?;
        let named = named.filter(|title| found.iter().all(|(known, _)| known != title));
        found.extend(named.map(|title| (title.clone(), Topic::new(&title))));
    }
    Ok(found)
}

fn asked(text: &str, topic: &Topic) -> Asked {
    let tokens = tokens(text);
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
    Asked { words: words_with_topic(&tokens, topic), about, tokens }
}

/// The words of a text with its topic's mentions by whole name as one.
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

/// The pronouns that stand for the topic in an article: `she` or `he`, whichever it has more of, else `it` and `they`.
fn pronouns(passages: &[Passage]) -> &'static [&'static str] {
    let is_said = |(index, token): &(usize, &Token)| *index == 0 || !token.capital || token.mark.is_some();
    let count = |words: &[&str]| -> usize {
        let said = passages.iter().flat_map(|passage| passage.tokens.iter().enumerate().filter(is_said));
        said.filter(|(_, token)| words.contains(&token.word.as_str())).count()
    };
    let (she, he) = (count(&["she", "her", "herself"]), count(&["he", "his", "him", "himself"]));
    match () {
        () if she + he == 0 => &["it", "its", "they", "their"],
        () if she >= he => &["she", "her"],
        () => &["he", "his"],
    }
}

/// How far a sentence says what is claimed, from 0 to 1, and whether it denies it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Support {
    share: f64,
    denied: bool,
}

impl Support {
    const NONE: Self = Self { share: 0.0, denied: false };
}

fn exact(asked: &Asked, passage: &Passage, topic: &Topic) -> Support {
    let equal = passage.words.len() + MOST_NAME_WORDS >= asked.words.len()
        && words_with_topic(&passage.tokens, topic) == asked.words;
    Support { share: f64::from(u8::from(equal)), denied: false }
}

/// A mention stands for at most so many words.
const MOST_NAME_WORDS: usize = 12;

fn contained(asked: &Asked, said: &[Statement], passage: &Passage, topic: &Topic, pronouns: &[&str]) -> Support {
    let carries = |word: &&String| {
        !FUNCTION_WORDS.contains(&word.as_str())
            && !PREPOSITIONS.contains(&word.as_str())
            && !is_empty(word)
            && !is_denial(word)
    };
    let content: Vec<&String> = asked.about.iter().filter(carries).collect();
    if content.is_empty() {
        return Support::NONE;
    }
    let has = |word: &&&String| {
        passage.words.contains(word) || (is_measure(word) && passage.words.iter().any(|known| tells(known, word)))
    };
    let share = content.iter().filter(has).count() as f64 / content.len() as f64;
    if share < 1.0 {
        return Support { share, denied: false };
    }
    let known = &passage.tokens;
    if asked.tokens.iter().any(|token| is_unspaced_word(&token.word)) {
        let whole = is_whole_part(asked, known, topic);
        return Support { share: if whole { 1.0 } else { 0.5 }, denied: false };
    }
    // `He was a physicist` says of nobody knows whom.
    if is_of_nobody(asked, topic) {
        return Support { share: 0.5, denied: false };
    }
    if words_with_topic(known, topic) == asked.words {
        return Support { share: 1.0, denied: false };
    }
    match agreement(said, &statements(known, topic, pronouns)) {
        Agreement::Says => Support { share: 1.0, denied: false },
        Agreement::Denies => Support { share: 0.0, denied: true },
        Agreement::Neither => Support { share: 0.5, denied: false },
    }
}

/// Whether a claim is about a `she` or `he` who is not said to be the topic.
fn is_of_nobody(asked: &Asked, topic: &Topic) -> bool {
    let first = asked.tokens.first().map_or("", |token| token.word.as_str());
    let is_named = (0..asked.tokens.len()).any(|at| topic.mention(&asked.tokens, at).is_some());
    matches!(first, "she" | "he" | "her" | "his") && !is_named
}

/// Words that deny, and whose like is looked at with the statement.
fn is_denial(word: &str) -> bool {
    matches!(word, "not" | "no" | "never" | "neither" | "nor" | "without")
}

fn is_unspaced_word(word: &str) -> bool {
    word.chars()
        .any(|letter| matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{323af}'))
}

/// Whether a claim in a script without spaces is a whole sentence or a whole part between marks of it.
fn is_whole_part(asked: &Asked, known: &[Token], topic: &Topic) -> bool {
    let mut parts: Vec<Vec<Token>> = vec![known.to_vec(), Vec::new()];
    for token in known {
        if token.mark.is_some() {
            parts.push(Vec::new());
        }
        parts.last_mut().into_iter().for_each(|part| part.push(token.clone()));
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
    fn add(&mut self, asked: &Asked, title: &str, passage: &Passage, support: Support) {
        self.denied |= support.denied;
        let overlap = asked.about.iter().filter(|word| passage.words.contains(word)).count() as f64;
        if support.share == 0.0 && overlap == 0.0 && !support.denied {
            return;
        }
        let length_apart = (passage.words.len() as f64 - asked.words.len() as f64).abs();
        let rank = 1e6 * support.share.max(f64::from(u8::from(support.denied))) + 1e3 * overlap - length_apart;
        if self.evidence.is_empty() || rank > self.rank {
            self.evidence.clear();
            (self.rank, self.support) = (rank, support.share);
        }
        if rank == self.rank && self.evidence.len() < MOST_EVIDENCE {
            self.evidence.push(Evidence { title: title.to_owned(), text: passage.text.clone() });
        }
    }

    fn verdict(self, claim_id: &str, complete: bool) -> Verdict {
        let probability = if self.denied { 0.0 } else { self.support };
        let supported = probability == 1.0 && complete;
        let verdict = if supported { Judgement::Supported } else { Judgement::Unsupported };
        Verdict { claim_id: claim_id.to_owned(), verdict, probability, evidence: self.evidence }
    }
}

/// Whether a claim ends in a word that something must follow; in capitals it is a name, such as the symbol `In`.
fn breaks_off(claimed: &[Token]) -> bool {
    let last = claimed.iter().rfind(|token| !token.article);
    last.is_none_or(|token| !token.capital && FUNCTION_WORDS.contains(&token.word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::{Article, write};

    fn judged(claim: &str, matching: Matching) -> (Judgement, f64, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        let article = |title: &str, text: &str| Article { title: title.to_owned(), text: text.to_owned() };
        let articles = [
            article(
                "Marie Curie",
                "Marie Curie was born in Warsaw. Marie Curie was born in 1867. Marie Curie's field was physics. Marie Curie's field was chemistry.",
            ),
            article("Warsaw", "Warsaw is in Poland."),
            article("hydrogen", "Hydrogen is a gas."),
        ];
        write(&path, articles).unwrap();
        let claim = Claim { id: "c".to_owned(), text: claim.to_owned(), ..Claim::default() };
        let verdict = verify(&claim, &Knowledge::open(&path).unwrap(), matching).unwrap();
        (verdict.verdict, verdict.probability, verdict.evidence.into_iter().map(|evidence| evidence.text).collect())
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
            assert_eq!(judged(claim, Matching::Exact).0, Judgement::Supported, "{claim}");
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
            assert_eq!(judged(claim, Matching::Exact).0, Judgement::Unsupported, "{claim}");
        }
        assert_eq!(judged("Where was Marie Curie born?", Matching::Exact).0, Judgement::Irrelevant);
    }

    #[test]
    fn evidence_is_the_nearest_sentence() {
        assert_eq!(judged("Marie Curie was born in Warsaw.", Matching::Exact).2, ["Marie Curie was born in Warsaw."]);
        assert_eq!(
            judged("Marie Curie's field was law.", Matching::Exact).2,
            ["Marie Curie's field was physics.", "Marie Curie's field was chemistry."]
        );
        assert!(judged("Marie Curie sang loudly.", Matching::Exact).2.is_empty());
    }

    #[test]
    fn contained() {
        assert_eq!(judged("Marie Curie, born in 1867.", Matching::Contained).0, Judgement::Supported);
        assert_eq!(
            judged("Marie Curie was born in 1867 in Warsaw.", Matching::Contained),
            (
                Judgement::Unsupported,
                2.0 / 3.0,
                vec!["Marie Curie was born in Warsaw.".to_owned(), "Marie Curie was born in 1867.".to_owned()]
            )
        );
        assert_eq!(judged("Marie Curie was born in", Matching::Contained).0, Judgement::Unsupported);
        assert_eq!(judged("Marie Curie was", Matching::Contained).0, Judgement::Unsupported);
    }

    /// What `contained` makes of claims about Ada Quill beside one sentence of her article: `+` supported, `-` not.
    fn beside(sentence: &str, claims: &[(&str, char)]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("knowledge.db");
        write(&path, [Article { title: "Ada Quill".to_owned(), text: sentence.to_owned() }]).unwrap();
        let knowledge = Knowledge::open(&path).unwrap();
        for (text, expected) in claims {
            let claim = Claim {
                id: "c".to_owned(),
                topic: "Ada Quill".to_owned(),
                text: (*text).to_owned(),
                ..Claim::default()
            };
            let verdict = verify(&claim, &knowledge, Matching::Contained).unwrap();
            let found = if verdict.verdict == Judgement::Supported { '+' } else { '-' };
            assert_eq!(found, *expected, "{text} | {sentence} | {verdict:?}");
        }
    }

    #[test]
    fn a_denial_supports_nothing_but_a_denial() {
        beside(
            "Ada Quill was not born in Paris.",
            &[("Ada Quill was born in Paris.", '-'), ("Ada Quill wasn't born in Paris.", '+')],
        );
        beside(
            "Ada Quill never won a medal.",
            &[("Ada Quill won a medal.", '-'), ("Ada Quill never won a medal.", '+')],
        );
        beside("Ada Quill no longer works at Acme.", &[("Ada Quill works at Acme.", '-')]);
        beside("Ada Quill won no medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill died without children.", &[("Ada Quill died with children.", '-'), ("Ada Quill died.", '+')]);
        beside("Ada Quill failed to win a medal.", &[("Ada Quill win a medal.", '-')]);
        beside("Ada Quill denied that she won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("It is false that Ada Quill won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("There is no evidence that Ada Quill won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Neither Ada Quill nor Bo Ray won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill did not win or lose a game.", &[("Ada Quill did win a game.", '-')]);
        beside(
            "Ada Quill is neither a poet nor a painter.",
            &[("Ada Quill is a poet.", '-'), ("Ada Quill is a painter.", '-')],
        );
        beside(
            "Ada Quill was born in Oslo.",
            &[("Ada Quill was not born in Oslo.", '-'), ("Ada Quill was born in Oslo.", '+')],
        );
        beside("Ada Quill was born in Oslo, not in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Ada Quill may have won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill almost won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill not only won a medal but also died in Oslo.", &[("Ada Quill won a medal.", '+')]);
        beside("Ada Quill wrote No. 5 in 1901.", &[("Ada Quill wrote No. 5 in 1901.", '+')]);
    }

    #[test]
    fn denials_doubts_and_roles_in_many_words() {
        beside(
            "Ada Quill was born in Oslo but never lived in Paris.",
            &[
                ("Ada Quill was born in Oslo.", '+'),
                ("Ada Quill lived in Paris.", '-'),
                ("Ada Quill never lived in Paris.", '+'),
            ],
        );
        beside(
            "Ada Quill was born in Oslo, not Paris.",
            &[("Ada Quill was born in Oslo.", '+'), ("Ada Quill was born in Paris.", '-')],
        );
        beside(
            "Contrary to popular belief, Ada Quill was not born in Paris.",
            &[("Ada Quill was born in Paris.", '-')],
        );
        beside("It is unknown whether Ada Quill was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Whether Ada Quill was born in Paris is unknown.", &[("Ada Quill was born in Paris.", '-')]);
        beside(
            "Ada Quill denied having won a medal.",
            &[("Ada Quill won a medal.", '-'), ("Ada Quill having won a medal.", '-')],
        );
        beside("The claim that Ada Quill won a medal is false.", &[("Ada Quill won a medal.", '-')]);
        beside("The rumour that Ada Quill won a medal was denied.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill failed to win the Nobel Prize.", &[("Ada Quill won the Nobel Prize.", '-')]);
        beside(
            "Ada Quill did not win the Nobel Prize in 1903.",
            &[
                ("Ada Quill won the Nobel Prize in 1903.", '-'),
                ("Ada Quill did win the Nobel Prize in 1903.", '-'),
                ("Ada Quill didn't win the Nobel Prize in 1903.", '+'),
            ],
        );
        beside(
            "Ada Quill was neither born in Paris nor raised in Rome.",
            &[("Ada Quill was born in Paris.", '-'), ("Ada Quill was raised in Rome.", '-')],
        );
        beside("None of Ada Quill's books won a prize.", &[("Ada Quill's books won a prize.", '-')]);
        beside("Ada Quill hardly ever sang in public.", &[("Ada Quill sang in public.", '-')]);
        beside(
            "Ada Quill is not only a poet but also a painter.",
            &[("Ada Quill is a painter.", '+'), ("Ada Quill is a poet.", '+'), ("Ada Quill is not a poet.", '-')],
        );
        beside(
            "Ada Quill is a poet and not a painter.",
            &[("Ada Quill is a poet.", '+'), ("Ada Quill is a painter.", '-')],
        );
        beside("Ada Quill, unlike her sister, never married.", &[("Ada Quill married.", '-')]);
        beside(
            "Ada Quill was not a painter but a poet.",
            &[("Ada Quill was a painter.", '-'), ("Ada Quill was a poet.", '+')],
        );
        beside("Although not born in Oslo, Ada Quill lived there.", &[("Ada Quill was born in Oslo.", '-')]);
        beside("Nobody said that Ada Quill won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside(
            "Ada Quill refused to accept the prize.",
            &[("Ada Quill accepted the prize.", '-'), ("Ada Quill accept the prize.", '-')],
        );
        beside("Ada Quill couldn't sing.", &[("Ada Quill could sing.", '-'), ("Ada Quill sing.", '-')]);
        beside(
            "Ada Quill Did Not Win A Medal.",
            &[("Ada Quill Did Win A Medal.", '-'), ("Ada Quill win a medal.", '-')],
        );
        beside("ADA QUILL WAS NOT BORN IN PARIS.", &[("Ada Quill was born in Paris.", '-')]);
        beside(
            "Ada Quill isn\u{2019}t a painter.",
            &[("Ada Quill is a painter.", '-'), ("Ada Quill is not a painter.", '+')],
        );
        beside(
            "Ada Quill was never married and had no children.",
            &[
                ("Ada Quill was married.", '-'),
                ("Ada Quill had children.", '-'),
                ("Ada Quill had no children.", '+'),
                ("Ada Quill was never married.", '+'),
            ],
        );
        beside(
            "Ada Quill had two children.",
            &[
                ("Ada Quill had no children.", '-'),
                ("Ada Quill had three children.", '-'),
                ("Ada Quill had 2 children.", '+'),
            ],
        );
        beside(
            "Aaron Burr shot Ada Quill in 1804.",
            &[("Ada Quill shot Aaron Burr in 1804.", '-'), ("Aaron Burr shot Ada Quill in 1804.", '+')],
        );
        beside(
            "Ada Quill defeated Bo Ray in the election of 1920.",
            &[
                ("Ada Quill defeated Bo Ray in the election of 1920.", '+'),
                ("Bo Ray defeated Ada Quill in the election of 1920.", '-'),
                ("Ada Quill was defeated by Bo Ray in the election of 1920.", '-'),
            ],
        );
        beside(
            "Ada Quill was defeated by Bo Ray.",
            &[("Ada Quill defeated Bo Ray.", '-'), ("Ada Quill was defeated by Bo Ray.", '+')],
        );
        beside(
            "Ada Quill is the daughter of Bo Ray.",
            &[
                ("Bo Ray is the daughter of Ada Quill.", '-'),
                ("Ada Quill is the daughter of Bo Ray.", '+'),
                ("Ada Quill is Bo Ray's daughter.", '+'),
            ],
        );
        beside("Ada Quill's mother was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Ada Quill's mother, Ann, was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("The mother of Ada Quill was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside(
            "Her father was a painter and her mother a poet.",
            &[("Ada Quill was a painter.", '-'), ("Ada Quill was a poet.", '-')],
        );
        beside("Ada Quill married Pierre, a painter.", &[("Ada Quill was a painter.", '-')]);
        beside(
            "Ada Quill, whose father was a painter, was a poet.",
            &[("Ada Quill was a painter.", '-'), ("Ada Quill was a poet.", '+')],
        );
        beside("Ada Quill and Bo Ray won a medal.", &[("Ada Quill won a medal.", '+')]);
        beside(
            "Ada Quill was born on 12 May 1934 in Oslo.",
            &[
                ("Ada Quill was born on May 12, 1934.", '+'),
                ("Ada Quill was born in Oslo on 12 May 1934.", '+'),
                ("Ada Quill was born in 1934 in Oslo.", '+'),
                ("Ada Quill was born in 1943 in Oslo.", '-'),
                ("Ada Quill died in 1934.", '-'),
            ],
        );
        beside(
            "There are three books by Ada Quill.",
            &[("There are 3 books by Ada Quill.", '+'), ("There are 4 books by Ada Quill.", '-')],
        );
        beside(
            "Ada Quill sold 1.5 million records.",
            &[
                ("Ada Quill sold 1,500,000 records.", '+'),
                ("Ada Quill sold 15 million records.", '-'),
                ("Ada Quill sold 1.5 billion records.", '-'),
            ],
        );
        beside(
            "Ada Quill wrote 12 books between 1903 and 1911.",
            &[
                ("Ada Quill wrote twelve books.", '+'),
                ("Ada Quill wrote 1903 books.", '-'),
                ("Ada Quill wrote 12 books between 1911 and 1903.", '-'),
            ],
        );
        beside(
            "It was in 1903 that Ada Quill won the prize.",
            &[("Ada Quill won the prize in 1903.", '+'), ("Ada Quill won the prize in 1904.", '-')],
        );
        beside("It was Bo Ray who won the prize that Ada Quill wanted.", &[("Ada Quill won the prize.", '-')]);
        beside(
            "Ada Quill was the second woman to win the prize.",
            &[
                ("Ada Quill was the first woman to win the prize.", '-'),
                ("Ada Quill was the woman to win the prize.", '-'),
            ],
        );
        beside("Ada Quill taught Bo Ray physics.", &[("Bo Ray taught Ada Quill physics.", '-')]);
        beside("Ada Quill was a student of Bo Ray.", &[("Bo Ray was a student of Ada Quill.", '-')]);
        beside("Ada Quill was rumoured to have won a medal.", &[("Ada Quill won a medal.", '-')]);
    }

    #[test]
    fn exceptions_compounds_and_other_names() {
        beside(
            "Ada Quill wanted to become a painter.",
            &[("Ada Quill became a painter.", '-'), ("Ada Quill become a painter.", '-')],
        );
        beside(
            "Ada Quill won the prize in 1903 and the medal in 1911.",
            &[
                ("Ada Quill won the prize in 1903.", '+'),
                ("Ada Quill won the medal in 1911.", '+'),
                ("Ada Quill won the medal in 1903.", '-'),
                ("Ada Quill won the prize in 1911.", '-'),
            ],
        );
        beside("Ada Quill lived in Oslo until 1934.", &[("Ada Quill lived in Oslo since 1934.", '-')]);
        beside(
            "Ada Quill moved from Oslo to Rome.",
            &[
                ("Ada Quill moved from Rome to Oslo.", '-'),
                ("Ada Quill moved to Oslo.", '-'),
                ("Ada Quill moved to Rome.", '+'),
            ],
        );
        beside("If Ada Quill had won the prize, Bo would have wept.", &[("Ada Quill had won the prize.", '-')]);
        beside("Ada Quill lost the election.", &[("Ada Quill won the election.", '-')]);
        beside("Ada Quill rejected the claim that she was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Ada Quill said she never won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("It is a myth that Ada Quill was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Some believe Ada Quill was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("Ada Quill was formerly president of Acme.", &[("Ada Quill is president of Acme.", '-')]);
        beside("Ada Quill has not been president.", &[("Ada Quill has been president.", '-')]);
        beside("Ada Quill was mistakenly said to be a painter.", &[("Ada Quill was a painter.", '-')]);
        beside("Ada Quill is no painter.", &[("Ada Quill is a painter.", '-')]);
        beside("Ada Quill was anything but a painter.", &[("Ada Quill was a painter.", '-')]);
        beside(
            "Far from being a painter, Ada Quill was a poet.",
            &[("Ada Quill was a painter.", '-'), ("Ada Quill was a poet.", '+')],
        );
        beside("Ada Quill was stripped of the medal.", &[("Ada Quill won the medal.", '-')]);
        beside("Ada Quill almost never sang.", &[("Ada Quill sang.", '-')]);
        beside(
            "Ada Quill never wrote a novel, and never won a prize.",
            &[("Ada Quill won a prize.", '-'), ("Ada Quill wrote a novel.", '-')],
        );
        beside(
            "Ada Quill did not write a novel or a play.",
            &[("Ada Quill did write a play.", '-'), ("Ada Quill did write a novel.", '-')],
        );
        beside("Not a painter, Ada Quill was a poet.", &[("Ada Quill was a painter.", '-')]);
        beside(
            "Neither a painter nor a poet, Ada Quill sang.",
            &[("Ada Quill was a painter.", '-'), ("Ada Quill was a poet.", '-'), ("Ada Quill sang.", '+')],
        );
        beside("Ada Quill can neither read nor write.", &[("Ada Quill can read.", '-'), ("Ada Quill can write.", '-')]);
        beside("Ada Quill received the prize from Bo Ray.", &[("Bo Ray received the prize from Ada Quill.", '-')]);
        beside(
            "Ada Quill gave the prize to Bo Ray.",
            &[("Ada Quill gave Bo Ray to the prize.", '-'), ("Bo Ray gave the prize to Ada Quill.", '-')],
        );
        beside(
            "Ada Quill held Austro-Hungarian citizenship.",
            &[
                ("Ada Quill held Hungarian citizenship.", '-'),
                ("Ada Quill held Austro-Hungarian citizenship.", '+'),
                ("Ada Quill held Austro Hungarian citizenship.", '+'),
            ],
        );
        beside(
            "Ada Quill was a non-smoker and a well-known painter.",
            &[("Ada Quill was a smoker.", '-'), ("Ada Quill was a painter.", '+')],
        );
        beside("Ada Quill was a Polish-French physicist.", &[("Ada Quill was a physicist.", '+')]);
        beside("According to Bo Ray, Ada Quill was born in Paris.", &[("Ada Quill was born in Paris.", '-')]);
        beside("In Oslo Ada Quill met Bo Ray.", &[("Ada Quill met Bo Ray in Oslo.", '+')]);
        beside("Under no circumstances did Ada Quill sing.", &[("Ada Quill did sing.", '-'), ("Ada Quill sing.", '-')]);
        beside(
            "Ada Quill was born in Oslo. She never lived in Rome. Rome is a town.",
            &[("Ada Quill lived in Rome.", '-')],
        );
        beside(
            "Ada Quill was the first woman to win the prize, though she did not accept it.",
            &[("Ada Quill accept it.", '-')],
        );
        beside(
            "Ada Quill, not Bo Ray, won the prize.",
            &[("Ada Quill won the prize.", '+'), ("Bo Ray won the prize.", '-')],
        );
        beside("Bo Ray, not Ada Quill, won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside("Bo Ray rather than Ada Quill won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside("Ada Quill, along with Bo Ray, won the prize.", &[("Ada Quill won the prize.", '+')]);
        beside("Everybody but Ada Quill won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside("Everyone except Ada Quill won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside("Bo Ray instead of Ada Quill won the prize.", &[("Ada Quill won the prize.", '-')]);
        beside(
            "Ada Quill\u{2019}s father, Tom Quill, was a mayor of Oslo.",
            &[("Ada Quill was a mayor of Oslo.", '-')],
        );
        beside("Tom Quill was a mayor of Oslo.", &[("Ada Quill was a mayor of Oslo.", '-')]);
        beside("Ada Quill Prize was founded in 1934.", &[("Ada Quill was founded in 1934.", '-')]);
        beside("The Ada Quill Museum opened in 1934.", &[("Ada Quill opened in 1934.", '-')]);
        beside("Ada Quill Street is in Oslo.", &[("Ada Quill is in Oslo.", '-')]);
        beside("Ada Quill said: \"Bo Ray won the prize.\"", &[("Ada Quill won the prize.", '-')]);
        beside(
            "Ada Quill was awarded the prize in 1903, but she lost it in 1911.",
            &[("Ada Quill was awarded the prize in 1903.", '+'), ("Ada Quill was awarded the prize in 1911.", '-')],
        );
        beside("Ada Quill was born in 1867 (some sources say 1868).", &[("Ada Quill was born in 1868.", '-')]);
    }

    #[test]
    fn who_did_what_counts() {
        beside(
            "Bo Ray shot Ada Quill in 1804.",
            &[("Ada Quill shot Bo Ray in 1804.", '-'), ("Bo Ray shot Ada Quill in 1804.", '+')],
        );
        beside(
            "Ada Quill was shot by Bo Ray.",
            &[("Ada Quill shot Bo Ray.", '-'), ("Bo Ray was shot by Ada Quill.", '-')],
        );
        beside("Ada Quill's daughter Irene won a medal in 1935.", &[("Ada Quill won a medal in 1935.", '-')]);
        beside("Irene, the daughter of Ada Quill, won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Her husband Pierre won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("She met Pierre, who won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("She met Pierre, and Pierre won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Pierre said that Ada Quill won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside("Ada Quill said Irene won a medal.", &[("Ada Quill won a medal.", '-')]);
        beside(
            "Ada Quill, who won a medal, died in Oslo.",
            &[("Ada Quill won a medal.", '+'), ("Ada Quill died in Oslo.", '+')],
        );
        beside(
            "She was born in Oslo and died in Paris.",
            &[
                ("Ada Quill was born in Oslo.", '+'),
                ("Ada Quill died in Paris.", '+'),
                ("Ada Quill died in Oslo.", '-'),
                ("Ada Quill was born in Paris.", '-'),
            ],
        );
        beside(
            "She travelled from Oslo to Paris.",
            &[("Ada Quill travelled from Paris to Oslo.", '-'), ("Ada Quill travelled to Paris from Oslo.", '+')],
        );
        beside("Ada Quill is an Irish painter.", &[("Ada Quill is a painter.", '+')]);
        beside(
            "Ada Quill, a painter, died in 1934.",
            &[("Ada Quill was a painter.", '+'), ("Ada Quill died in 1934.", '+')],
        );
        beside("Ada Quill was vice president of Acme.", &[("Ada Quill was president of Acme.", '-')]);
        beside(
            "Born in Oslo, she died in 1934.",
            &[("Ada Quill was born in Oslo.", '+'), ("Ada Quill died in 1934.", '+')],
        );
        beside(
            "In 1903, she won a medal.",
            &[("In 1903, Ada Quill won a medal.", '+'), ("Ada Quill won a medal in 1903.", '+')],
        );
        beside("She won a medal in 1903.", &[("It was in 1903 that Ada Quill won a medal.", '+')]);
    }

    #[test]
    fn numbers_and_dates_are_exact() {
        beside(
            "She was born on 7 November 1867.",
            &[
                ("Ada Quill was born on November 7, 1867.", '+'),
                ("Ada Quill was born on 1867-11-07.", '+'),
                ("Ada Quill was born in 1867.", '+'),
                ("Ada Quill was born in November 1867.", '+'),
                ("Ada Quill was born in 1876.", '-'),
                ("Ada Quill was born on 8 November 1867.", '-'),
            ],
        );
        beside(
            "Ada Quill (born 7 November 1867, died 4 July 1934) was a painter.",
            &[
                ("Ada Quill was born on 7 November 1867.", '+'),
                ("Ada Quill was born on 4 July 1867.", '-'),
                ("Ada Quill was born on 4 July 1934.", '-'),
            ],
        );
        beside("She sold 1,000 books.", &[("Ada Quill sold 1000 books.", '+'), ("Ada Quill sold 100 books.", '-')]);
        beside("She walked 5 km.", &[("Ada Quill walked 5 kilometres.", '+'), ("Ada Quill walked 5 miles.", '-')]);
        beside(
            "She won gold in 1990, silver in 1992.",
            &[
                ("Ada Quill won gold in 1990.", '+'),
                ("Ada Quill won silver in 1992.", '+'),
                ("Ada Quill won gold in 1992.", '-'),
            ],
        );
    }

    #[test]
    fn parts_of_names_ranges_and_measures_support_nothing() {
        beside(
            "Ada Quill was not just a chemist.",
            &[("Ada Quill was not a chemist.", '-'), ("Ada Quill was a chemist.", '+')],
        );
        beside(
            "Ada Quill failed no mathematics exam.",
            &[("Ada Quill failed mathematics.", '-'), ("Ada Quill failed mathematics exam.", '-')],
        );
        beside("Ada Quill speaks little French.", &[("Ada Quill speaks French.", '-')]);
        beside("Ada Quill did everything but sing.", &[("Ada Quill did sing.", '-')]);
        beside("Ada Quill was a possible winner.", &[("Ada Quill was a winner.", '-')]);
        beside("Ada Quill is less tall than Eve.", &[("Ada Quill is tall.", '-')]);
        beside(
            "Without Bo Ray, Ada Quill was lost in Oslo.",
            &[("Ada Quill was in Oslo.", '-'), ("Ada Quill was lost in Oslo.", '-')],
        );
        beside("Without Bo Ray, Ada Quill was a painter.", &[("Ada Quill was a painter.", '-')]);
        beside(
            "Ada Quill was born in New York.",
            &[("Ada Quill was born in York.", '-'), ("Ada Quill was born in New York.", '+')],
        );
        beside(
            "Ada Quill was born in South Korea in 1900.",
            &[
                ("Ada Quill was born in Korea.", '-'),
                ("Ada Quill was born in South Korea.", '+'),
                ("Ada Quill was born in 1900.", '+'),
            ],
        );
        beside(
            "Ada Quill married Hans Albert Einstein.",
            &[("Ada Quill married Albert Einstein.", '-'), ("Ada Quill married Hans Albert Einstein.", '+')],
        );
        beside("Ada Quill met President Bo Ray in Oslo.", &[("Ada Quill met Bo Ray.", '+')]);
        beside(
            "Ada Quill was mayor of Oslo's rival town Bergen.",
            &[("Ada Quill was mayor of Oslo.", '-'), ("Ada Quill was mayor of Bergen.", '+')],
        );
        beside(
            "Ada Quill was a member of the Nazi Party's opposition.",
            &[("Ada Quill was a member of the Nazi Party.", '-')],
        );
        beside("Ada Quill ran 1,5 km.", &[("Ada Quill ran 5 km.", '-'), ("Ada Quill ran 1.5 km.", '+')]);
        beside(
            "Ada Quill wrote between 10 and 20 books.",
            &[
                ("Ada Quill wrote 20 books.", '-'),
                ("Ada Quill wrote 10 books.", '-'),
                ("Ada Quill wrote between 10 and 20 books.", '+'),
            ],
        );
        beside(
            "Ada Quill is 5 feet 10 inches tall.",
            &[
                ("Ada Quill is 10 inches tall.", '-'),
                ("Ada Quill is 5 tall.", '-'),
                ("Ada Quill is 5 feet 10 inches tall.", '+'),
            ],
        );
        beside("Ada Quill died in 44 BC.", &[("Ada Quill died in 44.", '-'), ("Ada Quill died in 44 BC.", '+')]);
        beside(
            "Ada Quill was a physicist.",
            &[
                ("He was a physicist.", '-'),
                ("The following is false: Ada Quill was a physicist.", '-'),
                ("Ada Quill was a physicist. That is false.", '-'),
                ("Myths: Ada Quill was a physicist.", '-'),
                ("Not: Ada Quill was a physicist.", '-'),
                ("Ada Quill was a physicist.", '+'),
            ],
        );
        beside(
            "Ada Quill received the Nobel Prize in Physics in 1903 with Pierre Holm.",
            &[
                ("Ada Quill received the Nobel Prize in Physics.", '+'),
                ("Ada Quill received the Nobel Prize in 1903.", '+'),
            ],
        );
    }
}
