//! Atomic pairs: for a fact that the model potentially knows, a sentence of the model that states
//! it, chosen over one that contradicts it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crate::{
    facts::normalise,
    rows::{
        Content, KnowledgeClass, Level, Pair, PairSide, PairSubject, ProbedFact, Prompt,
        PromptForm, StatedFact,
    },
    seed::{Seed, Stream},
};

use super::{
    draw::draw,
    protect::Protection,
    sentences::{AtomicForm, FactMentions, FactSentence, Host, own_answers},
    substitute::complete,
};

/// Where sentences come from.
#[derive(Default)]
pub struct AtomicSources {
    /// What long responses or rewritings say about the facts.
    pub mentions: Option<FactMentions>,
    /// Whether these have the sentences [default: the probe's answers].
    pub are_said: bool,
    /// Whether a fact that lacks a right sentence, or contradicting ones, gets them: the model's
    /// sentence with a value of the knowledge.
    pub substituted: bool,
}

/// Selection of pairs.
#[derive(Clone, Debug)]
pub struct AtomicMining {
    /// Form of a pair.
    pub prompt_form: AtomicForm,
    /// Only facts of these classes.
    pub classes: Vec<KnowledgeClass>,
    /// Only facts of these splits; topics of all others are protected.
    pub splits: Vec<String>,
    /// Maximum pairs per fact.
    pub max_pairs_per_fact: usize,
    /// Maximum pairs in total.
    pub max_pairs: Option<usize>,
    /// Whether these are drawn evenly over attributes and topics.
    pub balance: bool,
}

/// Atomic pairs, with counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Atoms {
    /// The pairs, in the order of the facts.
    pub pairs: Vec<Pair>,
    /// Facts of the selected classes and splits.
    pub facts: usize,
    /// Facts that gave a pair.
    pub facts_used: usize,
    /// Topics of these facts.
    pub topics: usize,
    /// Pairs left out because a sentence names a protected topic, by topic.
    pub left_out: BTreeMap<String, usize>,
}

/// Why pairs cannot be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AtomicError {
    /// No fact has a selected split.
    #[error("no probed fact is in the splits {wanted}; the facts' splits are: {found}")]
    NoFacts {
        /// The selected splits.
        wanted: String,
        /// The splits of the facts.
        found: String,
    },
    /// A protected topic would be tuned on.
    #[error("`{0}` is a protected topic: facts about it must not become pairs")]
    Protected(String),
    /// The topic has no prompt for a paragraph.
    #[error(
        "no prompt asks for a paragraph about `{0}`, which this `prompt_form` needs; use \
        `prompt_form = \"question\"`"
    )]
    NoParagraph(String),
}

/// Mines pairs of single facts. The sentences are the probe's answers, or those of long responses
/// (or rewritings) that belong to a probed fact.
///
/// The pairs of a fact are distinct, and each contradicting sentence is used before one is used
/// again.
///
/// # Errors
/// Fails where rows do not fit together, no fact can be used, or a used fact's topic is protected.
pub fn mine_atomic(
    facts: &[ProbedFact],
    prompts: &[Prompt],
    mut sources: AtomicSources,
    mining: &AtomicMining,
    seed: &Seed,
) -> Result<Atoms, AtomicError> {
    let seed = seed.split("atomic");
    let protection = Protection::of_other_splits(prompts, &mining.splits);
    let of_splits: Vec<&ProbedFact> =
        facts.iter().filter(|fact| mining.splits.contains(&fact.split)).collect();
    if of_splits.is_empty() {
        return Err(no_facts(facts, &mining.splits));
    }
    let mut mined = Atoms::default();
    let mut by_fact = Vec::new();
    for (number, fact) in facts.iter().enumerate() {
        if !mining.splits.contains(&fact.split) {
            continue;
        }
        // A fact of a test topic among those for tuning is a mistake of the prompts, not a row to
        // leave out.
        if protection.covers(&fact.topic) {
            return Err(AtomicError::Protected(fact.topic.clone()));
        }
        if !mining.uses(fact) {
            continue;
        }
        mined.facts += 1;
        let mut said = sources.said(number, fact, mining.prompt_form);
        // A stream of its own, so that more facts leave the pairs of this one unchanged.
        let seed = seed.split("fact").split(&fact.id);
        if sources.substituted {
            let mut stream = seed.split("values").stream();
            let most = mining.max_pairs_per_fact;
            complete(fact, &of_splits, most, &mut said.sentences, &mut stream);
        }
        let mut pairs = pairs_in_form(fact, prompts, said, mining.prompt_form, &seed)?;
        pairs.retain(|pair| match protection.violated(pair) {
            None => true,
            Some((name, _)) => {
                *mined.left_out.entry(name.to_owned()).or_default() += 1;
                false
            }
        });
        // After the protection, so that pairs that are left out take nobody's place.
        pairs.truncate(mining.max_pairs_per_fact);
        by_fact.push(pairs);
    }
    let mut stream = seed.split("all").stream();
    if mining.balance {
        mined.pairs = balanced(by_fact, mining.max_pairs, &mut stream);
    } else {
        mined.pairs = by_fact.concat();
        draw(&mut mined.pairs, mining.max_pairs, &mut stream);
    }
    mined.count();
    Ok(mined)
}

impl AtomicMining {
    /// Whether pairs are made of a fact: by its class and split.
    pub fn uses(&self, fact: &ProbedFact) -> bool {
        self.classes.contains(&fact.class) && self.splits.contains(&fact.split)
    }
}

/// What a model said about one fact.
struct SaidOfFact<'a> {
    sentences: Vec<FactSentence<'a>>,
    /// Responses that the sentences can stand in.
    hosts: Vec<Host>,
}

impl AtomicSources {
    /// What was said about the fact of this number.
    fn said<'a>(
        &mut self,
        number: usize,
        fact: &'a ProbedFact,
        form: AtomicForm,
    ) -> SaidOfFact<'a> {
        match &mut self.mentions {
            Some(mentions) => SaidOfFact {
                hosts: mentions.hosts(number),
                sentences: match self.are_said {
                    true => mentions.sentences(number),
                    false => own_answers(fact, form),
                },
            },
            None => SaidOfFact { sentences: own_answers(fact, form), hosts: Vec::new() },
        }
    }
}

impl Atoms {
    /// Counts the topics and facts of the pairs.
    fn count(&mut self) {
        let topics: BTreeSet<&String> = self.pairs.iter().map(|pair| &pair.topic).collect();
        let facts: BTreeSet<_> =
            self.pairs.iter().map(|pair| (&pair.topic, &pair.attribute, &pair.prompt)).collect();
        (self.topics, self.facts_used) = (topics.len(), facts.len());
    }
}

/// The error that no fact has a selected split, with those that facts have.
fn no_facts(facts: &[ProbedFact], splits: &[String]) -> AtomicError {
    let found: BTreeSet<String> = facts.iter().map(|fact| format!("`{}`", fact.split)).collect();
    let found = if found.is_empty() {
        "none".to_owned()
    } else {
        found.into_iter().collect::<Vec<_>>().join(", ")
    };
    AtomicError::NoFacts { wanted: format!("`{}`", splits.join("`, `")), found }
}

/// The prompt for a paragraph about a fact's topic, as messages where the question was asked in
/// messages.
fn paragraph<'a>(
    fact: &ProbedFact,
    prompts: &'a [Prompt],
) -> Result<Cow<'a, Content>, AtomicError> {
    let found = prompts
        .iter()
        .find(|prompt| prompt.form == PromptForm::Paragraph && prompt.topic == fact.topic);
    let prompt = found.ok_or_else(|| AtomicError::NoParagraph(fact.topic.clone()))?;
    let (Content::Messages(asked), Content::Text(text)) = (&fact.question, &prompt.prompt) else {
        return Ok(Cow::Borrowed(&prompt.prompt));
    };
    // The system message of the question stays, as the model saw it.
    let mut messages = asked.clone();
    if let Some(last) = messages.last_mut() {
        last.content.clone_from(text);
    }
    Ok(Cow::Owned(Content::Messages(messages)))
}

/// All pairs of a fact, with the prompt and the completions of a form.
fn pairs_in_form(
    fact: &ProbedFact,
    prompts: &[Prompt],
    SaidOfFact { sentences, hosts }: SaidOfFact<'_>,
    form: AtomicForm,
    seed: &Seed,
) -> Result<Vec<Pair>, AtomicError> {
    let prompt = match form {
        AtomicForm::Question => Cow::Borrowed(&fact.question),
        AtomicForm::Paragraph | AtomicForm::Response => paragraph(fact, prompts)?,
    };
    let mut pairs = pairs_of(fact, &prompt, sentences, &mut seed.stream());
    match form {
        AtomicForm::Question => {}
        // In a paragraph more sentences follow, so that EOS after this one would be wrong.
        AtomicForm::Paragraph => pairs.iter_mut().for_each(|pair| pair.ends = false),
        AtomicForm::Response => {
            embed(&mut pairs, hosts, &mut seed.split("responses").stream());
        }
    }
    Ok(pairs)
}

/// All distinct pairs of a fact in random order, each contradicting sentence once before any is
/// repeated.
fn pairs_of(
    fact: &ProbedFact,
    prompt: &Content,
    said: Vec<FactSentence<'_>>,
    stream: &mut Stream,
) -> Vec<Pair> {
    let mut seen = BTreeSet::new();
    // Sentences that differ in spelling only would give pairs that weigh a fact twice.
    let different = said.into_iter().filter(|sentence| seen.insert(normalise(&sentence.text)));
    let (mut right, mut wrong): (Vec<FactSentence<'_>>, Vec<FactSentence<'_>>) =
        different.partition(|sentence| sentence.is_right);
    stream.shuffle(&mut right);
    stream.shuffle(&mut wrong);
    let subject = PairSubject {
        topic: &fact.topic,
        domain: &fact.domain,
        attribute: fact.attribute.as_deref(),
    };
    let mut pairs = Vec::new();
    for round in 0..right.len() {
        for (index, rejected) in wrong.iter().enumerate() {
            // Shifted by one in each round, so that no pair repeats and all are used alike.
            let chosen = &right[(index + round) % right.len()];
            let facts = [chosen, rejected]
                .map(|side| StatedFact { span: side.span, supported: side.is_right });
            let chosen =
                PairSide { id: &chosen.id, text: &chosen.text, score: 1.0, facts: &facts[..1] };
            let rejected =
                PairSide { id: &rejected.id, text: &rejected.text, score: 0.0, facts: &facts[1..] };
            pairs.push(Pair::new(prompt, Level::Atomic, subject, chosen, rejected));
        }
    }
    pairs
}

/// Puts both sentences of each pair into one response: other sentences and their order are those
/// of the response, the same on both sides. The responses take turns; without any, no pair is left.
fn embed(pairs: &mut Vec<Pair>, mut responses: Vec<Host>, stream: &mut Stream) {
    stream.shuffle(&mut responses);
    pairs.truncate(if responses.is_empty() { 0 } else { pairs.len() });
    for (pair, host) in pairs.iter_mut().zip(responses.iter().cycle()) {
        let sides = [
            (&mut pair.chosen, &mut pair.chosen_facts),
            (&mut pair.rejected, &mut pair.rejected_facts),
        ];
        for (completion, facts) in sides {
            let Some(fact) = facts.first_mut() else { continue };
            let (text, span) = host.with(&completion.text(), fact.span);
            *completion = pair.prompt.answer(&text);
            fact.span = span;
        }
    }
}

/// This many pairs, round-robin over attributes. Each turn takes a pair of the topic with the
/// fewest so far, of its fact with the fewest so far, with random ties. All pairs where no maximum
/// applies.
fn balanced(by_fact: Vec<Vec<Pair>>, max_pairs: Option<usize>, stream: &mut Stream) -> Vec<Pair> {
    // `min_by_key` takes the first of equals: a random order makes ties random.
    let mut order: Vec<usize> = (0..by_fact.len()).collect();
    stream.shuffle(&mut order);
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for index in order {
        if let Some(first) = by_fact[index].first() {
            groups
                .entry((first.domain.as_str(), first.attribute.as_deref()))
                .or_default()
                .push(index);
        }
    }
    let mut taken = vec![0; by_fact.len()];
    let mut of_topic: BTreeMap<&str, usize> = BTreeMap::new();
    let mut left = max_pairs.unwrap_or(usize::MAX).min(by_fact.iter().map(Vec::len).sum());
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
        preference::asked::tests::{question, verdict},
        preference::sentences::Mentions,
        rows::{
            AnswerLabel, CharSpan, FactLabel, Finish, ProbedAnswer, Response, ResponseId, Verdict,
        },
        verification::{ClaimVerdict, VerifiedResponse},
    };

    const MINING: AtomicMining = AtomicMining {
        prompt_form: AtomicForm::Question,
        classes: Vec::new(),
        splits: Vec::new(),
        max_pairs_per_fact: 3,
        max_pairs: None,
        balance: true,
    };

    const PROBE: AtomicSources =
        AtomicSources { mentions: None, are_said: false, substituted: false };

    /// A response about Ann in sentences, with the verdict on each claim.
    fn verified(
        sample: usize,
        output: &str,
        finish: Finish,
        judge: impl Fn(&str, &str) -> Verdict,
    ) -> VerifiedResponse {
        let response = Response {
            id: ResponseId::of_sample("Ann", sample),
            prompt_id: "Ann".to_owned(),
            sample,
            topic: "Ann".to_owned(),
            domain: "people".to_owned(),
            split: "tune".to_owned(),
            prompt: "Tell me about Ann.".into(),
            output: output.to_owned(),
            finish,
        };
        let claims = crate::facts::extract(&response.id, "Ann", output).into_iter();
        let claims = claims.map(|claim| {
            let verdict = judge(claim.id.as_str(), &claim.text);
            ClaimVerdict { claim, verdict }
        });
        VerifiedResponse { claims: claims.collect(), response }
    }

    fn mentions(facts: &[ProbedFact], are_said: bool, said: &[VerifiedResponse]) -> AtomicSources {
        let wants = Mentions { sentences: are_said, hosts: !are_said };
        let mut mentions = FactMentions::new(facts, wants, |fact| mining().uses(fact));
        said.iter().for_each(|verified| mentions.add(verified));
        AtomicSources { mentions: Some(mentions), are_said, ..PROBE }
    }

    fn mining() -> AtomicMining {
        AtomicMining {
            classes: vec![KnowledgeClass::Potential],
            splits: vec!["tune".to_owned()],
            ..MINING
        }
    }

    /// A potentially known fact with right (R) and contradicting (C) answers, by value.
    pub(crate) fn fact(
        topic: &str,
        attribute: &str,
        answers: &[(AnswerLabel, &str)],
    ) -> ProbedFact {
        let answer = |(index, (reply, value)): (usize, &(AnswerLabel, &str))| ProbedAnswer {
            id: format!("{topic}/{attribute}#{index}").into(),
            output: format!(" She {attribute} {value}."),
            finish: Finish::Stop,
            reply: *reply,
            claims: 1,
            claim: format!("{topic} {attribute} {value}."),
            span: CharSpan::new(1, 7 + attribute.len() + value.len()),
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
            class: KnowledgeClass::Potential,
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
        vec![
            paragraph("Ann", "tune"),
            paragraph("Bo", "tune"),
            paragraph("Cy", "test"),
            paragraph("radium", "test"),
        ]
    }

    const R: AnswerLabel = AnswerLabel::Right;
    const C: AnswerLabel = AnswerLabel::Contradicting;

    fn texts(atoms: &Atoms) -> Vec<(String, String)> {
        atoms.pairs.iter().map(|pair| (pair.chosen.text(), pair.rejected.text())).collect()
    }

    #[test]
    fn right_answers_are_chosen_over_different_contradicting_ones() {
        let said = [
            (R, "art"),
            (R, "art"),
            (C, "law"),
            (C, "law"),
            (C, "war"),
            (AnswerLabel::Other, "x"),
            (C, "tea"),
        ];
        let found = mine_atomic(
            &[fact("Ann", "knew", &said)],
            &prompts(),
            PROBE,
            &mining(),
            &Seed::root(0),
        )
        .unwrap();
        let mut rejected: Vec<String> =
            texts(&found).into_iter().map(|(_, rejected)| rejected).collect();
        rejected.sort();
        assert_eq!(rejected, [" She knew law.", " She knew tea.", " She knew war."]);
        assert!(texts(&found).iter().all(|(chosen, _)| chosen == " She knew art."));
        let pair = &found.pairs[0];
        assert_eq!(
            (pair.prompt.text(), pair.ends, pair.level),
            ("What knew Ann?".to_owned(), true, Level::Atomic)
        );
        assert_eq!(
            (pair.chosen_facts[0].span, pair.attribute.as_deref()),
            (CharSpan::new(1, 14), Some("knew"))
        );
        assert_eq!((found.facts, found.facts_used, found.topics), (1, 1, 1));
        let two = AtomicMining { max_pairs_per_fact: 2, ..mining() };
        let facts = [fact("Ann", "knew", &[(R, "a b"), (R, "c"), (C, "d")])];
        let found = texts(&mine_atomic(&facts, &prompts(), PROBE, &two, &Seed::root(0)).unwrap());
        assert_eq!(
            found.iter().collect::<BTreeSet<_>>().len(),
            2,
            "one contradicting answer against both right ones"
        );
    }

    #[test]
    fn only_sentences_of_single_facts_of_wanted_classes_are_used() {
        let mut known = fact("Ann", "knew", &[(R, "art"), (C, "law")]);
        known.class = KnowledgeClass::Known;
        let mut broken = fact("Ann", "saw", &[(R, "art"), (C, "law"), (C, "war"), (C, "tea")]);
        broken.answers[1].finish = Finish::Length;
        broken.answers[2].claims = 2;
        broken.answers[3].claim = "Tea.".to_owned();
        let found =
            mine_atomic(&[known, broken], &prompts(), PROBE, &mining(), &Seed::root(0)).unwrap();
        assert_eq!((found.pairs.len(), found.facts, found.facts_used), (0, 1, 0));
    }

    #[test]
    fn a_paragraph_begins_with_the_sentence_and_goes_on() {
        let mut asked = fact("Ann", "knew", &[(R, "art"), (C, "law")]);
        asked.question = Content::from_user("What?", Some("Be brief."));
        asked.answers[0].output = " Well: She knew art.".to_owned();
        asked.answers[0].span = CharSpan::new(7, 20);
        let paragraph = AtomicMining { prompt_form: AtomicForm::Paragraph, ..mining() };
        let found =
            mine_atomic(&[asked.clone()], &prompts(), PROBE, &paragraph, &Seed::root(0)).unwrap();
        assert_eq!(texts(&found), [(" She knew art.".to_owned(), " She knew law.".to_owned())]);
        assert_eq!(
            found.pairs[0].prompt,
            Content::from_user("Tell me about Ann.", Some("Be brief."))
        );
        assert!(!found.pairs[0].ends);
        let nobody = mine_atomic(&[asked], &[], PROBE, &paragraph, &Seed::root(0));
        assert_eq!(nobody, Err(AtomicError::NoParagraph("Ann".to_owned())));
    }

    #[test]
    fn sentences_of_long_answers_are_used_where_they_are_of_a_fact() {
        let facts = [fact("Ann", "knew", &[]), fact("Ann", "saw", &[])];
        let output = " Bards say: She knew right. She knew law. She saw x.";
        let said = verified(0, output, Finish::Length, |id, _| match id {
            "Ann#0/0" => verdict(id, FactLabel::Supported, &["Ann knew right."]),
            "Ann#0/1" => verdict(id, FactLabel::Unsupported, &["Ann knew right."]),
            _ => verdict(id, FactLabel::Unsupported, &["Ann saw right."]),
        });
        let sources = mentions(&facts, true, &[said]);
        let found = mine_atomic(&facts, &prompts(), sources, &mining(), &Seed::root(0)).unwrap();
        assert_eq!(texts(&found), [(" She knew right.".to_owned(), " She knew law.".to_owned())]);
        assert_eq!(
            (found.pairs[0].chosen_facts[0].span, found.pairs[0].rejected_id.as_str()),
            (CharSpan::new(1, 16), "Ann#0/1")
        );
    }

    /// Ann's response states the fact in its second sentence; Ann#1 states it twice, Ann#2 has no
    /// end.
    #[test]
    fn a_response_differs_in_the_sentence_of_the_fact_alone() {
        let facts = [fact("Ann", "knew", &[(R, "art"), (C, "law")]), fact("Ann", "saw", &[])];
        let response = |sample: usize, output: &str, finish| {
            verified(sample, output, finish, |id, text| {
                let found = if text.contains("saw") { "Ann saw right." } else { "Ann knew right." };
                verdict(id, FactLabel::Unsupported, &[found])
            })
        };
        let responses = [
            response(0, " Bards say: She saw x. She knew tea. She ran.", Finish::Stop),
            response(1, " She knew tea. She knew war.", Finish::Stop),
            response(2, " She knew tea. She", Finish::Length),
        ];
        let sources = mentions(&facts, false, &responses);
        let whole = AtomicMining { prompt_form: AtomicForm::Response, ..mining() };
        let found = mine_atomic(&facts, &prompts(), sources, &whole, &Seed::root(0)).unwrap();
        let expected = ["art", "law"]
            .map(|value| format!(" Bards say: She saw x. She knew {value}. She ran."));
        assert_eq!(texts(&found), [(expected[0].clone(), expected[1].clone())]);
        let pair = &found.pairs[0];
        assert_eq!((pair.prompt.text().as_str(), pair.ends), ("Tell me about Ann.", true));
        assert_eq!(pair.chosen_facts[0].span.of(&expected[0]), "She knew art.");
        let alone = mine_atomic(&facts, &prompts(), PROBE, &whole, &Seed::root(0)).unwrap();
        assert_eq!(alone.pairs, [], "no response has the fact");
    }

    #[test]
    fn known_and_unknown_facts_give_pairs_with_values_of_the_knowledge() {
        let mut unknown = fact("Ann", "knew", &[(C, "art"), (C, "law")]);
        unknown.class = KnowledgeClass::Unknown;
        let mut known = fact("Bo", "knew", &[(R, "tea")]);
        (known.class, known.truth) = (KnowledgeClass::Known, vec!["Bo knew tea.".to_owned()]);
        let all = AtomicMining {
            classes: vec![KnowledgeClass::Known, KnowledgeClass::Unknown],
            ..mining()
        };
        let facts = [unknown, known];
        let mined = |sources| {
            let found = mine_atomic(&facts, &prompts(), sources, &all, &Seed::root(0)).unwrap();
            let mut texts = texts(&found);
            texts.sort();
            texts
        };
        assert_eq!(mined(PROBE), []);
        let pair = |chosen: &str, rejected: &str| {
            (format!(" She knew {chosen}."), format!(" She knew {rejected}."))
        };
        assert_eq!(
            mined(AtomicSources { substituted: true, ..PROBE }),
            [
                pair("right", "art"),
                pair("right", "law"),
                pair("right", "tea"),
                pair("tea", "right")
            ]
        );
    }

    /// Two attributes of two topics, three pairs each: the first four pairs are of four facts, for
    /// any seed.
    #[test]
    fn attributes_and_topics_take_turns() {
        let said = [(R, "art"), (C, "law"), (C, "war"), (C, "tea")];
        let mut facts: Vec<ProbedFact> =
            ["knew", "saw"].map(|attribute| fact("Ann", attribute, &said)).to_vec();
        facts.extend(["knew", "saw"].map(|attribute| fact("Bo", attribute, &said)));
        let mined = |max_pairs: usize, balance: bool, seed: u64| {
            let mining = AtomicMining { max_pairs: Some(max_pairs), balance, ..mining() };
            mine_atomic(&facts, &prompts(), PROBE, &mining, &Seed::root(seed)).unwrap()
        };
        for seed in 0..5 {
            let four = mined(4, true, seed);
            let places: BTreeSet<_> =
                four.pairs.iter().map(|pair| (&pair.topic, &pair.attribute)).collect();
            assert_eq!(places.len(), 4, "each topic and each attribute once: {places:?}");
            assert_eq!(mined(4, true, seed), four);
        }
        assert_eq!((mined(100, true, 0).pairs.len(), mined(5, false, 0).pairs.len()), (12, 5));
    }

    #[test]
    fn topics_of_the_evaluation_stop_the_run_by_name() {
        let smuggled = fact("Cy", "knew", &[(R, "art"), (C, "law")]);
        let error =
            mine_atomic(&[smuggled], &prompts(), PROBE, &mining(), &Seed::root(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Cy` is a protected topic: facts about it must not become pairs"
        );
        let naming = fact("Ann", "knew", &[(R, "radium"), (C, "law")]);
        let found = mine_atomic(&[naming], &prompts(), PROBE, &mining(), &Seed::root(0)).unwrap();
        assert_eq!((found.pairs.len(), found.left_out["radium"]), (0, 1));
        let held_out = ProbedFact { split: "test".to_owned(), ..fact("Cy", "knew", &[]) };
        let error =
            mine_atomic(&[held_out], &prompts(), PROBE, &mining(), &Seed::root(0)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no probed fact is in the splits `tune`; the facts' splits are: `test`"
        );
    }
}
