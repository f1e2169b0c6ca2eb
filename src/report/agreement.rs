//! Agreement with people: measures beside those of a tool that calls everything supported, a
//! reliability diagram, the order of systems, and the claims on which people and tool differ most.

use maud::{Markup, html};

use super::{
    answers::word,
    figure::{Calibration, CalibrationPoint},
    results::Results,
};
use crate::{
    evaluation::{
        AgreementMeasureName, AgreementRow, ComparedUnit, Disagreement, Grouping, HumanAgreement,
        IrrelevantFacts, SystemOrder,
    },
    rows::Cell,
};

use AgreementMeasureName as Name;

/// Columns of a table: measure and heading.
type Columns = &'static [(Name, &'static str)];

/// Tables: title, what it counts, and columns.
const TABLES: &[(&str, &str, Columns)] = &[
    (
        "Claims against the facts of people",
        "claims",
        &[
            (Name::ClaimPrecision, "precision"),
            (Name::ClaimRecall, "recall"),
            (Name::ClaimF1, "F1"),
            (Name::ClaimsPerResponse, "claims per response"),
            (Name::FactsPerResponse, "facts per response"),
            (Name::MixedSentences, "mixed sentences"),
            (Name::AbstentionsFound, "abstentions found"),
            (Name::ResponsesKept, "responses kept"),
        ],
    ),
    (
        "Verdicts against labels",
        "claims",
        &[
            (Name::Accuracy, "accuracy"),
            (Name::BalancedAccuracy, "balanced accuracy"),
            (Name::MacroF1, "macro-F1"),
            (Name::Auroc, "AUROC"),
            (Name::CalibrationError, "calibration error"),
            (Name::CalledSupported, "called supported"),
        ],
    ),
    (
        "Factual precision of each response",
        "responses",
        &[
            (Name::HumanPrecision, "by people"),
            (Name::ToolPrecision, "by the tool"),
            (Name::AbsoluteError, "mean absolute error"),
            (Name::ProbabilityError, "error of mean probability"),
            (Name::Pearson, "Pearson"),
            (Name::Spearman, "Spearman"),
        ],
    ),
];

/// A diagram of more tools is not readable.
const MOST_CHARTED: usize = 6;

/// Tables of all agreements of the run.
pub(super) fn agreements(results: &Results<'_>) -> Markup {
    let found: Vec<(&str, &HumanAgreement)> =
        results.agreements.iter().map(|(stage, one)| (stage.name(), one)).collect();
    html! {
        @if let Some((_, first)) = found.first() { p { (about(first)) } }
        @for (title, unit, columns) in TABLES { (table(&found, title, unit, columns)) }
        @for (name, agreement) in &found {
            @if let Some(order) = &agreement.order { (systems(name, order)) }
        }
        @for (name, agreement) in &found { (confusion(name, agreement)) }
        @for (name, agreement) in &found { (disagreements(name, agreement)) }
    }
}

/// The first stages with probabilities, for a reliability diagram.
pub(super) fn calibrations(results: &Results<'_>) -> Vec<Calibration> {
    let found = results.agreements.iter().filter(|(_, one)| !one.reliability.is_empty());
    found.take(MOST_CHARTED).map(|(stage, one)| calibration(&stage.cell, one)).collect()
}

/// The orders of systems.
pub(super) fn orders<'a>(results: &'a Results<'_>) -> Vec<(&'a Cell, &'a SystemOrder)> {
    let found = results.agreements.iter();
    found.filter_map(|(stage, one)| Some((&stage.cell, one.order.as_ref()?))).collect()
}

/// What the figures are of.
fn about(agreement: &HumanAgreement) -> String {
    let counts = &agreement.counts;
    let treatment = match agreement.settings.irrelevant {
        IrrelevantFacts::Dropped => "Irrelevant facts are not counted.",
        IrrelevantFacts::SentencesDropped => {
            "Irrelevant facts count as unsupported, those of irrelevant sentences do not count."
        }
        IrrelevantFacts::Unsupported => "Irrelevant facts count as unsupported.",
    };
    format!(
        "{} responses about {} topics, {} of them annotated with {} facts. {treatment} Intervals \
        (95 %) are over topics: a cluster bootstrap of {} draws, with Student's t. Rows `always \
        true` are of a tool that calls every claim supported.",
        counts.responses,
        counts.topics,
        counts.annotated,
        counts.facts,
        agreement.settings.resamples
    )
}

/// A table with rows for the groups of each agreement; columns that nothing fills are left out.
fn table(
    found: &[(&str, &HumanAgreement)],
    title: &str,
    unit: &str,
    columns: &[(Name, &str)],
) -> Markup {
    let is_filled =
        |name: Name| found.iter().any(|(_, one)| one.rows.iter().any(|row| row.measure == name));
    let columns: Vec<&(Name, &str)> = columns.iter().filter(|(name, _)| is_filled(*name)).collect();
    let judged = columns.iter().any(|(name, _)| is_of_tool(*name));
    if !judged {
        return html! {};
    }
    let has_categories = found.iter().any(|(_, agreement)| {
        agreement.groups().iter().any(|(grouping, _)| *grouping == Grouping::Category)
    });
    html! {
        h3 { (title) }
        (body(found, unit, &columns, &[Grouping::All, Grouping::System]))
        @if has_categories {
            details {
                summary { (title) ", by category of topics" }
                (body(found, unit, &columns, &[Grouping::Category]))
            }
        }
    }
}

/// The rows of some groupings.
fn body(
    found: &[(&str, &HumanAgreement)],
    unit: &str,
    columns: &[&(Name, &str)],
    shown: &[Grouping],
) -> Markup {
    html! {
        table {
            thead { tr {
                th { "stage" } th { "responses of" } th { (unit) }
                @for (_, title) in columns { th { (title) } }
            } }
            tbody {
                @for (name, agreement) in found {
                    @for (grouping, group) in agreement.groups() {
                        @if shown.contains(&grouping) {
                            (group_row(agreement, columns, (name, group)))
                        }
                        @if shown.contains(&grouping) && grouping == Grouping::All {
                            (always_true(agreement, columns))
                        }
                    }
                }
            }
        }
    }
}

/// Whether a measure says something of the tool, and not of the labels alone.
fn is_of_tool(name: Name) -> bool {
    !matches!(name, Name::HumanPrecision | Name::FactsPerResponse | Name::MixedSentences)
}

fn group_row(
    agreement: &HumanAgreement,
    columns: &[&(Name, &str)],
    (stage, group): (&str, &str),
) -> Markup {
    let row = |name: Name| agreement.row(group, name);
    let count = columns.iter().filter(|(name, _)| is_of_tool(*name));
    let count = count.filter_map(|(name, _)| row(*name)).map(|row| row.count).next();
    html! {
        @if let Some(count) = count {
            tr {
                td { code { (stage) } }
                td { (group) }
                td { (count) }
                @for (name, _) in columns { td { (figure(row(*name))) } }
            }
        }
    }
}

/// The same measures of a tool that calls everything supported, for all responses.
fn always_true(agreement: &HumanAgreement, columns: &[&(Name, &str)]) -> Markup {
    let row = |name: Name| agreement.row("all", name).and_then(|row| row.always_true);
    html! {
        @if columns.iter().any(|(name, _)| row(*name).is_some()) {
            tr {
                td { "always true" } td { "all" } td {}
                @for (name, _) in columns {
                    td { @match row(*name) { Some(value) => (format!("{value:.3}")), None => "–" } }
                }
            }
        }
    }
}

fn figure(row: Option<&AgreementRow>) -> Markup {
    let Some(row) = row else { return html! { "–" } };
    html! {
        (format!("{:.3}", row.value))
        span.small {
            @match row.estimate().interval() {
                Some([low, high]) => (format!(" [{low:.3}, {high:.3}]")),
                None => " –",
            }
        }
    }
}

fn calibration(cell: &Cell, agreement: &HumanAgreement) -> Calibration {
    let all: usize = agreement.reliability.iter().map(|bin| bin.count).sum();
    let points = agreement.reliability.iter().map(|bin| CalibrationPoint {
        x: bin.probability,
        y: bin.share_true,
        count: bin.count,
        share: bin.count as f64 / all.max(1) as f64,
    });
    Calibration { cell: cell.clone(), points: points.collect() }
}

fn systems(stage: &str, order: &SystemOrder) -> Markup {
    let same = if order.is_same { "The tool has the same order" } else { "The tool differs" };
    let kendall = order.kendall.map_or("none".to_owned(), |tau| format!("{tau:.2}"));
    html! {
        h3 { "Systems by precision" span.small { " " code { (stage) } } }
        p {
            (same) ": Kendall's tau " (kendall)
            @if let Some(share) = order.share_same {
                ", the same order in " (format!("{:.0}", 100.0 * share)) " % of draws of topics"
            }
            "."
        }
        table {
            thead { tr {
                th { "system" } th { "responses" } th { "by people" } th { "by the tool" }
            } }
            tbody {
                @for system in &order.systems {
                    tr {
                        td { (system.system) } td { (system.responses) }
                        td { (format!("{:.3}", system.human)) }
                        td { (format!("{:.3}", system.tool)) }
                    }
                }
            }
        }
    }
}

fn confusion(stage: &str, agreement: &HumanAgreement) -> Markup {
    if agreement.counts.compared == 0 {
        return html! {};
    }
    let some_undecided = agreement.confusion.iter().any(|row| row.undecided > 0);
    html! {
        details {
            summary { "Verdicts by label: " code { (stage) } }
            table {
                thead { tr {
                    th { "people" }
                    th { "called supported" } th { "called unsupported" } th { "called irrelevant" }
                    @if some_undecided { th { "undecided" } }
                } }
                tbody {
                    @for row in &agreement.confusion {
                        tr {
                            td { (word(row.label)) }
                            td { (row.supported) } td { (row.unsupported) } td { (row.irrelevant) }
                            @if some_undecided { td { (row.undecided) } }
                        }
                    }
                }
            }
        }
    }
}

/// The claims with the surest wrong verdicts.
fn disagreements(stage: &str, agreement: &HumanAgreement) -> Markup {
    let (accepted, rejected): (Vec<&Disagreement>, Vec<&Disagreement>) =
        agreement.disagreements.iter().partition(|one| one.claim.is_called_true());
    html! {
        @if !agreement.disagreements.is_empty() {
            h3 { "Where people and tool differ most" span.small { " " code { (stage) } } }
            (listed("Called supported, but not by people", &accepted, agreement.unit))
            (listed("Supported by people, but not by the tool", &rejected, agreement.unit))
        }
    }
}

fn listed(title: &str, claims: &[&Disagreement], unit: ComparedUnit) -> Markup {
    html! {
        @if !claims.is_empty() {
            details {
                summary { (title) }
                @for one in claims {
                    div.answer {
                        p.prompt { (one.claim.claim)
                            span.small { " " (one.claim.topic) " · " (one.claim.response_id) } }
                        p {
                            "people: " mark class=(word(one.claim.label)) {
                                (word(one.claim.label)) }
                            "; tool: " mark class=(word(one.claim.verdict)) {
                                (word(one.claim.verdict)) }
                            (format!(", probability {:.2}", one.claim.probability))
                            @if unit == ComparedUnit::Claims {
                                "; fact of people: " (one.claim.fact)
                            }
                        }
                        (evidence(one))
                    }
                }
            }
        }
    }
}

fn evidence(one: &Disagreement) -> Markup {
    html! {
        @match one.page.as_ref().map(|page| &page.found) {
            Some(None) => { p.small { "No article was found." } }
            _ if one.evidence.is_empty() => { p.small { "No evidence was kept." } }
            _ => {}
        }
        @for passage in &one.evidence {
            p.small { (passage.title) ": " (passage.text) }
        }
    }
}
