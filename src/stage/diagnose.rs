//! The kind `diagnose`: shifts and scores of many cells into verdicts, under-aligned or over-aligned.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Context, InputPath, StageError,
    artifact::{COMPARISON, DIAGNOSIS, PROBE, SHIFT},
    score::{write_csv, write_json},
};
use crate::{
    evaluation::{Comparison, Diagnosis, ProbeCell, Rule, Shift, ShiftCell, diagnose, learnt},
    language::{ShiftedAnswer, json_lines},
    recipe::schema::{Default, Input, Kind, Parameter, Shape},
};

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "diagnose",
    version: 1, // 1: the first.
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
    fits: None,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    arms: Option<BTreeMap<String, String>>,
    by: String,
    little: f64,
}

/// Writes `diagnosis.json` and `diagnosis.csv`.
///
/// # Errors
/// Where inputs cannot be read or do not belong together.
pub(super) fn run(context: &Context) -> Result<(), StageError> {
    let Parameters { arms, by, little } = context.parameters()?;
    let shifts = context.inputs("shifts").map(read_shift).collect::<Result<Vec<ShiftCell>, _>>()?;
    let comparison: Comparison = read_json(&context.input_file("comparison", "comparison.json")?)?;
    let found = diagnose(&shifts, &comparison, &arms.unwrap_or_default(), &Rule { by, little });
    let found = found.map_err(StageError::doing("diagnose"))?;
    let probes = |name| context.inputs(name).map(read_probe).collect::<Result<Vec<ProbeCell>, _>>();
    let facts = learnt(&probes("probes_before")?, &probes("probes_after")?, &found.in_domain);
    let diagnosis = Diagnosis { facts: facts.map_err(StageError::doing("compare the probes"))?, ..found };
    write_json(&context.output("diagnosis.json"), &diagnosis)?;
    write_csv(&context.output("diagnosis.csv"), &diagnosis.rows())?;
    describe(context, &diagnosis);
    Ok(())
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

fn read_shift(input: &InputPath) -> Result<ShiftCell, StageError> {
    let shift: Shift = read_json(&input.path.join("shift.json"))?;
    let path = input.path.join("tokens.jsonl");
    let answers: Vec<ShiftedAnswer> = json_lines::read(&path).map_err(StageError::doing("read the tokens"))?;
    match answers.iter().find(|answer| !answer.is_whole()) {
        Some(torn) => Err(StageError(format!(
            "{}: the lists of the answer `{}` are of different lengths",
            path.display(),
            torn.response_id
        ))),
        None => Ok(ShiftCell { label: label(input), in_domain: shift.in_domain, answers }),
    }
}

fn read_probe(input: &InputPath) -> Result<ProbeCell, StageError> {
    let facts = json_lines::read(&input.path.join("probe.jsonl")).map_err(StageError::doing("read a probe"))?;
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
            Some(found) => {
                let [mean, low, high] = [found.mean, found.low, found.high].map(|share| 100.0 * share);
                format!("{mean:.1} % [{low:.1}, {high:.1}]")
            }
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
