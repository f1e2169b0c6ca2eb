//! General pairs from responses to one prompt, the more precise one chosen; or labelled
//! completions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    rows::{
        Content, Finish, LabelledAnswer, Level, Pair, PairSide, PairSubject, ProbedFact, Prompt,
        Response, StatedFact,
    },
    seed::{Seed, Stream},
    verification::{JudgedClaim, TallyError},
};

use super::{
    answers::Answers,
    draw::{ROUNDING, draw},
    pieces::pieces,
    protect::Protection,
    reward::{Reward, Rewards},
};

/// Format of mined rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PreferenceFormat {
    /// Pairs of a chosen and a rejected completion.
    Pairs,
    /// Labelled completions.
    Unpaired,
}

/// Selection of rows.
#[derive(Clone, Debug)]
pub struct Mining {
    /// Reward that ranks responses.
    pub reward: Reward,
    /// Format of the rows.
    pub preference_format: PreferenceFormat,
    /// Reward from which on a single response is desirable.
    pub desirable_threshold: f64,
    /// Minimum difference in reward between chosen and rejected completion; it is always above 0.
    pub min_margin: f64,
    /// Maximum rows per prompt, drawn at random.
    pub max_rows_per_prompt: Option<usize>,
    /// Maximum rows in total, drawn at random.
    pub max_rows: Option<usize>,
    /// Splits of the prompts.
    pub splits: Vec<String>,
    /// Whether chosen and desirable completions must end with EOS, since tuning also trains on EOS.
    pub require_eos: bool,
    /// Whether a chosen completion must state at least as many facts as the rejected one: precision
    /// alone prefers short responses.
    pub require_as_many_facts: bool,
}

/// Mined rows, with counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mined {
    /// The pairs, in the order of the responses.
    pub pairs: Vec<Pair>,
    /// Labelled completions, in that format.
    pub labelled: Vec<LabelledAnswer>,
    /// Responses that were used.
    pub answers: usize,
    /// Responses without a verified fact.
    pub factless: usize,
    /// Responses without a probed fact, and so without a reward.
    pub unrewarded: usize,
    /// Prompts that gave a row.
    pub prompts: usize,
    /// Prompts that were used.
    pub prompts_used: usize,
    /// Rows left out because a completion names a protected topic, by topic.
    pub left_out: BTreeMap<String, usize>,
    /// Protected topics.
    pub protected: BTreeSet<String>,
    /// Pairs or responses left out by `require_eos` alone.
    pub without_eos: usize,
    /// Pairs left out by `require_as_many_facts`.
    pub with_fewer_facts: usize,
    /// Protected topics of a selected split, whose prompts have no responses.
    pub unanswered: BTreeSet<String>,
    /// Mean length of the chosen completions in characters; precision correlates with length.
    pub chosen_length: f64,
    /// Mean length of the rejected completions.
    pub rejected_length: f64,
}

/// Why rows cannot be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
    /// Rows do not fit together.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// No response has a selected split.
    #[error("no response is in the splits {wanted}; the responses' splits are: {found}")]
    NoAnswers {
        /// The selected splits.
        wanted: String,
        /// The splits of the responses.
        found: String,
    },
    /// A protected topic would be tuned on.
    #[error("`{0}` is a protected topic (split `test`): responses about it must not become pairs")]
    TestTopic(String),
}

/// One response that may become part of a pair.
struct Candidate<'a> {
    response: &'a Response,
    score: f64,
    /// How many facts it states.
    stated: usize,
    /// Their pieces.
    facts: Vec<StatedFact>,
    names: Option<&'a str>,
}

impl Candidate<'_> {
    fn side(&self) -> PairSide<'_> {
        PairSide {
            id: self.response.id.as_str(),
            text: &self.response.output,
            score: self.score,
            facts: &self.facts,
        }
    }
}

/// Mines pairs or labelled completions. Topics of `prompts` without used responses are protected:
/// rows that name one in a completion are left out. `probed` is the basis of rewards without
/// knowledge.
///
/// # Errors
/// Fails where rows do not fit together, no response can be used, or a used response's topic is
/// protected.
pub fn mine(
    prompts: &[Prompt],
    answers: Answers,
    probed: &[ProbedFact],
    mining: &Mining,
    seed: &Seed,
) -> Result<Mined, MineError> {
    let judged = answers.judged()?;
    let used = used_answers(prompts, answers.responses, &mining.splits)?;
    // Protected are the topics that are not tuned on, and not those of a split: what is asked of
    // another topic must stay unknown, whatever its prompts are called.
    let topics: BTreeSet<&str> =
        used.iter().map(|index| answers.responses[*index].topic.as_str()).collect();
    let tested = prompts
        .iter()
        .find(|prompt| prompt.split == "test" && topics.contains(prompt.topic.as_str()));
    if let Some(prompt) = tested {
        return Err(MineError::TestTopic(prompt.topic.clone()));
    }
    let others =
        prompts.iter().map(|prompt| prompt.topic.as_str()).filter(|topic| !topics.contains(topic));
    let mut mined = Mined {
        protected: others.map(str::to_owned).collect(),
        answers: used.len(),
        ..Mined::default()
    };
    let is_selected = |prompt: &&Prompt| mining.splits.contains(&prompt.split);
    let selected = prompts.iter().filter(is_selected).map(|prompt| &prompt.topic);
    mined.unanswered = selected.filter(|topic| mined.protected.contains(*topic)).cloned().collect();
    let protection: Protection = mined.protected.iter().cloned().collect();
    let rewards = Rewards::new(mining.reward, probed);

    let mut by_prompt: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
    // The order of the responses, which a map of ids would lose.
    let mut order = Vec::new();
    for index in used {
        let (response, judged) = (&answers.responses[index], &judged[index]);
        mined.factless += usize::from(!judged.iter().any(JudgedClaim::is_fact));
        let Some(score) = rewards.of(judged) else {
            mined.unrewarded += 1;
            continue;
        };
        let candidates = by_prompt.entry(response.prompt_id.as_str()).or_default();
        if candidates.is_empty() {
            order.push(response.prompt_id.as_str());
        }
        let names = protection.named(&response.output, &response.topic);
        let stated = judged.iter().filter(|judged| judged.is_fact() && !judged.is_repeat()).count();
        candidates.push(Candidate { response, score, stated, facts: pieces(judged), names });
    }
    mined.prompts_used = order.len();
    for prompt in order {
        let mut stream = seed.split("prompt").split(prompt).stream();
        mined.add(&by_prompt[prompt], mining, &mut stream);
    }
    // One of the lists is empty, so that both may draw from the same stream.
    draw(&mut mined.pairs, mining.max_rows, &mut seed.split("all").stream());
    draw(&mut mined.labelled, mining.max_rows, &mut seed.split("all").stream());
    describe(&mut mined);
    Ok(mined)
}

impl Mined {
    /// Adds the rows of one prompt's responses.
    fn add(&mut self, candidates: &[Candidate], mining: &Mining, stream: &mut Stream) {
        match mining.preference_format {
            PreferenceFormat::Pairs => {
                let mut pairs = self.pairs_of(candidates, mining);
                draw(&mut pairs, mining.max_rows_per_prompt, stream);
                self.pairs.extend(pairs);
            }
            PreferenceFormat::Unpaired => {
                let mut labelled = self.labelled_of(candidates, mining);
                draw(&mut labelled, mining.max_rows_per_prompt, stream);
                self.labelled.extend(labelled);
            }
        }
    }

    /// All pairs of one prompt's responses with a sufficient difference in reward.
    fn pairs_of(&mut self, candidates: &[Candidate], mining: &Mining) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for better in candidates {
            for worse in candidates {
                // Equal shares such as 1/3 and 2/6 may differ in their last digit.
                let apart = better.score - worse.score;
                let same_text = better.response.output == worse.response.output;
                if apart <= ROUNDING || apart + ROUNDING < mining.min_margin || same_text {
                    continue;
                }
                // Counted only where the pair would have been made, so that the numbers are what
                // each condition cost.
                if mining.require_eos && better.response.finish != Finish::Stop {
                    self.without_eos += 1;
                } else if mining.require_as_many_facts && better.stated < worse.stated {
                    self.with_fewer_facts += 1;
                } else if let Some(name) = better.names.or(worse.names) {
                    *self.left_out.entry(name.to_owned()).or_default() += 1;
                } else {
                    let Response { prompt, topic, domain, .. } = better.response;
                    let subject = PairSubject { topic, domain, attribute: None };
                    let (level, worse) = (Level::General, worse.side());
                    pairs.push(Pair::new(prompt, level, subject, better.side(), worse));
                }
            }
        }
        pairs
    }

    /// One prompt's responses with their labels.
    fn labelled_of(&mut self, candidates: &[Candidate], mining: &Mining) -> Vec<LabelledAnswer> {
        let mut rows = Vec::new();
        for Candidate { response, score, names, .. } in candidates {
            let label = score + ROUNDING >= mining.desirable_threshold;
            if label && mining.require_eos && response.finish != Finish::Stop {
                // As an undesirable completion it may stay: its missing EOS is not rewarded.
                self.without_eos += 1;
            } else if let Some(name) = names {
                *self.left_out.entry((*name).to_owned()).or_default() += 1;
            } else {
                rows.push(LabelledAnswer::new(response, label, *score));
            }
        }
        rows
    }
}

/// The responses whose prompt has a selected split.
fn used_answers(
    prompts: &[Prompt],
    responses: &[Response],
    wanted: &[String],
) -> Result<Vec<usize>, MineError> {
    let splits: BTreeMap<&str, &str> =
        prompts.iter().map(|prompt| (prompt.id.as_str(), prompt.split.as_str())).collect();
    // Responses of other programs may have no split of their own.
    let of_responses: Vec<&str> = responses
        .iter()
        .map(|response| match response.split.as_str() {
            "" => splits.get(response.prompt_id.as_str()).copied().unwrap_or_default(),
            split => split,
        })
        .collect();
    let used: Vec<usize> = (0..responses.len())
        .filter(|index| wanted.iter().any(|wanted| wanted == of_responses[*index]))
        .collect();
    if used.is_empty() {
        let found: BTreeSet<String> =
            of_responses.iter().map(|split| format!("`{split}`")).collect();
        let found = if found.is_empty() {
            "none".to_owned()
        } else {
            found.into_iter().collect::<Vec<_>>().join(", ")
        };
        return Err(MineError::NoAnswers { wanted: format!("`{}`", wanted.join("`, `")), found });
    }
    Ok(used)
}

/// Counts the rows.
fn describe(mined: &mut Mined) {
    mined.chosen_length = mean_length(mined.pairs.iter().map(|pair| &pair.chosen));
    mined.rejected_length = mean_length(mined.pairs.iter().map(|pair| &pair.rejected));
    let prompts = mined
        .pairs
        .iter()
        .map(|pair| &pair.prompt)
        .chain(mined.labelled.iter().map(|row| &row.prompt));
    mined.prompts = prompts.collect::<BTreeSet<_>>().len();
}

/// Mean length of responses in characters; 0 without responses.
fn mean_length<'a>(answers: impl ExactSizeIterator<Item = &'a Content>) -> f64 {
    let count = answers.len().max(1) as f64;
    answers.map(|answer| answer.text().trim().chars().count()).sum::<usize>() as f64 / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{CharSpan, Claim, FactLabel, PromptForm, ResponseId, Verdict};

    const MINING: Mining = Mining {
        reward: Reward::Precision,
        preference_format: PreferenceFormat::Pairs,
        desirable_threshold: 0.5,
        min_margin: 0.1,
        max_rows_per_prompt: None,
        max_rows: None,
        splits: Vec::new(),
        require_eos: true,
        require_as_many_facts: false,
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

    /// Responses about Ann: text, supported facts and facts in all.
    fn mined(
        prompts: &[Prompt],
        answers: &[(&str, usize, usize)],
        mining: &Mining,
    ) -> Result<Mined, MineError> {
        let (mut responses, mut claims, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, (output, supported, facts)) in answers.iter().enumerate() {
            responses.push(Response {
                id: format!("Ann#{sample}").into(),
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
                let response_id = ResponseId::of_sample("Ann", sample);
                let id = response_id.claim(fact);
                let verdict =
                    if fact < *supported { FactLabel::Supported } else { FactLabel::Unsupported };
                verdicts.push(Verdict::new(id.clone(), verdict, 0.0, Vec::new()));
                claims.push(Claim {
                    id,
                    response_id,
                    text: "x".to_owned(),
                    span: CharSpan::new(0, 1),
                    ..Claim::default()
                });
            }
        }
        let answers = Answers { responses: &responses, claims: &claims, verdicts: &verdicts };
        let splits =
            if mining.splits.is_empty() { vec!["tune".to_owned()] } else { mining.splits.clone() };
        mine(prompts, answers, &[], &Mining { splits, ..mining.clone() }, &Seed::root(0))
    }

    fn ids(mined: &Mined) -> Vec<(usize, usize)> {
        let number = |id: &str| id.strip_prefix("Ann#").unwrap().parse().unwrap();
        mined
            .pairs
            .iter()
            .map(|pair| (number(&pair.chosen_id), number(&pair.rejected_id)))
            .collect()
    }

    #[test]
    fn pairs_are_ordered_by_precision_with_a_margin() {
        let answers =
            [("a.", 5, 5), ("b.", 3, 5), ("c.", 3, 5), ("d.", 0, 0), ("a.", 0, 5), ("e", 5, 5)];
        let found = mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap();
        assert_eq!(ids(&found), [(0, 1), (0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (2, 4)]);
        assert_eq!(
            (
                found.prompts,
                found.answers,
                found.pairs[0].chosen_score,
                found.pairs[0].rejected_score
            ),
            (1, 6, 1.0, 0.6)
        );
        let wide = mined(&[prompt("Ann", "tune")], &answers, &Mining { min_margin: 0.5, ..MINING })
            .unwrap();
        assert_eq!(ids(&wide), [(0, 3), (1, 3), (1, 4), (2, 3), (2, 4)]);
        let unfinished = mined(
            &[prompt("Ann", "tune")],
            &answers,
            &Mining { require_eos: false, min_margin: 0.9, ..MINING },
        )
        .unwrap();
        assert_eq!(ids(&unfinished), [(0, 3), (5, 3), (5, 4)]);
        let tenth =
            mined(&[prompt("Ann", "tune")], &[("a.", 6, 10), ("b.", 5, 10)], &MINING).unwrap();
        assert_eq!(ids(&tenth), [(0, 1)], "0.6 - 0.5 is a margin of 0.1 in spite of rounding");
    }

    #[test]
    fn saying_less_does_not_win_where_as_many_facts_are_wanted() {
        let answers = [("a.", 2, 2), ("b.", 3, 5), ("c.", 1, 5)];
        let fair = Mining { require_as_many_facts: true, ..MINING };
        assert_eq!(
            ids(&mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap()),
            [(0, 1), (0, 2), (1, 2)]
        );
        assert_eq!(ids(&mined(&[prompt("Ann", "tune")], &answers, &fair).unwrap()), [(1, 2)]);
    }

    #[test]
    fn draws_keep_their_number() {
        let answers: Vec<(String, usize)> =
            (0..10).map(|index| (format!("{index}."), index)).collect();
        let answers: Vec<(&str, usize, usize)> =
            answers.iter().map(|(text, right)| (text.as_str(), *right, 9)).collect();
        let all = mined(&[prompt("Ann", "tune")], &answers, &MINING).unwrap();
        assert_eq!(all.pairs.len(), 45);
        let some = mined(
            &[prompt("Ann", "tune")],
            &answers,
            &Mining { max_rows_per_prompt: Some(7), ..MINING },
        )
        .unwrap();
        assert_eq!(some.pairs.len(), 7);
        let few =
            mined(&[prompt("Ann", "tune")], &answers, &Mining { max_rows: Some(3), ..MINING })
                .unwrap();
        assert_eq!(few.pairs.len(), 3);
        assert!(few.pairs.iter().all(|pair| all.pairs.contains(pair)));
    }

    #[test]
    fn protected_topics_are_never_named() {
        let prompts = [prompt("Ann", "tune"), prompt("Niger", "test"), prompt("radium", "test")];
        let answers =
            [("She found radium.", 5, 5), ("She held Nigerian citizenship.", 3, 5), ("x.", 0, 5)];
        let found = mined(&prompts, &answers, &MINING).unwrap();
        assert_eq!(ids(&found), [(1, 2)]);
        assert_eq!(found.left_out, BTreeMap::from([("radium".to_owned(), 2)]));
        assert_eq!(found.protected.len(), 2);
    }

    #[test]
    fn answers_by_themselves_are_good_from_a_reward_on() {
        let answers =
            [("a.", 1, 2), ("b.", 0, 2), ("a.", 2, 2), ("c", 2, 2), ("d", 0, 0), ("radium.", 1, 1)];
        let prompts = [prompt("Ann", "tune"), prompt("radium", "test")];
        let single = Mining { preference_format: PreferenceFormat::Unpaired, ..MINING };
        let found = mined(&prompts, &answers, &single).unwrap();
        let rows: Vec<(&str, bool, f64)> =
            found.labelled.iter().map(|row| (row.id.as_str(), row.label, row.score)).collect();
        assert_eq!(
            rows,
            [
                ("Ann#0", true, 0.5),
                ("Ann#1", false, 0.0),
                ("Ann#2", true, 1.0),
                ("Ann#4", false, 0.0)
            ]
        );
        assert_eq!((found.pairs.len(), found.prompts, found.left_out["radium"]), (0, 1, 1));
        let strict = Mining {
            preference_format: PreferenceFormat::Unpaired,
            desirable_threshold: 0.6,
            max_rows: Some(2),
            ..MINING
        };
        let found = mined(&prompts, &answers, &strict).unwrap();
        let ids: Vec<&str> = found.labelled.iter().map(|row| row.id.as_str()).collect();
        assert!(ids.len() == 2 && ids[0] < ids[1] && !ids.contains(&"Ann#3"), "{ids:?}");
    }

    #[test]
    fn answers_without_a_probed_fact_have_no_reward() {
        let agreed = Mining { reward: Reward::Agreement, ..MINING };
        let found =
            mined(&[prompt("Ann", "tune")], &[("a.", 1, 1), ("b.", 0, 1)], &agreed).unwrap();
        assert_eq!((found.pairs.len(), found.unrewarded, found.answers), (0, 2, 2));
    }

    #[test]
    fn topics_of_the_tests_are_refused() {
        let answers = [("a.", 1, 1), ("b.", 0, 1)];
        let error = mined(&[prompt("Ann", "test")], &answers, &MINING).unwrap_err().to_string();
        assert_eq!(error, "no response is in the splits `tune`; the responses' splits are: `test`");
        let both = Mining { splits: vec!["test".to_owned()], ..MINING };
        assert_eq!(
            mined(&[prompt("Ann", "test")], &answers, &both).unwrap_err(),
            MineError::TestTopic("Ann".to_owned())
        );
    }
}
