//! General preferences: answers to one prompt, the more precise one chosen, or each by itself with its label.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    language::{
        Claim, Content, Finish, Judgement, LabelledAnswer, Level, Pair, ProbedFact, Prompt, Response, StatedFact,
        Verdict,
    },
    seed::Seed,
    verification::{TallyError, tallies},
};

use super::{
    Protection, Reward,
    draw::{ROUNDING, draw},
    reward::Rewards,
};

/// Answers with all that was found out about them.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// The answers.
    pub responses: &'a [Response],
    /// What they claim.
    pub claims: &'a [Claim],
    /// Whether it holds.
    pub verdicts: &'a [Verdict],
}

/// What answers become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// Pairs of a better and a worse answer.
    Pairs,
    /// Rows of their own, wanted from this reward on.
    Answers {
        /// The least reward of a wanted answer.
        good: f64,
    },
}

/// Which rows are wanted.
#[derive(Clone, Debug)]
pub struct Mining {
    /// By what answers are ranked.
    pub reward: Reward,
    /// What they become.
    pub rows: Rows,
    /// The chosen answer's score is higher by at least so much, and higher at all.
    pub margin: f64,
    /// At most so many rows of one prompt, drawn at random.
    pub at_most_per_prompt: Option<usize>,
    /// At most so many rows in all, drawn at random.
    pub at_most: Option<usize>,
    /// Only answers to prompts of these splits are used.
    pub splits: Vec<String>,
    /// Whether only answers that ended by themselves may be chosen or wanted, since tuning puts an end after what it learns.
    pub finished: bool,
    /// Whether a chosen answer must state at least as many facts as the rejected one: precision alone prefers saying less.
    pub as_many_facts: bool,
}

/// Pairs, and what was counted on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mined {
    /// The pairs, in the order of the answers.
    pub pairs: Vec<Pair>,
    /// Answers by themselves, where these were wanted.
    pub labelled: Vec<LabelledAnswer>,
    /// Answers that were used.
    pub answers: usize,
    /// Answers that state no fact that was checked.
    pub factless: usize,
    /// Answers without a probed fact, and so without a reward.
    pub unrewarded: usize,
    /// Prompts that gave a row.
    pub prompts: usize,
    /// Prompts that were used.
    pub prompts_used: usize,
    /// Rows left out since an answer names a protected topic, by topic.
    pub left_out: BTreeMap<String, usize>,
    /// Topics that no row may name.
    pub protected: BTreeSet<String>,
    /// The mean length of the chosen answers in characters; precision goes with length.
    pub chosen_length: f64,
    /// The mean length of the rejected answers.
    pub rejected_length: f64,
}

/// Why no pairs can be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// No answer has a wanted split.
    #[error("no answer is of the splits {wanted}; the answers' splits are: {found}")]
    NoAnswers {
        /// What was wanted.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A topic that is tested on would be tuned on.
    #[error("`{0}` is a topic of the split `test`: answers about it must not become pairs")]
    TestTopic(String),
}

/// One answer that may become part of a pair.
struct Candidate<'a> {
    response: &'a Response,
    score: f64,
    facts: Vec<StatedFact>,
    names: Option<&'a str>,
}

/// Mines pairs or single answers. Topics of `prompts` that are no topics of the used answers are protected: rows that name
/// one in an answer are left out. `probed` is what rewards without a reference come from.
///
/// # Errors
/// Where rows do not fit together, no answer can be used, or a used answer's topic is held out for tests.
pub fn mine(
    prompts: &[Prompt],
    answers: Answers,
    probed: &[ProbedFact],
    mining: &Mining,
    seed: &Seed,
) -> Result<Mined, MineError> {
    let judged = tallies(answers.responses, answers.claims, answers.verdicts)?;
    let used = used_answers(prompts, answers.responses, &mining.splits)?;
    let topics: BTreeSet<&str> = used.iter().map(|index| answers.responses[*index].topic.as_str()).collect();
    let tested = prompts.iter().find(|prompt| prompt.split == "test" && topics.contains(prompt.topic.as_str()));
    if let Some(prompt) = tested {
        return Err(MineError::TestTopic(prompt.topic.clone()));
    }
    let others = prompts.iter().map(|prompt| prompt.topic.as_str()).filter(|topic| !topics.contains(topic));
    let mut mined = Mined { protected: others.map(str::to_owned).collect(), answers: used.len(), ..Mined::default() };
    let protection: Protection = mined.protected.iter().cloned().collect();
    let rewards = Rewards::new(mining.reward, probed, answers.verdicts);

    let mut by_prompt: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
    let mut order = Vec::new();
    for index in used {
        let response = &answers.responses[index];
        let is_fact = |(_, judgement): &(&Claim, Judgement)| *judgement != Judgement::Irrelevant;
        mined.factless += usize::from(!judged[index].iter().any(is_fact));
        let Some(score) = rewards.of(&judged[index]) else {
            mined.unrewarded += 1;
            continue;
        };
        let candidates = by_prompt.entry(response.prompt_id.as_str()).or_default();
        if candidates.is_empty() {
            order.push(response.prompt_id.as_str());
        }
        let names = protection.named(&response.output, &response.topic);
        let facts = judged[index].iter().filter(|judged| is_fact(judged));
        let fact = |(claim, judgement): &(&Claim, Judgement)| StatedFact {
            span: claim.span,
            supported: *judgement == Judgement::Supported,
        };
        candidates.push(Candidate { response, score, facts: facts.map(fact).collect(), names });
    }
    mined.prompts_used = order.len();
    for prompt in order {
        let mut stream = seed.split("prompt").split(prompt).stream();
        match mining.rows {
            Rows::Pairs => {
                let mut pairs = pairs(&by_prompt[prompt], mining, &mut mined.left_out);
                draw(&mut pairs, mining.at_most_per_prompt, &mut stream);
                mined.pairs.extend(pairs);
            }
            Rows::Answers { good } => {
                let mut labelled = labelled(&by_prompt[prompt], good, mining.finished, &mut mined.left_out);
                draw(&mut labelled, mining.at_most_per_prompt, &mut stream);
                mined.labelled.extend(labelled);
            }
        }
    }
    draw(&mut mined.pairs, mining.at_most, &mut seed.split("all").stream());
    draw(&mut mined.labelled, mining.at_most, &mut seed.split("all").stream());
    describe(&mut mined);
    Ok(mined)
}

/// The answers whose prompt has a wanted split.
fn used_answers(prompts: &[Prompt], responses: &[Response], wanted: &[String]) -> Result<Vec<usize>, MineError> {
    let splits: BTreeMap<&str, &str> =
        prompts.iter().map(|prompt| (prompt.id.as_str(), prompt.split.as_str())).collect();
    let split = |response: &Response| match response.split.as_str() {
        "" => splits.get(response.prompt_id.as_str()).copied().unwrap_or_default().to_owned(),
        split => split.to_owned(),
    };
    let used: Vec<usize> = (0..responses.len()).filter(|index| wanted.contains(&split(&responses[*index]))).collect();
    if used.is_empty() {
        let found: BTreeSet<String> = responses.iter().map(|response| format!("`{}`", split(response))).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.into_iter().collect::<Vec<_>>().join(", ") };
        return Err(MineError::NoAnswers { wanted: format!("`{}`", wanted.join("`, `")), found });
    }
    Ok(used)
}

/// All pairs of one prompt's answers that are far enough apart.
fn pairs(candidates: &[Candidate], mining: &Mining, left_out: &mut BTreeMap<String, usize>) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for better in candidates.iter().filter(|one| !mining.finished || one.response.finish == Finish::Stop) {
        for worse in candidates {
            let apart = better.score - worse.score;
            let same_text = better.response.output == worse.response.output;
            let says_less = mining.as_many_facts && better.facts.len() < worse.facts.len();
            if apart <= ROUNDING || apart + ROUNDING < mining.margin || same_text || says_less {
                continue;
            }
            if let Some(name) = better.names.or(worse.names) {
                *left_out.entry(name.to_owned()).or_default() += 1;
                continue;
            }
            pairs.push(Pair {
                prompt: better.response.prompt.clone(),
                chosen: better.response.prompt.answer(better.response.output.clone()),
                rejected: better.response.prompt.answer(worse.response.output.clone()),
                level: Level::General,
                topic: better.response.topic.clone(),
                domain: better.response.domain.clone(),
                attribute: None,
                chosen_id: better.response.id.clone(),
                rejected_id: worse.response.id.clone(),
                chosen_score: better.score,
                rejected_score: worse.score,
                chosen_facts: better.facts.clone(),
                rejected_facts: worse.facts.clone(),
                weight: 1.0,
                ends: true,
            });
        }
    }
    pairs
}

/// One prompt's answers with their labels.
fn labelled(
    candidates: &[Candidate],
    good: f64,
    finished: bool,
    left_out: &mut BTreeMap<String, usize>,
) -> Vec<LabelledAnswer> {
    let mut rows = Vec::new();
    for Candidate { response, score, names, .. } in candidates {
        let label = score + ROUNDING >= good;
        if label && finished && response.finish != Finish::Stop {
            continue;
        }
        if let Some(name) = names {
            *left_out.entry((*name).to_owned()).or_default() += 1;
            continue;
        }
        rows.push(LabelledAnswer {
            prompt: response.prompt.clone(),
            completion: response.prompt.answer(response.output.clone()),
            label,
            topic: response.topic.clone(),
            domain: response.domain.clone(),
            id: response.id.clone(),
            score: *score,
        });
    }
    rows
}

/// Counts what the rows are.
fn describe(mined: &mut Mined) {
    let count = mined.pairs.len().max(1) as f64;
    let length = |content: fn(&Pair) -> &Content| {
        mined.pairs.iter().map(|pair| content(pair).text().trim().chars().count()).sum::<usize>() as f64 / count
    };
    mined.chosen_length = length(|pair| &pair.chosen);
    mined.rejected_length = length(|pair| &pair.rejected);
    let prompts = mined.pairs.iter().map(|pair| &pair.prompt).chain(mined.labelled.iter().map(|row| &row.prompt));
    mined.prompts = prompts.collect::<BTreeSet<_>>().len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::PromptForm;

    const MINING: Mining = Mining {
        reward: Reward::Precision,
        rows: Rows::Pairs,
        margin: 0.1,
        at_most_per_prompt: None,
        at_most: None,
        splits: Vec::new(),
        finished: true,
        as_many_facts: false,
    };

    fn prompt(topic: &str, split: &str) -> Prompt {
        Prompt {
            id: topic.to_owned(),
            prompt: format!("Tell me about {topic}.").into(),
            topic: topic.to_owned(),
            domain: "people".to_owned(),
            split: split.to_owned(),
            form: PromptForm::Paragraph,
            attribute: None,
            answers: Vec::new(),
            claim: None,
        }
    }

    /// Answers about Ann: text, supported facts and facts in all.
    fn mined(prompts: &[Prompt], answers: &[(&str, usize, usize)], mining: &Mining) -> Result<Mined, MineError> {
        let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, (output, supported, facts)) in answers.iter().enumerate() {
            responses.push(Response {
                id: format!("Ann#{sample}"),
                prompt_id: "Ann".to_owned(),
                sample,
                topic: "Ann".to_owned(),
                domain: "people".to_owned(),
                split: String::new(),
                prompt: "Tell me about Ann.".into(),
                output: (*output).to_owned(),
                finish: if output.ends_with('.') { Finish::Stop } else { Finish::Length },
            });
            for fact in 0..*facts {
                let id = format!("Ann#{sample}/{fact}");
                let verdict = if fact < *supported { Judgement::Supported } else { Judgement::Unsupported };
                verdicts.push(Verdict { claim_id: id.clone(), verdict, probability: 0.0, evidence: Vec::new() });
                claims.push(Claim {
                    id,
                    response_id: format!("Ann#{sample}"),
                    text: "x".to_owned(),
                    span: [0, 1],
                    ..Claim::default()
                });
            }
        }
        let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
        let splits = if mining.splits.is_empty() { vec!["tune".to_owned()] } else { mining.splits.clone() };
        mine(prompts, answers, &[], &Mining { splits, ..mining.clone() }, &Seed::root(0))
    }

    fn ids(mined: &Mined) -> Vec<(usize, usize)> {
        let number = |id: &str| id.strip_prefix("Ann#").unwrap().parse().unwrap();
        mined.pairs.iter().map(|pair| (number(&pair.chosen_id), number(&pair.rejected_id))).collect()
    }

    #[test]
    fn pairs_are_ordered_by_precision_with_a_margin() {
        let answers = [("a.", 5, 5), ("b.", 3, 5), ("c.", 3, 5), ("d.", 0, 0), ("a.", 0, 5), ("e", 5, 5)];
        let found = mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap();
        assert_eq!(ids(&found), [(0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (2, 4)]);
        assert_eq!(
            (found.prompts, found.answers, found.pairs[0].chosen_score, found.pairs[0].rejected_score),
            (1, 6, 1.0, 0.6)
        );
        let wide = mined(&[prompt("Ann", "tune")], &answers, &Mining { margin: 0.5, ..MINING }).unwrap();
        assert_eq!(ids(&wide), [(0, 3), (1, 3), (1, 4), (2, 3), (2, 4)]);
        let unfinished =
            mined(&[prompt("Ann", "tune")], &answers, &Mining { finished: false, margin: 0.9, ..MINING }).unwrap();
        assert_eq!(ids(&unfinished), [(0, 3), (5, 3), (5, 4)]);
        let tenth = mined(&[prompt("Ann", "tune")], &[("a.", 6, 10), ("b.", 5, 10)], &MINING).unwrap();
        assert_eq!(ids(&tenth), [(0, 1)], "0.6 - 0.5 is a margin of 0.1 in spite of rounding");
    }

    #[test]
    fn saying_less_does_not_win_where_as_many_facts_are_wanted() {
        let answers = [("a.", 2, 2), ("b.", 3, 5), ("c.", 1, 5)];
        let fair = Mining { as_many_facts: true, ..MINING };
        assert_eq!(ids(&mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap()), [(0, 1), (0, 2), (1, 2)]);
        assert_eq!(ids(&mined(&[prompt("Ann", "tune")], &answers, &fair).unwrap()), [(1, 2)]);
    }

    #[test]
    fn draws_keep_their_number() {
        let answers: Vec<(String, usize)> = (0..10).map(|index| (format!("{index}."), index)).collect();
        let answers: Vec<(&str, usize, usize)> =
            answers.iter().map(|(text, right)| (text.as_str(), *right, 9)).collect();
        let all = mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap();
        assert_eq!(all.pairs.len(), 45);
        let some =
            mined(&[prompt("Ann", "tune")], &answers, &Mining { at_most_per_prompt: Some(7), ..MINING }).unwrap();
        assert_eq!(some.pairs.len(), 7);
        let few = mined(&[prompt("Ann", "tune")], &answers, &Mining { at_most: Some(3), ..MINING }).unwrap();
        assert_eq!(few.pairs.len(), 3);
        assert!(few.pairs.iter().all(|pair| all.pairs.contains(pair)));
    }

    #[test]
    fn protected_topics_are_never_named() {
        let prompts = [prompt("Ann", "tune"), prompt("Niger", "test"), prompt("radium", "test")];
        let answers = [("She found radium.", 5, 5), ("She held Nigerian citizenship.", 3, 5), ("x.", 0, 5)];
        let found = mined(&prompts, &answers, &MINING).unwrap();
        assert_eq!(ids(&found), [(1, 2)]);
        assert_eq!(found.left_out, BTreeMap::from([("radium".to_owned(), 2)]));
        assert_eq!(found.protected.len(), 2);
    }

    #[test]
    fn answers_by_themselves_are_good_from_a_reward_on() {
        let answers = [("a.", 1, 2), ("b.", 0, 2), ("a.", 2, 2), ("c", 2, 2), ("d", 0, 0), ("radium.", 1, 1)];
        let prompts = [prompt("Ann", "tune"), prompt("radium", "test")];
        let single = Mining { rows: Rows::Answers { good: 0.5 }, ..MINING };
        let found = mined(&prompts, &answers, &single).unwrap();
        let rows: Vec<(&str, bool, f64)> =
            found.labelled.iter().map(|row| (row.id.as_str(), row.label, row.score)).collect();
        assert_eq!(rows, [("Ann#0", true, 0.5), ("Ann#1", false, 0.0), ("Ann#2", true, 1.0), ("Ann#4", false, 0.0)]);
        assert_eq!((found.pairs.len(), found.prompts, found.left_out["radium"]), (0, 1, 1));
        let strict = Mining { rows: Rows::Answers { good: 0.6 }, at_most: Some(2), ..MINING };
        let found = mined(&prompts, &answers, &strict).unwrap();
        let ids: Vec<&str> = found.labelled.iter().map(|row| row.id.as_str()).collect();
        assert!(ids.len() == 2 && ids[0] < ids[1] && !ids.contains(&"Ann#3"), "{ids:?}");
    }

    #[test]
    fn answers_without_a_probed_fact_have_no_reward() {
        let agreed = Mining { reward: Reward::Agreement, ..MINING };
        let found = mined(&[prompt("Ann", "tune")], &[("a.", 1, 1), ("b.", 0, 1)], &agreed).unwrap();
        assert_eq!((found.pairs.len(), found.unrewarded, found.answers), (0, 2, 2));
    }

    #[test]
    fn topics_of_the_tests_are_refused() {
        let answers = [("a.", 1, 1), ("b.", 0, 1)];
        let error = mined(&[prompt("Ann", "test")], &answers, &MINING).unwrap_err().to_string();
        assert_eq!(error, "no answer is of the splits `tune`; the answers' splits are: `test`");
        let both = Mining { splits: vec!["test".to_owned()], ..MINING };
        assert_eq!(
            mined(&[prompt("Ann", "test")], &answers, &both).unwrap_err(),
            MineError::TestTopic("Ann".to_owned())
        );
    }
}
