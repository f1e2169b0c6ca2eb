//! `apeft compare`: the tables of a run, or two runs side by side: what ran in each, and how their scores differ.

use std::{collections::BTreeMap, fs, process::ExitCode};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    common::{ExperimentsArguments, WRONG},
    output::{print_json, print_text},
    status, table,
};
use crate::{
    evaluation::{Comparison, Scores},
    report::{Comparisons, History, Line, StageHistory, Table, arms, averages, comparisons, grid},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft compare algorithms
  apeft compare algorithms --csv > comparison.csv
  apeft compare quickstart 2026-11-23T04-49-05

Intervals (95 %) and p-values are by Student's t over seeds and topics; with one seed over topics alone, which says nothing of
other seeds. A mean of one topic has none (–).
The CSV has a line for each arm, domain and measure, with interval, difference, p-value and the same by Holm.")]
pub(super) struct CompareArguments {
    /// A run, or a recipe's name for its newest run.
    run: String,
    /// A run to compare it with; without it the run's own comparisons are shown.
    other: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    format: Format,
}

/// How it is written; as text where nothing is said.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
struct Format {
    /// Puts the comparison on stdout as JSON.
    #[arg(long)]
    json: bool,
    /// As CSV.
    #[arg(long)]
    csv: bool,
    /// As a Markdown table: rows and columns are the matrix.
    #[arg(long)]
    markdown: bool,
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
    let tell = |name: &str| -> anyhow::Result<Option<History>> {
        let found = status::find(&arguments.experiments, Some(name));
        Ok(found.map(|run| History::read(&run.folder)).transpose()?)
    };
    let Some(one) = tell(&arguments.run)? else { return Ok(ExitCode::from(WRONG)) };
    let Some(other) = &arguments.other else { return of_one(&one, &arguments.format) };
    let Some(other) = tell(other)? else { return Ok(ExitCode::from(WRONG)) };
    let rows = rows(&one, &other);
    let Format { json, csv, markdown } = arguments.format;
    match (json, csv, markdown) {
        (true, ..) => print_json(&rows)?,
        (_, true, _) => print_text(&csv_of(&rows)?)?,
        (.., true) => print_text(&table::markdown(&side_by_side(&one, &other, &rows)))?,
        _ => print_text(&table::text(&side_by_side(&one, &other, &rows)))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A run's own comparisons.
fn of_one(history: &History, format: &Format) -> anyhow::Result<ExitCode> {
    let Comparisons { found: comparisons, problems } = comparisons(history);
    problems.iter().for_each(|problem| say!("error: {problem}"));
    if comparisons.is_empty() && !problems.is_empty() {
        return Ok(ExitCode::from(WRONG));
    }
    if comparisons.is_empty() {
        let run = &history.run;
        say!("error: the run {run} has no comparison; give its recipe a stage of kind `compare` over its scores");
        return Ok(ExitCode::from(WRONG));
    }
    if format.json {
        let named = |(name, comparison): &(&str, Comparison)| json!({"stage": name, "comparison": comparison});
        print_json(&comparisons.iter().map(named).collect::<Vec<_>>())?;
    } else if format.csv {
        print_text(&rows_of(history)?)?;
    } else {
        let mut text = String::new();
        for (name, comparison) in &comparisons {
            let shown = if format.markdown {
                text.push_str(&format!("### {name}\n\n"));
                let shown = [grid(comparison)].into_iter().chain(averages(comparison));
                shown.map(|shown| table::markdown(&shown) + "\n").collect::<String>()
            } else {
                text.push_str(&format!("{name}\n"));
                tables(comparison).iter().map(table::text).collect()
            };
            text.push_str(&shown);
            let warnings = comparison.warnings.iter().map(|warning| &warning.text).chain(&comparison.cautions);
            warnings.for_each(|warning| text.push_str(&format!("warning: {warning}\n")));
        }
        print_text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows of all comparisons of a run, as the stages left them.
fn rows_of(history: &History) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut is_first = true;
    for stage in &history.stages {
        let Some(file) = stage.file("comparison.csv") else { continue };
        let mut rows = csv::Reader::from_path(file)?;
        if std::mem::take(&mut is_first) {
            writer.write_record(["stage"].into_iter().chain(rows.headers()?))?;
        }
        for row in rows.records() {
            writer.write_record([stage.outline.name.as_str()].into_iter().chain(&row?))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// The tables that a terminal has room for.
pub(super) fn tables(comparison: &Comparison) -> Vec<Table> {
    [arms(comparison)].into_iter().chain(averages(comparison)).collect()
}

fn side_by_side(one: &History, other: &History, rows: &[Row]) -> Table {
    let mut lines = Vec::new();
    for Row { stage, one, other, same, precision } in rows {
        let key = |key: &Option<String>| key.as_deref().and_then(|key| key.get(..12)).unwrap_or("–").to_owned();
        lines.push([stage.clone(), key(one), key(other), if *same { "same" } else { "differs" }.to_owned()]);
        for (domain, one, other) in precision.iter().filter(|_| !same) {
            let percent =
                |share: &Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share));
            let change = one.zip(*other).map(|(one, other)| format!("{:+.1} points", 100.0 * (other - one)));
            lines.push([format!("  precision, {domain}"), percent(one), percent(other), change.unwrap_or_default()]);
        }
    }
    Table {
        about: "The keys of each stage in both runs, and the precision of what differs.".to_owned(),
        head: ["stage", &one.run, &other.run, ""].map(str::to_owned).to_vec(),
        rows: lines.into_iter().map(|line| line.map(|text| vec![Line::plain(text)]).to_vec()).collect(),
    }
}

/// A line for each stage, and for each of its domains where it has scores.
fn csv_of(rows: &[Row]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["stage", "one", "other", "same", "domain", "precision_one", "precision_other"])?;
    for Row { stage, one, other, same, precision } in rows {
        let none = [(String::new(), None, None)];
        for (domain, before, after) in if precision.is_empty() { none.as_slice() } else { precision } {
            writer.serialize((stage, one, other, same, domain, before, after))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::event::{Event, StageOutline, Timed};

    #[test]
    fn names_and_values_with_commas_and_line_ends_stay_one_field_of_a_csv() {
        let folder = tempfile::tempdir().unwrap();
        let row = "arm,domain,mean\n\"after@algorithm=dpo,seed=0\",\"a \"\"b\"\"\nc\",0.5\n";
        fs::write(folder.path().join("comparison.csv"), row).unwrap();
        let (name, artifact) = ("compared@k=4,n=2".to_owned(), folder.path().display().to_string());
        let outline = StageOutline { name: name.clone(), kind: "compare".to_owned(), needs: Vec::new() };
        let text = |text: &str| text.to_owned();
        let started = Event::RunStarted {
            run: text("r"),
            recipe: text("r"),
            command: Vec::new(),
            version: text("0"),
            stages: vec![outline],
        };
        let cached = Event::StageCached { stage: name, key: text("k"), artifact, seconds: None };
        let history = History::tell([started, cached].map(|event| Timed { at: 0, event }));
        let all = rows_of(&history).unwrap();
        let mut reader = csv::Reader::from_reader(all.as_bytes());
        assert_eq!(reader.headers().unwrap(), ["stage", "arm", "domain", "mean"].as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        let expected = ["compared@k=4,n=2", "after@algorithm=dpo,seed=0", "a \"b\"\nc", "0.5"];
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].iter().collect::<Vec<_>>(), expected);
    }
}
