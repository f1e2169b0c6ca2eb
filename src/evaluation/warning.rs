//! Suspect gains: arms that become more precise by saying less, by repeating themselves, or by
//! refusing.

use crate::rows::MeasureName;

use super::comparison::{ComparisonRow, SuspectGain, Warning};

const SUSPECT_GAINS: [SuspectGain; 3] =
    [SuspectGain::SaysLess, SuspectGain::Repeats, SuspectGain::Refuses];

/// Warnings on rows whose precision rises with an interval above zero: facts per response, or
/// responses with facts, fall by more than `tolerance` times the baseline's, or repeats rise and
/// deduplicated precision does not.
pub(super) fn warnings(rows: &[ComparisonRow], tolerance: f64) -> Vec<Warning> {
    let wins = rows.iter().filter(|row| {
        row.measure == MeasureName::Precision && row.difference_low.is_some_and(|low| low > 0.0)
    });
    let mut warnings: Vec<Warning> = Vec::new();
    for win in wins {
        // Only certain gains: what may be chance needs no second warning.
        let beside = Beside { rows, win, tolerance };
        for way in SUSPECT_GAINS {
            if let Some(figures) = beside.evidence(way) {
                add(&mut warnings, win, way, &figures);
            }
        }
    }
    warnings.iter_mut().for_each(|warning| warning.text.push(')'));
    warnings
}

/// Adds the figures of one domain to the warning on the same arm, or begins one.
fn add(warnings: &mut Vec<Warning>, win: &ComparisonRow, way: SuspectGain, figures: &str) {
    let ComparisonRow { arm, domain, .. } = win;
    let baseline = win.baseline.as_deref().unwrap_or_default();
    // One warning per arm and caveat, with all domains, instead of one for each row.
    let known = warnings
        .iter_mut()
        .find(|warning| (&*warning.arm, &*warning.baseline, warning.way) == (arm, baseline, way));
    if let Some(warning) = known {
        warning.domains.push(domain.clone());
        warning.text = format!("{}; {domain}: {figures}", warning.text);
    } else {
        warnings.push(Warning {
            arm: arm.clone(),
            baseline: baseline.to_owned(),
            way,
            domains: vec![domain.clone()],
            text: format!(
                "{arm} is more precise than {baseline} by {} ({domain}: {figures}",
                way.words()
            ),
        });
    }
}

impl SuspectGain {
    /// How the precision was gained, after "by".
    pub fn words(self) -> &'static str {
        match self {
            Self::SaysLess => "saying less",
            Self::Repeats => "repeating itself",
            Self::Refuses => "refusing",
        }
    }
}

/// The other measures of the arm and domain that gained.
struct Beside<'a> {
    rows: &'a [ComparisonRow],
    win: &'a ComparisonRow,
    tolerance: f64,
}

impl Beside<'_> {
    fn find(&self, measure: MeasureName) -> Option<&ComparisonRow> {
        let win = self.win;
        self.rows.iter().find(|row| {
            (&row.arm, &row.baseline, &row.domain) == (&win.arm, &win.baseline, &win.domain)
                && row.measure == measure
        })
    }

    /// The mean of a measure, and that of the baseline.
    fn change(&self, measure: MeasureName) -> Option<(f64, f64)> {
        let row = self.find(measure)?;
        Some((row.mean, row.mean - row.difference?))
    }

    /// The same, if the measure fell by more than is tolerated.
    fn fall(&self, measure: MeasureName) -> Option<(f64, f64)> {
        self.change(measure).filter(|(mean, before)| *mean < (1.0 - self.tolerance) * before)
    }

    /// Whether a measure rose for certain; none without an interval.
    fn rose(&self, measure: MeasureName) -> Option<bool> {
        self.find(measure)?.difference_low.map(|low| low > 0.0)
    }

    /// The figures that show a caveat; none where it does not apply.
    fn evidence(&self, way: SuspectGain) -> Option<String> {
        match way {
            SuspectGain::SaysLess => {
                let (mean, before) = self.fall(MeasureName::Facts)?;
                Some(format!("{mean:.2} facts per response instead of {before:.2}"))
            }
            SuspectGain::Refuses => {
                let (mean, before) = self.fall(MeasureName::Responding)?;
                Some(format!(
                    "{:.1} % of the responses state facts instead of {:.1} %",
                    100.0 * mean,
                    100.0 * before
                ))
            }
            // Repeats are counted as facts by precision, but not by deduplicated precision.
            SuspectGain::Repeats => {
                let (mean, before) = self.change(MeasureName::Repeats)?;
                let suspect =
                    self.rose(MeasureName::Repeats)? && !self.rose(MeasureName::Deduplicated)?;
                suspect.then(|| {
                    format!(
                        "{mean:.2} repeats per response instead of {before:.2}, and no gain with \
                        each fact counted once"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(domain: &str, measure: MeasureName, mean: f64, difference: f64) -> ComparisonRow {
        ComparisonRow {
            arm: "after".to_owned(),
            baseline: Some("before".to_owned()),
            domain: domain.to_owned(),
            measure,
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
    fn winner(
        domain: &str,
        precision: f64,
        beside: &[(MeasureName, f64, f64)],
    ) -> Vec<ComparisonRow> {
        let mut rows = vec![row(domain, MeasureName::Precision, 0.7, precision)];
        rows.extend(
            beside
                .iter()
                .map(|(measure, mean, difference)| row(domain, *measure, *mean, *difference)),
        );
        rows
    }

    fn ways(rows: &[ComparisonRow], tolerance: f64) -> Vec<SuspectGain> {
        warnings(rows, tolerance).iter().map(|warning| warning.way).collect()
    }

    #[test]
    fn saying_less_and_refusing_are_falls_by_more_than_the_tolerance() {
        for (measure, way) in [
            (MeasureName::Facts, SuspectGain::SaysLess),
            (MeasureName::Responding, SuspectGain::Refuses),
        ] {
            let falls = winner("people", 0.2, &[(measure, 0.8, -0.2)]);
            assert_eq!(ways(&falls, 0.1), [way]);
            assert_eq!(ways(&falls, 0.25), []);
            assert_eq!(ways(&winner("people", 0.2, &[(measure, 0.8, 0.2)]), 0.1), []);
            assert_eq!(
                ways(&winner("people", 0.005, &[(measure, 0.8, -0.2)]), 0.1),
                [],
                "no win, no warning"
            );
        }
    }

    #[test]
    fn repeating_matters_where_deduplicated_precision_does_not_rise() {
        let repeats = |repeats, deduplicated| {
            winner(
                "people",
                0.2,
                &[
                    (MeasureName::Repeats, 2.0, repeats),
                    (MeasureName::Deduplicated, 0.6, deduplicated),
                ],
            )
        };
        assert_eq!(ways(&repeats(1.0, 0.0), 0.1), [SuspectGain::Repeats]);
        assert_eq!(ways(&repeats(1.0, 0.1), 0.1), []);
        assert_eq!(ways(&repeats(0.0, 0.0), 0.1), []);
    }

    #[test]
    fn domains_share_a_warning() {
        let mut rows = winner(
            "people",
            0.2,
            &[(MeasureName::Facts, 3.0, -2.0), (MeasureName::Responding, 0.99, 0.0)],
        );
        rows.extend(winner("elements", 0.2, &[(MeasureName::Facts, 4.0, -1.0)]));
        let warnings = warnings(&rows, 0.1);
        assert_eq!((warnings.len(), warnings[0].domains.len()), (1, 2));
        assert_eq!(
            warnings[0].text,
            "after is more precise than before by saying less (people: 3.00 facts per response \
            instead of 5.00; elements: 4.00 facts per response instead of 5.00)"
        );
    }
}
