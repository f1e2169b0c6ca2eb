//! The kind `mine`: general pairs from verified responses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    context::{
        Context, StageError,
        artifact::{CLAIMS, PAIRS, PROBE, PROMPTS, RESPONSES, VERDICTS},
    },
    preference::{
        Mined, MinedRows, MinedSizes, Miner, Mining, PreferenceFormat, Reward, UsedResponses,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{
        ProbedFact, Prompt, Response, RowGroups,
        json_lines::{self, Line, RowWriter},
    },
    seed::Seed,
    stage_support::claim_verdicts::ClaimVerdicts,
    verification::VerifiedResponse,
};

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "mine",
    // 1: first version. 2: pairs carry the facts of their completions. 3: rewards from probes,
    // labelled completions.
    // 4: protected topics by initial capitals and in any spelling. 5: repeats that extraction found
    // are no facts of a reward. 6: pieces of facts.
    version: 6,
    about: "Mine general pairs: of two responses to a prompt, the more factual one is chosen.",
    inputs: &[
        Input::one("responses", &RESPONSES, "Several responses to each prompt."),
        Input::one("claims", &CLAIMS, "Claims of the responses."),
        Input::one("verdicts", &VERDICTS, "Verdicts on the claims."),
        Input::one("prompts", &PROMPTS, "All prompts; topics of other splits are protected."),
        Input::optional("probe", &PROBE, "Probe, for rewards without knowledge."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&PAIRS],
    seeded: true,
    fan_in: false,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: None,
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Reward that ranks responses: precision, or a score of their facts in `probe`.
    #[parameter(default = "precision")]
    reward: Reward,
    /// Format of the rows: preference pairs, or labelled completions (TRL's unpaired preference).
    #[parameter(default = "pairs", former = "rows", foreign_values = [
        ("paired", "write `preference_format = \"pairs\"`"),
        ("answers", "write `preference_format = \"unpaired\"`"),
    ])]
    pub preference_format: PreferenceFormat,
    /// Reward from which on a single response is desirable.
    #[parameter(default = 0.5, min = -1e6, max = 1, former = "good")]
    desirable_threshold: f64,
    /// Minimum difference in reward between chosen and rejected completion; it is always above 0.
    #[parameter(default = 0.1, min = 0, max = 1, former = "margin")]
    min_margin: f64,
    /// Maximum rows of one prompt, drawn at random; all by default.
    #[parameter(min = 1, max = 1_000_000, former = "at_most_per_prompt")]
    max_rows_per_prompt: Option<usize>,
    /// Maximum rows in all, drawn at random; all by default.
    #[parameter(min = 1, max = 100_000_000, former = "at_most")]
    max_rows: Option<usize>,
    /// Splits of the prompts.
    #[parameter(default = ["tune"], unordered)]
    splits: Vec<String>,
    /// Chosen completions must end with EOS: tuning also learns where they end.
    #[parameter(default = true, former = "finished")]
    require_eos: bool,
    /// Chosen completions must state as many facts or more: precision alone prefers short
    /// responses.
    #[parameter(default = false, former = "as_many_facts")]
    require_as_many_facts: bool,
}

/// Rewards other than precision need a probe, and margins need pairs.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let Parameters { reward, preference_format, .. } = chosen.parameters();
    match (reward == Reward::Precision, chosen.is_given("probe")) {
        (false, false) => {
            let problem =
                format!("`reward` \"{reward}\" needs the input `probe`, which is not given");
            found.push(Mismatch::error("reward", problem, "give `probe`, or choose \"precision\""));
        }
        (true, true) => {
            let why = "`reward` \"precision\" uses the verdicts only";
            found.push(Mismatch::without_effect(
                "probe",
                why,
                "choose another `reward`, or remove it",
            ));
        }
        _ => {}
    }
    let is_pairs = preference_format == PreferenceFormat::Pairs;
    for (field, is_unused, why) in [
        ("desirable_threshold", is_pairs, "`preference_format = \"pairs\"` compares responses"),
        ("min_margin", !is_pairs, "`preference_format = \"unpaired\"` compares no responses"),
        (
            "require_as_many_facts",
            !is_pairs,
            "`preference_format = \"unpaired\"` compares no responses",
        ),
    ] {
        if is_unused && chosen.is_changed(field) {
            found.push(Mismatch::without_effect(
                field,
                why,
                "remove it, or choose other `preference_format`",
            ));
        }
    }
    found
}

impl Parameters {
    fn mining(self) -> Mining {
        Mining {
            reward: self.reward,
            preference_format: self.preference_format,
            desirable_threshold: self.desirable_threshold,
            min_margin: self.min_margin,
            max_rows_per_prompt: self.max_rows_per_prompt,
            max_rows: self.max_rows,
            splits: self.splits,
            require_eos: self.require_eos,
            require_as_many_facts: self.require_as_many_facts,
        }
    }
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// If inputs cannot be read or do not belong together, no pair is found, or a test topic would be
/// tuned on.
pub(crate) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let reward = parameters.reward;
    let prompts: Vec<Prompt> = context.rows("prompts")?;
    let probed: Vec<ProbedFact> = match context.inputs("probe").next() {
        Some(_) => json_lines::read_rows(&context.input_file("probe", "probe.jsonl")?)
            .map_err(StageError::doing("read the probe"))?,
        None if reward == Reward::Precision => Vec::new(),
        None => {
            return Err(StageError(
                "this `reward` needs the input `probe`, which is not given".to_owned(),
            ));
        }
    };
    let mining = parameters.mining();
    let mut used = UsedResponses::new(&prompts, &mining.splits);
    let path = context.input_file("responses", "responses.jsonl")?;
    let responses = RowGroups::open_each(&path, |response| used.add(response));
    let responses = responses.map_err(StageError::doing(READING))?;
    let mut miner = Miner::new(&prompts, used, &probed, &mining, &context.seed)
        .map_err(StageError::doing(PURPOSE))?;
    let mut written = WrittenPairs::create(context)?;
    match responses.is_together() {
        true => written.add_groups(context, responses, &mut miner)?,
        false => written.add_scattered(context, &mut miner)?,
    }
    let (mined, sizes) = (miner.finish(), written.finish(&mining, &context.seed)?);
    if sizes.rows() == 0 {
        return Err(StageError(no_rows(&mined, mining.min_margin)));
    }
    let answers = mined.answers;
    if mined.factless > 0 {
        let text = format!("{} of {answers} responses have no relevant claim", mined.factless);
        let counts = if reward == Reward::Precision { "; their precision counts as 0" } else { "" };
        // Responses without facts are normal; if most have none, claims and verdicts may belong to
        // other responses.
        if 2 * mined.factless > answers {
            context.warn(text + counts)
        } else {
            context.note(text + counts)
        }
    }
    if mined.unrewarded > 0 {
        context.warn(format!(
            "{} of {answers} responses state no probed fact and have no reward",
            mined.unrewarded
        ));
    }
    describe(context, &mined, &sizes);
    Ok(())
}

const READING: &str = "read the responses";
const WRITING: &str = "write the pairs";
const PURPOSE: &str = "mine pairs";

/// The file of mined rows.
struct WrittenPairs {
    path: PathBuf,
    rows: RowWriter,
    sizes: MinedSizes,
}

impl WrittenPairs {
    fn create(context: &Context) -> Result<Self, StageError> {
        let path = context.output("pairs.jsonl");
        let rows = RowWriter::create(&path).map_err(StageError::doing(WRITING))?;
        Ok(Self { path, rows, sizes: MinedSizes::default() })
    }

    fn add(&mut self, mined: &MinedRows) -> Result<(), StageError> {
        for pair in &mined.pairs {
            self.sizes.add_pair(pair);
            self.rows.write(pair).map_err(StageError::doing(WRITING))?;
        }
        for row in &mined.labelled {
            self.sizes.add_labelled(row);
            self.rows.write(row).map_err(StageError::doing(WRITING))?;
        }
        Ok(())
    }

    /// Adds the rows of one prompt after the other; the responses to each stand together.
    fn add_groups(
        &mut self,
        context: &Context,
        mut responses: RowGroups<Response>,
        miner: &mut Miner<'_>,
    ) -> Result<(), StageError> {
        let mut claims = ClaimVerdicts::open(context, PURPOSE)?;
        while let Some(group) = responses.next_group().map_err(StageError::doing(READING))? {
            let prompt = group[0].prompt_id.clone();
            let mut used = Vec::new();
            for response in group {
                // Claims of responses that are not used are read too, and checked as the others.
                let verified = claims.verified(response)?;
                used.extend(miner.uses(&verified.response).then_some(verified));
            }
            self.add(&miner.rows_of(&prompt, &used))?;
        }
        claims.finish()
    }

    /// The same where responses to one prompt are apart: all that are used are in memory.
    fn add_scattered(
        &mut self,
        context: &Context,
        miner: &mut Miner<'_>,
    ) -> Result<(), StageError> {
        let mut claims = ClaimVerdicts::open(context, PURPOSE)?;
        let mut by_prompt: BTreeMap<String, Vec<VerifiedResponse>> = BTreeMap::new();
        // Prompts by their first response with a reward.
        let (mut order, mut rewarded) = (Vec::new(), BTreeSet::new());
        for response in context.each_row("responses")? {
            let verified = claims.verified(response?)?;
            if !miner.uses(&verified.response) {
                continue;
            }
            let prompt = verified.response.prompt_id.clone();
            if miner.is_rewarded(&verified) && rewarded.insert(prompt.clone()) {
                order.push(prompt.clone());
            }
            by_prompt.entry(prompt).or_default().push(verified);
        }
        claims.finish()?;
        for prompt in order {
            let used = by_prompt.remove(&prompt).unwrap_or_default();
            self.add(&miner.rows_of(&prompt, &used))?;
        }
        // Responses without any reward give no row, but are counted.
        by_prompt.iter().try_for_each(|(prompt, used)| self.add(&miner.rows_of(prompt, used)))
    }

    /// Draws the rows that are kept, and returns their sizes.
    fn finish(self, mining: &Mining, seed: &Seed) -> Result<MinedSizes, StageError> {
        let Self { path, rows, sizes } = self;
        rows.finish().map_err(StageError::doing(WRITING))?;
        let Some(kept) = mining.kept(sizes.rows(), seed) else { return Ok(sizes) };
        match mining.preference_format {
            PreferenceFormat::Pairs => keep(&path, &kept, MinedSizes::add_pair),
            PreferenceFormat::Unpaired => keep(&path, &kept, MinedSizes::add_labelled),
        }
    }
}

/// Keeps the rows of a file with these numbers, and returns their sizes.
fn keep<T: Serialize + DeserializeOwned>(
    path: &Path,
    kept: &BTreeSet<usize>,
    add: fn(&mut MinedSizes, &T),
) -> Result<MinedSizes, StageError> {
    let beside = path.with_extension("kept");
    let mut rows = RowWriter::create(&beside).map_err(StageError::doing(WRITING))?;
    let mut sizes = MinedSizes::default();
    let all = json_lines::lines::<T>(path).map_err(StageError::doing(WRITING))?;
    for (_, line) in all.enumerate().filter(|(number, _)| kept.contains(number)) {
        let Line { row, .. } = line.map_err(StageError::doing(WRITING))?;
        add(&mut sizes, &row);
        rows.write(&row).map_err(StageError::doing(WRITING))?;
    }
    rows.finish().map_err(StageError::doing(WRITING))?;
    fs::rename(&beside, path).map_err(StageError::doing(WRITING))?;
    Ok(sizes)
}

/// Why there is no row: conditions left all of them out, or no two responses differ.
fn no_rows(mined: &Mined, margin: f64) -> String {
    let Mined { answers, without_eos, with_fewer_facts, .. } = mined;
    let mut causes = Vec::new();
    let taken: usize = mined.left_out.values().sum();
    if let Some((topic, count)) = mined.left_out.iter().max_by_key(|(_, count)| **count) {
        let what = match mined.unanswered.contains(topic) {
            true => {
                "a topic of the same splits without responses; sample responses on it, or \
                remove its prompts"
            }
            false => {
                "a topic of another split; rename it if it is ambiguous, or sample other \
                responses"
            }
        };
        causes
            .push(format!("{taken} name protected topics, most often `{topic}` ({count}), {what}"));
    }
    if *without_eos > 0 {
        causes.push(format!(
            "{without_eos} have a better response that was cut off (`require_eos`); sample with a \
            larger `max_new_tokens`, or set `require_eos = false`"
        ));
    }
    if *with_fewer_facts > 0 {
        causes.push(format!(
            "{with_fewer_facts} have a better response with fewer facts \
            (`require_as_many_facts`); sample more, or set it to false"
        ));
    }
    match causes.is_empty() {
        false => format!("found no pairs: of those that differ enough, {}", causes.join("; ")),
        true => format!(
            "found no pairs: no two of {answers} responses to one prompt differ by {margin} in \
            their reward; sample more, or lower `min_margin`"
        ),
    }
}

fn describe(context: &Context, mined: &Mined, sizes: &MinedSizes) {
    let Mined { answers, prompts_used, .. } = mined;
    let MinedSizes { pairs, labelled, desirable, .. } = sizes;
    let prompts = sizes.prompts();
    if *pairs == 0 {
        context.note(format!(
            "{labelled} of {answers} responses to {prompts} prompts, {desirable} of them desirable"
        ));
    } else {
        context.note(format!(
            "{pairs} pairs of {prompts} prompts, from {answers} responses to {prompts_used} prompts"
        ));
        let [chosen, rejected] = sizes.mean_lengths();
        context.note(format!(
            "chosen completions have {chosen:.1} characters on average, rejected ones \
            {rejected:.1}"
        ));
    }
    let left_out: usize = mined.left_out.values().sum();
    let names: Vec<&str> = mined.left_out.keys().take(10).map(String::as_str).collect();
    let which = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    context.note(format!(
        "{left_out} {} excluded that name one of {} protected topics{which}",
        if *pairs == 0 { "responses" } else { "pairs" },
        mined.protected.len()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        rows::{Pair, PromptForm},
    };
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.min_margin, parameters.max_rows, parameters.splits),
            (0.1, None, vec!["tune".to_owned()])
        );
    }

    #[test]
    fn pairs_are_written_and_counted() {
        let folder = test_support::judged(&[
            ("people", "Ann", "tune", &["SS", "SN", "NN"]),
            ("countries", "Peru", "test", &["SN"]),
        ]);
        let path = folder.path();
        let prompt = |id: &str, topic: &str, split: &str| Prompt {
            id: id.to_owned(),
            prompt: "".into(),
            topic: topic.to_owned(),
            domain: String::new(),
            split: split.to_owned(),
            form: PromptForm::Paragraph,
            attribute: None,
            answers: Vec::new(),
            claim: None,
        };
        let prompts =
            [prompt("people/Ann", "Ann", "tune"), prompt("countries/Peru", "Peru", "test")];
        json_lines::write(&path.join("prompts.jsonl"), &prompts).unwrap();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let notes = Trial::new(&inputs, json!({})).run(&KIND, path, run).unwrap();
        expect_test::expect![[r#"
            3 pairs of 1 prompts, from 3 responses to 1 prompts
            chosen completions have 2.0 characters on average, rejected ones 2.0
            0 pairs excluded that name one of 1 protected topics"#]]
        .assert_eq(&notes.join("\n"));
        let pairs: Vec<Pair> = json_lines::read(&path.join("pairs.jsonl")).unwrap();
        assert_eq!(
            (pairs[1].chosen_id.as_str(), pairs[1].rejected_id.as_str()),
            ("people/Ann#0", "people/Ann#2")
        );
        let single = Trial::new(
            &inputs,
            json!({"preference_format": "unpaired", "desirable_threshold": 0.6}),
        )
        .run(&KIND, path, run)
        .unwrap();
        assert_eq!(single[0], "3 of 3 responses to 1 prompts, 1 of them desirable");
        expect_test::expect![[r#"
            {"prompt":"Tell me about Ann.","completion":"SS","label":true,"topic":"Ann","domain":"people","id":"people/Ann#0","score":1.0}
            {"prompt":"Tell me about Ann.","completion":"SN","label":false,"topic":"Ann","domain":"people","id":"people/Ann#1","score":0.5}
            {"prompt":"Tell me about Ann.","completion":"NN","label":false,"topic":"Ann","domain":"people","id":"people/Ann#2","score":0.0}
        "#]]
            .assert_eq(&std::fs::read_to_string(path.join("pairs.jsonl")).unwrap());
        let unprobed =
            Trial::new(&inputs, json!({"reward": "entropy"})).run(&KIND, path, run).unwrap_err();
        assert!(
            unprobed.to_string().contains("the input `probe`, which is not given"),
            "{unprobed}"
        );
        let none =
            Trial::new(&inputs, json!({"splits": ["validate"]})).run(&KIND, path, run).unwrap_err();
        assert!(none.to_string().contains("no response is in the splits `validate`"), "{none}");
    }

    #[test]
    fn what_leaves_no_pair_is_told() {
        let folder = test_support::judged(&[("people", "Ann", "tune", &["SS", "SNN"])]);
        let path = folder.path();
        let prompt = |topic: &str| {
            json!({"id": format!("people/{topic}"), "prompt": "?", "topic": topic,
                "domain": "people", "split": "tune"})
        };
        let inputs = [("responses", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let error = |prompts: &[serde_json::Value], parameters| {
            json_lines::write(&path.join("prompts.jsonl"), prompts).unwrap();
            Trial::new(&inputs, parameters).run(&KIND, path, run).unwrap_err().to_string()
        };
        let fewer = error(&[prompt("Ann")], json!({"require_as_many_facts": true}));
        assert!(fewer.contains("1 have a better response with fewer facts"), "{fewer}");
        let apart = error(&[prompt("Ann")], json!({"min_margin": 0.9}));
        assert!(apart.contains("no two of 2 responses to one prompt differ by 0.9"), "{apart}");
        let responses = path.join("responses.jsonl");
        let text = std::fs::read_to_string(&responses).unwrap();
        std::fs::write(&responses, text.replace("\"stop\"", "\"length\"")).unwrap();
        let cut = error(&[prompt("Ann")], json!({}));
        assert!(cut.contains("1 have a better response that was cut off"), "{cut}");
        let named = text.replace("\"SS\"", "\"SS of Bo Hay\"");
        std::fs::write(&responses, named).unwrap();
        let same = error(&[prompt("Ann"), prompt("Bo Hay")], json!({}));
        assert!(same.contains("`Bo Hay` (1), a topic of the same splits without"), "{same}");
    }

    /// Rewards: SS 1, SN 0.5, NN 0; a margin of 0.6 leaves one pair.
    #[test]
    fn rewards_are_shares_of_right_facts() {
        let folder = test_support::judged(&[("people", "Ann", "tune", &["SS", "SN", "NN"])]);
        let path = folder.path();
        let prompt =
            r#"{"id":"people/Ann","prompt":"?","topic":"Ann","domain":"people","split":"tune"}"#;
        std::fs::write(path.join("prompts.jsonl"), format!("{prompt}\n")).unwrap();
        let inputs = [("responses", path), ("claims", path), ("verdicts", path), ("prompts", path)];
        let mined = |margin: f64| {
            Trial::new(&inputs, json!({"min_margin": margin})).run(&KIND, path, run).unwrap();
            let pairs: Vec<Pair> = json_lines::read(&path.join("pairs.jsonl")).unwrap();
            let mut scores: Vec<(f64, f64)> =
                pairs.iter().map(|pair| (pair.chosen_score, pair.rejected_score)).collect();
            scores.sort_by(|one, other| one.partial_cmp(other).unwrap());
            scores
        };
        assert_eq!(mined(0.0), [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5)]);
        assert_eq!(mined(0.6), [(1.0, 0.0)]);
    }
}
