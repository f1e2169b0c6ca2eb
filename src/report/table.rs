//! Text tables, and those of a comparison: arms by domain, and averages.

use crate::{
    evaluation::{Comparison, ComparisonRow},
    rows::{ALL_DOMAINS, Cell, MeasureName, OUT_OF_DOMAIN},
};

/// A table for terminal, file or page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTable {
    /// Caption, one or two sentences.
    pub about: String,
    /// Column names.
    pub head: Vec<String>,
    /// Lines of each cell, by row and column.
    pub rows: Vec<Vec<Vec<CellLine>>>,
}

/// A line of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellLine {
    /// Text.
    pub text: String,
    /// Whether it is a difference whose interval excludes zero.
    pub marked: bool,
}

impl CellLine {
    /// An unmarked line.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), marked: false }
    }
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

/// Precision of each arm in-domain, out-of-domain and over all domains, with measures that could
/// have bought it.
pub fn arms(comparison: &Comparison) -> TextTable {
    let domains = headlines(comparison);
    let rows = comparison.arms.iter().map(|arm| {
        let cells = domains.iter().map(|domain| cell(comparison, &arm.name, domain));
        [vec![CellLine::plain(arm.name.as_str())]].into_iter().chain(cells).collect()
    });
    TextTable {
        about: about(comparison),
        head: ["arm"].into_iter().chain(domains.iter().copied()).map(str::to_owned).collect(),
        rows: rows.collect(),
    }
}

/// Position of an arm in the main table: row by stage and first variable that is not averaged over,
/// column by the other variables.
pub(super) struct Places {
    rows: Vec<String>,
    columns: Vec<String>,
    /// By arm.
    of: Vec<(String, String)>,
}

impl Places {
    /// Determines rows and columns from the names of all arms.
    pub(super) fn new(comparison: &Comparison) -> Self {
        // The file has the values by name; only the arm's name has them in the recipe's order.
        let labels: Vec<Cell> = comparison.arms.iter().map(|arm| Cell::parse(&arm.name)).collect();
        let mut axes = labels.iter().flat_map(|label| label.values.iter().map(|(axis, _)| axis));
        // Averaged variables (e.g. the algorithm) make rows; compared ones (the preferences) make
        // columns.
        let compared = comparison.average.as_ref().map(|average| &average.axis);
        let first =
            axes.clone().find(|axis| Some(*axis) != compared).or_else(|| axes.next()).cloned();
        let mut stages: Vec<&str> = labels
            .iter()
            .filter(|label| !label.values.is_empty())
            .map(|label| label.stage.as_str())
            .collect();
        // With one stage in cells, its name in each row would say nothing.
        stages.dedup();
        let of: Vec<(String, String)> = labels
            .iter()
            .map(|label| {
                (row_of(label, first.as_deref(), stages.len()), column_of(label, first.as_deref()))
            })
            .collect();
        let mut columns = distinct(of.iter().map(|(_, column)| column));
        // An arm without column variables, such as the model before tuning, needs no column of its
        // own: it appears in all of them.
        if columns.len() > 1 {
            columns.retain(|column| !column.is_empty());
        }
        Self { rows: distinct(of.iter().map(|(row, _)| row)), columns, of }
    }

    /// The arm at a position; an arm without column variables appears in every column of its row.
    fn arm<'a>(&self, comparison: &'a Comparison, row: &str, column: &str) -> Option<&'a str> {
        let here =
            |place: &(String, String)| place.0 == row && (place.1 == column || place.1.is_empty());
        self.of.iter().position(here).map(|index| comparison.arms[index].name.as_str())
    }

    /// Arms in the same row; all arms if each row has only one.
    pub(super) fn beside<'a>(&self, comparison: &'a Comparison, arm: &str) -> Vec<&'a str> {
        let row = comparison
            .arms
            .iter()
            .position(|other| other.name == arm)
            .map(|index| &self.of[index].0);
        let names = comparison.arms.iter().zip(&self.of);
        names
            .filter(|(_, (other, _))| self.columns.len() < 2 || Some(other) == row)
            .map(|(arm, _)| arm.name.as_str())
            .collect()
    }
}

/// The value of the row variable, after the stage if several stages have cells.
fn row_of(label: &Cell, first: Option<&str>, stages: usize) -> String {
    match first.and_then(|axis| label.value(axis)) {
        Some(value) if stages == 1 => value.to_owned(),
        Some(value) => format!("{} {value}", label.stage),
        None => label.stage.clone(),
    }
}

/// The values of all other variables.
fn column_of(label: &Cell, first: Option<&str>) -> String {
    let others = label.values.iter().filter(|(axis, _)| Some(axis.as_str()) != first);
    others.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

/// Each name once, in order of first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names {
        if !kept.contains(name) {
            kept.push(name.clone());
        }
    }
    kept
}

/// The main table: rows are values of the first variable (or stages), columns the other values by
/// in-domain, out-of-domain and all domains.
pub fn grid(comparison: &Comparison) -> TextTable {
    let (places, domains) = (Places::new(comparison), headlines(comparison));
    let columns: Vec<(&str, &str)> = places
        .columns
        .iter()
        .flat_map(|column| domains.iter().map(move |domain| (column.as_str(), *domain)))
        .collect();
    let titles = columns.iter().map(|(column, domain)| match *column {
        "" => (*domain).to_owned(),
        column => format!("{column}: {domain}"),
    });
    let rows = places.rows.iter().map(|row| {
        let cells = columns.iter().map(|(column, domain)| {
            let arm = places.arm(comparison, row, column);
            arm.map_or_else(Vec::new, |arm| cell(comparison, arm, domain))
        });
        [vec![CellLine::plain(row.as_str())]].into_iter().chain(cells).collect()
    });
    TextTable {
        about: about(comparison),
        head: [String::new()].into_iter().chain(titles).collect(),
        rows: rows.collect(),
    }
}

/// Average difference between two values of a variable over arms; none if the comparison has no
/// averages.
pub fn averages(comparison: &Comparison) -> Option<TextTable> {
    let average = comparison.average.as_ref()?;
    let domains = headlines(comparison);
    let mut contrasts: Vec<&ComparisonRow> = Vec::new();
    for row in &comparison.averages {
        let mut known = contrasts.iter();
        if !known.any(|known| is_same_contrast(known, row) && known.arms == row.arms) {
            contrasts.push(row);
        }
    }
    let rows = contrasts.iter().map(|contrast| {
        let cells = domains.iter().map(|domain| average_cell(comparison, contrast, domain));
        [vec![CellLine::plain(contrast_name(contrast))]].into_iter().chain(cells).collect()
    });
    Some(TextTable {
        about: format!(
            "Differences of precision between values of {}, in points, averaged over pairs of \
            arms that differ only in it.",
            average.axis
        ),
        head: [average.axis.as_str()]
            .into_iter()
            .chain(domains.iter().copied())
            .map(str::to_owned)
            .collect(),
        rows: rows.collect(),
    })
}

/// Whether two rows compare the same two values.
fn is_same_contrast(one: &ComparisonRow, other: &ComparisonRow) -> bool {
    (&one.arm, &one.baseline) == (&other.arm, &other.baseline)
}

/// `mixed over general (2 arms)`.
fn contrast_name(row: &ComparisonRow) -> String {
    let arms = if row.arms == 1 { String::new() } else { format!(" ({} arms)", row.arms) };
    let baseline = row.baseline.as_deref().unwrap_or_default();
    format!("{} over {}{arms}", value_of(&row.arm), value_of(baseline))
}

/// The value in `variable=value`.
fn value_of(name: &str) -> &str {
    name.split_once('=').map_or(name, |(_, value)| value)
}

fn average_cell(comparison: &Comparison, contrast: &ComparisonRow, domain: &str) -> Vec<CellLine> {
    let row = comparison.averages.iter().find(|row| {
        is_same_contrast(row, contrast)
            && row.domain == domain
            && row.measure == MeasureName::Precision
    });
    let Some(row) = row else { return Vec::new() };
    let p = row.p.zip(row.p_holm);
    let p = p.map(|(p, holm)| CellLine::plain(format!("p {}, Holm {}", short(p), short(holm))));
    difference(row).into_iter().chain(p).collect()
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

fn about(comparison: &Comparison) -> String {
    let seeds = comparison.arms.iter().map(|arm| arm.seeds.len().max(1)).max().unwrap_or(0);
    let over = match seeds {
        1 => "1 seed (intervals over topics only)".to_owned(),
        seeds => format!("{seeds} seeds"),
    };
    let baseline = comparison.baseline.as_ref().map_or_else(String::new, |baseline| {
        format!(
            " Below: difference from {baseline} on the same prompts, in points with its 95 % \
            interval, marked if that excludes zero."
        )
    });
    format!(
        "Precision in per cent over {over}.{baseline} Then distinct facts per response, and the \
        share of responses with facts."
    )
}

/// The main table's cell of an arm in a domain.
fn cell(comparison: &Comparison, arm: &str, domain: &str) -> Vec<CellLine> {
    let [facts, repeats, responding] =
        [MeasureName::Facts, MeasureName::Repeats, MeasureName::Responding]
            .map(|measure| find(comparison, arm, domain, measure).map_or(0.0, |row| row.mean));
    let distinct = facts - repeats;
    // Precision is easily bought by saying less, so it is never shown alone.
    let beside = CellLine::plain(format!("{distinct:.1} facts, {:.0} %", 100.0 * responding));
    match find(comparison, arm, domain, MeasureName::Precision) {
        Some(row) => [CellLine::plain(format!("{:.1}", 100.0 * row.mean))]
            .into_iter()
            .chain(difference(row))
            .chain([beside])
            .collect(),
        None => vec![CellLine::plain("–"), beside],
    }
}

/// A p-value with three decimals.
pub(super) fn short(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A difference in points with its interval, marked if that excludes zero.
fn difference(row: &ComparisonRow) -> Option<CellLine> {
    let difference = 100.0 * row.difference?;
    let Some((low, high)) = row.difference_low.zip(row.difference_high) else {
        return Some(CellLine::plain(format!("{difference:+.1} –")));
    };
    let text = format!("{difference:+.1} [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high);
    Some(CellLine { text, marked: low > 0.0 || high < 0.0 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evaluation::{Average, ComparedArm, ScoreSettings};

    fn row(
        arm: &str,
        domain: &str,
        measure: MeasureName,
        mean: f64,
        difference: Option<[f64; 3]>,
    ) -> ComparisonRow {
        ComparisonRow {
            arm: arm.to_owned(),
            baseline: difference.map(|_| "preferences=general".to_owned()),
            domain: domain.to_owned(),
            measure,
            arms: 2,
            seeds: 1,
            answers: 1,
            mean,
            low: Some(mean),
            high: Some(mean),
            difference: difference.map(|[difference, _, _]| difference),
            difference_low: difference.map(|[_, low, _]| low),
            difference_high: difference.map(|[_, _, high]| high),
            p: Some(0.01),
            p_holm: Some(0.02),
        }
    }

    /// Arms of these names; the first has precision .5, each further one a tenth more.
    pub(crate) fn comparison(names: &[&str]) -> Comparison {
        let arm = |name: &&str| ComparedArm {
            name: (*name).to_owned(),
            stage: Cell::parse(name).stage,
            cell: Cell::parse(name).values_by_name(),
            seeds: vec!["0".to_owned()],
            baseline: (*name != names[0]).then(|| names[0].to_owned()),
        };
        let mut rows = Vec::new();
        for (index, name) in names.iter().enumerate() {
            for domain in ["people", "elements", OUT_OF_DOMAIN, ALL_DOMAINS] {
                let rise = index as f64 / 10.0;
                let difference = (index > 0).then_some([rise, rise - 0.15, rise + 0.15]);
                rows.push(row(name, domain, MeasureName::Precision, 0.5 + rise, difference));
                rows.push(row(name, domain, MeasureName::Facts, 5.0, None));
                rows.push(row(name, domain, MeasureName::Repeats, 1.0, None));
                rows.push(row(name, domain, MeasureName::Responding, 0.9, None));
            }
        }
        Comparison {
            settings: ScoreSettings { gamma: 10.0, k: 4, irrelevant_is_wrong: false },
            in_domain: Some("people".to_owned()),
            baseline: Some(names[0].to_owned()),
            arms: names.iter().map(arm).collect(),
            rows,
            average: Some(Average {
                axis: "preferences".to_owned(),
                from: vec!["general".to_owned()],
            }),
            averages: vec![row(
                "preferences=mixed",
                "people",
                MeasureName::Precision,
                0.6,
                Some([0.1, 0.05, 0.15]),
            )],
            warnings: Vec::new(),
            cautions: Vec::new(),
        }
    }

    fn words(table: &TextTable) -> String {
        let line = |line: &CellLine| format!("{}{}", line.text, if line.marked { "*" } else { "" });
        let cell = |cell: &Vec<CellLine>| cell.iter().map(line).collect::<Vec<_>>().join("; ");
        let rows =
            table.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" | "));
        [table.head.join(" | ")].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_first_variable_stands_against_the_others() {
        let names = [
            "before",
            "after@algorithm=dpo,preferences=general",
            "after@algorithm=dpo,preferences=mixed",
            "after@algorithm=kto,preferences=mixed",
        ];
        let mut comparison = comparison(&names);
        comparison.rows.retain(|row| row.domain != ALL_DOMAINS);
        expect_test::expect![[r#"
             | general: people | general: out-of-domain | mixed: people | mixed: out-of-domain
            before | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 %
            dpo | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 % | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 % | 70.0; +20.0 [+5.0, +35.0]*; 4.0 facts, 90 % | 70.0; +20.0 [+5.0, +35.0]*; 4.0 facts, 90 %
            kto |  |  | 80.0; +30.0 [+15.0, +45.0]*; 4.0 facts, 90 % | 80.0; +30.0 [+15.0, +45.0]*; 4.0 facts, 90 %"#]].assert_eq(&words(&grid(&comparison)));
        let places = Places::new(&comparison);
        assert_eq!(places.beside(&comparison, names[2]), &names[1..3]);
    }

    #[test]
    fn arms_and_averages_have_a_row_each() {
        let comparison = comparison(&["before", "after@preferences=mixed"]);
        expect_test::expect![[r#"
            arm | people | out-of-domain | all-domains
            before | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 %
            after@preferences=mixed | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 % | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 % | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 %"#]].assert_eq(&words(&arms(&comparison)));
        expect_test::expect![[r#"
            preferences | people | out-of-domain | all-domains
            mixed over general (2 arms) | +10.0 [+5.0, +15.0]*; p 0.010, Holm 0.020 |  | "#]]
        .assert_eq(&words(&averages(&comparison).unwrap()));
        assert_eq!(Places::new(&comparison).beside(&comparison, "before").len(), 2);
    }
}
