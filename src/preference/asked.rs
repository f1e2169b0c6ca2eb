//! Which question a claim answers, and questions for the facts that answers claim.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::normalise,
    language::{Claim, Evidence, Judgement, Pair, Prompt, PromptForm, Verdict},
    verification::TallyError,
};

/// Questions by what answers them: a sentence of the knowledge, or the claim that the question was made from.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    by_sentence: BTreeMap<String, usize>,
    by_claim: BTreeMap<String, usize>,
}

/// How questions are worded, and which are asked.
#[derive(Clone, Debug)]
pub struct Questioning {
    /// Only questions of these splits.
    pub splits: Vec<String>,
    /// Only questions of these domains; of all where nothing is said.
    pub domains: Option<Vec<String>>,
    /// The question for a claim where no prompt asks for its fact, with `{topic}` and `{claim}`.
    pub question: String,
    /// Other wordings by attribute, with `{topic}`.
    pub questions: BTreeMap<String, String>,
}

/// Questions, and what was counted on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// The questions, in the order of the prompts, or of the claims where there are no prompts.
    pub prompts: Vec<Prompt>,
    /// Claims of the pairs' answers that can be checked.
    pub claims: usize,
    /// Those for whose fact there is no question about the answers' topic.
    pub unasked: usize,
}

/// Why no questions can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionsError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// The pairs' answers claim nothing.
    #[error(
        "no claim belongs to an answer of the pairs; pairs must say `chosen_id` and `rejected_id`, and the claims be those answers'"
    )]
    NoClaims,
    /// A wording is for an attribute that no question asks for.
    #[error("`questions` words `{attribute}`, for which there is no question; the attributes are: {known}")]
    UnknownAttribute {
        /// The attribute.
        attribute: String,
        /// The attributes there are.
        known: String,
    },
    /// Nothing is left.
    #[error("no question is left by `splits` and `domains`; the questions are of: {0}")]
    Nothing(String),
}

impl Asked {
    /// From the sentences that answer each question, and the claim that it was made from.
    pub(super) fn new<'a>(questions: impl Iterator<Item = (&'a [String], Option<&'a String>)>) -> Self {
        let mut asked = Self::default();
        for (index, (sentences, claim)) in questions.enumerate() {
            for sentence in sentences {
                asked.by_sentence.entry(normalise(sentence)).or_insert(index);
            }
            if let Some(claim) = claim {
                asked.by_claim.entry(normalise(claim)).or_insert(index);
            }
        }
        asked
    }

    /// The question that a claim answers, right or wrong: the one that the nearest passage of the knowledge answers, else
    /// the one made from this claim.
    pub(super) fn of(&self, claim: &str, evidence: &[Evidence]) -> Option<usize> {
        let by_evidence = evidence.iter().find_map(|passage| self.by_sentence.get(&normalise(&passage.text)));
        by_evidence.or_else(|| self.by_claim.get(&normalise(claim))).copied()
    }
}

/// All questions of the wanted splits and domains.
///
/// # Errors
/// Where there are none, or a wording is for none of them.
pub fn all_questions(prompts: &[Prompt], questioning: &Questioning) -> Result<Questions, QuestionsError> {
    let asked = questions_of(prompts, questioning)?;
    Ok(Questions { prompts: asked, ..Questions::default() })
}

/// The questions for all facts that the answers of pairs claim, right or wrong. Where no prompt is a question, each
/// different claim becomes one.
///
/// # Errors
/// Where rows do not fit together, or no question is left.
pub fn questions_of_answers(
    prompts: &[Prompt],
    pairs: &[Pair],
    claims: &[Claim],
    verdicts: &[Verdict],
    questioning: &Questioning,
) -> Result<Questions, QuestionsError> {
    let topics: BTreeMap<&str, &Pair> = pairs
        .iter()
        .flat_map(|pair| [(pair.chosen_id.as_str(), pair), (pair.rejected_id.as_str(), pair)])
        .filter(|(id, _)| !id.is_empty())
        .collect();
    let verdicts: BTreeMap<&str, &Verdict> =
        verdicts.iter().map(|verdict| (verdict.claim_id.as_str(), verdict)).collect();
    let from_claims = prompts.iter().all(|prompt| prompt.form == PromptForm::Paragraph);
    let mut asked = if from_claims { Vec::new() } else { questions_of(prompts, questioning)? };
    let index = Asked::new(asked.iter().map(|question| (question.answers.as_slice(), None)));
    let mut found = Questions::default();
    let mut wanted: BTreeSet<usize> = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in claims {
        let Some(pair) = topics.get(claim.response_id.as_str()) else { continue };
        let verdict = verdicts.get(claim.id.as_str()).ok_or_else(|| TallyError::NoVerdict(claim.id.clone()))?;
        if verdict.verdict == Judgement::Irrelevant {
            continue;
        }
        found.claims += 1;
        if from_claims {
            let question = from_claim(claim, pair, prompts, questioning);
            if seen.insert(question.id.clone()) {
                wanted.insert(asked.len());
                asked.push(question);
            }
            continue;
        }
        match index.of(&claim.text, &verdict.evidence).filter(|index| asked[*index].topic == pair.topic) {
            Some(index) => drop(wanted.insert(index)),
            None => found.unasked += 1,
        }
    }
    if found.claims == 0 {
        return Err(QuestionsError::NoClaims);
    }
    found.prompts = wanted.into_iter().map(|index| asked[index].clone()).collect();
    Ok(found)
}

/// The questions among prompts that are wanted, worded as wanted.
fn questions_of(prompts: &[Prompt], questioning: &Questioning) -> Result<Vec<Prompt>, QuestionsError> {
    let Questioning { splits, domains, questions, .. } = questioning;
    let all = || prompts.iter().filter(|prompt| prompt.form == PromptForm::Question);
    let attributes: BTreeSet<&str> = all().filter_map(|question| question.attribute.as_deref()).collect();
    if let Some(unknown) = questions.keys().find(|attribute| !attributes.contains(attribute.as_str())) {
        let known = attributes.into_iter().collect::<Vec<_>>().join(", ");
        return Err(QuestionsError::UnknownAttribute { attribute: unknown.clone(), known });
    }
    let is_wanted = |question: &&Prompt| {
        splits.contains(&question.split) && domains.as_ref().is_none_or(|domains| domains.contains(&question.domain))
    };
    let worded = |question: &Prompt| {
        let wording = question.attribute.as_ref().and_then(|attribute| questions.get(attribute));
        let prompt = wording.map(|wording| wording.replace("{topic}", &question.topic).into());
        Prompt { prompt: prompt.unwrap_or_else(|| question.prompt.clone()), ..question.clone() }
    };
    let asked: Vec<Prompt> = all().filter(is_wanted).map(worded).collect();
    if asked.is_empty() {
        let there: BTreeSet<String> =
            all().map(|question| format!("domain `{}`, split `{}`", question.domain, question.split)).collect();
        return Err(QuestionsError::Nothing(there.into_iter().collect::<Vec<_>>().join("; ")));
    }
    Ok(asked)
}

/// A question made from a claim. Its split is that of the topic's prompt; a topic without one is for tuning, as its pair is.
fn from_claim(claim: &Claim, pair: &Pair, prompts: &[Prompt], questioning: &Questioning) -> Prompt {
    let split = prompts.iter().find(|prompt| prompt.topic == pair.topic).map(|prompt| &prompt.split);
    let text = questioning.question.replace("{topic}", &pair.topic).replace("{claim}", &claim.text);
    Prompt {
        id: format!("{}/{}/{}", pair.domain, pair.topic, normalise(&claim.text)),
        prompt: text.into(),
        topic: pair.topic.clone(),
        domain: pair.domain.clone(),
        split: split.or(questioning.splits.first()).cloned().unwrap_or_default(),
        form: PromptForm::Question,
        attribute: None,
        answers: Vec::new(),
        claim: Some(claim.text.clone()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::language::Level;

    /// A question about Ann with the sentences that answer it.
    pub(crate) fn question(topic: &str, attribute: &str, split: &str, answers: &[&str]) -> Prompt {
        Prompt {
            id: format!("people/{topic}/{attribute}"),
            prompt: format!("What is the {attribute} of {topic}?").into(),
            topic: topic.to_owned(),
            domain: "people".to_owned(),
            split: split.to_owned(),
            form: PromptForm::Question,
            attribute: Some(attribute.to_owned()),
            answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
            claim: None,
        }
    }

    pub(crate) fn verdict(claim: &str, verdict: Judgement, evidence: &[&str]) -> Verdict {
        let passage = |text: &&str| Evidence { title: "Ann".to_owned(), text: (*text).to_owned() };
        let evidence = evidence.iter().map(passage).collect();
        Verdict { claim_id: claim.to_owned(), verdict, probability: 0.0, evidence }
    }

    pub(crate) fn pair(chosen: &str, rejected: &str) -> Pair {
        Pair {
            prompt: "Tell me about Ann.".into(),
            chosen: chosen.into(),
            rejected: rejected.into(),
            level: Level::General,
            topic: "Ann".to_owned(),
            domain: "people".to_owned(),
            attribute: None,
            chosen_id: chosen.to_owned(),
            rejected_id: rejected.to_owned(),
            chosen_score: 1.0,
            rejected_score: 0.0,
            chosen_facts: Vec::new(),
            rejected_facts: Vec::new(),
            weight: 1.0,
            ends: true,
        }
    }

    fn questioning() -> Questioning {
        Questioning {
            splits: vec!["tune".to_owned()],
            domains: None,
            question: "Correct this about {topic}: {claim}".to_owned(),
            questions: BTreeMap::new(),
        }
    }

    /// Five claims of the answers `a` and `b`, one of an answer that is in no pair.
    fn claims() -> (Vec<Claim>, Vec<Verdict>) {
        let claim = |id: &str, response: &str, text: &str| Claim {
            id: id.to_owned(),
            response_id: response.to_owned(),
            text: text.to_owned(),
            span: [0, 1],
            ..Claim::default()
        };
        let claims = vec![
            claim("0", "a", "Ann was born in Rome."),
            claim("1", "b", "Ann was born in Oslo."),
            claim("2", "a", "Bo was born in Oslo."),
            claim("3", "a", "Ann ann."),
            claim("4", "a", "Sorry."),
            claim("5", "c", "Ann's field was law."),
        ];
        let verdicts = vec![
            verdict("0", Judgement::Unsupported, &["Ann was born in Oslo."]),
            verdict("1", Judgement::Supported, &["Ann was born in Oslo."]),
            verdict("2", Judgement::Unsupported, &["Bo was born in Rome."]),
            verdict("3", Judgement::Unsupported, &[]),
            verdict("4", Judgement::Irrelevant, &[]),
            verdict("5", Judgement::Unsupported, &["Ann's field was art."]),
        ];
        (claims, verdicts)
    }

    #[test]
    fn facts_that_answers_claim_are_asked_for_once_and_only_of_their_topic() {
        let prompts = [
            question("Ann", "field", "tune", &["Ann's field was art."]),
            question("Ann", "birthplace", "tune", &["Ann was born in Oslo."]),
            question("Bo", "birthplace", "test", &["Bo was born in Rome."]),
        ];
        let (claims, verdicts) = claims();
        let found = questions_of_answers(&prompts, &[pair("a", "b")], &claims, &verdicts, &questioning()).unwrap();
        let ids: Vec<&str> = found.prompts.iter().map(|question| question.id.as_str()).collect();
        assert_eq!((ids, found.claims, found.unasked), (vec!["people/Ann/birthplace"], 4, 2));
        let other = questions_of_answers(&prompts, &[pair("x", "y")], &claims, &verdicts, &questioning());
        assert_eq!(other, Err(QuestionsError::NoClaims));
        let missing = questions_of_answers(&prompts, &[pair("a", "b")], &claims, &verdicts[1..], &questioning());
        assert_eq!(missing, Err(TallyError::NoVerdict("0".to_owned()).into()));
    }

    #[test]
    fn without_questions_each_different_claim_becomes_one() {
        let (claims, verdicts) = claims();
        let found = questions_of_answers(&[], &[pair("a", "b")], &claims, &verdicts, &questioning()).unwrap();
        let texts: Vec<String> = found.prompts.iter().map(|question| question.prompt.text()).collect();
        assert_eq!(
            texts,
            ["Ann was born in Rome.", "Ann was born in Oslo.", "Bo was born in Oslo.", "Ann ann."]
                .map(|claim| format!("Correct this about Ann: {claim}"))
        );
        assert_eq!((found.prompts[0].split.as_str(), found.unasked), ("tune", 0));
        let again = [claims.clone(), vec![Claim { id: "6".to_owned(), ..claims[0].clone() }]].concat();
        let verdicts = [verdicts, vec![verdict("6", Judgement::Unsupported, &[])]].concat();
        let twice = questions_of_answers(&[], &[pair("a", "b")], &again, &verdicts, &questioning()).unwrap();
        assert_eq!(twice.prompts, found.prompts);
    }

    #[test]
    fn all_questions_of_a_split_are_asked_in_other_words() {
        let prompts = [question("Ann", "field", "tune", &["A."]), question("Bo", "field", "test", &["B."])];
        let words = |attribute: &str| BTreeMap::from([(attribute.to_owned(), "{topic} does what?".to_owned())]);
        let test = Questioning { splits: vec!["test".to_owned()], questions: words("field"), ..questioning() };
        let found = all_questions(&prompts, &test).unwrap().prompts;
        assert_eq!((found.len(), found[0].prompt.text()), (1, "Bo does what?".to_owned()));
        let error = |questioning| all_questions(&prompts, &questioning).unwrap_err().to_string();
        assert_eq!(
            error(Questioning { questions: words("feild"), ..questioning() }),
            "`questions` words `feild`, for which there is no question; the attributes are: field"
        );
        assert_eq!(
            error(Questioning { domains: Some(vec!["countries".to_owned()]), ..questioning() }),
            "no question is left by `splits` and `domains`; the questions are of: domain `people`, split `test`; domain `people`, split `tune`"
        );
    }
}
