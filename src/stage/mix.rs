//! The kind `mix`: the mixture of general and atomic pairs that one arm is tuned on.

use serde::Deserialize;

use crate::{
    context::{
        Context, StageError,
        artifact::{PAIRS, PROMPTS},
    },
    preference::{
        DrawnPair, LevelCount, LevelCounts, Mixed, Mixing, Order, PairLabels, Preferences,
        Protection, mix,
    },
    recipe::schema::{Chosen, Declared, Input, Kind, Mismatch},
    rows::{Level, NumberedRows, Pair, Prompt, json_lines::RowWriter},
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mix",
    // 1: first version. 2: protected topics by initial capitals and in any spelling.
    version: 2,
    about: "Draw an arm's mixture of general and atomic pairs; arms of one seed share general \
    pairs.",
    inputs: &[
        Input::one("general", &PAIRS, "Pool of general pairs, larger than an arm's share."),
        Input::optional("atomic", &PAIRS, "Atomic pairs."),
        Input::optional(
            "prompts",
            &PROMPTS,
            "All prompts; a pair that names a topic of another split is an error.",
        ),
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
struct Parameters {
    /// Mixture; `general-matched` has general pairs only, as many as `general+atomic` has in all.
    #[parameter(default = "general+atomic")]
    preferences: Preferences,
    /// Number of general pairs.
    #[parameter(default = 2000, min = 0, max = 100_000_000)]
    general_pairs: usize,
    /// Number of atomic pairs.
    #[parameter(default = 1500, min = 0, max = 100_000_000)]
    atomic_pairs: usize,
    /// Number of pairs in all, together with `atomic_share`.
    #[parameter(min = 0, max = 100_000_000)]
    pairs: Option<usize>,
    /// Share of atomic pairs among `pairs`; replaces `general_pairs` and `atomic_pairs`.
    #[parameter(min = 0, max = 1)]
    atomic_share: Option<f64>,
    /// Order of the two levels; an order other than `shuffled` needs `shuffle = false` in `tune`.
    #[parameter(default = "shuffled")]
    order: Order,
    /// Weight of a general pair in the loss.
    #[parameter(default = 1.0, above = 0, max = 1e6)]
    general_weight: f64,
    /// Weight of an atomic pair in the loss.
    #[parameter(default = 1.0, above = 0, max = 1e6)]
    atomic_weight: f64,
    /// Labels; shuffled ones swap the completions of a random half of all pairs, or of atomic ones.
    #[parameter(default = "kept")]
    labels: PairLabels,
    /// Splits for tuning; topics of all other splits are protected.
    #[parameter(default = ["tune"], unordered)]
    splits: Vec<String>,
}

/// `pairs` and `atomic_share` need each other; counts by atomic pairs need these.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let parameters: Parameters = chosen.parameters();
    let (there, missing) = match (parameters.pairs, parameters.atomic_share) {
        (Some(_), None) => ("pairs", "atomic_share"),
        (None, Some(_)) => ("atomic_share", "pairs"),
        _ => ("", ""),
    };
    if !there.is_empty() {
        let problem = format!("`{there}` is given, but `{missing}` is not");
        found.push(Mismatch::error(there, problem, "both or none are expected"));
    }
    let has_share = parameters.pairs.is_some() && parameters.atomic_share.is_some();
    let preferences = parameters.preferences;
    let (general_pairs, atomic_pairs) = parameters.counts();
    if preferences != Preferences::General && atomic_pairs > 0 && !chosen.is_given("atomic") {
        let problem =
            format!("`preferences` \"{preferences}\" need the input `atomic`, which is not given");
        found.push(Mismatch::error("preferences", problem, "give `atomic`, or choose \"general\""));
    }
    let wanted = match preferences {
        Preferences::General => general_pairs,
        Preferences::Atomic => atomic_pairs,
        Preferences::Both | Preferences::Matched => general_pairs + atomic_pairs,
    };
    if wanted == 0 {
        let problem = format!("a mixture of the `preferences` \"{preferences}\" would be empty");
        found.push(Mismatch::error(
            "preferences",
            problem,
            "raise `general_pairs` or `atomic_pairs`, or choose others",
        ));
    }
    let share = ["general_pairs", "atomic_pairs"]
        .map(|field| (field, has_share, "`pairs` and `atomic_share` set the numbers"));
    let others = [
        (
            "atomic_weight",
            matches!(preferences, Preferences::General | Preferences::Matched),
            "no atomic pair is drawn",
        ),
        ("general_weight", preferences == Preferences::Atomic, "no general pair is drawn"),
        ("splits", !chosen.is_given("prompts"), "without `prompts` no topic is protected"),
        ("order", preferences != Preferences::Both, "all pairs are of one level"),
        (
            "labels",
            parameters.labels == PairLabels::ShuffledAtomic
                && matches!(preferences, Preferences::General | Preferences::Matched),
            "no atomic pair is drawn",
        ),
    ];
    let unused = share
        .into_iter()
        .chain(others)
        .filter(|(field, is_unused, _)| *is_unused && chosen.is_changed(field));
    found.extend(unused.map(|(field, _, why)| Mismatch::without_effect(field, why, "remove it")));
    found
}

impl Parameters {
    /// General and atomic pairs of the mixture.
    fn counts(&self) -> (usize, usize) {
        match (self.pairs, self.atomic_share) {
            (Some(pairs), Some(share)) => {
                // The other level gets the rest, so that rounding never changes the total.
                let atomic = (pairs as f64 * share).round() as usize;
                (pairs - atomic, atomic)
            }
            _ => (self.general_pairs, self.atomic_pairs),
        }
    }
}

/// Writes `pairs.jsonl`.
///
/// # Errors
/// If inputs are missing or cannot be read, nothing is left, or a test topic would be tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let (general_count, atomic_count) = parameters.counts();
    let general = PairPool::read(context, "general")?;
    let is_given = context.inputs("atomic").next().is_some();
    if !is_given && parameters.preferences != Preferences::General && atomic_count > 0 {
        let problem = "these `preferences` need the input `atomic`, which is not given";
        return Err(StageError(problem.to_owned()));
    }
    let atomic = is_given.then(|| PairPool::read(context, "atomic")).transpose()?;
    let mixing = Mixing {
        preferences: parameters.preferences,
        general: general_count,
        atomic: atomic_count,
        order: parameters.order,
        general_weight: parameters.general_weight,
        atomic_weight: parameters.atomic_weight,
        labels: parameters.labels,
    };
    let of_atomic = atomic.as_ref().map_or(&[][..], |pool| &pool.levels);
    let mixed = mix(&general.levels, of_atomic, &mixing, &context.seed);
    let sizes = [general.levels.len(), of_atomic.len()];
    if mixed.pairs.is_empty() {
        let pools = format!("{} general and {} atomic ones", sizes[0], sizes[1]);
        return Err(StageError(format!(
            "no pairs are left of {pools}; raise `general_pairs` or `atomic_pairs`"
        )));
    }
    // Checked again, though mining protects topics too: pairs may come from elsewhere.
    let mut protection = Protection::default();
    if context.inputs("prompts").next().is_some() {
        let prompts: Vec<Prompt> = context.rows("prompts")?;
        protection = Protection::of_other_splits(&prompts, &parameters.splits);
    }
    let counts = write(context, &mixed, (general, atomic), &protection)?;
    describe(context, &mixed, &counts, sizes);
    Ok(())
}

/// A pool of pairs: the level of each, and the file.
struct PairPool {
    levels: Vec<Level>,
    pairs: NumberedRows<Pair>,
    reading: String,
}

impl PairPool {
    fn read(context: &Context, input: &str) -> Result<Self, StageError> {
        let path = context.input_file(input, "pairs.jsonl")?;
        let reading = format!("read the {input} pairs");
        let mut levels = Vec::new();
        let pairs = NumberedRows::open_each(&path, |pair: &Pair| levels.push(pair.level));
        let pairs = pairs.map_err(StageError::doing(&reading))?;
        Ok(Self { levels, pairs, reading })
    }

    fn pair(&mut self, drawn: &DrawnPair) -> Result<Pair, StageError> {
        let pair = self.pairs.get(drawn.number).map_err(StageError::doing(&self.reading))?;
        Ok(drawn.of(pair))
    }
}

/// Writes the pairs of a mixture, one in memory, and counts them.
fn write(
    context: &Context,
    mixed: &Mixed,
    (mut general, mut atomic): (PairPool, Option<PairPool>),
    protection: &Protection,
) -> Result<LevelCounts, StageError> {
    let writing = "write the pairs";
    let rows = RowWriter::create(&context.output("pairs.jsonl"));
    let mut rows = rows.map_err(StageError::doing(writing))?;
    let mut counts = LevelCounts::default();
    for (index, drawn) in mixed.pairs.iter().enumerate() {
        // Without a pool of atomic pairs none was drawn of it.
        let pool = match &mut atomic {
            Some(atomic) if drawn.of_atomic => atomic,
            _ => &mut general,
        };
        let pair = pool.pair(drawn)?;
        let checked = protection.check(index + 1, &pair);
        checked.map_err(StageError::doing("tune on these pairs"))?;
        counts.add(&pair);
        rows.write(&pair).map_err(StageError::doing(writing))?;
    }
    rows.finish().map_err(StageError::doing(writing))?;
    Ok(counts)
}

fn describe(context: &Context, mixed: &Mixed, counts: &LevelCounts, pools: [usize; 2]) {
    let Mixed { pairs, missing_general, missing_atomic, repeats } = mixed;
    for LevelCount { level, pairs, words, characters } in counts.rows() {
        let level = if *level == Level::Atomic { "atomic" } else { "general" };
        context.note(format!("{pairs} {level} pairs of {words} words, {characters} characters"));
    }
    for (missing, pool, level) in
        [(missing_general, pools[0], "general"), (missing_atomic, pools[1], "atomic")]
    {
        if *missing > 0 {
            context.warn(format!("{missing} {level} pairs are missing: the pool has only {pool}"));
        }
    }
    if *repeats > 0 {
        let share = 100.0 * *repeats as f64 / pairs.len() as f64;
        context.warn(format!(
            "{repeats} pairs ({share:.1} %) are repeats, since the pool has only {} general pairs",
            pools[0]
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::test_support::{self, Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.counts(), parameters.order), ((2000, 1500), Order::Shuffled));
    }

    #[test]
    fn a_share_needs_a_number_of_pairs() {
        let given = |parameters| {
            let misfits = test_support::misfits(&KIND, &["general", "atomic"], parameters);
            misfits.into_iter().map(|mismatch| mismatch.field).collect::<Vec<_>>()
        };
        assert_eq!(given(json!({"pairs": 1})), ["pairs"]);
        assert_eq!(given(json!({"atomic_share": 0.5})), ["atomic_share"]);
        assert_eq!(given(json!({"pairs": 1, "atomic_share": 0.5})), [""; 0]);
        let labels = "shuffled_atomic";
        assert_eq!(given(json!({"labels": labels, "preferences": "general"})), ["labels"]);
        assert_eq!(given(json!({"labels": labels})), [""; 0]);
    }

    #[test]
    fn mixtures_are_written_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let pool = |level: &str, count: usize| {
            let row = |index: usize| {
                format!(
                    "{}\n",
                    json!({"prompt": "?", "chosen": format!(" good \
                    {index}"), "rejected": " bad", "level": level})
                )
            };
            let file = path.join(format!("{level}.jsonl"));
            std::fs::write(&file, (0..count).map(row).collect::<String>()).unwrap();
            file
        };
        let (general, atomic) = (pool("general", 8), pool("atomic", 5));
        let inputs = [("general", general.as_path()), ("atomic", atomic.as_path())];
        let mixed = |inputs: &[(&str, &std::path::Path)], parameters| {
            let notes = Trial::new(inputs, parameters).run(&KIND, path, run)?;
            Ok::<_, StageError>((notes, std::fs::read_to_string(path.join("pairs.jsonl")).unwrap()))
        };
        let (notes, rows) = mixed(
            &inputs,
            json!({"pairs": 4, "atomic_share": 0.5, "order": "atomic_first", "atomic_weight": 0.5}),
        )
        .unwrap();
        assert_eq!(
            notes,
            [
                "2 general pairs of 6 words, 18 characters",
                "2 atomic pairs of 6 words, 18 characters"
            ]
        );
        expect_test::expect![[r#"
            {"prompt":"?","chosen":" good 0","rejected":" bad","level":"atomic","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0,"weight":0.5}
            {"prompt":"?","chosen":" good 2","rejected":" bad","level":"atomic","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0,"weight":0.5}
            {"prompt":"?","chosen":" good 6","rejected":" bad","level":"general","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0}
            {"prompt":"?","chosen":" good 5","rejected":" bad","level":"general","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0}
        "#]].assert_eq(&rows);
        let (notes, _) = mixed(&inputs, json!({"preferences": "general-matched"})).unwrap();
        assert_eq!(notes, ["13 general pairs of 39 words, 117 characters"]);
        let error = mixed(&inputs[..1], json!({})).unwrap_err().to_string();
        assert!(error.contains("the input `atomic`, which is not given"), "{error}");
        let error =
            mixed(&inputs, json!({"general_pairs": 0, "atomic_pairs": 0})).unwrap_err().to_string();
        assert!(error.contains("no pairs are left of 8 general and 5 atomic ones"), "{error}");
    }

    /// 10 pairs with 30 % atomic ones are 7 general and 3 atomic, all distinct.
    #[test]
    fn a_share_is_rounded_to_whole_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (level, count) in [("general", 9), ("atomic", 4)] {
            let row = |index| {
                json!({"prompt": "?", "chosen": format!(" {level} \
            {index}"), "rejected": " bad", "level": level})
            };
            let rows: String = (0..count).map(|index| format!("{}\n", row(index))).collect();
            std::fs::write(path.join(format!("{level}.jsonl")), rows).unwrap();
        }
        let (general, atomic) = (path.join("general.jsonl"), path.join("atomic.jsonl"));
        let inputs = [("general", general.as_path()), ("atomic", atomic.as_path())];
        Trial::new(&inputs, json!({"pairs": 10, "atomic_share": 0.3}))
            .run(&KIND, path, run)
            .unwrap();
        let text = std::fs::read_to_string(path.join("pairs.jsonl")).unwrap();
        let counted = |level: &str| text.matches(&format!("\"level\":\"{level}\"")).count();
        assert_eq!((counted("general"), counted("atomic")), (7, 3));
        let distinct: std::collections::BTreeSet<&str> = text.lines().collect();
        assert_eq!(distinct.len(), 10);
    }
}
