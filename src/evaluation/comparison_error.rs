//! Why cells cannot be compared, in words.

/// Why cells cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComparisonError {
    /// No scores.
    #[error("no scores to compare")]
    Nothing,
    /// Two inputs are the same cell.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// Different parameters of measures, or different in-domain domains.
    #[error(
        "`{0}` and `{1}` were scored with different `gamma`, `k`, `irrelevant` or `in_domain`, so \
        their numbers cannot be compared"
    )]
    ScoreSettings(String, String),
    /// Unknown baseline.
    #[error("`baseline` is `{baseline}`, but the stages and arms are: {known}")]
    UnknownBaseline {
        /// The name in the recipe.
        baseline: String,
        /// The arms.
        known: String,
    },
    /// A cell without baseline, or with several.
    #[error(
        "`{label}` has {found} in `{baseline}` with the same seed and matrix values; exactly one \
        is needed"
    )]
    NoSingleBaseline {
        /// The cell.
        label: String,
        /// The baseline.
        baseline: String,
        /// The candidates.
        found: String,
    },
    /// Unknown variable.
    #[error("`average_over` is `{axis}`, but the matrix variables of the scores are: {known}")]
    UnknownAxis {
        /// The name in the recipe.
        axis: String,
        /// The variables.
        known: String,
    },
    /// Unknown value.
    #[error("`average_baselines` names `{value}`, but the values of `{axis}` are: {known}")]
    UnknownValue {
        /// The variable.
        axis: String,
        /// The value in the recipe.
        value: String,
        /// Its values.
        known: String,
    },
    /// Unknown contrast.
    #[error("`contrasts` names `{contrast}`, but those of `{axis}` are: {known}")]
    UnknownContrast {
        /// The variable.
        axis: String,
        /// The contrast in the recipe.
        contrast: String,
        /// Its contrasts.
        known: String,
    },
    /// No two cells differ in the variable alone.
    #[error("no two scores differ only in `{0}`, so there is nothing to average")]
    NothingToAverage(String),
    /// Baseline and arm have no prompt in common.
    #[error("`{0}` and its baseline `{1}` have no prompts in common")]
    OtherPrompts(String, String),
}

impl ComparisonError {
    /// The parameter that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownBaseline { .. } | Self::NoSingleBaseline { .. } => "baseline",
            Self::UnknownAxis { .. } => "average_over",
            Self::UnknownValue { .. } | Self::NothingToAverage(_) => "average_baselines",
            Self::UnknownContrast { .. } => "contrasts",
            _ => "scores",
        }
    }

    /// What is expected, in a few words.
    pub fn right(&self) -> &'static str {
        match self {
            Self::UnknownBaseline { .. } => "expected a stage of `scores`, or one of its arms",
            Self::NoSingleBaseline { .. } => {
                "expected a baseline with exactly one cell for each compared cell"
            }
            Self::UnknownAxis { .. } => "expected a matrix variable that the scores depend on",
            Self::UnknownValue { .. } => "expected values that occur in the scores",
            Self::UnknownContrast { .. } => {
                "expected a value over one of `average_baselines`; of two of these, the later one"
            }
            Self::NothingToAverage(_) => "expected a value that the scores can be compared with",
            _ => "expected other scores",
        }
    }
}
