//! Why there is no diagnosis, in words.

/// Why there is no diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiagnosisError {
    /// A shift without `in_domain`, or with another one.
    #[error("the shifts of `{0}` and `{1}` must name the same `in_domain`")]
    InDomain(String, String),
    /// `arms` names a stage without shifts.
    #[error("`arms` names `{stage}`, but the shifts are of: {known}")]
    UnknownStage {
        /// The name in the recipe.
        stage: String,
        /// The stages.
        known: String,
    },
    /// An arm without scores, or with several.
    #[error(
        "the shift `{arm}` belongs to {found} of the comparison, whose arms are {known}; name in \
        `arms` the stage that scores \
         the same model, e.g. arms = {{ shift = \"after\" }}"
    )]
    NoSingleArm {
        /// The arm.
        arm: String,
        /// What was found.
        found: String,
        /// All arms.
        known: String,
    },
    /// A probe after tuning without one before it, or with several.
    #[error("`{label}` has {} in `probes_before` with its seed and matrix values; exactly one is \
    needed",
            if found.is_empty() { "no probe".to_owned() } else { found.join(" and ") })]
    NoSingleProbe {
        /// The cell.
        label: String,
        /// What was found.
        found: Vec<String>,
    },
}
