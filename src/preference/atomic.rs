//! Atomic preference pairs: of a fact that the model potentially knows, one sentence that states it over one that
//! contradicts it, both the model's own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    facts::{normalise, words},
    language::{
        Content, Evidence, Finish, Judgement, Knowing, Level, Pair, ProbedFact, Prompt, PromptForm, Reply, StatedFact,
    },
    seed::{Seed, Stream},
    verification::{TallyError, tallies},
};

use super::{Answers, Protection, asked::Asked, draw::draw};

/// How many words a sentence has at least: topic, verb and value.
const LEAST_WORDS: usize = 3;

/// What the sentences of a pair answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtomicForm {
    /// The question for the fact; the answer ends there.
    Question,
    /// The prompt for a paragraph about the topic, which the sentence begins.
    Paragraph,
}

/// Which pairs are wanted.
#[derive(Clone, Debug)]
pub struct AtomicMining {
    /// What the sentences answer.
    pub form: AtomicForm,
    /// Only facts of these classes.
    pub classes: Vec<Knowing>,
    /// Only facts of these splits; topics of all others are protected.
    pub splits: Vec<String>,
    /// At most so many pairs of one fact.
    pub at_most_per_fact: usize,
    /// At most so many pairs in all.
    pub at_most: Option<usize>,
    /// Whether these are drawn evenly over attributes and topics.
    pub balance: bool,
}

/// Atomic pairs, and what was counted on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Atoms {
    /// The pairs, in the order of the facts.
    pub pairs: Vec<Pair>,
    /// Facts of the wanted classes and splits.
    pub facts: usize,
    /// Facts that gave a pair.
    pub facts_used: usize,
    /// Topics of these facts.
    pub topics: usize,
    /// Pairs left out since a sentence names a protected topic, by topic.
    pub left_out: BTreeMap<String, usize>,
}

/// Why no pairs can be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtomicError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// No fact has a wanted split.
    #[error("no probed fact is of the splits {wanted}; the facts' splits are: {found}")]
    NoFacts {
        /// What was wanted.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A topic that is evaluated on would be tuned on.
    #[error("`{0}` is a topic of a split that is not tuned on: facts about it must not become pairs")]
    Protected(String),
    /// The topic has no prompt for a paragraph.
    #[error("no prompt asks for a paragraph about `{0}`, which the form `paragraph` needs")]
    NoParagraph(String),
}

/// A sentence that states a fact, or contradicts it.
struct Sentence {
    id: String,
    text: String,
    span: [usize; 2],
    is_right: bool,
}

/// Mines pairs of single facts. The sentences are the probe's answers, or where `sentences` are given those of long
/// answers (or rewritings) that are of a probed fact.
///
/// Of a fact each pair is different, and each contradicting sentence is used before one is used again.
///
/// # Errors
/// Where rows do not fit together, no fact can be used, or a used fact's topic is protected.
pub fn mine_atomic(
    facts: &[ProbedFact],
    prompts: &[Prompt],
    sentences: Option<Answers>,
    mining: &AtomicMining,
    seed: &Seed,
) -> Result<Atoms, AtomicError> {
    let seed = seed.split("atomic");
    let protection = Protection::of_other_splits(prompts, &mining.splits);
    let said: Vec<Vec<Sentence>> = match sentences {
        None => facts.iter().map(|fact| own_answers(fact, mining.form)).collect(),
        Some(answers) => own_sentences(facts, answers)?,
    };
    let mut mined = Atoms::default();
    let (mut by_fact, mut topics) = (Vec::new(), BTreeSet::new());
    let mut of_splits = facts.iter().zip(said).filter(|(fact, _)| mining.splits.contains(&fact.split)).peekable();
    if of_splits.peek().is_none() {
        let found: BTreeSet<String> = facts.iter().map(|fact| format!("`{}`", fact.split)).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.into_iter().collect::<Vec<_>>().join(", ") };
        return Err(AtomicError::NoFacts { wanted: format!("`{}`", mining.splits.join("`, `")), found });
    }
    for (fact, said) in of_splits {
        if protection.covers(&fact.topic) {
            return Err(AtomicError::Protected(fact.topic.clone()));
        }
        if !mining.classes.contains(&fact.class) {
            continue;
        }
        mined.facts += 1;
        let prompt = match mining.form {
            AtomicForm::Question => fact.question.clone(),
            AtomicForm::Paragraph => paragraph(fact, prompts)?,
        };
        let mut pairs = pairs_of(fact, &prompt, said, mining, &mut seed.split("fact").split(&fact.id).stream());
        pairs.retain(|pair| match protection.violated(pair) {
            None => true,
            Some((name, _)) => {
                *mined.left_out.entry(name).or_default() += 1;
                false
            }
        });
        pairs.truncate(mining.at_most_per_fact);
        by_fact.push(pairs);
    }
    let mut stream = seed.split("all").stream();
    if mining.balance {
        mined.pairs = balanced(by_fact, mining.at_most, &mut stream);
    } else {
        mined.pairs = by_fact.concat();
        draw(&mut mined.pairs, mining.at_most, &mut stream);
    }
    topics.extend(mined.pairs.iter().map(|pair| &pair.topic));
    mined.topics = topics.len();
    let used: BTreeSet<_> = mined.pairs.iter().map(|pair| (&pair.topic, &pair.attribute, &pair.prompt)).collect();
    mined.facts_used = used.len();
    Ok(mined)
}

/// The probe's answers to one fact that make a single claim, in a whole sentence.
fn own_answers(fact: &ProbedFact, form: AtomicForm) -> Vec<Sentence> {
    let single = fact.answers.iter().filter(|answer| {
        answer.claims == 1
            && answer.finish == Finish::Stop
            && answer.reply != Reply::Other
            && is_sentence(&answer.claim)
    });
    let sentence = |answer: &crate::language::ProbedAnswer| {
        let (text, span) = match form {
            AtomicForm::Question => (answer.output.clone(), answer.span),
            AtomicForm::Paragraph => cut_out(&answer.output, answer.span),
        };
        Sentence { id: answer.id.clone(), text, span, is_right: answer.reply == Reply::Right }
    };
    single.map(sentence).collect()
}

/// The sentences of judged answers, by the probed fact that they are of, about the same topic.
fn own_sentences(facts: &[ProbedFact], answers: Answers) -> Result<Vec<Vec<Sentence>>, TallyError> {
    let judged = tallies(answers.responses, answers.claims, answers.verdicts)?;
    let evidence: BTreeMap<&str, &[Evidence]> =
        answers.verdicts.iter().map(|verdict| (verdict.claim_id.as_str(), verdict.evidence.as_slice())).collect();
    let asked = Asked::new(facts.iter().map(|fact| (fact.truth.as_slice(), fact.claim.as_ref())));
    let mut said: Vec<Vec<Sentence>> = facts.iter().map(|_| Vec::new()).collect();
    for (response, judged) in answers.responses.iter().zip(judged) {
        for (claim, judgement) in judged.into_iter().filter(|(claim, _)| is_sentence(&claim.text)) {
            let found = asked.of(&claim.text, evidence[claim.id.as_str()]);
            let Some(index) = found.filter(|index| facts[*index].topic == response.topic) else { continue };
            if judgement != Judgement::Irrelevant {
                let (text, span) = cut_out(&response.output, claim.span);
                let is_right = judgement == Judgement::Supported;
                said[index].push(Sentence { id: claim.id.clone(), text, span, is_right });
            }
        }
    }
    Ok(said)
}

/// Whether a claim is a whole sentence rather than a bare value or something cut off.
fn is_sentence(claim: &str) -> bool {
    claim.trim_end().ends_with(['.', '!', '\u{201d}', '"']) && words(claim).len() >= LEAST_WORDS
}

/// A sentence of an answer as the answer's first one: after the white space that the answer begins with.
fn cut_out(output: &str, [from, to]: [usize; 2]) -> (String, [usize; 2]) {
    let space: String = output.chars().take_while(|letter| letter.is_whitespace()).collect();
    let start = space.chars().count();
    let sentence: String = output.chars().skip(from).take(to - from).collect();
    (format!("{space}{sentence}"), [start, start + to - from])
}

/// The prompt for a paragraph about a fact's topic, as messages where the question was asked in messages.
fn paragraph(fact: &ProbedFact, prompts: &[Prompt]) -> Result<Content, AtomicError> {
    let is_its = |prompt: &&Prompt| prompt.form == PromptForm::Paragraph && prompt.topic == fact.topic;
    let prompt = prompts.iter().find(is_its).ok_or_else(|| AtomicError::NoParagraph(fact.topic.clone()))?;
    Ok(match (&fact.question, &prompt.prompt) {
        (Content::Messages(asked), Content::Text(text)) => {
            let mut messages = asked.clone();
            if let Some(last) = messages.last_mut() {
                last.content.clone_from(text);
            }
            Content::Messages(messages)
        }
        (_, prompt) => prompt.clone(),
    })
}

/// All different pairs of a fact in random order, each contradicting sentence once before any comes again.
fn pairs_of(
    fact: &ProbedFact,
    prompt: &Content,
    said: Vec<Sentence>,
    mining: &AtomicMining,
    stream: &mut Stream,
) -> Vec<Pair> {
    let mut seen = BTreeSet::new();
    let different = said.into_iter().filter(|sentence| seen.insert(normalise(&sentence.text)));
    let (mut right, mut wrong): (Vec<Sentence>, Vec<Sentence>) = different.partition(|sentence| sentence.is_right);
    stream.shuffle(&mut right);
    stream.shuffle(&mut wrong);
    let mut pairs = Vec::new();
    for round in 0..right.len() {
        for (index, rejected) in wrong.iter().enumerate() {
            let chosen = &right[(index + round) % right.len()];
            pairs.push(Pair {
                prompt: prompt.clone(),
                chosen: prompt.answer(chosen.text.clone()),
                rejected: prompt.answer(rejected.text.clone()),
                level: Level::Atomic,
                topic: fact.topic.clone(),
                domain: fact.domain.clone(),
                attribute: fact.attribute.clone(),
                chosen_id: chosen.id.clone(),
                rejected_id: rejected.id.clone(),
                chosen_score: 1.0,
                rejected_score: 0.0,
                chosen_facts: vec![StatedFact { span: chosen.span, supported: true }],
                rejected_facts: vec![StatedFact { span: rejected.span, supported: false }],
                weight: 1.0,
                ends: mining.form == AtomicForm::Question,
            });
        }
    }
    pairs
}

/// So many pairs, the attributes taking turns; whose turn it is gives a pair of the topic that has the fewest so far, of
/// its fact that has the fewest so far, chance deciding among equals. All pairs where fewer are not wanted.
fn balanced(by_fact: Vec<Vec<Pair>>, at_most: Option<usize>, stream: &mut Stream) -> Vec<Pair> {
    let mut order: Vec<usize> = (0..by_fact.len()).collect();
    stream.shuffle(&mut order);
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for index in order {
        if let Some(first) = by_fact[index].first() {
            groups.entry((first.domain.as_str(), first.attribute.as_deref())).or_default().push(index);
        }
    }
    let mut taken = vec![0; by_fact.len()];
    let mut of_topic: BTreeMap<&str, usize> = BTreeMap::new();
    let mut left = at_most.unwrap_or(usize::MAX).min(by_fact.iter().map(Vec::len).sum());
    while left > 0 {
        for members in groups.values() {
            let open = members.iter().filter(|index| taken[**index] < by_fact[**index].len());
            let fewest = open.min_by_key(|index| {
                let topic = by_fact[**index][0].topic.as_str();
                (of_topic.get(topic).copied().unwrap_or(0), taken[**index])
            });
            let Some(index) = fewest.filter(|_| left > 0) else { continue };
            taken[*index] += 1;
            *of_topic.entry(&by_fact[*index][0].topic).or_default() += 1;
            left -= 1;
        }
    }
    by_fact.iter().zip(taken).flat_map(|(pairs, taken)| pairs[..taken].to_vec()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        language::{Claim, ProbedAnswer, Response},
        preference::asked::tests::{question, verdict},
    };

    const MINING: AtomicMining = AtomicMining {
        form: AtomicForm::Question,
        classes: Vec::new(),
        splits: Vec::new(),
        at_most_per_fact: 3,
        at_most: None,
        balance: true,
    };

    fn mining() -> AtomicMining {
        AtomicMining { classes: vec![Knowing::Potential], splits: vec!["tune".to_owned()], ..MINING }
    }

    /// A potentially known fact with right (R) and contradicting (C) answers, by value.
    pub(crate) fn fact(topic: &str, attribute: &str, answers: &[(Reply, &str)]) -> ProbedFact {
        let answer = |(index, (reply, value)): (usize, &(Reply, &str))| ProbedAnswer {
            id: format!("{topic}/{attribute}#{index}"),
            output: format!(" She {attribute} {value}."),
            finish: Finish::Stop,
            reply: *reply,
            claims: 1,
            claim: format!("{topic} {attribute} {value}."),
            span: [1, 7 + attribute.len() + value.len()],
            judgement: None,
        };
        ProbedFact {
            id: format!("{topic}/{attribute}"),
            topic: topic.to_owned(),
            domain: "people".to_owned(),
            split: "tune".to_owned(),
            attribute: Some(attribute.to_owned()),
            question: format!("What {attribute} {topic}?").into(),
            truth: vec![format!("{topic} {attribute} right.")],
            claim: None,
            class: Knowing::Potential,
            n: answers.len(),
            right: 1,
            contradicting: 1,
            other: 0,
            max_conf: 0.0,
            exp_conf: 0.0,
            neg_ent: 0.0,
            answers: answers.iter().enumerate().map(answer).collect(),
        }
    }

    fn prompts() -> Vec<Prompt> {
        let paragraph = |topic: &str, split: &str| Prompt {
            prompt: format!("Tell me about {topic}.").into(),
            form: PromptForm::Paragraph,
            ..question(topic, "x", split, &[])
        };
        vec![paragraph("Ann", "tune"), paragraph("Bo", "tune"), paragraph("Cy", "test"), paragraph("radium", "test")]
    }

    const R: Reply = Reply::Right;
    const C: Reply = Reply::Contradicting;

    fn texts(atoms: &Atoms) -> Vec<(String, String)> {
        atoms.pairs.iter().map(|pair| (pair.chosen.text(), pair.rejected.text())).collect()
    }

    #[test]
    fn right_answers_are_chosen_over_different_contradicting_ones() {
        let said = [(R, "art"), (R, "art"), (C, "law"), (C, "law"), (C, "war"), (Reply::Other, "x"), (C, "tea")];
        let found = mine_atomic(&[fact("Ann", "knew", &said)], &prompts(), None, &mining(), &Seed::root(0)).unwrap();
        let mut rejected: Vec<String> = texts(&found).into_iter().map(|(_, rejected)| rejected).collect();
        rejected.sort();
        assert_eq!(rejected, [" She knew law.", " She knew tea.", " She knew war."]);
        assert!(texts(&found).iter().all(|(chosen, _)| chosen == " She knew art."));
        let pair = &found.pairs[0];
        assert_eq!((pair.prompt.text(), pair.ends, pair.level), ("What knew Ann?".to_owned(), true, Level::Atomic));
        assert_eq!((pair.chosen_facts[0].span, pair.attribute.as_deref()), ([1, 14], Some("knew")));
        assert_eq!((found.facts, found.facts_used, found.topics), (1, 1, 1));
        let two = AtomicMining { at_most_per_fact: 2, ..mining() };
        let facts = [fact("Ann", "knew", &[(R, "a b"), (R, "c"), (C, "d")])];
        let found = texts(&mine_atomic(&facts, &prompts(), None, &two, &Seed::root(0)).unwrap());
        assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 2, "one contradicting answer against both right ones");
    }

    #[test]
    fn only_sentences_of_single_facts_of_wanted_classes_are_used() {
        let mut known = fact("Ann", "knew", &[(R, "art"), (C, "law")]);
        known.class = Knowing::Known;
        let mut broken = fact("Ann", "saw", &[(R, "art"), (C, "law"), (C, "war"), (C, "tea")]);
        broken.answers[1].finish = Finish::Length;
        broken.answers[2].claims = 2;
        broken.answers[3].claim = "Tea.".to_owned();
        let found = mine_atomic(&[known, broken], &prompts(), None, &mining(), &Seed::root(0)).unwrap();
        assert_eq!((found.pairs.len(), found.facts, found.facts_used), (0, 1, 0));
    }

    #[test]
    fn a_paragraph_begins_with_the_sentence_and_goes_on() {
        let mut asked = fact("Ann", "knew", &[(R, "art"), (C, "law")]);
        asked.question = Content::from_user("What?", Some("Be brief."));
        asked.answers[0].output = " Well: She knew art.".to_owned();
        asked.answers[0].span = [7, 20];
        let paragraph = AtomicMining { form: AtomicForm::Paragraph, ..mining() };
        let found = mine_atomic(&[asked.clone()], &prompts(), None, &paragraph, &Seed::root(0)).unwrap();
        assert_eq!(texts(&found), [(" She knew art.".to_owned(), " She knew law.".to_owned())]);
        assert_eq!(found.pairs[0].prompt, Content::from_user("Tell me about Ann.", Some("Be brief.")));
        assert!(!found.pairs[0].ends);
        let nobody = mine_atomic(&[asked], &[], None, &paragraph, &Seed::root(0));
        assert_eq!(nobody, Err(AtomicError::NoParagraph("Ann".to_owned())));
    }

    #[test]
    fn sentences_of_long_answers_are_used_where_they_are_of_a_fact() {
        let facts = [fact("Ann", "knew", &[]), fact("Ann", "saw", &[])];
        let output = " Bards say: She knew right. She knew law. She saw x.";
        let response = Response {
            id: "Ann#0".to_owned(),
            prompt_id: "Ann".to_owned(),
            sample: 0,
            topic: "Ann".to_owned(),
            domain: "people".to_owned(),
            split: "tune".to_owned(),
            prompt: "Tell me about Ann.".into(),
            output: output.to_owned(),
            finish: Finish::Length,
        };
        let claims: Vec<Claim> = crate::facts::extract("Ann#0", "Ann", output);
        let verdicts = [
            verdict("Ann#0/0", Judgement::Supported, &["Ann knew right."]),
            verdict("Ann#0/1", Judgement::Unsupported, &["Ann knew right."]),
            verdict("Ann#0/2", Judgement::Unsupported, &["Ann saw right."]),
        ];
        let answers = Answers { responses: &[response], claims: &claims, verdicts: &verdicts };
        let found = mine_atomic(&facts, &prompts(), Some(answers), &mining(), &Seed::root(0)).unwrap();
        assert_eq!(texts(&found), [(" She knew right.".to_owned(), " She knew law.".to_owned())]);
        assert_eq!((found.pairs[0].chosen_facts[0].span, found.pairs[0].rejected_id.as_str()), ([1, 16], "Ann#0/1"));
    }

    /// Two attributes of two topics, three pairs each: the first four pairs are of four facts, whatever the seed.
    #[test]
    fn attributes_and_topics_take_turns() {
        let said = [(R, "art"), (C, "law"), (C, "war"), (C, "tea")];
        let mut facts: Vec<ProbedFact> = ["knew", "saw"].map(|attribute| fact("Ann", attribute, &said)).to_vec();
        facts.extend(["knew", "saw"].map(|attribute| fact("Bo", attribute, &said)));
        let mined = |at_most: usize, balance: bool, seed: u64| {
            let mining = AtomicMining { at_most: Some(at_most), balance, ..mining() };
            mine_atomic(&facts, &prompts(), None, &mining, &Seed::root(seed)).unwrap()
        };
        for seed in 0..5 {
            let four = mined(4, true, seed);
            let places: BTreeSet<_> = four.pairs.iter().map(|pair| (&pair.topic, &pair.attribute)).collect();
            assert_eq!(places.len(), 4, "each topic and each attribute once: {places:?}");
            assert_eq!(mined(4, true, seed), four);
        }
        assert_eq!((mined(100, true, 0).pairs.len(), mined(5, false, 0).pairs.len()), (12, 5));
    }

    #[test]
    fn topics_of_the_evaluation_stop_the_run_by_name() {
        let smuggled = fact("Cy", "knew", &[(R, "art"), (C, "law")]);
        let error = mine_atomic(&[smuggled], &prompts(), None, &mining(), &Seed::root(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Cy` is a topic of a split that is not tuned on: facts about it must not become pairs"
        );
        let naming = fact("Ann", "knew", &[(R, "radium"), (C, "law")]);
        let found = mine_atomic(&[naming], &prompts(), None, &mining(), &Seed::root(0)).unwrap();
        assert_eq!((found.pairs.len(), found.left_out["radium"]), (0, 1));
        let held_out = ProbedFact { split: "test".to_owned(), ..fact("Cy", "knew", &[]) };
        let error = mine_atomic(&[held_out], &prompts(), None, &mining(), &Seed::root(0)).unwrap_err();
        assert_eq!(error.to_string(), "no probed fact is of the splits `tune`; the facts' splits are: `test`");
    }
}
