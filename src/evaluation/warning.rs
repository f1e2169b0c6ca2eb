//! Wins that are none: arms that become more precise by saying less, by repeating themselves, or by refusing.

use serde::{Deserialize, Serialize};

use super::ComparisonRow;

/// How a win in precision was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Answers state fewer facts.
    SaysLess,
    /// Answers repeat themselves, and are no more precise with each fact counted once.
    Repeats,
    /// Fewer answers state facts at all.
    Refuses,
}

/// An arm whose precision rose in a way that one should know of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// The arm, or what is averaged.
    pub arm: String,
    /// What it is compared with.
    pub baseline: String,
    /// The way.
    pub way: Way,
    /// The domains and means over domains in which it is so.
    pub domains: Vec<String>,
    /// The sentence for people.
    pub text: String,
}

const WAYS: [Way; 3] = [Way::SaysLess, Way::Repeats, Way::Refuses];

/// The warnings on rows whose precision rises by an interval above zero: facts an answer, or answers with facts, fall by
/// more than the share `tolerance` of the baseline's, or repeats rise and deduplicated precision does not.
pub(super) fn warnings(rows: &[ComparisonRow], tolerance: f64) -> Vec<Warning> {
    let wins = rows.iter().filter(|row| row.measure == "precision" && row.difference_low.is_some_and(|low| low > 0.0));
    let mut warnings: Vec<Warning> = Vec::new();
    for win in wins {
        let of = |measure: &str| {
            let same = |row: &&ComparisonRow| {
                (&row.arm, &row.baseline, &row.domain) == (&win.arm, &win.baseline, &win.domain)
                    && row.measure == measure
            };
            rows.iter().find(same)
        };
        for (way, figures) in WAYS.into_iter().filter_map(|way| Some((way, way.bought(of, tolerance)?))) {
            let baseline = win.baseline.clone().unwrap_or_default();
            let figures = format!("{}: {figures}", win.domain);
            let known =
                |warning: &&mut Warning| (&warning.arm, &warning.baseline, warning.way) == (&win.arm, &baseline, way);
            if let Some(warning) = warnings.iter_mut().find(known) {
                warning.domains.push(win.domain.clone());
                warning.text = format!("{}; {figures}", warning.text);
            } else {
                let text = format!("{} is more precise than {baseline} by {} ({figures}", win.arm, way.words());
                let domains = vec![win.domain.clone()];
                warnings.push(Warning { arm: win.arm.clone(), baseline, way, domains, text });
            }
        }
    }
    warnings.iter_mut().for_each(|warning| warning.text.push(')'));
    warnings
}

impl Way {
    fn words(self) -> &'static str {
        match self {
            Self::SaysLess => "saying less",
            Self::Repeats => "repeating itself",
            Self::Refuses => "refusing",
        }
    }

    /// The figures that show it; none where it is not so.
    fn bought<'a>(self, of: impl Fn(&str) -> Option<&'a ComparisonRow>, tolerance: f64) -> Option<String> {
        let change = |measure: &str| {
            let row = of(measure)?;
            Some((row.mean, row.mean - row.difference?))
        };
        let fell = |(mean, before): &(f64, f64)| *mean < (1.0 - tolerance) * before;
        match self {
            Self::SaysLess => change("facts")
                .filter(fell)
                .map(|(mean, before)| format!("{mean:.2} facts an answer instead of {before:.2}")),
            Self::Refuses => change("responding").filter(fell).map(|(mean, before)| {
                format!("{:.1} % of the answers state facts instead of {:.1} %", 100.0 * mean, 100.0 * before)
            }),
            Self::Repeats => {
                let rose = |measure: &str| of(measure)?.difference_low.map(|low| low > 0.0);
                let (mean, before) = change("repeats")?;
                (rose("repeats")? && !rose("deduplicated")?).then(|| {
                    format!(
                        "{mean:.2} repeats an answer instead of {before:.2}, and no gain with each fact counted once"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(domain: &str, measure: &str, mean: f64, difference: f64) -> ComparisonRow {
        ComparisonRow {
            arm: "after".to_owned(),
            baseline: Some("before".to_owned()),
            domain: domain.to_owned(),
            measure: measure.to_owned(),
            arms: 1,
            seeds: 1,
            answers: 10,
            mean,
            low: Some(mean),
            high: Some(mean),
            difference: Some(difference),
            difference_low: Some(difference - 0.01),
            difference_high: Some(difference + 0.01),
            p: None,
            p_holm: None,
        }
    }

    /// An arm whose precision rises by .2, with these measures (name, mean, difference) beside it.
    fn winner(domain: &str, precision: f64, beside: &[(&str, f64, f64)]) -> Vec<ComparisonRow> {
        let mut rows = vec![row(domain, "precision", 0.7, precision)];
        rows.extend(beside.iter().map(|(measure, mean, difference)| row(domain, measure, *mean, *difference)));
        rows
    }

    fn ways(rows: &[ComparisonRow], tolerance: f64) -> Vec<Way> {
        warnings(rows, tolerance).iter().map(|warning| warning.way).collect()
    }

    #[test]
    fn saying_less_and_refusing_are_falls_by_more_than_the_tolerance() {
        for (measure, way) in [("facts", Way::SaysLess), ("responding", Way::Refuses)] {
            let falls = winner("people", 0.2, &[(measure, 0.8, -0.2)]);
            assert_eq!(ways(&falls, 0.1), [way]);
            assert_eq!(ways(&falls, 0.25), []);
            assert_eq!(ways(&winner("people", 0.2, &[(measure, 0.8, 0.2)]), 0.1), []);
            assert_eq!(ways(&winner("people", 0.005, &[(measure, 0.8, -0.2)]), 0.1), [], "no win, no warning");
        }
    }

    #[test]
    fn repeating_matters_where_deduplicated_precision_does_not_rise() {
        let repeats = |repeats, deduplicated| {
            winner("people", 0.2, &[("repeats", 2.0, repeats), ("deduplicated", 0.6, deduplicated)])
        };
        assert_eq!(ways(&repeats(1.0, 0.0), 0.1), [Way::Repeats]);
        assert_eq!(ways(&repeats(1.0, 0.1), 0.1), []);
        assert_eq!(ways(&repeats(0.0, 0.0), 0.1), []);
    }

    #[test]
    fn domains_share_a_warning() {
        let mut rows = winner("people", 0.2, &[("facts", 3.0, -2.0), ("responding", 0.99, 0.0)]);
        rows.extend(winner("elements", 0.2, &[("facts", 4.0, -1.0)]));
        let warnings = warnings(&rows, 0.1);
        assert_eq!((warnings.len(), warnings[0].domains.len()), (1, 2));
        assert_eq!(
            warnings[0].text,
            "after is more precise than before by saying less (people: 3.00 facts an answer instead of 5.00; elements: 4.00 facts an answer instead of 5.00)"
        );
    }
}
