//! The kind `mix`: general and atomic pairs into what one arm is tuned on.

use serde::Deserialize;

use super::{
    Context, StageError,
    artifact::{PAIRS, PROMPTS},
};
use crate::{
    language::{Level, Pair, Prompt, json_lines},
    preference::{LevelCount, Mixed, Mixing, Order, Preferences, Protection, check_protected, level_counts, mix},
    recipe::schema::{Chosen, Default, Input, Kind, Mismatch, Parameter, Shape},
};

/// A number of pairs.
const COUNT: Shape = Shape::Integer { least: 0, most: 100_000_000 };
/// A weight of pairs.
const WEIGHT: Shape = Shape::Number { least: 0.0, most: 1e6, open: true };

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "mix",
    // 1: the first. 2: protected topics by their capitals and in any spelling.
    version: 2,
    about: "Draws what an arm is tuned on from general and atomic pairs; arms of one seed share their general pairs.",
    inputs: &[
        Input::one("general", &PAIRS, "General pairs, more than an arm uses."),
        Input::optional("atomic", &PAIRS, "Atomic pairs."),
        Input::optional("prompts", &PROMPTS, "All prompts: a pair that names a topic of another split is an error."),
    ],
    parameters: &[
        Parameter::new(
            "preferences",
            Shape::Choice(&["general", "atomic", "general+atomic", "general-matched"]),
            Default::Text("general+atomic"),
            "Which pairs; `general-matched` has general ones only, as many as `general+atomic` has of both.",
        ),
        // Both numbers are those of the quickstart's world.
        Parameter::new("general_pairs", COUNT, Default::Integer(2000), "General pairs in the mixture."),
        Parameter::new("atomic_pairs", COUNT, Default::Integer(1500), "Atomic pairs in the mixture."),
        Parameter::new("pairs", COUNT, Default::Absent, "Pairs in the mixture in all, with `atomic_share`."),
        Parameter::new(
            "atomic_share",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Absent,
            "The share of atomic pairs among `pairs`, in place of `general_pairs` and `atomic_pairs`.",
        ),
        Parameter::new(
            "order",
            Shape::Choice(&["shuffled", "atomic_first", "general_first"]),
            Default::Text("shuffled"),
            "How the levels follow each other; one after the other needs `shuffle = false` in `tune`, which else shuffles again.",
        ),
        Parameter::new("general_weight", WEIGHT, Default::Number(1.0), "How much a general pair counts in tuning."),
        Parameter::new("atomic_weight", WEIGHT, Default::Number(1.0), "How much an atomic pair counts in tuning."),
        Parameter::new(
            "labels",
            Shape::Choice(&["kept", "shuffled"]),
            Default::Text("kept"),
            "With `shuffled` half of the pairs, drawn at random, have their answers swapped: a control that must gain nothing.",
        ),
        Parameter::new(
            "splits",
            Shape::List(&Shape::Text),
            Default::Texts(&["tune"]),
            "Topics of prompts of all other splits are protected.",
        )
        .set(),
    ],
    provides: &[&PAIRS],
    draws: true,
    gathers: false,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    preferences: Preferences,
    general_pairs: usize,
    atomic_pairs: usize,
    pairs: Option<usize>,
    atomic_share: Option<f64>,
    order: Order,
    general_weight: f64,
    atomic_weight: f64,
    labels: Labels,
    splits: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Labels {
    Kept,
    Shuffled,
}

/// A share is of a number of pairs, and a number of pairs for a share; what is counted by atomic pairs needs these.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let (there, missing) = match (chosen.has("pairs"), chosen.has("atomic_share")) {
        (true, false) => ("pairs", "atomic_share"),
        (false, true) => ("atomic_share", "pairs"),
        _ => ("", ""),
    };
    if !there.is_empty() {
        let problem = format!("`{there}` is given, but `{missing}` is not");
        found.push(Mismatch::error(there, problem, "both or none are expected"));
    }
    let has_share = chosen.has("pairs") && chosen.has("atomic_share");
    let preferences = chosen.text("preferences");
    let atomic_pairs =
        if has_share { chosen.number("pairs") * chosen.number("atomic_share") } else { chosen.number("atomic_pairs") };
    if preferences != "general" && atomic_pairs >= 0.5 && !chosen.is_given("atomic") {
        let problem =
            format!("`preferences` \"{preferences}\" are counted by atomic pairs, but the input `atomic` is not given");
        found.push(Mismatch::error("preferences", problem, "give `atomic`, or choose \"general\""));
    }
    let share =
        ["general_pairs", "atomic_pairs"].map(|field| (field, has_share, "`pairs` and `atomic_share` say the numbers"));
    let others = [
        (
            "atomic_weight",
            preferences.starts_with("general") && preferences != "general+atomic",
            "no atomic pair is drawn",
        ),
        ("general_weight", preferences == "atomic", "no general pair is drawn"),
        ("splits", !chosen.is_given("prompts"), "without `prompts` no topic is protected"),
        ("order", preferences != "general+atomic", "all pairs are of one level"),
    ];
    let unused = share.into_iter().chain(others).filter(|(field, is_unused, _)| *is_unused && chosen.is_changed(field));
    found.extend(unused.map(|(field, _, why)| Mismatch::of_no_use(field, why, "leave it out")));
    found
}

impl Parameters {
    /// General and atomic pairs of the mixture.
    fn counts(&self) -> (usize, usize) {
        match (self.pairs, self.atomic_share) {
            (Some(pairs), Some(share)) => {
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
/// Where inputs are missing or cannot be read, nothing is left, or a topic of the evaluation would be tuned on.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let parameters: Parameters = context.parameters()?;
    let (general_count, atomic_count) = parameters.counts();
    let read = |input: &str| -> Result<Vec<Pair>, StageError> {
        let path = context.input_file(input, "pairs.jsonl")?;
        json_lines::read(&path).map_err(StageError::doing(format!("read the {input} pairs")))
    };
    let general = read("general")?;
    let is_given = context.inputs("atomic").next().is_some();
    if !is_given && parameters.preferences != Preferences::General && atomic_count > 0 {
        let problem = "these `preferences` are counted by atomic pairs, but the input `atomic` is not given";
        return Err(StageError(problem.to_owned()));
    }
    let atomic = if is_given { read("atomic")? } else { Vec::new() };
    let mixing = Mixing {
        preferences: parameters.preferences,
        general: general_count,
        atomic: atomic_count,
        order: parameters.order,
        general_weight: parameters.general_weight,
        atomic_weight: parameters.atomic_weight,
        swapped: parameters.labels == Labels::Shuffled,
    };
    let mixed = mix(&general, &atomic, &mixing, &context.seed);
    if mixed.pairs.is_empty() {
        let pools = format!("{} general and {} atomic ones", general.len(), atomic.len());
        return Err(StageError(format!("no pairs are left of {pools}; raise `general_pairs` or `atomic_pairs`")));
    }
    if context.inputs("prompts").next().is_some() {
        let prompts: Vec<Prompt> = context.rows("prompts")?;
        let protection = Protection::of_other_splits(&prompts, &parameters.splits);
        check_protected(&mixed.pairs, &protection).map_err(StageError::doing("tune on these pairs"))?;
    }
    json_lines::write(&context.output("pairs.jsonl"), &mixed.pairs).map_err(StageError::doing("write the pairs"))?;
    describe(context, &mixed, [general.len(), atomic.len()]);
    Ok(())
}

fn describe(context: &Context, mixed: &Mixed, pools: [usize; 2]) {
    let Mixed { pairs, missing_general, missing_atomic, repeats } = mixed;
    for LevelCount { level, pairs, words, characters } in level_counts(pairs) {
        let level = if level == Level::Atomic { "atomic" } else { "general" };
        context.note(format!("{pairs} {level} pairs of {words} words, {characters} characters"));
    }
    for (missing, pool, level) in [(missing_general, pools[0], "general"), (missing_atomic, pools[1], "atomic")] {
        if *missing > 0 {
            context.warn(format!("{missing} {level} pairs fewer than wanted: there are only {pool}"));
        }
    }
    if *repeats > 0 {
        let share = 100.0 * *repeats as f64 / pairs.len() as f64;
        context.warn(format!(
            "{repeats} pairs ({share:.1} %) are repeats, since there are only {} general ones",
            pools[0]
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::{trial, trial::Trial};
    use serde_json::json;

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.counts(), parameters.order), ((2000, 1500), Order::Shuffled));
    }

    #[test]
    fn a_share_needs_a_number_of_pairs() {
        let given = |parameters| {
            let misfits = trial::misfits(&KIND, &["general", "atomic"], parameters);
            misfits.into_iter().map(|mismatch| mismatch.field).collect::<Vec<_>>()
        };
        assert_eq!(given(json!({"pairs": 1})), ["pairs"]);
        assert_eq!(given(json!({"atomic_share": 0.5})), ["atomic_share"]);
        assert_eq!(given(json!({"pairs": 1, "atomic_share": 0.5})), [""; 0]);
    }

    #[test]
    fn mixtures_are_written_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let pool = |level: &str, count: usize| {
            let row = |index: usize| {
                format!(
                    "{}\n",
                    json!({"prompt": "?", "chosen": format!(" good {index}"), "rejected": " bad", "level": level})
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
        let (notes, rows) =
            mixed(&inputs, json!({"pairs": 4, "atomic_share": 0.5, "order": "atomic_first", "atomic_weight": 0.5}))
                .unwrap();
        assert_eq!(notes, ["2 general pairs of 6 words, 18 characters", "2 atomic pairs of 6 words, 18 characters"]);
        expect_test::expect![[r#"
            {"prompt":"?","chosen":" good 0","rejected":" bad","level":"atomic","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0,"weight":0.5}
            {"prompt":"?","chosen":" good 2","rejected":" bad","level":"atomic","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0,"weight":0.5}
            {"prompt":"?","chosen":" good 6","rejected":" bad","level":"general","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0}
            {"prompt":"?","chosen":" good 5","rejected":" bad","level":"general","topic":"","domain":"","chosen_id":"","rejected_id":"","chosen_score":0.0,"rejected_score":0.0}
        "#]].assert_eq(&rows);
        let (notes, _) = mixed(&inputs, json!({"preferences": "general-matched"})).unwrap();
        assert_eq!(notes, ["13 general pairs of 39 words, 117 characters"]);
        let error = mixed(&inputs[..1], json!({})).unwrap_err().to_string();
        assert!(error.contains("the input `atomic` is not given"), "{error}");
        let error = mixed(&inputs, json!({"general_pairs": 0, "atomic_pairs": 0})).unwrap_err().to_string();
        assert!(error.contains("no pairs are left of 8 general and 5 atomic ones"), "{error}");
    }

    /// 10 pairs with 30 % atomic ones are 7 general and 3 atomic, each from its own pool and none twice.
    #[test]
    fn a_share_is_rounded_to_whole_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for (level, count) in [("general", 9), ("atomic", 4)] {
            let row = |index| json!({"prompt": "?", "chosen": format!(" {level} {index}"), "rejected": " bad", "level": level});
            let rows: String = (0..count).map(|index| format!("{}\n", row(index))).collect();
            std::fs::write(path.join(format!("{level}.jsonl")), rows).unwrap();
        }
        let (general, atomic) = (path.join("general.jsonl"), path.join("atomic.jsonl"));
        let inputs = [("general", general.as_path()), ("atomic", atomic.as_path())];
        Trial::new(&inputs, json!({"pairs": 10, "atomic_share": 0.3})).run(&KIND, path, run).unwrap();
        let text = std::fs::read_to_string(path.join("pairs.jsonl")).unwrap();
        let counted = |level: &str| text.matches(&format!("\"level\":\"{level}\"")).count();
        assert_eq!((counted("general"), counted("atomic")), (7, 3));
        let distinct: std::collections::BTreeSet<&str> = text.lines().collect();
        assert_eq!(distinct.len(), 10);
    }
}
