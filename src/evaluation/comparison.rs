//! What a comparison of arms is made of, and what it finds.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::rows::{Cell, MeasureName};

use super::{AnswerScore, ScoreSettings, Scores};

/// The scores of one cell of a recipe.
#[derive(Clone, Debug)]
pub struct ScoredCell {
    /// The cell.
    pub cell: Cell,
    /// Its `scores.json`.
    pub scores: Scores,
    /// Its `responses.csv`.
    pub answers: Vec<AnswerScore>,
}

/// Parameters of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The baseline: a stage or an arm.
    pub baseline: Option<String>,
    /// The values of a variable that are compared over all arms.
    pub average: Option<Average>,
    /// Share by which facts, or responses with facts, may fall before a gain in precision causes a
    /// warning.
    pub tolerance: f64,
}

/// The values that are compared over all arms that agree in all other variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Average {
    /// The matrix variable.
    pub axis: String,
    /// The baseline values; each is itself compared with those before it.
    pub from: Vec<String>,
    /// The contrasts that are asked for in advance; the first one is primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contrasts: Vec<NamedContrast>,
}

/// Two values whose difference is asked for: `general+atomic over general`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedContrast {
    /// The value of interest.
    pub arm: String,
    /// The value that it is compared with.
    pub baseline: String,
}

impl NamedContrast {
    /// Parses `VALUE over BASELINE`.
    pub fn parse(text: &str) -> Option<Self> {
        let (arm, baseline) = text.split_once(" over ")?;
        Some(Self { arm: arm.trim().to_owned(), baseline: baseline.trim().to_owned() })
    }
}

impl fmt::Display for NamedContrast {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} over {}", self.arm, self.baseline)
    }
}

impl Average {
    /// The baseline values that a value is compared with: all, or those before it if it is one.
    pub(super) fn before(&self, value: &str) -> impl Iterator<Item = &str> {
        self.from.iter().map(String::as_str).take_while(move |other| *other != value)
    }
}

/// Content of `comparison.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Parameters of the measures.
    pub settings: ScoreSettings,
    /// The in-domain domain, if given.
    pub in_domain: Option<String>,
    /// The baseline, if given.
    pub baseline: Option<String>,
    /// The arms, in the order of the recipe.
    pub arms: Vec<ComparedArm>,
    /// A row for each arm, domain (with "out-of-domain", the mean over all domains except the
    /// in-domain one, and "all-domains", the mean over all) and measure, in this order.
    /// `comparison.csv` has the same rows, and then those of the averages.
    pub rows: Vec<ComparisonRow>,
    /// The variable and values of the averages, if given.
    pub average: Option<Average>,
    /// The same rows for each value of that variable and each baseline value.
    pub averages: Vec<ComparisonRow>,
    /// Suspect gains in precision.
    pub warnings: Vec<Warning>,
    /// Warnings: missing intervals, seeds, prompts or cells, counted.
    // Comparisons of earlier versions have none.
    #[serde(default)]
    pub cautions: Vec<String>,
}

/// One arm: the cells that differ only in the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedArm {
    /// Name of its cells without the seed.
    pub name: String,
    /// The recipe's stage.
    pub stage: String,
    /// Its matrix values.
    pub cell: BTreeMap<String, String>,
    /// The seeds, in the order of the recipe; empty for a stage without seeds.
    pub seeds: Vec<String>,
    /// The arm that it is compared with; none for the baseline itself.
    pub baseline: Option<String>,
}

/// One measure of one arm in one domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// The arm's name; for averages the variable and its value.
    pub arm: String,
    /// The baseline of the differences.
    pub baseline: Option<String>,
    /// The domain, "out-of-domain" or "all-domains".
    pub domain: String,
    /// The measure.
    pub measure: MeasureName,
    /// Number of averaged arms; 1 for a single arm.
    pub arms: usize,
    /// Number of seeds with counted responses; the fewest of any arm and domain in it.
    pub seeds: usize,
    /// Number of responses over all seeds.
    pub answers: usize,
    /// The mean over responses, then seeds, then domains, then arms.
    pub mean: f64,
    /// Lower end of its 95 % interval over seeds and topics; over topics alone with one seed, which
    /// does not generalise to other seeds. None for a single topic.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Mean difference from the baseline of the same seed on the same prompts (those on which both
    /// count).
    pub difference: Option<f64>,
    /// Lower end of its 95 % interval over seeds and topics; none for a single topic, or for a
    /// constant difference other than 0.
    pub difference_low: Option<f64>,
    /// Upper end.
    pub difference_high: Option<f64>,
    /// Two-sided p-value of the difference by the Student's t of the interval: below .05 exactly if
    /// the interval excludes 0.
    pub p: Option<f64>,
    /// p-value corrected for the rows of the same domain and measure (Holm 1979).
    pub p_holm: Option<f64>,
}

/// What accompanies a gain in precision that may not be an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectGain {
    /// Responses state fewer facts.
    SaysLess,
    /// Responses repeat themselves, and deduplicated precision does not rise.
    Repeats,
    /// Fewer responses state facts at all.
    Refuses,
}

/// A gain in precision with a caveat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// The arm, or the average.
    pub arm: String,
    /// The baseline.
    pub baseline: String,
    /// The caveat.
    pub way: SuspectGain,
    /// The domains, and means over domains, concerned.
    pub domains: Vec<String>,
    /// The warning for users.
    pub text: String,
}
