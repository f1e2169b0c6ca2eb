//! Scores and shifts that are compared must have the same settings.

use serde_json::{Value, json};

use super::outlook::{Foreseen, Origin, Outlook};
use crate::{
    evaluation::{ComparisonError, Scores},
    recipe::schema::Mismatch,
    rows::Cell,
    stage::{diagnose, score, shift},
};

/// Rejects scores with settings that differ from the first ones.
pub(super) fn unlike_scores(outlook: &Outlook<'_>) -> Vec<Mismatch> {
    let all: Vec<(String, [Value; 4])> =
        outlook.inputs("scores").filter_map(labelled_settings).collect();
    let Some(((first, wanted), others)) = all.split_first() else { return Vec::new() };
    let Some((other, found)) = others.iter().find(|(_, found)| found != wanted) else {
        return Vec::new();
    };
    let differ = SETTINGS.iter().zip(wanted).zip(found).filter(|((_, one), other)| one != other);
    let differ: Vec<String> =
        differ.map(|((name, one), other)| format!("`{name}` is {one} and {other}")).collect();
    let error = ComparisonError::ScoreSettings(first.clone(), other.clone());
    let right = "scores with the same `gamma`, `k`, `irrelevant` and `in_domain` are expected";
    vec![Mismatch::error("scores", format!("{error}: {}", differ.join(", ")), right)]
}

/// Parameters of `score` that comparable scores must share.
const SETTINGS: [&str; 4] = ["gamma", "k", "irrelevant", "in_domain"];

/// The name of an input's scores, and its `SETTINGS`; none for files that cannot be read, which are
/// reported elsewhere.
fn labelled_settings(input: &Foreseen<'_>) -> Option<(String, [Value; 4])> {
    match &input.from {
        Origin::Stage(stage) => {
            // As JSON, so that one array holds numbers and names.
            let score::Parameters { gamma, k, irrelevant, in_domain } = stage.parameters()?;
            let irrelevant = irrelevant.unwrap_or_else(|| "dropped".to_owned());
            let label = input.cell.map(Cell::to_string).unwrap_or_default();
            Some((label, [json!(gamma), json!(k), json!(irrelevant), json!(in_domain)]))
        }
        Origin::Path(path) => {
            let text = std::fs::read_to_string(path.join("scores.json")).ok()?;
            let Scores { settings, in_domain, .. } = serde_json::from_str(&text).ok()?;
            let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let irrelevant = if settings.irrelevant_is_wrong { "unsupported" } else { "dropped" };
            let found =
                [json!(settings.gamma), json!(settings.k), json!(irrelevant), json!(in_domain)];
            Some((label, found))
        }
    }
}

/// Rejects shifts that differ in `in_domain`.
pub(super) fn unlike_shifts(outlook: &Outlook<'_>) -> Vec<Mismatch> {
    let mut named = Vec::new();
    let mut unnamed = 0;
    for input in outlook.inputs("shifts") {
        // Finished shifts are compared by `diagnose` itself, before it reads any tokens.
        let Origin::Stage(stage) = &input.from else { continue };
        match stage.parameters::<shift::Parameters>().and_then(|parameters| parameters.in_domain) {
            Some(in_domain) => {
                named.push((input.cell.map(Cell::to_string).unwrap_or_default(), in_domain))
            }
            None => unnamed += 1,
        }
    }
    let right = "shifts with the same `in_domain` are expected";
    // `diagnose` compares every domain with the in-domain one, so each shift must name it.
    if unnamed > 0 {
        let all = unnamed + named.len();
        let problem = format!("`in_domain` is missing in {unnamed} of {all} shifts");
        return vec![Mismatch::error("shifts", problem, right)];
    }
    let Some(((first, wanted), others)) = named.split_first() else { return Vec::new() };
    let Some((other, found)) = others.iter().find(|(_, found)| found != wanted) else {
        return Vec::new();
    };
    let problem =
        format!("`{first}` and `{other}` name different `in_domain`: {wanted:?} and {found:?}");
    vec![Mismatch::error("shifts", problem, right)]
}

/// Rejects shifts whose model no arm of the comparison scores: the scores vary by other variables.
pub(super) fn unscored_shifts(outlook: &Outlook<'_>) -> Vec<Mismatch> {
    let Some(diagnose::Parameters { arms, .. }) = outlook.parameters() else { return Vec::new() };
    let Some(Origin::Stage(comparison)) = outlook.origin("comparison") else { return Vec::new() };
    let arms = arms.unwrap_or_default();
    let scored: Vec<&Cell> = comparison.inputs("scores").filter_map(|input| input.cell).collect();
    for shift in outlook.inputs("shifts").filter_map(|input| input.cell) {
        let stage = arms.get(&shift.stage);
        let mut of_stage =
            scored.iter().filter(|cell| stage.is_none_or(|stage| cell.stage == *stage)).peekable();
        // A stage that is not compared is reported as such.
        let Some(example) = of_stage.peek().map(|cell| cell.arm()) else { continue };
        if of_stage.any(|cell| cell.values_by_name() == shift.values_by_name()) {
            continue;
        }
        let problem = format!(
            "the shift `{}` belongs to no arm of the comparison, whose arms are like `{example}`",
            shift.arm()
        );
        let right =
            "shifts of responses that vary by the same variables as the scores are expected";
        return vec![Mismatch::error("shifts", problem, right)];
    }
    Vec::new()
}
