//! Tables of words, and the tables of a comparison: arms by domain, the first variable against the others, and averages.

use crate::evaluation::{Comparison, ComparisonRow, Label};

/// A table that a terminal, a file or a page can show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What it says, in a sentence or two.
    pub about: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// By row and column the lines that stand there.
    pub rows: Vec<Vec<Vec<Line>>>,
}

/// A line of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its words.
    pub text: String,
    /// Whether it is a difference whose interval excludes zero.
    pub marked: bool,
}

impl Line {
    /// A line without a mark.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), marked: false }
    }
}

/// The domains and means over domains that stand in the main table: home, away and all; all domains where none is home.
pub(super) fn headlines(comparison: &Comparison) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in &comparison.rows {
        if !names.contains(&row.domain.as_str()) {
            names.push(&row.domain);
        }
    }
    if let Some(home) = comparison.in_domain.as_deref() {
        let means = ["out-of-domain", "all-domains"];
        names.retain(|name| *name == home || means.contains(name));
    }
    names
}

/// Precision of each arm, at home, away and on all domains, with what could have bought it.
pub fn arms(comparison: &Comparison) -> Table {
    let domains = headlines(comparison);
    let row = |arm: &str| {
        let cells = domains.iter().map(|domain| cell(comparison, arm, domain));
        [vec![Line::plain(arm)]].into_iter().chain(cells).collect()
    };
    Table {
        about: about(comparison),
        head: ["arm"].into_iter().chain(domains.iter().copied()).map(str::to_owned).collect(),
        rows: comparison.arms.iter().map(|arm| row(&arm.name)).collect(),
    }
}

/// The place of an arm in the main table: its row by stage and first variable that is not compared by averages, its column by
/// the other variables.
pub(super) struct Places {
    rows: Vec<String>,
    columns: Vec<String>,
    /// By arm.
    of: Vec<(String, String)>,
}

impl Places {
    /// Looks at the names of all arms.
    pub(super) fn new(comparison: &Comparison) -> Self {
        let labels: Vec<Label> = comparison.arms.iter().map(|arm| Label::parse(&arm.name)).collect();
        let mut axes = labels.iter().flat_map(|label| label.coordinates.iter().map(|(axis, _)| axis));
        // What is averaged over, the algorithm, say, has the rows; what is compared, the preferences, the columns.
        let compared = comparison.average.as_ref().map(|average| &average.axis);
        let first = axes.clone().find(|axis| Some(*axis) != compared).or_else(|| axes.next()).cloned();
        let mut stages: Vec<&str> =
            labels.iter().filter(|label| !label.coordinates.is_empty()).map(|label| label.stage.as_str()).collect();
        stages.dedup();
        let place = |label: &Label| {
            let value = first.as_deref().and_then(|axis| label.value(axis));
            let row = match value {
                Some(value) if stages.len() == 1 => value.to_owned(),
                Some(value) => format!("{} {value}", label.stage),
                None => label.stage.clone(),
            };
            let others = label.coordinates.iter().filter(|(axis, _)| Some(axis) != first.as_ref());
            (row, others.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "))
        };
        let of: Vec<(String, String)> = labels.iter().map(place).collect();
        let distinct = |names: Vec<&String>| {
            let mut kept: Vec<String> = Vec::new();
            for name in names {
                if !kept.contains(name) {
                    kept.push(name.clone());
                }
            }
            kept
        };
        let mut columns = distinct(of.iter().map(|(_, column)| column).collect());
        if columns.len() > 1 {
            columns.retain(|column| !column.is_empty());
        }
        Self { rows: distinct(of.iter().map(|(row, _)| row).collect()), columns, of }
    }

    /// The arm at a place; an arm that has no other variable stands in every column of its row.
    fn arm<'a>(&self, comparison: &'a Comparison, row: &str, column: &str) -> Option<&'a str> {
        let here = |place: &(String, String)| place.0 == row && (place.1 == column || place.1.is_empty());
        self.of.iter().position(here).map(|index| comparison.arms[index].name.as_str())
    }

    /// The arms in the row of this one; all arms where rows have one each.
    pub(super) fn beside<'a>(&self, comparison: &'a Comparison, arm: &str) -> Vec<&'a str> {
        let row = comparison.arms.iter().position(|other| other.name == arm).map(|index| &self.of[index].0);
        let names = comparison.arms.iter().zip(&self.of);
        names
            .filter(|(_, (other, _))| self.columns.len() < 2 || Some(other) == row)
            .map(|(arm, _)| arm.name.as_str())
            .collect()
    }
}

/// The main table: a row for each value of the first variable (or stage), a column for each of the others and each of home,
/// away and all domains.
pub fn grid(comparison: &Comparison) -> Table {
    let (places, domains) = (Places::new(comparison), headlines(comparison));
    let columns: Vec<(&str, &str)> =
        places.columns.iter().flat_map(|column| domains.iter().map(move |domain| (column.as_str(), *domain))).collect();
    let title = |(column, domain): &(&str, &str)| match *column {
        "" => (*domain).to_owned(),
        column => format!("{column}: {domain}"),
    };
    let row = |row: &String| {
        let cells = columns.iter().map(|(column, domain)| {
            places.arm(comparison, row, column).map_or_else(Vec::new, |arm| cell(comparison, arm, domain))
        });
        [vec![Line::plain(row.as_str())]].into_iter().chain(cells).collect()
    };
    Table {
        about: about(comparison),
        head: [String::new()].into_iter().chain(columns.iter().map(title)).collect(),
        rows: places.rows.iter().map(row).collect(),
    }
}

/// The average over arms of one value of a variable beside another; none where a comparison has no average.
pub fn averages(comparison: &Comparison) -> Option<Table> {
    let average = comparison.average.as_ref()?;
    let domains = headlines(comparison);
    let mut contrasts: Vec<(&str, &str, usize)> = Vec::new();
    for row in &comparison.averages {
        let contrast = (row.arm.as_str(), row.baseline.as_deref().unwrap_or_default(), row.arms);
        if !contrasts.contains(&contrast) {
            contrasts.push(contrast);
        }
    }
    let cell = |(arm, baseline, _): &(&str, &str, usize), domain: &str| {
        let row = comparison.averages.iter().find(|row| {
            (row.arm.as_str(), row.baseline.as_deref()) == (*arm, Some(*baseline))
                && row.domain == domain
                && row.measure == "precision"
        });
        let Some(row) = row else { return Vec::new() };
        let p = row.p.zip(row.p_holm).map(|(p, holm)| Line::plain(format!("p {}, Holm {}", short(p), short(holm))));
        difference(row).into_iter().chain(p).collect()
    };
    let row = |contrast: &(&str, &str, usize)| {
        let value = |name: &str| name.split_once('=').map_or(name, |(_, value)| value).to_owned();
        let arms = if contrast.2 == 1 { String::new() } else { format!(" ({} arms)", contrast.2) };
        let name = format!("{} over {}{arms}", value(contrast.0), value(contrast.1));
        [vec![Line::plain(name)]].into_iter().chain(domains.iter().map(|domain| cell(contrast, domain))).collect()
    };
    Some(Table {
        about: format!(
            "Differences of precision between values of {}, in points, averaged over all arms that differ in nothing else.",
            average.axis
        ),
        head: [average.axis.as_str()].into_iter().chain(domains.iter().copied()).map(str::to_owned).collect(),
        rows: contrasts.iter().map(row).collect(),
    })
}

fn about(comparison: &Comparison) -> String {
    let seeds = comparison.arms.iter().map(|arm| arm.seeds.len().max(1)).max().unwrap_or(0);
    let over = match seeds {
        1 => "1 seed, whose intervals are over topics alone and say nothing of other seeds".to_owned(),
        seeds => format!("{seeds} seeds"),
    };
    let baseline = comparison.baseline.as_ref().map_or_else(String::new, |baseline| {
        format!(
            " Below it the difference from {baseline} on the same prompts, in points with its 95 % interval, marked where that excludes zero."
        )
    });
    format!(
        "Precision in per cent over {over}.{baseline} Then facts an answer, repeats left out, and the share of answers that state any."
    )
}

/// What the main table says of an arm in a domain.
fn cell(comparison: &Comparison, arm: &str, domain: &str) -> Vec<Line> {
    let find = |measure: &str| {
        comparison.rows.iter().find(|row| row.arm == arm && row.domain == domain && row.measure == measure)
    };
    let mean = |measure: &str| find(measure).map_or(0.0, |row| row.mean);
    let distinct = mean("facts") - mean("repeats");
    let beside = Line::plain(format!("{distinct:.1} facts, {:.0} %", 100.0 * mean("responding")));
    match find("precision") {
        Some(row) => [Line::plain(format!("{:.1}", 100.0 * row.mean))]
            .into_iter()
            .chain(difference(row))
            .chain([beside])
            .collect(),
        None => vec![Line::plain("–"), beside],
    }
}

/// A p-value to three places.
pub(super) fn short(p: f64) -> String {
    if p < 0.0005 { "< 0.001".to_owned() } else { format!("{p:.3}") }
}

/// A difference in points with its interval, marked where that excludes zero.
fn difference(row: &ComparisonRow) -> Option<Line> {
    let difference = 100.0 * row.difference?;
    let Some((low, high)) = row.difference_low.zip(row.difference_high) else {
        return Some(Line::plain(format!("{difference:+.1} –")));
    };
    let text = format!("{difference:+.1} [{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high);
    Some(Line { text, marked: low > 0.0 || high < 0.0 })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::evaluation::{Arm, Average, Settings};

    fn row(arm: &str, domain: &str, measure: &str, mean: f64, difference: Option<[f64; 3]>) -> ComparisonRow {
        ComparisonRow {
            arm: arm.to_owned(),
            baseline: difference.map(|_| "preferences=general".to_owned()),
            domain: domain.to_owned(),
            measure: measure.to_owned(),
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

    /// Arms of these names; each the first's precision, .5, plus a tenth for each that stands before it.
    pub(crate) fn comparison(names: &[&str]) -> Comparison {
        let arm = |name: &&str| Arm {
            name: (*name).to_owned(),
            stage: Label::parse(name).stage,
            cell: Label::parse(name).coordinates.into_iter().collect(),
            seeds: vec!["0".to_owned()],
            baseline: (*name != names[0]).then(|| names[0].to_owned()),
        };
        let mut rows = Vec::new();
        for (index, name) in names.iter().enumerate() {
            for domain in ["people", "elements", "out-of-domain", "all-domains"] {
                let rise = index as f64 / 10.0;
                let difference = (index > 0).then_some([rise, rise - 0.15, rise + 0.15]);
                rows.push(row(name, domain, "precision", 0.5 + rise, difference));
                rows.push(row(name, domain, "facts", 5.0, None));
                rows.push(row(name, domain, "repeats", 1.0, None));
                rows.push(row(name, domain, "responding", 0.9, None));
            }
        }
        Comparison {
            settings: Settings { gamma: 10.0, k: 4 },
            in_domain: Some("people".to_owned()),
            baseline: Some(names[0].to_owned()),
            arms: names.iter().map(arm).collect(),
            rows,
            average: Some(Average { axis: "preferences".to_owned(), from: vec!["general".to_owned()] }),
            averages: vec![row("preferences=mixed", "people", "precision", 0.6, Some([0.1, 0.05, 0.15]))],
            warnings: Vec::new(),
            cautions: Vec::new(),
        }
    }

    fn words(table: &Table) -> String {
        let line = |line: &Line| format!("{}{}", line.text, if line.marked { "*" } else { "" });
        let cell = |cell: &Vec<Line>| cell.iter().map(line).collect::<Vec<_>>().join("; ");
        let rows = table.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" | "));
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
        comparison.rows.retain(|row| row.domain != "all-domains");
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
