//! The page and its sections.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    answers::answers,
    comparison::{Comparisons, compared, comparisons},
    cost::cost,
    curves::curves,
    examples::examples,
    graph::graph,
    history::{History, StageEnding, StageHistory},
    scores::scores,
};
use crate::schedule::{event::CheckRecord, journal};

/// Maximum number of stages in the page's tables, and of its warnings: a browser cannot show
/// 100,000.
const MOST_ROWS: usize = 2000;

/// Maximum bytes of the recipe in the page.
const MOST_TEXT: usize = 500_000;

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

/// Writes `report.html` into a run's folder, from its journal and artifacts.
///
/// # Errors
/// If the journal cannot be read or the page cannot be written.
pub fn write(run: &Path) -> Result<PathBuf, ReportError> {
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
    // A run on a full disk may lack its recipe, and still has a report.
    let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap_or_default();
    let path = run.join("report.html");
    let draft = run.join(".report.html");
    fs::write(&draft, page(&history, &recipe).into_string())
        .map_err(ReportError::of("write", &draft))?;
    // Renamed when it is complete, since a browser may show the old one.
    fs::rename(&draft, &path).map_err(ReportError::of("write", &path))?;
    Ok(path)
}

fn page(history: &History, recipe: &str) -> Markup {
    let Comparisons { found: comparisons, problems } = comparisons(history);
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
                h1 { (history.recipe) " " span.small { (history.run) } }
                (summary(history))
                h2 { "Comparison" }
                @for problem in &problems { p.failed { (problem) } }
                // A comparison that cannot be read is no lack of comparisons.
                @if !comparisons.is_empty() || problems.is_empty() { (compared(&comparisons)) }
                h2 { "Example responses" }
                (examples(history, &comparisons))
                h2 { "Cost" }
                (cost(history))
                h2 { "Scores" }
                (scores(history))
                (super::agreement::agreements(history))
                (super::diagnosis::diagnoses(history))
                h2 { "Responses" }
                (answers(history))
                h2 { "Stages" }
                (graph(history))
                (stages(history))
                h2 { "Training" }
                (curves(history))
                h2 { "Recipe" }
                @let shown = &recipe[..recipe.floor_char_boundary(MOST_TEXT)];
                pre { (shown) }
                @if shown.len() < recipe.len() {
                    p { "The rest is in " code { "recipe.toml" } " beside this page." }
                }
                h2 { "Again" }
                p { "Repeat it with " code { (history.command.join(" ")) } ", apeft "
                    (history.version) "; the same tables as text with "
                    code { "apeft compare " (history.run) } "." }
                details {
                    summary { "Keys of artifacts" }
                    pre {
                        @for stage in shown_stages(history) {
                            (stage.key) "  " (stage.name()) "\n"
                        }
                    }
                }
            }
        }
    }
}

fn summary(history: &History) -> Markup {
    let mut counted = Vec::new();
    for outcome in [
        StageEnding::Ran,
        StageEnding::Cached,
        StageEnding::Failed,
        StageEnding::Skipped,
        StageEnding::Running,
        StageEnding::Waiting,
    ] {
        let count = history.stages.iter().filter(|stage| stage.outcome == outcome).count();
        if count > 0 {
            counted.push(format!("{count} {}", outcome.word()));
        }
    }
    html! {
        p {
            (history.stages.len()) " stages: " (counted.join(", ")) "."
            @match history.seconds {
                Some(seconds) => { " It took " (format!("{seconds:.1}")) " s." }
                None => { " It was killed." }
            }
        }
        @let checks = history.stages.iter().filter(|stage| stage.check.is_some()).count();
        @if checks > 0 {
            p { (checks) " of them were made again by " code { "run --check" } " and compared: see "
                "Stages." }
        }
        @if history.passed_over > 0 {
            p.failed { (history.passed_over) " lines of its journal were written by a newer \
            version of apeft and are ignored." }
        }
        @let warnings = history.stages.iter();
        @let warnings = warnings
            .flat_map(|stage| stage.warnings.iter().map(move |warning| (stage, warning)));
        @for (stage, warning) in warnings.clone().take(MOST_ROWS) {
            p.failed { code { (stage.name()) } ": " (warning) }
        }
        @let more = warnings.count().saturating_sub(MOST_ROWS);
        @if more > 0 { p.failed { (more) " more warnings are in the journal." } }
        @for (key, problem) in &history.damaged {
            p.failed { "The artifact " code { (key) } " was damaged: " (problem) }
        }
    }
}

/// Whether a stage was made a second time, and when.
fn checked(check: Option<&CheckRecord>) -> Markup {
    let Some(CheckRecord { at, difference }) = check else { return html! {} };
    let at = Timestamp::from_millisecond(*at as i64).unwrap_or_default().strftime("%Y-%m-%d");
    html! {
        @match difference {
            None => { "the same bytes, " (at.to_string()) }
            Some(difference) => { span.failed { (difference) ", " (at.to_string()) } }
        }
    }
}

/// The stages of a large run that the page shows, in plan order: first of all those that failed,
/// then those that ran.
fn shown_stages(history: &History) -> Vec<&StageHistory> {
    let mut places: Vec<usize> = (0..history.stages.len()).collect();
    if places.len() > MOST_ROWS {
        places.sort_by_key(|place| match history.stages[*place].outcome {
            StageEnding::Failed => 0,
            StageEnding::Running | StageEnding::Ran => 1,
            StageEnding::Skipped => 2,
            StageEnding::Waiting | StageEnding::Cached => 3,
        });
        places.truncate(MOST_ROWS);
        places.sort_unstable();
    }
    places.into_iter().map(|place| &history.stages[place]).collect()
}

fn stages(history: &History) -> Markup {
    let (shown, all) = (shown_stages(history), history.stages.len());
    html! {
        @if shown.len() < all {
            p { (shown.len()) " of " (all) " stages, those that failed and then those that ran \
            before others; all of them with " code { "apeft status " (history.run) } "." }
        }
        table {
            thead { tr {
                th { "stage" } th { "kind" } th { "outcome" } th { "seconds" } th { "key" }
                th { "checked" } th { "notes" }
            } }
            tbody {
                @for stage in shown {
                    tr id=(stage.outline.name) class=(stage.outcome.word()) {
                        td { code { (stage.outline.name) } }
                        td { (stage.outline.kind) }
                        td { (stage.outcome.word()) }
                        td { @if stage.seconds > 0.0 { (format!("{:.1}", stage.seconds)) } }
                        td { code { (stage.key.get(..12).unwrap_or_default()) } }
                        td { (checked(stage.check.as_ref())) }
                        td {
                            @let is_missing =
                                matches!(stage.outcome, StageEnding::Failed | StageEnding::Skipped);
                            @if is_missing {
                                (stage.reason)
                            }
                            @for note in &stage.notes { (note) br; }
                        }
                    }
                }
            }
        }
    }
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --good: #00945a; --bad: #c8452e; --dim: #8a8a8a }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em }
h2 { margin-top: 2em; border-bottom: 1px solid var(--line) }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: 1em; border: 1px solid var(--line); border-radius: 6px }
.small { font-size: 12px; color: var(--dim) }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); \
vertical-align: top }
.charts { display: flex; flex-wrap: wrap; gap: 1em }
figure { margin: 0; width: 560px; max-width: 100% }
figcaption { font-size: 13px; color: var(--dim) }
svg text { font: 11px system-ui, sans-serif; fill: currentColor }
svg text.small { fill: var(--dim) }
.grid { stroke: var(--line) }
.legend span { margin-right: 1em; font-size: 12px }
.legend .key { display: inline-block; width: 10px; height: 10px; margin-right: 4px }
.graph { overflow-x: auto }
.graph rect { fill: none; stroke: var(--dim) }
.graph .ran rect { stroke: var(--good); stroke-width: 2 }
.graph .cached rect { stroke: #0072b2; stroke-width: 2 }
.graph .failed rect { stroke: var(--bad); stroke-width: 2 }
.graph .skipped rect, .graph .waiting rect { stroke-dasharray: 4 3 }
.edge { fill: none; stroke: var(--dim) }
.failed { color: var(--bad) }
.diagonal { stroke: var(--dim); stroke-dasharray: 4 3 }
.answer { border-left: 3px solid var(--line); padding-left: 1em; margin: 1em 0 }
.answer p { margin: .2em 0 }
.prompt { font-weight: 600 }
mark { background: none; color: inherit; border-bottom: 3px solid var(--dim) }
mark.supported { border-color: var(--good) }
mark.unsupported { border-color: var(--bad); border-bottom-style: double }
mark.irrelevant { border-color: var(--dim); border-bottom-style: dotted }
mark.undecided { border-color: var(--dim); border-bottom-style: dashed }
";

#[cfg(test)]
mod tests {
    use super::*;
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
        let page =
            fs::read_to_string(write(&folder.path().join("2026-01-02T00-00-00")).unwrap()).unwrap();
        assert_eq!(page.matches("<td>7.5</td>").count(), MOST_ROWS);
        assert!(page.contains("2000 of 20000 stages") && page.len() < 2_000_000, "{}", page.len());
    }
}
