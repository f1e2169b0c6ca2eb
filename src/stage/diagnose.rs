//! The kind `diagnose`: shifts and scores of many cells into verdicts, under-aligned or over-aligned.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    Context, InputPath, StageError,
    artifact::{COMPARISON, DIAGNOSIS, PROBE, SHIFT},
    score::{write_csv, write_json},
};
use crate::{
    diagnostic::known,
    evaluation::{Comparison, Diagnosis, Label, ProbeCell, Rule, Shift, ShiftCell, diagnose, learnt},
    language::{
        ProbedFact, ShiftedAnswer,
        json_lines::{self, Line},
    },
    recipe::schema::{Chosen, Default, Gathered, Input, Kind, Mismatch, Parameter, Shape},
};

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "diagnose",
    version: 2, // 1: the first. 2: intervals for seeds and topics that are crossed; none from one topic.
    about: "Says of each arm whether tuning reaches the other domains: under-aligned, over-aligned or reached, and by what figures.",
    inputs: &[
        Input::many("shifts", &SHIFT, "The shifts of all cells; cells that differ only in the seed are one arm."),
        Input::one("comparison", &COMPARISON, "The scores of the same arms, with differences from before tuning."),
        Input::any("probes_before", &PROBE, "What the base knows, fact by fact."),
        Input::any("probes_after", &PROBE, "What the tuned models know of the same facts."),
    ],
    parameters: &[
        Parameter::new(
            "arms",
            Shape::Table(&Shape::Text),
            Default::Absent,
            "Which stage scores the model of which shift, e.g. { shift = \"after\" }; needless where only one has a baseline.",
        ),
        Parameter::new(
            "by",
            Shape::Choice(&["kl", "moved"]),
            Default::Text("kl"),
            "What tells shift in verdicts: KL divergence, or the share of tokens that are not the base's first choice.",
        ),
        Parameter::new(
            "little",
            Shape::Number { least: 0.0, most: 1.0, open: true },
            Default::Number(0.5),
            "A set shifts little where its shift is less than this share of the in-domain one.",
        ),
    ],
    provides: &[&DIAGNOSIS],
    draws: false,
    gathers: true,
    on_device: false,
    fits: Some(fits),
    lacks: None,
    suits: Some(suits),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    arms: Option<BTreeMap<String, String>>,
    by: String,
    little: f64,
}

/// Probes are compared with each other.
fn fits(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let of_no_use = |field, other: &str| {
        let why = format!("probes are compared with `{other}`, which is not given");
        Mismatch::of_no_use(field, &why, format!("give `{other}` too, or leave it out"))
    };
    match (chosen.is_given("probes_before"), chosen.is_given("probes_after")) {
        (true, false) => vec![of_no_use("probes_before", "probes_after")],
        (false, true) => vec![of_no_use("probes_after", "probes_before")],
        _ => Vec::new(),
    }
}

/// The stages that `arms` names must be among the shifts.
fn suits(chosen: &Chosen<'_>, cells: &[Gathered<'_>]) -> Vec<Mismatch> {
    let mut stages: Vec<&str> = cells.iter().filter(|cell| cell.input == "shifts").map(|cell| cell.stage).collect();
    stages.dedup();
    let arms = chosen.parameters.get("arms").and_then(Value::as_object).into_iter().flatten();
    let unknown = arms.map(|(stage, _)| stage).filter(|stage| !stages.contains(&stage.as_str()));
    let problem = |stage: &String| {
        Mismatch::error(
            "arms",
            format!("`arms` names the stage `{stage}`, which is not among the shifts"),
            format!("a stage of `shifts` is expected: {}", known(stages.iter().copied())),
        )
    };
    unknown.map(problem).collect()
}

/// Writes `diagnosis.json` and `diagnosis.csv`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { arms, by, little } = context.parameters()?;
    let comparison: Comparison = read_json(&context.input_file("comparison", "comparison.json")?)?;
    let found = diagnose_by_arm(context, &comparison, &arms.unwrap_or_default(), &Rule { by, little })?;
    let probes = |name| context.inputs(name).map(read_probe).collect::<Result<Vec<ProbeCell>, _>>();
    let facts = learnt(&probes("probes_before")?, &probes("probes_after")?, &found.in_domain);
    let diagnosis = Diagnosis { facts: facts.map_err(StageError::doing("compare the probes"))?, ..found };
    write_json(&context.output("diagnosis.json"), &diagnosis)?;
    write_csv(&context.output("diagnosis.csv"), &diagnosis.rows())?;
    describe(context, &diagnosis);
    let rows = diagnosis.rows();
    let bare = rows.iter().filter(|row| row.low.is_none()).count();
    if bare > 0 {
        let all = rows.len();
        context.warn(format!(
            "{bare} of {all} figures have no interval, because they come from one topic, or a domain in them from one of several \
             seeds: an interval of zero width from one topic would say that they are certain; verdicts on them are undecided"
        ));
    }
    Ok(())
}

/// The diagnosis, with the tokens of one arm at a time in memory: those of all cells can be more than a machine has.
fn diagnose_by_arm(
    context: &Context,
    comparison: &Comparison,
    arms: &BTreeMap<String, String>,
    rule: &Rule,
) -> Result<Diagnosis, StageError> {
    let cells: Vec<&InputPath> = context.inputs("shifts").collect();
    // Without any answer everything is checked that concerns cells and arms together.
    let outlines = cells.iter().map(|cell| outline(cell)).collect::<Result<Vec<ShiftCell>, _>>()?;
    let mut diagnosis = diagnose(&outlines, comparison, arms, rule).map_err(StageError::doing("diagnose"))?;
    for arm in &mut diagnosis.arms {
        let is_of_arm = |cell: &&ShiftCell| Label::parse(&cell.label).arm == arm.name;
        let members: Vec<&ShiftCell> = outlines.iter().filter(is_of_arm).collect();
        let stages: Vec<String> = members.iter().map(|cell| Label::parse(&cell.label).stage).collect();
        let own: BTreeMap<String, String> = arms
            .iter()
            .filter(|(stage, _)| stages.contains(stage))
            .map(|(one, other)| (one.clone(), other.clone()))
            .collect();
        let read = cells.iter().zip(&outlines).filter(|(_, outline)| is_of_arm(outline));
        let read = read.map(|(cell, outline)| Ok(ShiftCell { answers: read_answers(cell)?, ..outline.clone() }));
        let read = read.collect::<Result<Vec<ShiftCell>, StageError>>()?;
        let found = diagnose(&read, comparison, &own, rule).map_err(StageError::doing("diagnose"))?;
        if let Some(found) = found.arms.into_iter().next() {
            *arm = found;
        }
    }
    Ok(diagnosis)
}

fn read_json<T: DeserializeOwned>(path: &std::path::Path) -> Result<T, StageError> {
    let wrong = || format!("read {}", path.display());
    let text = std::fs::read_to_string(path).map_err(StageError::doing(wrong()))?;
    serde_json::from_str(&text).map_err(StageError::doing(wrong()))
}

fn label(input: &InputPath) -> String {
    let folder = || input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    input.label.clone().unwrap_or_else(folder)
}

/// A cell without its answers.
fn outline(input: &InputPath) -> Result<ShiftCell, StageError> {
    let shift: Shift = read_json(&input.path.join("shift.json"))?;
    Ok(ShiftCell { label: label(input), in_domain: shift.in_domain, answers: Vec::new() })
}

/// The answers of a cell, without their prompts, at which no measure looks.
fn read_answers(input: &InputPath) -> Result<Vec<ShiftedAnswer>, StageError> {
    let path = input.path.join("tokens.jsonl");
    let mut answers = Vec::new();
    for line in json_lines::lines::<ShiftedAnswer>(&path).map_err(StageError::doing("read the tokens"))? {
        let Line { number, row } = line.map_err(StageError::doing("read the tokens"))?;
        if !row.is_whole() {
            return Err(StageError(format!(
                "{}:{number}: the lists of the answer `{}` are of different lengths",
                path.display(),
                row.response_id
            )));
        }
        answers.push(ShiftedAnswer { prompt: Vec::new(), ..row });
    }
    Ok(answers)
}

/// What a cell knows of each fact, without the answers that showed it.
fn read_probe(input: &InputPath) -> Result<ProbeCell, StageError> {
    let path = input.path.join("probe.jsonl");
    let mut facts = Vec::new();
    for line in json_lines::lines::<ProbedFact>(&path).map_err(StageError::doing("read a probe"))? {
        let Line { row, .. } = line.map_err(StageError::doing("read a probe"))?;
        facts.push(ProbedFact { answers: Vec::new(), ..row });
    }
    Ok(ProbeCell { label: label(input), facts })
}

/// Says the verdicts, and what became of facts.
fn describe(context: &Context, diagnosis: &Diagnosis) {
    for arm in &diagnosis.arms {
        for domain in &arm.domains {
            if let Some(away) = &domain.away {
                context.note(format!("{} in {}: {}", arm.name, domain.domain, away.reason));
            }
        }
    }
    for facts in &diagnosis.facts {
        let share = |estimate: Option<crate::evaluation::Estimate>| match estimate {
            Some(found) => match found.interval() {
                Some([low, high]) => format!("{:.1} % [{:.1}, {:.1}]", 100.0 * found.mean, 100.0 * low, 100.0 * high),
                None => format!("{:.1} %", 100.0 * found.mean),
            },
            None => "none".to_owned(),
        };
        context.note(format!(
            "{} in {}: {} of {} facts that were wrong but potentially known are right now, and {} of {} that were right are lost",
            facts.arm,
            facts.domain,
            share(facts.learnt),
            facts.wrong_before,
            share(facts.lost),
            facts.right_before,
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        evaluation::{Arm, ComparisonRow, Settings, shift},
        language::{Part, ProbedFact},
        stage::{trial, trial::Trial},
    };

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters = serde_json::from_value(trial::defaults(&KIND).into()).unwrap();
        assert_eq!((parameters.arms, parameters.by.as_str(), parameters.little), (None, "kl", 0.5));
    }

    /// An answer of one token; the divergence is a tenth of what its rank is above 1.
    fn answer(domain: &str, topic: &str, rank: u32) -> ShiftedAnswer {
        ShiftedAnswer {
            response_id: format!("{domain}/{topic}#0"),
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            prompt: vec![1],
            tokens: vec![5],
            parts: vec![Part::None],
            base_ranks: vec![rank],
            tuned_ranks: vec![1],
            base_logps: vec![-1.0],
            tuned_logps: vec![-0.5],
            kl: vec![0.1 * (rank - 1) as f32],
            reverse_kl: vec![0.1],
        }
    }

    fn write_shift(folder: &Path, elements: u32) {
        std::fs::create_dir_all(folder).unwrap();
        let answers = [answer("people", "Ann", 5), answer("people", "Bo", 5)];
        let away = ["tin", "iron"].map(|topic| answer("elements", topic, elements));
        let answers = [&answers[..], &away].concat();
        json_lines::write(&folder.join("tokens.jsonl"), &answers).unwrap();
        write_json(&folder.join("shift.json"), &shift(&answers, Some("people"), &[]).unwrap()).unwrap();
    }

    fn write_comparison(folder: &Path) {
        let arm = |name: &str, baseline: Option<&str>| Arm {
            name: name.to_owned(),
            stage: name.to_owned(),
            cell: BTreeMap::new(),
            seeds: vec!["0".to_owned()],
            baseline: baseline.map(str::to_owned),
        };
        let row = |domain: &str, difference: f64| ComparisonRow {
            arm: "after".to_owned(),
            baseline: None,
            arms: 1,
            p: None,
            p_holm: None,
            domain: domain.to_owned(),
            measure: "precision".to_owned(),
            seeds: 1,
            answers: 3,
            mean: 0.5,
            low: Some(0.4),
            high: Some(0.6),
            difference: Some(difference),
            difference_low: Some(difference - 0.05),
            difference_high: Some(difference + 0.05),
        };
        let comparison = Comparison {
            settings: Settings { gamma: 10.0, k: 4 },
            in_domain: Some("people".to_owned()),
            baseline: Some("before".to_owned()),
            arms: vec![arm("before", None), arm("after", Some("before"))],
            rows: vec![row("people", 0.2), row("elements", -0.1), row("out-of-domain", 0.01)],
            average: None,
            averages: Vec::new(),
            warnings: Vec::new(),
            cautions: Vec::new(),
        };
        write_json(&folder.join("comparison.json"), &comparison).unwrap();
    }

    fn write_probe(folder: &Path, right: [usize; 2]) {
        std::fs::create_dir_all(folder).unwrap();
        let fact = |(index, right): (usize, usize)| ProbedFact::answered("elements", "tin", index, 10, right);
        let facts: Vec<ProbedFact> = right.into_iter().enumerate().map(fact).collect();
        json_lines::write(&folder.join("probe.jsonl"), &facts).unwrap();
    }

    #[test]
    fn verdicts_and_facts_are_told_with_their_figures() {
        let folder = tempfile::tempdir().unwrap();
        let input = |name: &str, label: &str| InputPath {
            name: name.to_owned(),
            path: folder.path().join(label),
            label: Some(label.to_owned()),
        };
        write_shift(&folder.path().join("shift@seed=0"), 4);
        write_comparison(folder.path());
        write_probe(&folder.path().join("probe@seed=0"), [4, 6]);
        write_probe(&folder.path().join("probed@seed=0"), [8, 1]);
        let inputs = || {
            vec![
                input("shifts", "shift@seed=0"),
                InputPath { name: "comparison".to_owned(), path: folder.path().to_owned(), label: None },
                input("probes_before", "probe@seed=0"),
                input("probes_after", "probed@seed=0"),
            ]
        };
        let output = folder.path().join("diagnosis");
        let run = |parameters| Trial { inputs: inputs(), ..Trial::new(&[], parameters) }.run(&KIND, &output, run);
        expect_test::expect![[r#"
            shift in elements: over-aligned: at the 1 positions that all have, its KL divergence from the base is 0.3000 nats a token, 75 % [75, 75] of the in-domain one (0.4000), and its share of moved tokens 100.0 %, 100 % [100, 100] of the in-domain one (100.0 %); its precision changes by -10.0 [-15.0, -5.0] points, the in-domain one by +20.0 [+15.0, +25.0] points. Less than 50 % of the in-domain KL divergence counts as little.
            shift in out-of-domain: shifts without gain: at the 1 positions that all have, its KL divergence from the base is 0.3000 nats a token, 75 % [75, 75] of the in-domain one (0.4000), and its share of moved tokens 100.0 %, 100 % [100, 100] of the in-domain one (100.0 %); its precision changes by +1.0 [-4.0, +6.0] points, the in-domain one by +20.0 [+15.0, +25.0] points. Less than 50 % of the in-domain KL divergence counts as little.
            probed in elements: 100.0 % of 1 facts that were wrong but potentially known are right now, and 100.0 % of 1 that were right are lost
            probed in out-of-domain: 100.0 % of 1 facts that were wrong but potentially known are right now, and 100.0 % of 1 that were right are lost"#]].assert_eq(&run(json!({})).unwrap().join("\n"));
        let table = std::fs::read_to_string(output.join("diagnosis.csv")).unwrap();
        for row in [
            "shift,people,precision change,0.2,0.15000000000000002,0.25,",
            "shift,elements,moved ratio,1.0,1.0,1.0,over_aligned",
            "probed,elements,learnt,1.0,,,",
        ] {
            assert!(table.lines().any(|line| line == row), "{row} is not in {table}");
        }
        let diagnosis: Diagnosis = read_json(&output.join("diagnosis.json")).unwrap();
        assert_eq!(diagnosis.rows().len() + 1, table.lines().count());
        let strict = run(json!({"little": 0.9})).unwrap();
        assert!(strict[0].starts_with("shift in elements: under-aligned"), "{strict:?}");
        let error = run(json!({"arms": {"shift": "later"}})).unwrap_err().to_string();
        assert!(error.starts_with("cannot diagnose: the shift `shift` belongs to no arm of the comparison"), "{error}");
    }
}
