//! The question that a claim answers, and questions for the facts that responses claim.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::normalise,
    rows::{Claim, Evidence, FactLabel, Pair, Prompt, PromptForm, Verdict},
    verification::TallyError,
};

/// Questions by their answers: a sentence of the knowledge, or the claim that the question was made
/// from.
#[derive(Clone, Debug, Default)]
pub(super) struct ProbedQuestions {
    by_sentence: BTreeMap<String, usize>,
    by_claim: BTreeMap<String, usize>,
}

/// Wording and selection of questions.
#[derive(Clone, Debug)]
pub struct Questioning {
    /// Splits of the questions.
    pub splits: Vec<String>,
    /// Domains of the questions [default: all].
    pub domains: Option<Vec<String>>,
    /// Template of a question for a claim that no prompt asks for, with `{topic}` and `{claim}`.
    pub question_template: String,
    /// Templates by attribute, with `{topic}`.
    pub question_templates: BTreeMap<String, String>,
    /// Number of questions kept, evenly spaced in their order [default: all].
    pub max_questions: Option<usize>,
}

/// Questions, with counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Questions {
    /// The questions, in the order of the prompts, or of the claims without prompts.
    pub prompts: Vec<Prompt>,
    /// Verifiable claims of the pairs' completions.
    pub claims: usize,
    /// Claims without a question for their fact about the completions' topic.
    pub unasked: usize,
}

/// Why questions cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionsError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// The pairs' completions have no claims.
    #[error(
        "no claim belongs to a completion of the pairs; pairs need `chosen_id` and `rejected_id`, \
        and claims must be of those completions"
    )]
    NoClaims,
    /// A template for an attribute that no question asks for.
    #[error(
        "`question_templates` has `{attribute}`, which no question asks for; the attributes are: \
        {known}"
    )]
    UnknownAttribute {
        /// The attribute.
        attribute: String,
        /// The attributes of the questions.
        known: String,
    },
    /// No question is left.
    #[error("`splits` and `domains` select no question; the questions are of: {0}")]
    Nothing(String),
}

impl ProbedQuestions {
    /// From the sentences that answer each question, and the claim that it was made from.
    pub(super) fn new<'a>(
        questions: impl Iterator<Item = (&'a [String], Option<&'a String>)>,
    ) -> Self {
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

    /// The question that a claim answers, right or wrong: the one with the claim's nearest passage
    /// of the knowledge, else the one made from this claim.
    pub(super) fn of(&self, claim: &str, evidence: &[Evidence]) -> Option<usize> {
        // Evidence comes first: it finds the fact that a false claim is about, whose words are in
        // no question.
        let by_evidence =
            evidence.iter().find_map(|passage| self.by_sentence.get(&normalise(&passage.text)));
        by_evidence.or_else(|| self.by_claim.get(&normalise(claim))).copied()
    }
}

/// All questions of the selected splits and domains.
///
/// # Errors
/// Fails without questions, or for a template without questions.
pub fn all_questions(
    prompts: &[Prompt],
    questioning: &Questioning,
) -> Result<Questions, QuestionsError> {
    let asked = questions_of(prompts, questioning)?;
    let asked = evenly_spaced(asked, questioning.max_questions);
    Ok(Questions { prompts: asked, ..Questions::default() })
}

/// What pairs are about, by the ids of their completions.
#[derive(Clone, Debug, Default)]
pub struct CompletionTopics {
    topics: Vec<PairTopic>,
    numbers: BTreeMap<PairTopic, usize>,
    by_completion: BTreeMap<String, usize>,
}

/// Topic and domain of a pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PairTopic {
    topic: String,
    domain: String,
}

impl CompletionTopics {
    /// Adds the completions of a pair.
    pub fn add(&mut self, pair: &Pair) {
        let topic = PairTopic { topic: pair.topic.clone(), domain: pair.domain.clone() };
        let number = *self.numbers.entry(topic).or_insert_with_key(|topic| {
            self.topics.push(topic.clone());
            self.topics.len() - 1
        });
        for id in [&pair.chosen_id, &pair.rejected_id] {
            // A completion is in many pairs, which may be about another topic.
            match self.by_completion.get_mut(id.as_str()) {
                Some(known) => *known = number,
                None if id.is_empty() => {}
                None => drop(self.by_completion.insert(id.clone(), number)),
            }
        }
    }

    fn of(&self, completion: &str) -> Option<&PairTopic> {
        self.by_completion.get(completion).map(|number| &self.topics[*number])
    }
}

/// The questions for all facts that the completions of pairs claim, right or wrong, of which one
/// claim is read after the other. If no prompt is a question, each different claim becomes one.
pub struct ClaimQuestions<'a> {
    prompts: &'a [Prompt],
    questioning: &'a Questioning,
    completions: CompletionTopics,
    /// Whether there is no list of facts, so that the claims are the list.
    from_claims: bool,
    /// Questions of the prompts, or of the claims so far.
    asked: Vec<Prompt>,
    index: ProbedQuestions,
    wanted: BTreeSet<usize>,
    /// Ids of the questions that were made of claims.
    seen: BTreeSet<String>,
    found: Questions,
}

impl<'a> ClaimQuestions<'a> {
    /// Before the first claim.
    ///
    /// # Errors
    /// Fails if the prompts have no question, or for a template without questions.
    pub fn new(
        prompts: &'a [Prompt],
        completions: CompletionTopics,
        questioning: &'a Questioning,
    ) -> Result<Self, QuestionsError> {
        let from_claims = prompts.iter().all(|prompt| prompt.form == PromptForm::Paragraph);
        let asked = if from_claims { Vec::new() } else { questions_of(prompts, questioning)? };
        let index =
            ProbedQuestions::new(asked.iter().map(|question| (question.answers.as_slice(), None)));
        let (wanted, seen, found) = Default::default();
        Ok(Self {
            prompts,
            questioning,
            completions,
            from_claims,
            asked,
            index,
            wanted,
            seen,
            found,
        })
    }

    /// Adds a claim with its verdict, which claims of other responses need not have.
    ///
    /// # Errors
    /// Fails where a claim of the completions has no verdict.
    pub fn add(&mut self, claim: &Claim, verdict: Option<&Verdict>) -> Result<(), QuestionsError> {
        let Some(about) = self.completions.of(claim.response_id.as_str()) else { return Ok(()) };
        let verdict = verdict.ok_or_else(|| TallyError::NoVerdict(claim.id.clone()))?;
        if verdict.verdict == FactLabel::Irrelevant {
            return Ok(());
        }
        self.found.claims += 1;
        if self.from_claims {
            let question = from_claim(claim, about, self.prompts, self.questioning);
            // Several responses claim the same; ids are made of normal forms.
            if self.seen.insert(question.id.clone()) {
                self.wanted.insert(self.asked.len());
                self.asked.push(question);
            }
            return Ok(());
        }
        // A claim may be about another topic than its response; the pair would not teach that fact.
        let question = self.index.of(&claim.text, &verdict.evidence);
        match question.filter(|index| self.asked[*index].topic == about.topic) {
            Some(index) => drop(self.wanted.insert(index)),
            None => self.found.unasked += 1,
        }
        Ok(())
    }

    /// The questions, after the last claim.
    ///
    /// # Errors
    /// Fails where no question is left.
    pub fn finish(self) -> Result<Questions, QuestionsError> {
        let Self { asked, wanted, questioning, mut found, .. } = self;
        if found.claims == 0 {
            return Err(QuestionsError::NoClaims);
        }
        let chosen = asked.into_iter().enumerate().filter(|(index, _)| wanted.contains(index));
        let chosen = chosen.map(|(_, question)| question).collect();
        found.prompts = evenly_spaced(chosen, questioning.max_questions);
        Ok(found)
    }
}

/// At most `most` of the questions. The first ones would be about the first topics only.
fn evenly_spaced(questions: Vec<Prompt>, most: Option<usize>) -> Vec<Prompt> {
    let all = questions.len();
    let kept = most.unwrap_or(all).min(all);
    let place = |index: usize| index * kept / all;
    let is_kept = |index: &usize| *index == 0 || place(*index) != place(*index - 1);
    let chosen = questions.into_iter().enumerate().filter(|(index, _)| is_kept(index));
    chosen.map(|(_, question)| question).collect()
}

/// The selected questions among prompts, with templates applied.
fn questions_of(
    prompts: &[Prompt],
    questioning: &Questioning,
) -> Result<Vec<Prompt>, QuestionsError> {
    let Questioning { splits, domains, question_templates, .. } = questioning;
    let all: Vec<&Prompt> =
        prompts.iter().filter(|prompt| prompt.form == PromptForm::Question).collect();
    let attributes: BTreeSet<&str> =
        all.iter().filter_map(|question| question.attribute.as_deref()).collect();
    if let Some(unknown) =
        question_templates.keys().find(|attribute| !attributes.contains(attribute.as_str()))
    {
        let known = attributes.into_iter().collect::<Vec<_>>().join(", ");
        return Err(QuestionsError::UnknownAttribute { attribute: unknown.clone(), known });
    }
    let mut asked = Vec::new();
    for question in &all {
        let of_domain = domains.as_ref().is_none_or(|domains| domains.contains(&question.domain));
        if of_domain && splits.contains(&question.split) {
            let mut question = Prompt::clone(question);
            let wording =
                question.attribute.as_ref().and_then(|attribute| question_templates.get(attribute));
            if let Some(wording) = wording {
                question.prompt = wording.replace("{topic}", &question.topic).into();
            }
            asked.push(question);
        }
    }
    if asked.is_empty() {
        let there: BTreeSet<String> = all
            .iter()
            .map(|question| format!("domain `{}`, split `{}`", question.domain, question.split))
            .collect();
        return Err(QuestionsError::Nothing(there.into_iter().collect::<Vec<_>>().join("; ")));
    }
    Ok(asked)
}

/// A question made from a claim. Its split is that of the topic's prompt; a topic without one is
/// for tuning, as its pair is.
fn from_claim(
    claim: &Claim,
    pair: &PairTopic,
    prompts: &[Prompt],
    questioning: &Questioning,
) -> Prompt {
    let split =
        prompts.iter().find(|prompt| prompt.topic == pair.topic).map(|prompt| &prompt.split);
    let text = questioning
        .question_template
        .replace("{topic}", &pair.topic)
        .replace("{claim}", &claim.text);
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
    use crate::rows::{CharSpan, Level};

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

    pub(crate) fn verdict(claim: &str, verdict: FactLabel, evidence: &[&str]) -> Verdict {
        let evidence = evidence.iter().map(|text| Evidence::new("Ann", text)).collect();
        Verdict::new(claim.into(), verdict, 0.0, evidence)
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
            question_template: "Correct this about {topic}: {claim}".to_owned(),
            question_templates: BTreeMap::new(),
            max_questions: None,
        }
    }

    /// Five claims of the responses `a` and `b`, one of a response that is in no pair.
    fn claims() -> (Vec<Claim>, Vec<Verdict>) {
        let claim = |id: &str, response: &str, text: &str| Claim {
            id: id.into(),
            response_id: response.into(),
            text: text.to_owned(),
            span: CharSpan::new(0, 1),
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
            verdict("0", FactLabel::Unsupported, &["Ann was born in Oslo."]),
            verdict("1", FactLabel::Supported, &["Ann was born in Oslo."]),
            verdict("2", FactLabel::Unsupported, &["Bo was born in Rome."]),
            verdict("3", FactLabel::Unsupported, &[]),
            verdict("4", FactLabel::Irrelevant, &[]),
            verdict("5", FactLabel::Unsupported, &["Ann's field was art."]),
        ];
        (claims, verdicts)
    }

    fn questions_of_answers(
        prompts: &[Prompt],
        pairs: &[Pair],
        claims: &[Claim],
        verdicts: &[Verdict],
        questioning: &Questioning,
    ) -> Result<Questions, QuestionsError> {
        let mut completions = CompletionTopics::default();
        pairs.iter().for_each(|pair| completions.add(pair));
        let mut found = ClaimQuestions::new(prompts, completions, questioning)?;
        for claim in claims {
            let verdict = verdicts.iter().find(|verdict| verdict.claim_id == claim.id);
            found.add(claim, verdict)?;
        }
        found.finish()
    }

    #[test]
    fn facts_that_answers_claim_are_asked_for_once_and_only_of_their_topic() {
        let prompts = [
            question("Ann", "field", "tune", &["Ann's field was art."]),
            question("Ann", "birthplace", "tune", &["Ann was born in Oslo."]),
            question("Bo", "birthplace", "test", &["Bo was born in Rome."]),
        ];
        let (claims, verdicts) = claims();
        let found =
            questions_of_answers(&prompts, &[pair("a", "b")], &claims, &verdicts, &questioning())
                .unwrap();
        let ids: Vec<&str> = found.prompts.iter().map(|question| question.id.as_str()).collect();
        assert_eq!((ids, found.claims, found.unasked), (vec!["people/Ann/birthplace"], 4, 2));
        let other =
            questions_of_answers(&prompts, &[pair("x", "y")], &claims, &verdicts, &questioning());
        assert_eq!(other, Err(QuestionsError::NoClaims));
        let missing = questions_of_answers(
            &prompts,
            &[pair("a", "b")],
            &claims,
            &verdicts[1..],
            &questioning(),
        );
        assert_eq!(missing, Err(TallyError::NoVerdict("0".into()).into()));
    }

    #[test]
    fn without_questions_each_different_claim_becomes_one() {
        let (claims, verdicts) = claims();
        let found =
            questions_of_answers(&[], &[pair("a", "b")], &claims, &verdicts, &questioning())
                .unwrap();
        let texts: Vec<String> =
            found.prompts.iter().map(|question| question.prompt.text()).collect();
        assert_eq!(
            texts,
            ["Ann was born in Rome.", "Ann was born in Oslo.", "Bo was born in Oslo.", "Ann ann."]
                .map(|claim| format!("Correct this about Ann: {claim}"))
        );
        assert_eq!((found.prompts[0].split.as_str(), found.unasked), ("tune", 0));
        let again = [claims.clone(), vec![Claim { id: "6".into(), ..claims[0].clone() }]].concat();
        let verdicts = [verdicts, vec![verdict("6", FactLabel::Unsupported, &[])]].concat();
        let twice = questions_of_answers(&[], &[pair("a", "b")], &again, &verdicts, &questioning())
            .unwrap();
        assert_eq!(twice.prompts, found.prompts);
        for (most, kept) in [(2, vec![0, 2]), (3, vec![0, 2, 3]), (9, vec![0, 1, 2, 3])] {
            let few = Questioning { max_questions: Some(most), ..questioning() };
            let asked = questions_of_answers(&[], &[pair("a", "b")], &again, &verdicts, &few);
            let expected: Vec<Prompt> =
                kept.into_iter().map(|index: usize| found.prompts[index].clone()).collect();
            assert_eq!(asked.unwrap().prompts, expected, "{most}");
        }
    }

    #[test]
    fn all_questions_of_a_split_are_asked_in_other_words() {
        let prompts =
            [question("Ann", "field", "tune", &["A."]), question("Bo", "field", "test", &["B."])];
        let words = |attribute: &str| {
            BTreeMap::from([(attribute.to_owned(), "{topic} does what?".to_owned())])
        };
        let test = Questioning {
            splits: vec!["test".to_owned()],
            question_templates: words("field"),
            ..questioning()
        };
        let found = all_questions(&prompts, &test).unwrap().prompts;
        assert_eq!((found.len(), found[0].prompt.text()), (1, "Bo does what?".to_owned()));
        let error = |questioning| all_questions(&prompts, &questioning).unwrap_err().to_string();
        assert_eq!(
            error(Questioning { question_templates: words("feild"), ..questioning() }),
            "`question_templates` has `feild`, which no question asks for; the attributes are: \
            field"
        );
        assert_eq!(
            error(Questioning { domains: Some(vec!["countries".to_owned()]), ..questioning() }),
            "`splits` and `domains` select no question; the questions are of: domain `people`, \
            split `test`; domain `people`, split `tune`"
        );
    }
}
