//! The figures of a comparison's main table: a row for each arm, a column for each variable and
//! each domain.

use crate::{
    evaluation::{Comparison, ComparisonRow, Warning},
    rows::{ALL_DOMAINS, Cell, MeasureName, OUT_OF_DOMAIN},
};

/// The main table before it is written as text.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmTable {
    /// The stage, if arms come from several, and the variables.
    pub labels: Vec<String>,
    /// Domains and means over domains.
    pub domains: Vec<String>,
    /// Arms in the order of the recipe.
    pub rows: Vec<ArmRow>,
}

/// An arm.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmRow {
    /// Its name.
    pub arm: String,
    /// Its stage and values; empty for a variable that it lacks.
    pub labels: Vec<String>,
    /// By domain; none where it was not scored.
    pub entries: Vec<Option<ArmEntry>>,
}

/// An arm in a domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArmEntry {
    /// Factual precision, a share; none without facts.
    pub precision: Option<f64>,
    /// Difference from the baseline, a share.
    pub difference: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Distinct facts per response.
    pub facts: f64,
    /// Share of responses with facts.
    pub responding: f64,
}

impl ArmEntry {
    /// Whether the interval of the difference excludes zero.
    pub fn is_certain(&self) -> bool {
        self.interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
    }
}

impl ArmTable {
    /// The table of a comparison.
    pub fn new(comparison: &Comparison) -> Self {
        // The file has the values by name; only the arm's name has them in the recipe's order.
        let cells: Vec<Cell> = comparison.arms.iter().map(|arm| Cell::parse(&arm.name)).collect();
        let variables = variables(&cells);
        let has_stages = cells.iter().any(|cell| cell.stage != cells[0].stage);
        // Without any variable the stage is all that names an arm.
        let has_stages = has_stages || variables.is_empty();
        let domains = headlines(comparison);
        let rows = cells.iter().map(|cell| {
            let arm = cell.to_string();
            let values = variables.iter().map(|name| cell.value(name).unwrap_or("").to_owned());
            let entries = domains.iter().map(|domain| entry(comparison, &arm, domain));
            ArmRow {
                labels: has_stages.then(|| cell.stage.clone()).into_iter().chain(values).collect(),
                entries: entries.collect(),
                arm,
            }
        });
        Self {
            labels: has_stages
                .then(|| "stage".to_owned())
                .into_iter()
                .chain(variables.clone())
                .collect(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            rows: rows.collect(),
        }
    }

    /// The table without a column, if it has it and others.
    pub(super) fn without_domain(mut self, domain: &str) -> Self {
        let place = self.domains.iter().position(|known| known == domain);
        if let Some(place) = place.filter(|_| self.domains.len() > 1) {
            self.domains.remove(place);
            for row in &mut self.rows {
                row.entries.remove(place);
            }
        }
        self
    }
}

/// Variables of cells in order of first appearance.
pub fn variables(cells: &[Cell]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in cells.iter().flat_map(|cell| &cell.values) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn entry(comparison: &Comparison, arm: &str, domain: &str) -> Option<ArmEntry> {
    let [facts, repeats, responding] =
        [MeasureName::Facts, MeasureName::Repeats, MeasureName::Responding]
            .map(|measure| find(comparison, arm, domain, measure).map(|row| row.mean));
    let precision = find(comparison, arm, domain, MeasureName::Precision);
    Some(ArmEntry {
        precision: precision.map(|row| row.mean),
        difference: precision.and_then(|row| row.difference),
        interval: precision.and_then(interval),
        facts: facts? - repeats.unwrap_or(0.0),
        responding: responding.unwrap_or(0.0),
    })
}

/// The interval of a row's difference.
pub(super) fn interval(row: &ComparisonRow) -> Option<[f64; 2]> {
    Some([row.difference_low?, row.difference_high?])
}

/// Domains and aggregates of the main table: in-domain, out-of-domain and all; all domains if none
/// is in-domain.
pub(super) fn headlines(comparison: &Comparison) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !names.contains(&row.domain.as_str()) {
            names.push(&row.domain);
        }
    }
    if let Some(home) = comparison.in_domain.as_deref() {
        let means = [OUT_OF_DOMAIN, ALL_DOMAINS];
        names.retain(|name| *name == home || means.contains(name));
    }
    names
}

/// The domains that verdicts and figures name: the mean over all domains mixes what in-domain and
/// out-of-domain separate.
pub(super) fn questioned(comparison: &Comparison) -> Vec<&str> {
    let mut domains = headlines(comparison);
    if comparison.in_domain.is_some() && domains.len() > 1 {
        domains.retain(|domain| *domain != ALL_DOMAINS);
    }
    domains
}

/// A measure of an arm in a domain.
pub(super) fn find<'a>(
    comparison: &'a Comparison,
    arm: &str,
    domain: &str,
    measure: MeasureName,
) -> Option<&'a ComparisonRow> {
    let mut rows = comparison.rows.iter();
    rows.find(|row| row.arm == arm && row.domain == domain && row.measure == measure)
}

/// The warning on how an arm, or an average, gained in a domain.
pub(super) fn warned<'a>(
    comparison: &'a Comparison,
    arm: &str,
    domain: &str,
) -> Option<&'a Warning> {
    let mut warnings = comparison.warnings.iter();
    warnings.find(|warning| warning.arm == arm && warning.domains.iter().any(|one| one == domain))
}

/// Arms beside an arm, for contrast: those that differ from it only in the averaged variable; all
/// of its baseline if there is no such variable or arm.
pub(super) fn beside<'a>(comparison: &'a Comparison, arm: &str) -> Vec<&'a str> {
    let own = Cell::parse(arm);
    let compared = comparison.arms.iter().filter(|other| other.baseline.is_some());
    let names: Vec<&str> =
        compared.map(|other| other.name.as_str()).filter(|name| *name != arm).collect();
    let Some(average) = &comparison.average else { return names };
    let is_near = |name: &&&str| Cell::parse(name).differs_only_in(&average.axis, &own);
    let near: Vec<&str> = names.iter().filter(is_near).copied().collect();
    if near.is_empty() { names } else { near }
}
