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
    verification::{JudgedClaim, VerifiedResponse},
};

use super::{
    draw::{ROUNDING, draw, drawn},
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

impl Mining {
    /// Which of this number of mined rows are kept, by their numbers from 0; none if all are.
    pub fn kept(&self, rows: usize, seed: &Seed) -> Option<BTreeSet<usize>> {
        drawn(rows, self.max_rows, &mut seed.split("all").stream())
    }
}

/// Rows of one prompt, in the order of its responses; one of the lists is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinedRows {
    /// Pairs.
    pub pairs: Vec<Pair>,
    /// Labelled completions, in that format.
    pub labelled: Vec<LabelledAnswer>,
}

/// Counts of mining.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mined {
    /// Responses that were used.
    pub answers: usize,
    /// Responses without a verified fact.
    pub factless: usize,
    /// Responses without a probed fact, and so without a reward.
    pub unrewarded: usize,
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
}

/// Why rows cannot be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
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

/// Responses whose prompt has a selected split, from a first reading of all of them.
#[derive(Clone, Debug)]
pub struct UsedResponses<'a> {
    /// Splits of the prompts by their ids.
    splits: BTreeMap<&'a str, &'a str>,
    wanted: &'a [String],
    used: usize,
    /// Topics of the used ones.
    topics: BTreeSet<String>,
    /// Splits of all responses.
    found: BTreeSet<String>,
}

impl<'a> UsedResponses<'a> {
    /// Those of these splits.
    pub fn new(prompts: &'a [Prompt], wanted: &'a [String]) -> Self {
        let splits =
            prompts.iter().map(|prompt| (prompt.id.as_str(), prompt.split.as_str())).collect();
        let (topics, found) = Default::default();
        Self { splits, wanted, used: 0, topics, found }
    }

    /// Counts a response.
    pub fn add(&mut self, response: &Response) {
        let split = self.split(response);
        // Millions of responses have a handful of splits.
        if !self.found.contains(split) {
            let split = split.to_owned();
            self.found.insert(split);
        }
        if self.uses(response) {
            self.used += 1;
            if !self.topics.contains(&response.topic) {
                self.topics.insert(response.topic.clone());
            }
        }
    }

    /// Whether a response is used.
    pub fn uses(&self, response: &Response) -> bool {
        let split = self.split(response);
        self.wanted.iter().any(|wanted| wanted == split)
    }

    fn split<'r>(&self, response: &'r Response) -> &'r str
    where
        'a: 'r,
    {
        // Responses of other programs may have no split of their own.
        match response.split.as_str() {
            "" => self.splits.get(response.prompt_id.as_str()).copied().unwrap_or_default(),
            split => split,
        }
    }

    fn check(&self) -> Result<(), MineError> {
        if self.used > 0 {
            return Ok(());
        }
        let found: Vec<String> = self.found.iter().map(|split| format!("`{split}`")).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(MineError::NoAnswers { wanted: format!("`{}`", self.wanted.join("`, `")), found })
    }
}

/// Mines pairs or labelled completions, one prompt after the other. Topics of prompts without used
/// responses are protected: rows that name one in a completion are left out.
pub struct Miner<'a> {
    used: UsedResponses<'a>,
    mining: &'a Mining,
    protection: Protection,
    rewards: Rewards<'a>,
    seed: &'a Seed,
    mined: Mined,
}

impl<'a> Miner<'a> {
    /// Where `used` has seen all responses. `probed` is the basis of rewards without knowledge.
    ///
    /// # Errors
    /// Fails where no response can be used, or a used response's topic is protected.
    pub fn new(
        prompts: &[Prompt],
        used: UsedResponses<'a>,
        probed: &'a [ProbedFact],
        mining: &'a Mining,
        seed: &'a Seed,
    ) -> Result<Self, MineError> {
        used.check()?;
        // Protected are the topics that are not tuned on, and not those of a split: what is asked
        // of another topic must stay unknown, whatever its prompts are called.
        let topics = &used.topics;
        let tested =
            prompts.iter().find(|prompt| prompt.split == "test" && topics.contains(&prompt.topic));
        if let Some(prompt) = tested {
            return Err(MineError::TestTopic(prompt.topic.clone()));
        }
        let others = prompts.iter().filter(|prompt| !topics.contains(&prompt.topic));
        let protected: BTreeSet<String> = others.map(|prompt| prompt.topic.clone()).collect();
        let selected = prompts.iter().filter(|prompt| mining.splits.contains(&prompt.split));
        let selected = selected.map(|prompt| &prompt.topic);
        let unanswered = selected.filter(|topic| protected.contains(*topic)).cloned().collect();
        let protection: Protection = protected.iter().cloned().collect();
        let rewards = Rewards::new(mining.reward, probed);
        let mined = Mined { answers: used.used, protected, unanswered, ..Mined::default() };
        Ok(Self { used, mining, protection, rewards, seed, mined })
    }

    /// Whether a response is used.
    pub fn uses(&self, response: &Response) -> bool {
        self.used.uses(response)
    }

    /// Whether a response has a reward.
    pub fn is_rewarded(&self, verified: &VerifiedResponse) -> bool {
        self.rewards.of(&verified.judged()).is_some()
    }

    /// The rows of a prompt from all of its responses that are used.
    pub fn rows_of(&mut self, prompt: &str, responses: &[VerifiedResponse]) -> MinedRows {
        let mut candidates = Vec::new();
        for verified in responses {
            let (response, judged) = (&verified.response, verified.judged());
            self.mined.factless += usize::from(!judged.iter().any(JudgedClaim::is_fact));
            let Some(score) = self.rewards.of(&judged) else {
                self.mined.unrewarded += 1;
                continue;
            };
            let names = self.protection.named(&response.output, &response.topic);
            let facts = judged.iter().filter(|judged| judged.is_fact() && !judged.is_repeat());
            let (stated, facts) = (facts.count(), pieces(&judged));
            candidates.push(Candidate { response, score, stated, facts, names });
        }
        self.mined.prompts_used += usize::from(!candidates.is_empty());
        let mut stream = self.seed.split("prompt").split(prompt).stream();
        self.mined.rows_of(&candidates, self.mining, &mut stream)
    }

    /// The counts, after the last prompt.
    pub fn finish(self) -> Mined {
        self.mined
    }
}

impl Mined {
    /// The rows of one prompt's responses.
    fn rows_of(
        &mut self,
        candidates: &[Candidate],
        mining: &Mining,
        stream: &mut Stream,
    ) -> MinedRows {
        let mut rows = MinedRows::default();
        match mining.preference_format {
            PreferenceFormat::Pairs => {
                rows.pairs = self.pairs_of(candidates, mining);
                draw(&mut rows.pairs, mining.max_rows_per_prompt, stream);
            }
            PreferenceFormat::Unpaired => {
                rows.labelled = self.labelled_of(candidates, mining);
                draw(&mut rows.labelled, mining.max_rows_per_prompt, stream);
            }
        }
        rows
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

/// Sizes of the rows that are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MinedSizes {
    /// Pairs.
    pub pairs: usize,
    /// Labelled completions.
    pub labelled: usize,
    /// Desirable ones among them.
    pub desirable: usize,
    /// Characters of the chosen completions.
    chosen: usize,
    /// Characters of the rejected completions.
    rejected: usize,
    prompts: BTreeSet<Content>,
}

impl MinedSizes {
    /// Counts a pair.
    pub fn add_pair(&mut self, pair: &Pair) {
        self.pairs += 1;
        self.chosen += length(&pair.chosen);
        self.rejected += length(&pair.rejected);
        self.add_prompt(&pair.prompt);
    }

    /// Counts a labelled completion.
    pub fn add_labelled(&mut self, row: &LabelledAnswer) {
        self.labelled += 1;
        self.desirable += usize::from(row.label);
        self.add_prompt(&row.prompt);
    }

    fn add_prompt(&mut self, prompt: &Content) {
        if !self.prompts.contains(prompt) {
            self.prompts.insert(prompt.clone());
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.pairs + self.labelled
    }

    /// Number of different prompts.
    pub fn prompts(&self) -> usize {
        self.prompts.len()
    }

    /// Mean lengths of chosen and rejected completions in characters, since precision correlates
    /// with length; 0 without pairs.
    pub fn mean_lengths(&self) -> [f64; 2] {
        let pairs = self.pairs.max(1) as f64;
        [self.chosen as f64 / pairs, self.rejected as f64 / pairs]
    }
}

/// Length of a completion in characters.
fn length(completion: &Content) -> usize {
    completion.text().trim().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rows::{CharSpan, Claim, FactLabel, PromptForm, ResponseId, Verdict},
        verification::ClaimVerdict,
    };

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

    /// What is mined from the responses to one prompt.
    #[derive(Debug, PartialEq)]
    struct Found {
        rows: MinedRows,
        sizes: MinedSizes,
        mined: Mined,
    }

    /// Responses about Ann: text, supported facts and facts in all.
    fn mined(
        prompts: &[Prompt],
        answers: &[(&str, usize, usize)],
        mining: &Mining,
    ) -> Result<Found, MineError> {
        let mut verified = Vec::new();
        for (sample, (output, supported, facts)) in answers.iter().enumerate() {
            let response = Response {
                id: format!("Ann#{sample}").into(),
                prompt_id: "Ann".to_owned(),
                sample,
                topic: "Ann".to_owned(),
                domain: "people".to_owned(),
                split: String::new(),
                prompt: "Tell me about Ann.".into(),
                output: (*output).to_owned(),
                finish: if output.ends_with('.') { Finish::Stop } else { Finish::Length },
            };
            let claims = (0..*facts).map(|fact| {
                let response_id = ResponseId::of_sample("Ann", sample);
                let id = response_id.claim(fact);
                let verdict =
                    if fact < *supported { FactLabel::Supported } else { FactLabel::Unsupported };
                let verdict = Verdict::new(id.clone(), verdict, 0.0, Vec::new());
                let (text, span) = ("x".to_owned(), CharSpan::new(0, 1));
                let claim = Claim { id, response_id, text, span, ..Claim::default() };
                ClaimVerdict { claim, verdict }
            });
            verified.push(VerifiedResponse { claims: claims.collect(), response });
        }
        let splits =
            if mining.splits.is_empty() { vec!["tune".to_owned()] } else { mining.splits.clone() };
        let (mining, seed) = (Mining { splits, ..mining.clone() }, Seed::root(0));
        let mut used = UsedResponses::new(prompts, &mining.splits);
        verified.iter().for_each(|one| used.add(&one.response));
        let mut miner = Miner::new(prompts, used, &[], &mining, &seed)?;
        assert!(verified.iter().all(|one| miner.uses(&one.response)));
        let mut rows = miner.rows_of("Ann", &verified);
        if let Some(kept) = mining.kept(rows.pairs.len() + rows.labelled.len(), &seed) {
            let mut number = 0..;
            rows.pairs.retain(|_| kept.contains(&number.next().unwrap()));
            rows.labelled.retain(|_| kept.contains(&number.next().unwrap()));
        }
        let mut sizes = MinedSizes::default();
        rows.pairs.iter().for_each(|pair| sizes.add_pair(pair));
        rows.labelled.iter().for_each(|row| sizes.add_labelled(row));
        Ok(Found { rows, sizes, mined: miner.finish() })
    }

    fn ids(found: &Found) -> Vec<(usize, usize)> {
        let number = |id: &str| id.strip_prefix("Ann#").unwrap().parse().unwrap();
        found
            .rows
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
                found.sizes.prompts(),
                found.mined.answers,
                found.rows.pairs[0].chosen_score,
                found.rows.pairs[0].rejected_score
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
        assert_eq!((all.rows.pairs.len(), all.sizes.rows()), (45, 45));
        let some = mined(
            &[prompt("Ann", "tune")],
            &answers,
            &Mining { max_rows_per_prompt: Some(7), ..MINING },
        )
        .unwrap();
        assert_eq!(some.rows.pairs.len(), 7);
        let few =
            mined(&[prompt("Ann", "tune")], &answers, &Mining { max_rows: Some(3), ..MINING })
                .unwrap();
        assert_eq!(few.rows.pairs.len(), 3);
        assert!(few.rows.pairs.iter().all(|pair| all.rows.pairs.contains(pair)));
    }

    #[test]
    fn protected_topics_are_never_named() {
        let prompts = [prompt("Ann", "tune"), prompt("Niger", "test"), prompt("radium", "test")];
        let answers =
            [("She found radium.", 5, 5), ("She held Nigerian citizenship.", 3, 5), ("x.", 0, 5)];
        let found = mined(&prompts, &answers, &MINING).unwrap();
        assert_eq!(ids(&found), [(1, 2)]);
        assert_eq!(found.mined.left_out, BTreeMap::from([("radium".to_owned(), 2)]));
        assert_eq!(found.mined.protected.len(), 2);
    }

    #[test]
    fn answers_by_themselves_are_good_from_a_reward_on() {
        let answers =
            [("a.", 1, 2), ("b.", 0, 2), ("a.", 2, 2), ("c", 2, 2), ("d", 0, 0), ("radium.", 1, 1)];
        let prompts = [prompt("Ann", "tune"), prompt("radium", "test")];
        let single = Mining { preference_format: PreferenceFormat::Unpaired, ..MINING };
        let found = mined(&prompts, &answers, &single).unwrap();
        let labelled = &found.rows.labelled;
        let rows: Vec<(&str, bool, f64)> =
            labelled.iter().map(|row| (row.id.as_str(), row.label, row.score)).collect();
        assert_eq!(
            rows,
            [
                ("Ann#0", true, 0.5),
                ("Ann#1", false, 0.0),
                ("Ann#2", true, 1.0),
                ("Ann#4", false, 0.0)
            ]
        );
        let (sizes, left_out) = (&found.sizes, found.mined.left_out["radium"]);
        assert_eq!((sizes.pairs, sizes.prompts(), sizes.desirable, left_out), (0, 1, 2, 1));
        let strict = Mining {
            preference_format: PreferenceFormat::Unpaired,
            desirable_threshold: 0.6,
            max_rows: Some(2),
            ..MINING
        };
        let found = mined(&prompts, &answers, &strict).unwrap();
        let ids: Vec<&str> = found.rows.labelled.iter().map(|row| row.id.as_str()).collect();
        assert!(ids.len() == 2 && ids[0] < ids[1] && !ids.contains(&"Ann#3"), "{ids:?}");
    }

    #[test]
    fn answers_without_a_probed_fact_have_no_reward() {
        let agreed = Mining { reward: Reward::Agreement, ..MINING };
        let found =
            mined(&[prompt("Ann", "tune")], &[("a.", 1, 1), ("b.", 0, 1)], &agreed).unwrap();
        let Mined { unrewarded, answers, prompts_used, .. } = found.mined;
        assert_eq!((found.rows.pairs.len(), unrewarded, answers, prompts_used), (0, 2, 2, 0));
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
