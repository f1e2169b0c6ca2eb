//! The model card of a stage, with what its run tells: recipe, data and scores.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use super::{History, StageHistory};
use crate::{
    evaluation::{DomainScores, Estimate, Scores},
    rows::MeasureName,
    schedule::card,
};

/// Measures of the card's table.
const SHOWN: [(MeasureName, &str); 3] = [
    (MeasureName::Precision, "precision"),
    (MeasureName::Factscore, "FActScore"),
    (MeasureName::Facts, "facts per response"),
];

/// The card of the stage whose artifact lies in a folder; none if its key cannot be read.
pub fn model_card(history: &History, run: &Path, artifact: &Path) -> Option<String> {
    let stage = history.stages.iter().find(|stage| stage.artifact.as_deref() == Some(artifact))?;
    let mut more = format!(
        "\n## Run\n\nStage `{}` of the recipe `{}`, run {}, apeft {}.\n",
        stage.name(),
        history.recipe,
        history.run,
        history.version
    );
    // The settings of its algorithm are among them.
    for note in &stage.notes {
        let _ = writeln!(more, "\n- {}", note.replace('\n', " "));
    }
    add_data(&mut more, history, stage);
    add_scores(&mut more, history, stage);
    if let Ok(recipe) = fs::read_to_string(run.join("recipe.toml")) {
        let _ = write!(more, "\n## Recipe\n\n```toml\n{}\n```\n", recipe.trim_end());
    }
    card(artifact, &more)
}

/// What the stages before it noted, such as numbers of rows.
fn add_data(text: &mut String, history: &History, stage: &StageHistory) {
    let before = reached(history, stage, false);
    text.push_str("\n## Data\n\n");
    for (name, kind, notes) in before.iter().map(|one| (one.name(), &one.outline.kind, &one.notes))
    {
        let _ = writeln!(text, "- `{name}` ({kind}){}", if notes.is_empty() { "" } else { ":" });
        for note in notes {
            let _ = writeln!(text, "  {}", note.replace('\n', " "));
        }
    }
    if before.is_empty() {
        text.push_str("No stage of the run came before it.\n");
    }
}

/// Scores of the responses that it gave in the run.
fn add_scores(text: &mut String, history: &History, stage: &StageHistory) {
    let mut rows = String::new();
    for scored in reached(history, stage, true) {
        // Comparisons and other readers of several models have no scores of one.
        let Some(Ok(scores)) = scored.parse::<Scores>("scores.json") else { continue };
        for domain in scores.domains.iter().chain(&scores.out_of_domain) {
            let _ = writeln!(rows, "| `{}` | {} |", scored.name(), row(domain));
        }
    }
    if !rows.is_empty() {
        let head = SHOWN.map(|(_, name)| name).join(" | ");
        let _ = write!(
            text,
            "\n## Scores\n\nMeans with 95 % intervals over topics.\n\n| stage | domain | {head} |\n\
            | --- | --- | --- | --- | --- |\n{rows}"
        );
    }
}

fn row(domain: &DomainScores) -> String {
    let measures = SHOWN.map(|(measure, _)| match domain.measures.get(&measure) {
        None => "–".to_owned(),
        Some(Estimate { mean, low: Some(low), high: Some(high) }) => {
            format!("{mean:.3} [{low:.3}, {high:.3}]")
        }
        Some(Estimate { mean, .. }) => format!("{mean:.3}"),
    });
    format!("{} | {}", domain.domain, measures.join(" | "))
}

/// The stages that a stage needs, or those that need it, through any number of others.
fn reached<'a>(
    history: &'a History,
    stage: &'a StageHistory,
    after: bool,
) -> Vec<&'a StageHistory> {
    // Names, since cells of one stage differ in them alone.
    let mut names = BTreeSet::from([stage.name()]);
    let mut found = Vec::new();
    // In topological order one pass meets all that follow, and backwards all that come before.
    let mut stages: Vec<&StageHistory> = history.stages.iter().collect();
    if !after {
        stages.reverse();
    }
    for other in stages {
        let needs = other.outline.needs.iter().map(String::as_str);
        let is_reached = if after {
            needs.clone().any(|need| names.contains(need))
        } else {
            names.contains(other.name())
        };
        if !is_reached {
            continue;
        }
        if after {
            names.insert(other.name());
        } else {
            names.extend(needs);
        }
        if other.name() != stage.name() {
            found.push(other);
        }
    }
    if !after {
        found.reverse();
    }
    found
}
