//! `apeft compare`: tables of a run, or differences between two runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    conclusion::findings_text,
    latex::latex,
    output::{line, print_json, print_text},
    run_name::find_run,
    shared_args::{ExperimentsArguments, WRONG},
    table,
};
use crate::{
    evaluation::{Comparison, Scores},
    plan::{Fingerprint, differences},
    report::{
        CellLine, History, Results, StageHistory, TextTable, averages, diagnosis_table, findings,
        grid, variables,
    },
    rows::{Cell, MeasureName},
};

#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  apeft compare algorithms
  apeft compare algorithms --csv > comparison.csv
  apeft compare algorithms --latex > table.tex
  apeft compare quickstart --diagnosis
  apeft compare quickstart 2026-11-23T04-49-05

Intervals (95 %) and p-values use Student's t over seeds and topics, or over topics only with a
single seed. A mean of one topic has no interval (–).
The CSV has a line per arm, domain and measure: interval, difference, p-value, Holm's p-value, and a
column per matrix variable.")]
pub(super) struct CompareArguments {
    /// Run, recipe name for its newest run, `latest`, or tag.
    run: String,
    /// Run to compare with [default: print the first run's own comparisons].
    other: Option<String>,
    #[command(flatten)]
    experiments: ExperimentsArguments,
    #[command(flatten)]
    format: Format,
}

/// Output format [default: text].
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
struct Format {
    /// Print the comparison to stdout as JSON.
    #[arg(long)]
    json: bool,
    /// Print CSV.
    #[arg(long)]
    csv: bool,
    /// Print a Markdown table with a row per arm.
    #[arg(long)]
    markdown: bool,
    /// Print a LaTeX table with a row per arm, for the package booktabs.
    #[arg(long, conflicts_with = "other")]
    latex: bool,
    /// Print token shift, change of precision and verdict of each diagnosis.
    #[arg(long, conflicts_with = "other")]
    diagnosis: bool,
}

/// A stage of both runs.
#[derive(Debug, Serialize)]
struct StageDifference {
    stage: String,
    one: Option<String>,
    other: Option<String>,
    /// Whether both runs have the same artifact.
    same: bool,
    /// What differs between the keys, such as "`beta` 0.1 -> 0.2".
    fields: Vec<String>,
    /// Domains with their precision in both runs, for stages with scores.
    precision: Vec<(String, Option<f64>, Option<f64>)>,
}

pub(super) fn run(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let one = arguments.read(&arguments.run)?;
    let Some(other) = &arguments.other else { return of_one(&one, &arguments.format) };
    let other = arguments.read(other)?;
    let rows = rows(&one, &other);
    let Format { json, csv, markdown, .. } = arguments.format;
    match (json, csv, markdown) {
        (true, ..) => print_json(&rows)?,
        (_, true, _) => print_text(&csv_of(&rows)?)?,
        (.., true) => print_text(&table::markdown(&side_by_side(&one, &other, &rows)))?,
        _ => print_text(&table::text(&side_by_side(&one, &other, &rows)))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl CompareArguments {
    fn read(&self, name: &str) -> anyhow::Result<History> {
        Ok(History::read(&find_run(&self.experiments, Some(name))?.folder)?)
    }
}

/// A run's own comparisons, or its diagnoses.
fn of_one(history: &History, format: &Format) -> anyhow::Result<ExitCode> {
    let results = Results::read(history);
    results.problems.iter().for_each(|problem| say!("error: {problem}"));
    let is_empty = if format.diagnosis {
        results.diagnoses.is_empty()
    } else {
        results.comparisons.is_empty()
    };
    if is_empty {
        if results.problems.is_empty() {
            let kind = if format.diagnosis { "diagnose" } else { "compare" };
            let noun = if format.diagnosis { "diagnosis" } else { "comparison" };
            say!("error: the run {} has no {noun}{}", history.run, lacking(history, kind));
        }
        return Ok(ExitCode::from(WRONG));
    }
    if format.json {
        let named = results.comparisons.iter().map(|(stage, comparison)| {
            json!({
                "stage": stage.name(),
                "comparison": comparison,
            })
        });
        print_json(&named.collect::<Vec<_>>())?;
    } else if format.csv {
        print_text(&rows_of(history, &results)?)?;
    } else {
        print_text(&shown(&results, format))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tables of all comparisons or diagnoses.
fn shown(results: &Results<'_>, format: &Format) -> String {
    let mut text = String::new();
    if format.diagnosis {
        for (stage, diagnosis) in &results.diagnoses {
            let table = table::lines(&diagnosis_table(diagnosis));
            text.push_str(&format!("{}{table}", line(stage.name())));
        }
        return text;
    }
    if !format.markdown && !format.latex {
        text.push_str(findings_text(&findings(results)).trim_start());
        text.push('\n');
    }
    for (stage, comparison) in &results.comparisons {
        let name = stage.name();
        text.push_str(&match (format.markdown, format.latex) {
            (true, _) => as_markdown(name, comparison),
            (_, true) => latex(name, comparison),
            _ => as_text(name, comparison),
        });
        let warnings =
            comparison.warnings.iter().map(|warning| &warning.text).chain(&comparison.cautions);
        let mark = if format.latex { "% " } else { "" };
        warnings.for_each(|warning| text.push_str(&format!("{mark}warning: {warning}\n")));
    }
    text
}

/// Why a run has no result of a kind of stage, and what to do.
fn lacking(history: &History, kind: &str) -> String {
    let compare = history.stages.iter().find(|stage| stage.outline.kind == kind);
    compare.map_or_else(
        || format!("; give its recipe a stage of kind `{kind}` over its scores"),
        |stage| {
            let name = &stage.outline.name;
            format!(": `{name}` did not finish; run the recipe to its end, or name another run")
        },
    )
}

fn as_markdown(name: &str, comparison: &Comparison) -> String {
    let tables = [grid(comparison)].into_iter().chain(averages(comparison));
    let tables = tables.map(|shown| table::markdown(&shown) + "\n").collect::<String>();
    format!("### {name}\n\n{tables}")
}

fn as_text(name: &str, comparison: &Comparison) -> String {
    format!("{name}\n{}", tables(comparison).iter().map(table::text).collect::<String>())
}

/// Rows of all comparisons of a run, with a column for each variable of their arms.
fn rows_of(history: &History, results: &Results<'_>) -> anyhow::Result<String> {
    let arms = results.comparisons.iter().flat_map(|(_, comparison)| &comparison.arms);
    let variables = variables(&arms.map(|arm| Cell::parse(&arm.name)).collect::<Vec<_>>());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut is_first = true;
    for stage in &history.stages {
        let Some(file) = stage.file("comparison.csv") else { continue };
        let mut rows = csv::Reader::from_path(file)?;
        let head = rows.headers()?.clone();
        let arm = head.iter().position(|name| name == "arm");
        // All comparisons have the same columns: one header serves them.
        if std::mem::take(&mut is_first) {
            // A variable may be called as a column is.
            let variables = variables.iter().map(|name| match head.iter().any(|one| one == name) {
                true => format!("matrix.{name}"),
                false => name.clone(),
            });
            let names = ["stage"].into_iter().chain(&head).map(str::to_owned);
            writer.write_record(names.chain(variables))?;
        }
        for row in rows.records() {
            let row = row?;
            let cell = cell_of(arm.and_then(|arm| row.get(arm)).unwrap_or_default());
            let values = variables.iter().map(|name| cell.value(name).unwrap_or_default());
            writer.write_record([stage.name()].into_iter().chain(&row).chain(values))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// The cell of an arm, or the value of an average, which is called `variable=value`.
fn cell_of(arm: &str) -> Cell {
    if arm.contains('@') { Cell::parse(arm) } else { Cell::parse(&format!("@{arm}")) }
}

/// Tables for a terminal.
fn tables(comparison: &Comparison) -> Vec<TextTable> {
    [grid(comparison)].into_iter().chain(averages(comparison)).collect()
}

fn side_by_side(one: &History, other: &History, rows: &[StageDifference]) -> TextTable {
    let mut lines = Vec::new();
    for StageDifference { stage, one, other, same, fields, precision } in rows {
        let same_or_not = [if *same { "same" } else { "differs" }];
        let words = if fields.is_empty() {
            same_or_not.map(str::to_owned).to_vec()
        } else {
            fields.clone()
        };
        let [stage, one, other] = [stage, short(one.as_ref()), short(other.as_ref())].map(plain);
        lines.push([stage, one, other, words.iter().flat_map(|word| plain(word)).collect()]);
        // Equal artifacts have equal scores.
        for (domain, one, other) in precision.iter().filter(|_| !same) {
            let change =
                one.zip(*other).map(|(one, other)| format!("{:+.1} points", 100.0 * (other - one)));
            lines.push([
                plain(&format!("  precision, {domain}")),
                plain(&percent(*one)),
                plain(&percent(*other)),
                plain(&change.unwrap_or_default()),
            ]);
        }
    }
    TextTable {
        about:
            "Keys of each stage in both runs, the fields that differ, and the precision of stages \
                that differ."
                .to_owned(),
        head: ["stage", &one.run, &other.run, "difference"].map(str::to_owned).to_vec(),
        rows: lines.into_iter().map(|line| line.to_vec()).collect(),
    }
}

fn plain(text: &str) -> Vec<CellLine> {
    vec![CellLine::plain(text)]
}

fn short(key: Option<&String>) -> &str {
    key.and_then(|key| key.get(..12)).unwrap_or("–")
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A line per stage, and per domain of stages with scores.
fn csv_of(rows: &[StageDifference]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "stage",
        "one",
        "other",
        "same",
        "fields",
        "domain",
        "precision_one",
        "precision_other",
    ])?;
    for StageDifference { stage, one, other, same, fields, precision } in rows {
        let fields = fields.join("; ");
        let none = [(String::new(), None, None)];
        for (domain, before, after) in
            if precision.is_empty() { none.as_slice() } else { precision }
        {
            writer.serialize((stage, one, other, same, &fields, domain, before, after))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// All stages of the first run, then those that only the second one has.
fn rows(one: &History, other: &History) -> Vec<StageDifference> {
    let (in_one, in_other) = (by_name(one), by_name(other));
    let only_other = other.stages.iter().filter(|stage| !in_one.contains_key(stage.name()));
    let names = one.stages.iter().chain(only_other).map(StageHistory::name);
    names.map(|name| difference(name, in_one.get(name), in_other.get(name))).collect()
}

fn by_name(history: &History) -> BTreeMap<&str, &StageHistory> {
    history.stages.iter().map(|stage| (stage.name(), stage)).collect()
}

fn difference(
    name: &str,
    one: Option<&&StageHistory>,
    other: Option<&&StageHistory>,
) -> StageDifference {
    let (precision, fields) = (precision(one, other), fields(one, other));
    let [one, other] = [one, other]
        .map(|stage| stage.map(|stage| stage.key.clone()).filter(|key| !key.is_empty()));
    let same = one.is_some() && one == other;
    StageDifference { stage: name.to_owned(), one, other, same, fields, precision }
}

/// What differs between the keys of two artifacts, by the key files beside them.
fn fields(one: Option<&&StageHistory>, other: Option<&&StageHistory>) -> Vec<String> {
    let [one, other] = [one, other].map(|stage| fingerprint(stage?));
    one.zip(other).map_or(Vec::new(), |(one, other)| differences(&one, &other))
}

fn fingerprint(stage: &StageHistory) -> Option<Fingerprint> {
    // Beside the artifact's files, which its consumers see.
    let key = fs::read(stage.artifact.as_ref()?.with_file_name("key.json")).ok()?;
    serde_json::from_slice(&key).ok()
}

/// Precision of each domain in both runs, for stages with scores.
fn precision(
    one: Option<&&StageHistory>,
    other: Option<&&StageHistory>,
) -> Vec<(String, Option<f64>, Option<f64>)> {
    let [one, other] =
        [one, other].map(|stage| stage.and_then(|stage| scores(stage)).unwrap_or_default());
    let domains: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    domains
        .into_iter()
        .map(|domain| (domain.clone(), one.get(domain).copied(), other.get(domain).copied()))
        .collect()
}

fn scores(stage: &StageHistory) -> Option<BTreeMap<String, f64>> {
    // A stage without scores has no precision to compare.
    let text = fs::read(stage.artifact.as_ref()?.join("scores.json")).ok()?;
    let scores: Scores = serde_json::from_slice(&text).ok()?;
    let domains = scores.domains.into_iter().chain(scores.out_of_domain);
    Some(
        domains
            .filter_map(|scores| {
                Some((scores.domain, scores.measures.get(&MeasureName::Precision)?.mean))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::event::{AttemptRecord, RunEvent, StageOutline, Timed};

    #[test]
    fn names_and_values_with_commas_and_line_ends_stay_one_field_of_a_csv() {
        let folder = tempfile::tempdir().unwrap();
        let row = "arm,domain,mean\n\"after@algorithm=dpo,seed=0\",\"a \"\"b\"\"\nc\",0.5\n";
        fs::write(folder.path().join("comparison.csv"), row).unwrap();
        let (name, artifact) = ("compared@k=4,n=2".to_owned(), folder.path().display().to_string());
        let outline =
            StageOutline { name: name.clone(), kind: "compare".to_owned(), needs: Vec::new() };
        let text = |text: &str| text.to_owned();
        let started = RunEvent::RunStarted {
            run: text("r"),
            recipe: text("r"),
            command: Vec::new(),
            version: text("0"),
            store: String::new(),
            provenance: None,
            stages: vec![outline],
        };
        let cached = RunEvent::StageCached {
            stage: name,
            key: text("k"),
            artifact,
            made: AttemptRecord::default(),
            files: None,
            check: None,
        };
        let history = History::tell([started, cached].map(|event| Timed { at: 0, event }));
        let all = rows_of(&history, &Results::default()).unwrap();
        let mut reader = csv::Reader::from_reader(all.as_bytes());
        assert_eq!(reader.headers().unwrap(), ["stage", "arm", "domain", "mean"].as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        let expected = ["compared@k=4,n=2", "after@algorithm=dpo,seed=0", "a \"b\"\nc", "0.5"];
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].iter().collect::<Vec<_>>(), expected);
    }
}
