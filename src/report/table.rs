//! Text tables, and those of a comparison: arms by domain, and averages.

use super::{
    arm_table::{ArmEntry, ArmRow, ArmTable, headlines, interval},
    words::p_value,
};
use crate::{
    evaluation::{Comparison, ComparisonRow},
    rows::{ALL_DOMAINS, MeasureName},
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

/// Rows of the table at the end of a run, which fits a screen.
const MOST_BRIEF: usize = 24;

/// The main table: rows are arms, columns their variables and then in-domain, out-of-domain and all
/// domains, with measures that could have bought the precision.
pub fn grid(comparison: &Comparison) -> TextTable {
    let table = ArmTable::new(comparison);
    let rows = table.rows.iter().map(|row| {
        let labels = row.labels.iter().map(|label| vec![CellLine::plain(label.as_str())]);
        labels.chain(row.entries.iter().map(|entry| cell(entry.as_ref()))).collect()
    });
    TextTable {
        about: about(comparison),
        head: [table.labels.as_slice(), &table.domains].concat(),
        rows: rows.collect(),
    }
}

/// The main table with a line for each arm, at most a screen of them.
pub fn brief(comparison: &Comparison) -> TextTable {
    let mut table = ArmTable::new(comparison);
    if comparison.in_domain.is_some() {
        table = table.without_domain(ALL_DOMAINS);
    }
    let all = table.rows.len();
    table.rows = best_rows(table.rows);
    let mut about = format!(
        "Precision in %, over {}{}; then distinct facts per response ({}).",
        seeds(comparison),
        comparison.baseline.as_ref().map_or_else(String::new, |baseline| format!(
            ", difference from {baseline} in points with its 95 % interval (* excludes 0)"
        )),
        table.domains.join(", ")
    );
    if table.rows.len() < all {
        about.push_str(&format!(
            " {} of {all} arms: those with the largest differences; `apeft compare` has all.",
            table.rows.len()
        ));
    }
    let rows = table.rows.iter().map(|row| {
        let labels = row.labels.iter().map(|label| vec![CellLine::plain(label.as_str())]);
        let entries = row.entries.iter().map(|entry| vec![brief_line(entry.as_ref())]);
        let facts = row.entries.iter().map(|entry| match entry {
            Some(entry) => format!("{:.1}", entry.facts),
            None => "–".to_owned(),
        });
        let facts = vec![CellLine::plain(facts.collect::<Vec<_>>().join(" "))];
        labels.chain(entries).chain([facts]).collect()
    });
    let rows = rows.collect();
    let head = [table.labels.as_slice(), &table.domains, &["facts".to_owned()]].concat();
    TextTable { about, head, rows }
}

/// The baseline and the arms with the largest differences in the last column, in their order.
fn best_rows(mut rows: Vec<ArmRow>) -> Vec<ArmRow> {
    if rows.len() <= MOST_BRIEF {
        return rows;
    }
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by(|one, other| value(&rows[*other]).total_cmp(&value(&rows[*one])));
    let kept: Vec<usize> = places[..MOST_BRIEF].to_vec();
    let mut place = 0;
    rows.retain(|_| {
        place += 1;
        kept.contains(&(place - 1))
    });
    rows
}

/// What arms are sorted by: those without a difference, such as the baseline, come first.
fn value(row: &ArmRow) -> f64 {
    let last = row.entries.last().and_then(|entry| entry.as_ref()?.difference);
    last.unwrap_or(f64::INFINITY)
}

/// `64.5  +17.6 [+15.0, +20.1]`.
fn brief_line(entry: Option<&ArmEntry>) -> CellLine {
    let Some(entry) = entry else { return CellLine::plain("–") };
    let precision =
        entry.precision.map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    match difference(entry.difference, entry.interval) {
        Some(CellLine { text, marked }) => {
            CellLine { text: format!("{precision}  {text}"), marked }
        }
        None => CellLine::plain(precision),
    }
}

/// Lines of an arm in a domain.
fn cell(entry: Option<&ArmEntry>) -> Vec<CellLine> {
    let Some(entry) = entry else { return Vec::new() };
    // Precision is easily bought by saying less, so it is never shown alone.
    let beside = format!("{:.1} facts, {:.0} %", entry.facts, 100.0 * entry.responding);
    let precision =
        entry.precision.map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share));
    [CellLine::plain(precision)]
        .into_iter()
        .chain(difference(entry.difference, entry.interval))
        .chain([CellLine::plain(beside)])
        .collect()
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
    let p = p.map(|(p, holm)| CellLine::plain(format!("p {}, Holm {}", p_value(p), p_value(holm))));
    difference(row.difference, interval(row)).into_iter().chain(p).collect()
}

fn seeds(comparison: &Comparison) -> String {
    let seeds = comparison.arms.iter().map(|arm| arm.seeds.len().max(1)).max().unwrap_or(0);
    match seeds {
        1 => "1 seed (intervals over topics only)".to_owned(),
        seeds => format!("{seeds} seeds"),
    }
}

fn about(comparison: &Comparison) -> String {
    let baseline = comparison.baseline.as_ref().map_or_else(String::new, |baseline| {
        format!(
            " Below: difference from {baseline} on the same prompts, in points with its 95 % \
            interval, marked if that excludes zero."
        )
    });
    format!(
        "Precision in per cent over {}.{baseline} Then distinct facts per response, and the \
        share of responses with facts.",
        seeds(comparison)
    )
}

/// A difference in points with its interval, marked if that excludes zero.
fn difference(difference: Option<f64>, interval: Option<[f64; 2]>) -> Option<CellLine> {
    let difference = 100.0 * difference?;
    let Some([low, high]) = interval else {
        return Some(CellLine::plain(format!("{difference:+.1} –")));
    };
    let text = format!("{difference:+.1} [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high);
    Some(CellLine { text, marked: low > 0.0 || high < 0.0 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::arm_table::beside, *};
    use crate::{
        evaluation::{Average, ComparedArm, ScoreSettings},
        rows::{Cell, OUT_OF_DOMAIN},
    };

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
                contrasts: Vec::new(),
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
    fn arms_have_rows_and_variables_columns() {
        let names = [
            "before",
            "after@algorithm=dpo,preferences=general",
            "after@algorithm=dpo,preferences=mixed",
            "after@algorithm=kto,preferences=mixed",
        ];
        let mut comparison = comparison(&names);
        comparison.rows.retain(|row| row.domain != ALL_DOMAINS);
        expect_test::expect![[r#"
            stage | algorithm | preferences | people | out-of-domain
            before |  |  | 50.0; 4.0 facts, 90 % | 50.0; 4.0 facts, 90 %
            after | dpo | general | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 % | 60.0; +10.0 [-5.0, +25.0]; 4.0 facts, 90 %
            after | dpo | mixed | 70.0; +20.0 [+5.0, +35.0]*; 4.0 facts, 90 % | 70.0; +20.0 [+5.0, +35.0]*; 4.0 facts, 90 %
            after | kto | mixed | 80.0; +30.0 [+15.0, +45.0]*; 4.0 facts, 90 % | 80.0; +30.0 [+15.0, +45.0]*; 4.0 facts, 90 %"#]]
        .assert_eq(&words(&grid(&comparison)));
        expect_test::expect![[r#"
            stage | algorithm | preferences | people | out-of-domain | facts
            before |  |  | 50.0 | 50.0 | 4.0 4.0
            after | dpo | general | 60.0  +10.0 [-5.0, +25.0] | 60.0  +10.0 [-5.0, +25.0] | 4.0 4.0
            after | dpo | mixed | 70.0  +20.0 [+5.0, +35.0]* | 70.0  +20.0 [+5.0, +35.0]* | 4.0 4.0
            after | kto | mixed | 80.0  +30.0 [+15.0, +45.0]* | 80.0  +30.0 [+15.0, +45.0]* | 4.0 4.0"#]]
        .assert_eq(&words(&brief(&comparison)));
        assert_eq!(beside(&comparison, names[2]), &names[1..2]);
    }

    #[test]
    fn a_table_at_the_end_of_a_run_fits_a_screen() {
        let names: Vec<String> = (0..60).map(|arm| format!("after@beta={arm}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let table = brief(&comparison(&names));
        assert_eq!(table.rows.len(), MOST_BRIEF);
        // The baseline, and the last arms, which gain most.
        let shown: Vec<&str> = table.rows.iter().map(|row| row[0][0].text.as_str()).collect();
        assert_eq!((shown[0], shown[1], shown[MOST_BRIEF - 1]), ("0", "37", "59"));
        assert!(table.about.contains("24 of 60 arms"), "{}", table.about);
    }

    #[test]
    fn averages_have_a_row_each() {
        let comparison = comparison(&["before", "after@preferences=mixed"]);
        expect_test::expect![[r#"
            preferences | people | out-of-domain | all-domains
            mixed over general (2 arms) | +10.0 [+5.0, +15.0]*; p 0.010, Holm 0.020 |  | "#]]
        .assert_eq(&words(&averages(&comparison).unwrap()));
        assert_eq!(beside(&comparison, "before"), ["after@preferences=mixed"]);
    }
}
