//! General preference pairs: answers to one prompt, the more precise one chosen.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    language::{Claim, Content, Finish, Judgement, Level, Pair, Prompt, Response, StatedFact, Verdict},
    seed::{Seed, Stream},
    verification::{Tally, TallyError, tallies},
};

use super::Protection;

/// How far a chosen answer is better at least, in spite of the rounding of shares.
const ROUNDING: f64 = 1e-9;

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

/// Which pairs are wanted.
#[derive(Clone, Debug)]
pub struct Mining {
    /// The chosen answer's score is higher by at least so much, and higher at all.
    pub margin: f64,
    /// At most so many pairs of one prompt, drawn at random.
    pub at_most_per_prompt: Option<usize>,
    /// At most so many pairs in all, drawn at random.
    pub at_most: Option<usize>,
    /// Only answers to prompts of these splits are used.
    pub splits: Vec<String>,
    /// Whether only answers that ended by themselves may be chosen, since tuning puts an end after what it learns.
    pub finished: bool,
    /// Whether a chosen answer must state at least as many facts as the rejected one: precision alone prefers saying less.
    pub as_many_facts: bool,
}

/// Pairs, and what was counted on the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mined {
    /// The pairs, in the order of the answers.
    pub pairs: Vec<Pair>,
    /// Answers that were used.
    pub answers: usize,
    /// Prompts that gave a pair.
    pub prompts: usize,
    /// Prompts that were used.
    pub prompts_used: usize,
    /// Pairs left out since an answer names a protected topic, by topic.
    pub left_out: BTreeMap<String, usize>,
    /// Topics that no pair may name.
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

/// Mines pairs. Answers score their precision, and 0 without facts. Topics of `prompts` that are no topics of the used
/// answers are protected: pairs that name one in either answer are left out.
///
/// # Errors
/// Where rows do not fit together, no answer can be used, or a used answer's topic is held out for tests.
pub fn mine(prompts: &[Prompt], answers: Answers, mining: &Mining, seed: &Seed) -> Result<Mined, MineError> {
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

    let mut by_prompt: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
    let mut order = Vec::new();
    for index in used {
        let response = &answers.responses[index];
        let mut tally = Tally::default();
        judged[index].iter().for_each(|(_, judgement)| tally.add(*judgement));
        let candidates = by_prompt.entry(response.prompt_id.as_str()).or_default();
        if candidates.is_empty() {
            order.push(response.prompt_id.as_str());
        }
        let names = protection.named(&response.output);
        let score = tally.precision().unwrap_or(0.0);
        let facts = judged[index].iter().filter(|(_, judgement)| *judgement != Judgement::Irrelevant);
        let fact = |(claim, judgement): &(&Claim, Judgement)| StatedFact {
            span: claim.span,
            supported: *judgement == Judgement::Supported,
        };
        candidates.push(Candidate { response, score, facts: facts.map(fact).collect(), names });
    }
    mined.prompts_used = order.len();
    for prompt in order {
        let mut pairs = pairs(&by_prompt[prompt], mining, &mut mined.left_out);
        draw(&mut pairs, mining.at_most_per_prompt, &mut seed.split("prompt").split(prompt).stream());
        mined.pairs.extend(pairs);
    }
    draw(&mut mined.pairs, mining.at_most, &mut seed.split("all").stream());
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
                chosen_id: better.response.id.clone(),
                rejected_id: worse.response.id.clone(),
                chosen_score: better.score,
                rejected_score: worse.score,
                chosen_facts: better.facts.clone(),
                rejected_facts: worse.facts.clone(),
            });
        }
    }
    pairs
}

/// Keeps at most so many pairs, drawn at random, in their order.
fn draw(pairs: &mut Vec<Pair>, at_most: Option<usize>, stream: &mut Stream) {
    let Some(at_most) = at_most.filter(|at_most| *at_most < pairs.len()) else { return };
    let mut indices: Vec<usize> = (0..pairs.len()).collect();
    stream.shuffle(&mut indices);
    let kept: BTreeSet<usize> = indices.into_iter().take(at_most).collect();
    let mut index = 0;
    pairs.retain(|_| {
        index += 1;
        kept.contains(&(index - 1))
    });
}

/// Counts what the pairs are.
fn describe(mined: &mut Mined) {
    let count = mined.pairs.len().max(1) as f64;
    let length = |content: fn(&Pair) -> &Content| {
        mined.pairs.iter().map(|pair| content(pair).text().trim().chars().count()).sum::<usize>() as f64 / count
    };
    mined.chosen_length = length(|pair| &pair.chosen);
    mined.rejected_length = length(|pair| &pair.rejected);
    mined.prompts = mined.pairs.iter().map(|pair| &pair.prompt).collect::<BTreeSet<_>>().len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::PromptForm;

    const MINING: Mining = Mining {
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
                claims.push(Claim { id, response_id: format!("Ann#{sample}"), text: "x".to_owned(), span: [0, 1] });
            }
        }
        let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
        let splits = if mining.splits.is_empty() { vec!["tune".to_owned()] } else { mining.splits.clone() };
        mine(prompts, answers, &Mining { splits, ..mining.clone() }, &Seed::root(0))
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
