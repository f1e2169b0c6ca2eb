//! What a diagnosis of under-alignment and over-alignment is made of (Sun et al. 2024, arXiv
//! 2406.12416).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rows::{Cell, ProbedFact, ShiftMeasureName, ShiftedAnswer};

use super::interval::Estimate;

/// The shift of one cell of a recipe.
#[derive(Clone, Debug)]
pub struct ShiftCell {
    /// The cell.
    pub cell: Cell,
    /// The in-domain domain.
    pub in_domain: Option<String>,
    /// Its `tokens.jsonl`.
    pub answers: Vec<ShiftedAnswer>,
}

/// The rule behind verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Measure of shift: `kl` or `moved`.
    #[serde(rename = "by")]
    pub shift_measure: ShiftMeasureName,
    /// Share of the in-domain shift below which another domain counts as barely shifted.
    #[serde(rename = "little")]
    pub shift_threshold: f64,
}

/// Content of `diagnosis.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The in-domain domain.
    pub in_domain: String,
    /// The rule behind verdicts.
    pub rule: Rule,
    /// The arms, in the order of the recipe.
    pub arms: Vec<ArmDiagnosis>,
    /// Changes of single facts, with probes.
    pub facts: Vec<Learnt>,
}

/// One arm: the cells that differ only in the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmDiagnosis {
    /// Its name among the shifts.
    pub name: String,
    /// Its name in the comparison.
    pub scores: String,
    /// Number of seeds.
    pub seeds: usize,
    /// Each domain, then "out-of-domain", the mean over all except the in-domain one.
    pub domains: Vec<DomainDiagnosis>,
}

/// One arm in one domain, or in several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainDiagnosis {
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// Tokens, over all seeds.
    pub tokens: usize,
    /// Each measure of [`SHIFT_MEASURES`] by name.
    pub shift: BTreeMap<ShiftMeasureName, Estimate>,
    /// Difference of precision from the comparison's baseline, if any.
    pub change: Option<Estimate>,
    /// Result for an out-of-domain set; none for the in-domain domain.
    pub away: Option<Away>,
}

/// Result for an out-of-domain set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Away {
    /// Its shift compared with the in-domain one.
    pub matched: Matched,
    /// The verdict.
    pub verdict: DomainVerdict,
    /// The figures behind it, as a sentence.
    pub reason: String,
}

/// In-domain and out-of-domain shift at matched positions: only positions count that responses of
/// all these domains reach. The tokens at a position have the same total weight in each domain, the
/// least number of them per response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// Number of shared positions, in the seed with the fewest.
    pub positions: usize,
    /// Each measure in-domain.
    pub in_domain: BTreeMap<ShiftMeasureName, Estimate>,
    /// Each measure in this set.
    pub here: BTreeMap<ShiftMeasureName, Estimate>,
    /// In-domain minus this set.
    pub difference: BTreeMap<ShiftMeasureName, Estimate>,
    /// This set as a share of in-domain, without measures that are 0 in-domain. Intervals come from
    /// the linearisation.
    pub ratio: BTreeMap<ShiftMeasureName, Estimate>,
}

/// Verdict on an out-of-domain set. It shifts little if the ratio of its shift to the in-domain
/// one, at matched positions, has a 95 % interval below [`Rule::shift_threshold`], and shifts if
/// the interval is above it. It improves if the interval of its difference of precision is above
/// zero, and gets worse if it is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainVerdict {
    /// Shifts little and does not improve.
    UnderAligned,
    /// Shifts and gets worse.
    OverAligned,
    /// Shifts and improves.
    Reached,
    /// Shifts little and improves.
    ImprovesWithoutShift,
    /// Shifts, and neither improves nor gets worse.
    ShiftsWithoutGain,
    /// The interval of the ratio contains the threshold, or a figure or its interval is missing.
    Undecided,
}

/// A row of `diagnosis.csv`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosisRow {
    /// The arm.
    pub arm: String,
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// A measure of shift, followed by "matched here", "matched in-domain", "difference" or "ratio"
    /// for matched positions; or "precision change", "learnt" or "lost".
    pub quantity: String,
    /// The mean.
    pub mean: f64,
    /// Lower end of its 95 % interval; none if a domain has one topic.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Verdict on the set, if any.
    pub verdict: Option<DomainVerdict>,
}

/// Result of one probe.
#[derive(Clone, Debug)]
pub struct ProbeCell {
    /// The cell.
    pub cell: Cell,
    /// Its `probe.jsonl`.
    pub facts: Vec<ProbedFact>,
}

/// Changes of one domain's facts in one arm; a fact is right if at least half of the responses are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// The arm of the probes after tuning.
    pub arm: String,
    /// The domain, or "out-of-domain".
    pub domain: String,
    /// Seeds.
    pub seeds: usize,
    /// Facts, over all seeds, that were wrong before although potentially known.
    pub wrong_before: usize,
    /// Share of these that are right after; none without facts.
    pub learnt: Option<Estimate>,
    /// Facts, over all seeds, that were right before.
    pub right_before: usize,
    /// Share of these that are wrong after; none without facts.
    pub lost: Option<Estimate>,
}

impl Diagnosis {
    /// The rows of `diagnosis.csv`.
    pub fn rows(&self) -> Vec<DiagnosisRow> {
        let mut rows = Vec::new();
        for arm in &self.arms {
            for found in &arm.domains {
                for (quantity, Estimate { mean, low, high }) in found.figures() {
                    rows.push(DiagnosisRow {
                        arm: arm.name.clone(),
                        domain: found.domain.clone(),
                        quantity,
                        mean,
                        low,
                        high,
                        verdict: found.away.as_ref().map(|away| away.verdict),
                    });
                }
            }
        }
        for facts in &self.facts {
            for (quantity, estimate) in [("learnt", facts.learnt), ("lost", facts.lost)] {
                let row = estimate.map(|Estimate { mean, low, high }| DiagnosisRow {
                    arm: facts.arm.clone(),
                    domain: facts.domain.clone(),
                    quantity: quantity.to_owned(),
                    mean,
                    low,
                    high,
                    verdict: None,
                });
                rows.extend(row);
            }
        }
        rows
    }
}

impl DomainDiagnosis {
    /// All its figures with their names.
    fn figures(&self) -> Vec<(String, Estimate)> {
        let mut figures: Vec<(String, Estimate)> =
            self.shift.iter().map(|(measure, found)| (measure.to_string(), *found)).collect();
        figures.extend(self.change.map(|change| ("precision change".to_owned(), change)));
        if let Some(Away { matched, .. }) = &self.away {
            // Matched figures follow the plain ones, in the order in which they are derived.
            let kinds = [
                ("matched here", &matched.here),
                ("matched in-domain", &matched.in_domain),
                ("difference", &matched.difference),
                ("ratio", &matched.ratio),
            ];
            for (kind, values) in kinds {
                let named =
                    values.iter().map(|(measure, found)| (format!("{measure} {kind}"), *found));
                figures.extend(named);
            }
        }
        figures
    }
}

impl DomainVerdict {
    /// The verdict in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::UnderAligned => "under-aligned",
            Self::OverAligned => "over-aligned",
            Self::Reached => "reached",
            Self::ImprovesWithoutShift => "improves without much shift",
            Self::ShiftsWithoutGain => "shifts without gain",
            Self::Undecided => "undecided",
        }
    }
}
