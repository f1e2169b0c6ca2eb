//! The kind `diagnose`: verdicts on arms (under-aligned, over-aligned, reached) from shifts and
//! scores.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    context::{
        Context, InputPath, StageError,
        artifact::{COMPARISON, DIAGNOSIS, PROBE, SHIFT},
        read_json, write_csv, write_json,
    },
    diagnostic::known,
    evaluation::{
        Comparison, Diagnosis, Estimate, ProbeCell, Rule, Shift, ShiftCell, diagnose, learnt,
    },
    recipe::schema::{Chosen, Declared, Input, InputCell, Kind, Mismatch},
    rows::{
        ProbedFact, ShiftMeasureName, ShiftedAnswer,
        json_lines::{self, Line},
    },
};

/// The kind.
pub(super) const KIND: Kind = Kind {
    name: "diagnose",
    // 1: first version. 2: intervals with crossed seeds and topics, none from one topic.
    // 3: intervals of means within the possible range, and of positive width for shares that are
    // equal in all topics.
    version: 3,
    about: "Diagnose whether tuning reaches other domains: under-aligned, over-aligned or \
    reached, by arm.",
    inputs: &[
        Input::many(
            "shifts",
            &SHIFT,
            "Token shifts of all cells; cells that differ only in the seed are one arm.",
        ),
        Input::one(
            "comparison",
            &COMPARISON,
            "Comparison of the same arms, with differences from before tuning.",
        ),
        Input::any("probes_before", &PROBE, "Probes of the base model."),
        Input::any("probes_after", &PROBE, "Probes of the tuned models on the same facts."),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&DIAGNOSIS],
    seeded: false,
    fan_in: true,
    on_device: None,
    cross_checks: Some(cross_checks),
    lacks: None,
    cell_checks: Some(cell_checks),
    redundant: None,
};

#[derive(Debug, Deserialize, apeft_derive::Parameters)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Stage with the scores of each shift's model, such as { shift = "after" }.
    pub arms: Option<BTreeMap<String, String>>,
    /// Measure of shift: KL divergence, or the share of tokens that are not the base model's first
    /// choice.
    #[parameter(default = "kl", words = &["kl", "moved"], former = "by")]
    shift_measure: ShiftMeasureName,
    /// Share of the in-domain shift below which another domain counts as barely shifted.
    #[parameter(default = 0.5, above = 0, max = 1, former = "little")]
    shift_threshold: f64,
}

/// Probes come in pairs, before and after.
fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    match (chosen.is_given("probes_before"), chosen.is_given("probes_after")) {
        (true, false) => vec![unpaired("probes_before", "probes_after")],
        (false, true) => vec![unpaired("probes_after", "probes_before")],
        _ => Vec::new(),
    }
}

fn unpaired(field: &'static str, other: &str) -> Mismatch {
    let why = format!("probes are compared with `{other}`, which is not given");
    Mismatch::without_effect(field, &why, format!("give `{other}` too, or remove it"))
}

/// Stages named by `arms` must be among the shifts.
fn cell_checks(chosen: &Chosen<'_>, cells: &[InputCell<'_>]) -> Vec<Mismatch> {
    let mut stages: Vec<&str> = cells
        .iter()
        .filter(|input| input.input == "shifts")
        .map(|input| input.cell.stage.as_str())
        .collect();
    // Cells of one stage follow each other.
    stages.dedup();
    let Parameters { arms, .. } = chosen.parameters();
    let mut found = Vec::new();
    for stage in arms.unwrap_or_default().keys().filter(|stage| !stages.contains(&stage.as_str())) {
        let problem = format!("`arms` names the stage `{stage}`, which is not among the shifts");
        let right = format!("a stage of `shifts` is expected: {}", known(stages.iter().copied()));
        found.push(Mismatch::error("arms", problem, right));
    }
    found
}

/// Writes `diagnosis.json` and `diagnosis.csv`.
///
/// # Errors
/// If inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { arms, shift_measure, shift_threshold } = context.parameters()?;
    let comparison: Comparison = read_json(&context.input_file("comparison", "comparison.json")?)?;
    let found = diagnose_by_arm(
        context,
        &comparison,
        &arms.unwrap_or_default(),
        &Rule { shift_measure, shift_threshold },
    )?;
    let before = read_probes(context, "probes_before")?;
    let facts = learnt(&before, &read_probes(context, "probes_after")?, &found.in_domain);
    let diagnosis =
        Diagnosis { facts: facts.map_err(StageError::doing("compare the probes"))?, ..found };
    write_json(&context.output("diagnosis.json"), &diagnosis)?;
    write_csv(&context.output("diagnosis.csv"), &diagnosis.rows())?;
    describe(context, &diagnosis);
    let rows = diagnosis.rows();
    let bare = rows.iter().filter(|row| row.low.is_none()).count();
    if bare > 0 {
        let all = rows.len();
        context.warn(format!(
            "{bare} of {all} figures have no interval, because they or a domain in them come from \
            a single topic or seed: verdicts on them are undecided"
        ));
    }
    Ok(())
}

/// The diagnosis, with the tokens of one arm at a time in memory.
fn diagnose_by_arm(
    context: &Context,
    comparison: &Comparison,
    arms: &BTreeMap<String, String>,
    rule: &Rule,
) -> Result<Diagnosis, StageError> {
    let cells: Vec<&InputPath> = context.inputs("shifts").collect();
    // The checks of cells and arms together need no responses.
    let outlines = cells.iter().map(|cell| outline(cell)).collect::<Result<Vec<ShiftCell>, _>>()?;
    let mut diagnosis =
        diagnose(&outlines, comparison, arms, rule).map_err(StageError::doing("diagnose"))?;
    for arm in &mut diagnosis.arms {
        let members: Vec<(&InputPath, &ShiftCell)> = cells
            .iter()
            .copied()
            .zip(&outlines)
            .filter(|(_, outline)| outline.cell.arm() == arm.name)
            .collect();
        let stages: Vec<&String> = members.iter().map(|(_, shift)| &shift.cell.stage).collect();
        // Without the names of other arms, which are not among these cells and would be an error.
        let own: BTreeMap<String, String> = arms
            .iter()
            .filter(|(stage, _)| stages.contains(stage))
            .map(|(one, other)| (one.clone(), other.clone()))
            .collect();
        let read = members.into_iter().map(|(cell, outline)| {
            Ok(ShiftCell { answers: read_answers(cell)?, ..outline.clone() })
        });
        let read = read.collect::<Result<Vec<ShiftCell>, StageError>>()?;
        let found =
            diagnose(&read, comparison, &own, rule).map_err(StageError::doing("diagnose"))?;
        if let Some(found) = found.arms.into_iter().next() {
            *arm = found;
        }
    }
    Ok(diagnosis)
}

/// A cell without its responses.
fn outline(input: &InputPath) -> Result<ShiftCell, StageError> {
    let shift: Shift = read_json(&input.path.join("shift.json"))?;
    Ok(ShiftCell { cell: input.source_cell(), in_domain: shift.in_domain, answers: Vec::new() })
}

/// The responses of a cell without their prompts, which no measure needs.
fn read_answers(input: &InputPath) -> Result<Vec<ShiftedAnswer>, StageError> {
    let path = input.path.join("tokens.jsonl");
    let mut answers = Vec::new();
    for line in
        json_lines::lines::<ShiftedAnswer>(&path).map_err(StageError::doing("read the tokens"))?
    {
        let Line { number, row } = line.map_err(StageError::doing("read the tokens"))?;
        if !row.is_whole() {
            return Err(StageError(format!(
                "{}:{number}: the lists of the response `{}` are of different lengths",
                path.display(),
                row.response_id
            )));
        }
        answers.push(ShiftedAnswer { prompt: Vec::new(), ..row });
    }
    Ok(answers)
}

fn read_probes(context: &Context, input: &str) -> Result<Vec<ProbeCell>, StageError> {
    context.inputs(input).map(read_probe).collect()
}

/// Knowledge of each fact in a cell, without the responses.
fn read_probe(input: &InputPath) -> Result<ProbeCell, StageError> {
    let path = input.path.join("probe.jsonl");
    let mut facts = Vec::new();
    for line in json_lines::lines::<ProbedFact>(&path).map_err(StageError::doing("read a probe"))? {
        let Line { row, .. } = line.map_err(StageError::doing("read a probe"))?;
        facts.push(ProbedFact { answers: Vec::new(), ..row });
    }
    Ok(ProbeCell { cell: input.source_cell(), facts })
}

/// Notes the verdicts and the transitions of facts.
fn describe(context: &Context, diagnosis: &Diagnosis) {
    for arm in &diagnosis.arms {
        for domain in &arm.domains {
            if let Some(away) = &domain.away {
                context.note(format!("{} in {}: {}", arm.name, domain.domain, away.reason));
            }
        }
    }
    for facts in &diagnosis.facts {
        context.note(format!(
            "{} in {}: {} of {} facts that were wrong but potentially known became right, and {} \
            of {} that were right became wrong",
            facts.arm,
            facts.domain,
            share(facts.learnt),
            facts.wrong_before,
            share(facts.lost),
            facts.right_before,
        ));
    }
}

/// A share in percent with its interval.
fn share(estimate: Option<Estimate>) -> String {
    let Some(found) = estimate else { return "none".to_owned() };
    let mean = 100.0 * found.mean;
    match found.interval() {
        Some([low, high]) => format!("{mean:.1} % [{:.1}, {:.1}]", 100.0 * low, 100.0 * high),
        None => format!("{mean:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        context::test_support::{self, Trial},
        evaluation::{ComparedArm, ComparisonRow, ScoreSettings, shift},
        rows::{AnswerPart, Cell, MeasureName, OUT_OF_DOMAIN, ProbedFact},
    };

    #[test]
    fn defaults_are_understood() {
        let parameters: Parameters =
            serde_json::from_value(test_support::defaults(&KIND).into()).unwrap();
        assert_eq!(
            (parameters.arms, parameters.shift_measure, parameters.shift_threshold),
            (None, ShiftMeasureName::Kl, 0.5)
        );
    }

    /// A response of one token whose divergence is (rank - 1) / 10.
    fn answer(domain: &str, topic: &str, rank: u32) -> ShiftedAnswer {
        ShiftedAnswer {
            response_id: format!("{domain}/{topic}#0").into(),
            topic: topic.to_owned(),
            domain: domain.to_owned(),
            prompt: vec![1],
            tokens: vec![5],
            parts: vec![AnswerPart::None],
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
        write_json(&folder.join("shift.json"), &shift(&answers, Some("people"), &[]).unwrap())
            .unwrap();
    }

    fn write_comparison(folder: &Path) {
        let arm = |name: &str, baseline: Option<&str>| ComparedArm {
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
            measure: MeasureName::Precision,
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
            settings: ScoreSettings { gamma: 10.0, k: 4, irrelevant_is_wrong: false },
            in_domain: Some("people".to_owned()),
            baseline: Some("before".to_owned()),
            arms: vec![arm("before", None), arm("after", Some("before"))],
            rows: vec![row("people", 0.2), row("elements", -0.1), row(OUT_OF_DOMAIN, 0.01)],
            average: None,
            averages: Vec::new(),
            warnings: Vec::new(),
            cautions: Vec::new(),
        };
        write_json(&folder.join("comparison.json"), &comparison).unwrap();
    }

    fn write_probe(folder: &Path, right: [usize; 2]) {
        std::fs::create_dir_all(folder).unwrap();
        let fact = |(index, right): (usize, usize)| {
            ProbedFact::answered("elements", "tin", index, 10, right)
        };
        let facts: Vec<ProbedFact> = right.into_iter().enumerate().map(fact).collect();
        json_lines::write(&folder.join("probe.jsonl"), &facts).unwrap();
    }

    #[test]
    fn verdicts_and_facts_are_told_with_their_figures() {
        let folder = tempfile::tempdir().unwrap();
        let input = |name: &str, label: &str| InputPath {
            name: name.to_owned(),
            path: folder.path().join(label),
            cell: Some(Cell::parse(label)),
        };
        write_shift(&folder.path().join("shift@seed=0"), 4);
        write_comparison(folder.path());
        write_probe(&folder.path().join("probe@seed=0"), [4, 6]);
        write_probe(&folder.path().join("probed@seed=0"), [8, 1]);
        let inputs = || {
            vec![
                input("shifts", "shift@seed=0"),
                InputPath {
                    name: "comparison".to_owned(),
                    path: folder.path().to_owned(),
                    cell: None,
                },
                input("probes_before", "probe@seed=0"),
                input("probes_after", "probed@seed=0"),
            ]
        };
        let output = folder.path().join("diagnosis");
        let run = |parameters| {
            Trial { inputs: inputs(), ..Trial::new(&[], parameters) }.run(&KIND, &output, run)
        };
        expect_test::expect![[r#"
            shift in elements: over-aligned: at the 1 shared positions, its KL divergence from the base model is 0.3000 nats per token, 75 % [75, 75] of the in-domain one (0.4000), and its share of moved tokens 100.0 %, 100 % [100, 100] of the in-domain one (100.0 %); its precision changes by -10.0 [-15.0, -5.0] points, the in-domain one by +20.0 [+15.0, +25.0] points. Less than 50 % of the in-domain KL divergence counts as little shift.
            shift in out-of-domain: shifts without gain: at the 1 shared positions, its KL divergence from the base model is 0.3000 nats per token, 75 % [75, 75] of the in-domain one (0.4000), and its share of moved tokens 100.0 %, 100 % [100, 100] of the in-domain one (100.0 %); its precision changes by +1.0 [-4.0, +6.0] points, the in-domain one by +20.0 [+15.0, +25.0] points. Less than 50 % of the in-domain KL divergence counts as little shift.
            probed in elements: 100.0 % of 1 facts that were wrong but potentially known became right, and 100.0 % of 1 that were right became wrong
            probed in out-of-domain: 100.0 % of 1 facts that were wrong but potentially known became right, and 100.0 % of 1 that were right became wrong"#]].assert_eq(&run(json!({})).unwrap().join("\n"));
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
        let strict = run(json!({"shift_threshold": 0.9})).unwrap();
        assert!(strict[0].starts_with("shift in elements: under-aligned"), "{strict:?}");
        let error = run(json!({"arms": {"shift": "later"}})).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "cannot diagnose: the shift `shift` belongs to no arm of the comparison"
            ),
            "{error}"
        );
    }
}
