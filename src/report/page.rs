//! The page and its sections.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    agreement::agreements,
    answers::answers,
    comparison::{all_measures, compared},
    cost::cost,
    diagnosis::diagnoses,
    examples::{examples, told_arm},
    figure::Figure,
    findings::{findings, of_scores},
    first::first,
    gallery::{Gallery, replace, shown},
    graph::graph,
    history::{History, StageHistory},
    markup::prose,
    results::Results,
    scores::{scored, scores},
    stages::stages,
    style::{SCRIPT, STYLE},
};
use crate::{diagnostic::counted, evaluation::Scores, rows::Cell, schedule::journal};

/// Warnings of stages in the page: a browser cannot show 100,000.
const MOST_WARNINGS: usize = 200;

/// Maximum bytes of the recipe in the page.
const MOST_TEXT: usize = 100_000;

/// Maximum bytes of other runs' journals that are read for durations.
const READ: u64 = 16 << 20;

/// Why no report was written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}: {source}", path = .path.display())]
pub struct ReportError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl ReportError {
    fn of(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self { what, path, source }
    }
}

/// A part of the page that is folded, with its entry in the contents.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// Reads what a run's report tells from its journal, and what cached stages cost from earlier ones.
///
/// # Errors
/// If the journal cannot be read.
pub fn read(run: &Path) -> Result<History, ReportError> {
    let mut history = History::read(run).map_err(ReportError::of("read the journal in", run))?;
    // A resumed sweep has its costs in several journals; the newest that has a cost wins.
    let mut unexplained = history.unexplained();
    let mut read = 0;
    for other in journal::siblings(run) {
        if unexplained.is_empty() || read > READ {
            break;
        }
        read += journal::size(&other);
        if let Err(error) = history.recall(&other, &mut unexplained) {
            tracing::debug!("{}: {error}", other.display());
        }
    }
    Ok(history)
}

/// Writes `report.html` and `figures` into a run's folder.
///
/// # Errors
/// If the page or a figure cannot be written.
pub fn write(
    run: &Path,
    history: &History,
    mut results: Results<'_>,
) -> Result<PathBuf, ReportError> {
    // A run on a full disk may lack its recipe, and still has a report.
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap_or_default();
    let scored = scored(history, &mut results.problems);
    let by_cell: Vec<(&Cell, &Scores)> =
        scored.iter().map(|(stage, scores)| (&stage.cell, scores)).collect();
    let gallery = Gallery::new(history, &results, &by_cell);
    gallery.write(run).map_err(ReportError::of("write the figures in", run))?;
    let mut found = findings(&results);
    if found.is_empty() {
        found.extend(of_scores(&by_cell));
    }
    let head = first(history, &results, &found, &gallery);
    let sections = sections(history, &results, &scored, (&gallery, &recipe));
    let page = page(history, &head, &sections).into_string();
    let path = run.join("report.html");
    replace(run, "report.html", page.as_bytes()).map_err(ReportError::of("write", &path))?;
    Ok(path)
}

fn page(history: &History, head: &Markup, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "apeft: " (history.recipe) " " (history.run) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head)
                nav aria-label="contents" {
                    @for Section { id, title, .. } in sections { a href={ "#" (id) } { (title) } }
                }
                @for Section { id, title, body } in sections {
                    details id=(id) {
                        summary { (title) }
                        (body)
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// The sections that have something to show.
fn sections(
    history: &History,
    results: &Results<'_>,
    scored: &[(&StageHistory, Scores)],
    (gallery, recipe): (&Gallery, &str),
) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |id, title, is_filled: bool, body: &dyn Fn() -> Markup| {
        // Bodies read files: those that are not shown are not made.
        if is_filled {
            sections.push(Section { id, title, body: body() });
        }
    };
    let has_comparison = !results.comparisons.is_empty();
    let is_tuned = history.stages.iter().any(|stage| stage.outline.kind == "tune");
    let is_verified = history.stages.iter().any(|stage| stage.file("verdicts.jsonl").is_some());
    let has_warnings = history.stages.iter().any(|stage| !stage.warnings.is_empty());
    let told = told_arm(results);
    let told = told.as_ref();
    // The first figure stands at the top.
    let compared_figures = gallery.compared.get(1..).unwrap_or_default();
    add("comparison", "Comparison of arms", has_comparison, &|| {
        html! { (compared(results)) @for figure in compared_figures { (shown(figure)) } }
    });
    add("telling", "Telling responses", has_comparison, &|| examples(history, told));
    add("responses", "Responses with claims", is_verified, &|| {
        answers(history, told.and_then(|told| told.scored(history)))
    });
    add("shift", "Shift and diagnosis", !results.diagnoses.is_empty(), &|| {
        html! { (figures(&gallery.shifted)) (diagnoses(history, results)) }
    });
    add("agreement", "Agreement with people", !results.agreements.is_empty(), &|| {
        html! { (figures(&gallery.agreed)) (agreements(results)) }
    });
    add("training", "Training", !gallery.trained.is_empty(), &|| figures(&gallery.trained));
    add("measures", "All domains and measures", has_comparison, &|| all_measures(history, results));
    add("scores", "Scores of each cell", !scored.is_empty(), &|| scores(history, scored));
    add("cost", "Cost of tuning", is_tuned, &|| cost(history));
    add("warnings", "Warnings", has_warnings, &|| warnings(history));
    add("stages", "Stages", true, &|| {
        html! { (figures(&gallery.ran)) (graph(history)) (stages(history)) }
    });
    add("recipe", "Recipe and repetition", true, &|| repetition(history, recipe, has_comparison));
    sections
}

fn figures(figures: &[Figure]) -> Markup {
    html! { @for figure in figures { (shown(figure)) } }
}

/// Warnings of all stages, in the order of the plan.
fn warnings(history: &History) -> Markup {
    let all = history.stages.iter();
    let all = all.flat_map(|stage| stage.warnings.iter().map(move |warning| (stage, warning)));
    let more = all.clone().count().saturating_sub(MOST_WARNINGS);
    html! {
        @for (stage, warning) in all.take(MOST_WARNINGS) {
            p.failed { code { (stage.name()) } ": " (prose(warning)) }
        }
        @if more > 0 { p { (counted(more, "more warning")) " in the journal." } }
    }
}

/// How the run is made again.
fn repetition(history: &History, recipe: &str, has_comparison: bool) -> Markup {
    let shown = &recipe[..recipe.floor_char_boundary(MOST_TEXT)];
    html! {
        p { "Repeat it with " code { (history.command_line()) } ", apeft " (history.version) "."
            @if has_comparison {
                " The same tables as text with " code { "apeft compare " (history.run) }
                ", for LaTeX with " code { "--latex" } "."
            }
        }
        p { a href="recipe.toml" { "recipe.toml" } " with all defaults and bases:" }
        pre { (shown) }
        @if shown.len() < recipe.len() { p { "The rest is in the file." } }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::stages::MOST_ROWS, *};
    use crate::schedule::event::{AttemptRecord, RunEvent, StageOutline, Timed};

    /// Time linear in the number of stages; quadratic time would take minutes here.
    #[test]
    fn a_run_of_many_stages_finds_in_earlier_runs_how_long_they_took() {
        const STAGES: usize = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let name = |stage: usize| format!("s{stage}");
        let journal = |run: &str, event: fn(String, String) -> RunEvent| {
            let outline = |stage| StageOutline {
                name: name(stage),
                kind: "command".to_owned(),
                needs: Vec::new(),
            };
            let stages = (0..STAGES).map(outline).collect();
            let (recipe, version) = ("r".to_owned(), "0".to_owned());
            let started = RunEvent::RunStarted {
                run: run.to_owned(),
                recipe,
                command: Vec::new(),
                version,
                store: String::new(),
                provenance: None,
                stages,
            };
            let events = (0..STAGES).map(|stage| event(name(stage), format!("{stage:064x}")));
            let lines = [started].into_iter().chain(events).map(|event| Timed { at: 1, event });
            let lines: String =
                lines.map(|timed| serde_json::to_string(&timed).unwrap() + "\n").collect();
            fs::create_dir(folder.path().join(run)).unwrap();
            fs::write(folder.path().join(run).join("events.jsonl"), lines).unwrap();
        };
        journal("2026-01-01T00-00-00", |stage, key| RunEvent::StageFinished {
            stage,
            key,
            artifact: "/nowhere".to_owned(),
            seconds: 7.5,
            cost: None,
            files: None,
        });
        journal("2026-01-02T00-00-00", |stage, key| RunEvent::StageCached {
            stage,
            key,
            artifact: "/nowhere".to_owned(),
            made: AttemptRecord::default(),
            check: None,
            files: None,
        });
        let run = folder.path().join("2026-01-02T00-00-00");
        let history = read(&run).unwrap();
        let page = write(&run, &history, Results::read(&history)).unwrap();
        let page = fs::read_to_string(page).unwrap();
        assert_eq!(page.matches("<td>7.5</td>").count(), MOST_ROWS);
        assert!(page.contains("400 of 20000 stages") && page.len() < 1_000_000, "{}", page.len());
    }
}
