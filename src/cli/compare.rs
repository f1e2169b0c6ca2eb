//! `apeft compare`: two runs side by side: what ran in each, and how their scores differ.

use std::{collections::BTreeMap, fs, process::ExitCode};

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::{
    common::{ExperimentsArguments, WRONG, print_json},
    status,
};
use crate::{
    evaluation::Scores,
    report::{History, StageHistory},
    schedule::journal,
};

#[derive(Args, Clone, Debug)]
pub(super) struct CompareArguments {
    /// A run, or a recipe's name for its newest run.
    one: String,
    /// The run to compare it with.
    other: String,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    /// Puts the comparison on stdout as JSON.
    #[arg(long)]
    json: bool,
}

/// A stage in both runs.
#[derive(Debug, Serialize)]
struct Row {
    stage: String,
    one: Option<String>,
    other: Option<String>,
    /// Whether both have the same artifact.
    same: bool,
    /// For a stage with scores: domain, and precision in both runs.
    precision: Vec<(String, Option<f64>, Option<f64>)>,
}

pub(super) fn run(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let find = |name: &str| status::find(&arguments.experiments, Some(name));
    let (Some(one), Some(other)) = (find(&arguments.one), find(&arguments.other)) else {
        return Ok(ExitCode::from(WRONG));
    };
    let [one, other] = [History::tell(journal::read(&one.folder)?), History::tell(journal::read(&other.folder)?)];
    let rows = rows(&one, &other);
    if arguments.json {
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["stage", &one.run, &other.run, ""]);
    for Row { stage, one, other, same, precision } in &rows {
        let key = |key: &Option<String>| key.as_deref().and_then(|key| key.get(..12)).unwrap_or("–").to_owned();
        table.add_row([stage.clone(), key(one), key(other), if *same { "same" } else { "differs" }.to_owned()]);
        for (domain, one, other) in precision.iter().filter(|_| !same) {
            let percent =
                |share: &Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
            let change = one.zip(*other).map(|(one, other)| format!("{:+.1} points", 100.0 * (other - one)));
            table.add_row([format!("  precision, {domain}"), percent(one), percent(other), change.unwrap_or_default()]);
        }
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn rows(one: &History, other: &History) -> Vec<Row> {
    let index = |history: &'_ History| -> BTreeMap<String, usize> {
        history.stages.iter().enumerate().map(|(index, stage)| (stage.outline.name.clone(), index)).collect()
    };
    let (in_one, in_other) = (index(one), index(other));
    let only_other = other.stages.iter().filter(|stage| !in_one.contains_key(&stage.outline.name));
    let names = one.stages.iter().chain(only_other).map(|stage| stage.outline.name.clone());
    names
        .map(|stage| {
            let left = in_one.get(&stage).map(|index| &one.stages[*index]);
            let right = in_other.get(&stage).map(|index| &other.stages[*index]);
            let key = |stage: Option<&StageHistory>| stage.map(|stage| stage.key.clone()).filter(|key| !key.is_empty());
            let (one, other) = (key(left), key(right));
            let same = one.is_some() && one == other;
            Row { precision: precision(left, right), stage, one, other, same }
        })
        .collect()
}

/// The precision of each domain in both runs, where the stage left scores.
fn precision(one: Option<&StageHistory>, other: Option<&StageHistory>) -> Vec<(String, Option<f64>, Option<f64>)> {
    let [one, other] = [one, other].map(|stage| stage.and_then(scores).unwrap_or_default());
    let mut domains: Vec<String> = one.keys().chain(other.keys()).cloned().collect();
    domains.sort_unstable();
    domains.dedup();
    let of = |scores: &BTreeMap<String, f64>, domain: &str| scores.get(domain).copied();
    domains.into_iter().map(|domain| (domain.clone(), of(&one, &domain), of(&other, &domain))).collect()
}

fn scores(stage: &StageHistory) -> Option<BTreeMap<String, f64>> {
    let text = fs::read(stage.artifact.as_ref()?.join("scores.json")).ok()?;
    let scores: Scores = serde_json::from_slice(&text).ok()?;
    let domains = scores.domains.into_iter().chain(scores.out_of_domain);
    Some(domains.filter_map(|scores| Some((scores.domain, scores.measures.get("precision")?.mean))).collect())
}
