//! The stages of a run: a table with outcomes, durations, notes and links to artifacts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    history::{History, StageEnding, StageHistory},
    markup::{prose, stage_link},
    words::duration,
};
use crate::{diagnostic::counted, schedule::event::CheckRecord};

/// Stages in the table: more make a page slow, and nobody reads them.
pub(super) const MOST_ROWS: usize = 400;

/// Notes of a stage that the table shows; its log and journal have all.
const MOST_NOTES: usize = 12;

/// `69 stages: 68 ran and 1 cached`.
pub(super) fn counts(history: &History) -> String {
    const ENDINGS: [StageEnding; 7] = [
        StageEnding::Ran,
        StageEnding::Cached,
        StageEnding::Failed,
        StageEnding::Interrupted,
        StageEnding::Skipped,
        StageEnding::Running,
        StageEnding::Waiting,
    ];
    let counted_as = ENDINGS.into_iter().filter_map(|ending| {
        let count = history.stages.iter().filter(|stage| stage.outcome == ending).count();
        (count > 0).then(|| format!("{count} {}", ending.word()))
    });
    let all = counted_as.collect::<Vec<_>>().join(", ");
    format!("{}: {all}", counted(history.stages.len(), "stage"))
}

/// The stages that a large run's page shows, in plan order: first of all those that failed, then
/// those that ran; of each stage of the recipe the first cells, so that none is missing.
fn shown(history: &History) -> Vec<&StageHistory> {
    let mut places: Vec<usize> = (0..history.stages.len()).collect();
    if places.len() > MOST_ROWS {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let nth: Vec<usize> = history
            .stages
            .iter()
            .map(|stage| {
                let count = seen.entry(&stage.cell.stage).or_default();
                *count += 1;
                *count
            })
            .collect();
        places.sort_by_key(|place| {
            let class = match history.stages[*place].outcome {
                StageEnding::Failed => 0,
                StageEnding::Running | StageEnding::Interrupted | StageEnding::Ran => 1,
                StageEnding::Skipped => 2,
                StageEnding::Waiting | StageEnding::Cached => 3,
            };
            // The first cell of each stage comes before any second one.
            (class.min(nth[*place].saturating_sub(1)), class, nth[*place])
        });
        places.truncate(MOST_ROWS);
        places.sort_unstable();
    }
    places.into_iter().map(|place| &history.stages[place]).collect()
}

/// The table of stages.
pub(super) fn stages(history: &History) -> Markup {
    let (shown, all) = (shown(history), history.stages.len());
    html! {
        @if shown.len() < all {
            p { (shown.len()) " of " (all) " stages: those that failed, and the first cells of \
                each stage, those that ran before others; all of them with "
                code { "apeft status " (history.run) } "." }
        }
        @let checks = history.stages.iter().filter(|stage| stage.check.is_some()).count();
        @if checks > 0 {
            p { (checks) " of them were made again by " code { "run --check" } " and compared." }
        }
        p { "A name links to the folder of the artifact. Seconds, notes and warnings are those of \
            the attempt that made it, also for cached stages." }
        table {
            thead { tr {
                th { "stage" } th { "kind" } th { "outcome" } th { "seconds" } th { "key" }
                @if shown.iter().any(|stage| stage.check.is_some()) { th { "checked" } }
                th { "notes" }
            } }
            tbody {
                @let has_checks = shown.iter().any(|stage| stage.check.is_some());
                @for stage in shown { (row(history, stage, has_checks)) }
            }
        }
    }
}

/// Whether a stage ended in a way that needs a reason.
fn is_explained(ending: StageEnding) -> bool {
    matches!(ending, StageEnding::Failed | StageEnding::Interrupted | StageEnding::Skipped)
}

fn row(history: &History, stage: &StageHistory, has_checks: bool) -> Markup {
    html! {
        tr id=(stage.outline.name) class=(stage.outcome.word()) {
            td { (stage_link(history, stage)) }
            td { (stage.outline.kind) }
            td { (stage.outcome.word()) }
            td { @if stage.seconds > 0.0 { (format!("{:.1}", stage.seconds)) } }
            td { code { (stage.key.get(..12).unwrap_or_default()) } }
            @if has_checks { td { (checked(stage.check.as_ref())) } }
            td.long {
                @if is_explained(stage.outcome) {
                    (prose(&stage.reason)) br;
                }
                @for note in stage.notes.iter().take(MOST_NOTES) { (prose(note)) br; }
                @let more = stage.notes.len().saturating_sub(MOST_NOTES);
                @if more > 0 { span.small { (counted(more, "more note")) } }
            }
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

/// How long the run took, and the attempts that made its artifacts.
pub(super) fn durations(history: &History) -> String {
    let run = match history.seconds {
        Some(seconds) => format!("{} for this run", duration(seconds)),
        None => "the run was killed".to_owned(),
    };
    let cached = history.stages.iter().filter(|stage| stage.outcome == StageEnding::Cached);
    let made: f64 = cached.map(|stage| stage.seconds).sum();
    if made > 0.0 {
        format!("{run}; {} for the attempts that made what it found cached", duration(made))
    } else {
        run
    }
}
