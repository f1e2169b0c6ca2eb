//! An objective in a recipe: one algorithm or a weighted sum of several, with settings.

use super::{
    ALGORITHMS, Algorithm, Divergence, Loss, ObjectiveSettings, RewardKind, Setting,
    Setting::{Gamma, GammaOverBeta, LabelSmoothing, RpoAlpha},
};

/// The objective of a tuning run.
#[derive(Clone, Debug)]
pub struct Objective {
    /// The algorithms whose losses add up.
    pub(super) terms: Vec<Term>,
    /// The f-divergence of log-ratios.
    pub(super) divergence: Divergence,
    /// Weight of the chosen completion's negative log-likelihood per token.
    pub rpo_alpha: f64,
}

/// One algorithm in a sum.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub algorithm: &'static Algorithm,
    pub weight: f64,
    pub settings: ObjectiveSettings,
}

/// Why parameters do not form an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// No algorithm has this name.
    #[error("unknown algorithm `{0}`; known: {known}", known = known_names())]
    Unknown(String),
    /// A setting that no algorithm of the objective has.
    #[error("`{setting}` is not a parameter of the algorithm `{algorithm}`, which has {known}")]
    Foreign {
        /// Its name in a recipe.
        setting: &'static str,
        /// Name of the algorithm or sum.
        algorithm: String,
        /// The settings that it has.
        known: String,
    },
    /// A setting out of its range for the algorithm.
    #[error("`{setting}` of the algorithm `{algorithm}` must be {right}")]
    Range {
        /// Its name in a recipe.
        setting: &'static str,
        /// Name of the algorithm.
        algorithm: &'static str,
        /// The allowed range, in words.
        right: &'static str,
    },
    /// All weights are 0.
    #[error(
        "`desirable_weight` and `undesirable_weight` of the algorithm `{0}` are both 0, so that \
        its loss is empty"
    )]
    NoWeight(&'static str),
    /// Both settings of the margin are given.
    #[error("`gamma` and `gamma_over_beta` both set the margin; give one of them")]
    TwoMargins,
    /// The algorithm does not support f-divergences.
    #[error("the algorithm `{0}` supports only `f_divergence_type = \"reverse_kl\"`; other \
    divergences work with {known}", known = with_divergence())]
    Divergence(&'static str),
}

impl ObjectiveError {
    /// The setting that is wrong.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "algorithm",
            Self::Foreign { setting, .. } | Self::Range { setting, .. } => setting,
            Self::NoWeight(_) => Setting::DesirableWeight.name(),
            Self::TwoMargins => GammaOverBeta.name(),
            Self::Divergence(_) => "f_divergence_type",
        }
    }
}

impl Objective {
    /// The weighted sum of algorithms; each takes over the settings that it has.
    ///
    /// # Errors
    /// Names the unknown algorithm, or the setting that is foreign or out of range.
    pub fn new(
        sum: &[(&str, f64)],
        given: &[(Setting, f64)],
        divergence: Option<Divergence>,
    ) -> Result<Self, ObjectiveError> {
        let mut terms = Vec::new();
        for (name, weight) in sum {
            let found = ALGORITHMS.iter().find(|algorithm| algorithm.name == *name);
            let algorithm = *found.ok_or_else(|| ObjectiveError::Unknown((*name).to_owned()))?;
            terms.push(Term {
                algorithm,
                weight: *weight,
                settings: ObjectiveSettings::of(algorithm),
            });
        }
        let is_given = [Gamma, GammaOverBeta]
            .map(|margin| given.iter().any(|(setting, _)| *setting == margin));
        if is_given == [true; 2] {
            return Err(ObjectiveError::TwoMargins);
        }
        for (setting, value) in given {
            let mut is_known = false;
            for term in terms.iter_mut().filter(|term| term.algorithm.has(*setting)) {
                term.give(*setting, *value)?;
                is_known = true;
            }
            if !is_known {
                return Err(foreign(*setting, &terms));
            }
        }
        // After all settings: only both weights together show that nothing would be learnt.
        if let Some(term) = terms.iter().find(|term| term.is_idle()) {
            return Err(ObjectiveError::NoWeight(term.algorithm.name));
        }
        if let Some(term) = divergence.and_then(|divergence| without(divergence, &terms)) {
            return Err(ObjectiveError::Divergence(term.algorithm.name));
        }
        // Given once, the weight counts for the whole sum; defaults count as the algorithms do.
        let rpo_alpha = given.iter().find(|(setting, _)| *setting == RpoAlpha).map_or_else(
            || terms.iter().map(|term| term.weight * term.settings.get(RpoAlpha)).sum(),
            |(_, weight)| *weight,
        );
        Ok(Self { terms, divergence: divergence.unwrap_or_default(), rpo_alpha })
    }

    /// One algorithm with its defaults and these settings.
    ///
    /// # Errors
    /// As [`Objective::new`].
    pub fn plain(name: &str, given: &[(Setting, f64)]) -> Result<Self, ObjectiveError> {
        Self::new(&[(name, 1.0)], given, None)
    }

    /// Whether two objectives are the same loss.
    pub fn equals(&self, other: &Self) -> bool {
        let mut terms = self.terms.iter().zip(&other.terms);
        self.terms.len() == other.terms.len()
            && terms.all(|(one, two)| one.equals(two))
            && self.divergence == other.divergence
            && self.rpo_alpha == other.rpo_alpha
    }

    /// The value of a setting of the first algorithm that has it, for records.
    pub fn setting(&self, setting: Setting) -> Option<f64> {
        if setting == RpoAlpha {
            return Some(self.rpo_alpha);
        }
        self.terms
            .iter()
            .find(|term| term.algorithm.has(setting))
            .map(|term| term.settings.get(setting))
    }

    /// Names of the algorithms, in the order of the sum.
    pub fn names(&self) -> Vec<&'static str> {
        self.terms.iter().map(|term| term.algorithm.name).collect()
    }

    /// The algorithm that defines rewards.
    pub(super) fn first(&self) -> &Term {
        &self.terms[0]
    }

    /// Whether any loss needs the reference model.
    pub fn needs_reference(&self) -> bool {
        self.terms.iter().any(|term| term.algorithm.reward == RewardKind::AgainstReference)
    }

    /// Whether single labelled completions are supported.
    pub fn takes_single_answers(&self) -> bool {
        self.terms.iter().all(|term| {
            matches!(term.algorithm.loss, Loss::Single(_) | Loss::Each(_) | Loss::Nothing)
        })
    }

    /// Whether the loss of a completion depends on other completions or on its label; otherwise
    /// only desirable ones are trained on.
    pub fn compares(&self) -> bool {
        self.terms.iter().any(|term| !matches!(term.algorithm.loss, Loss::Nothing))
    }

    /// Whether a loss needs the log-ratio on completions of other prompts (KTO's reference point).
    pub fn needs_reference_point(&self) -> bool {
        self.terms.iter().any(|term| term.algorithm.has(Setting::DesirableWeight))
    }

    /// Whether a loss uses single facts of completions.
    pub fn looks_at_facts(&self) -> bool {
        self.terms.iter().any(Term::looks_at_facts)
    }

    /// Whether rewards are compared with their running mean.
    pub fn has_running_shift(&self) -> bool {
        self.terms.iter().any(|term| term.settings.get(Setting::RunningShift) > 0.0)
    }

    /// Whether margins are sorted over the batch.
    pub fn sorts(&self) -> bool {
        self.terms.iter().any(|term| matches!(term.algorithm.loss, Loss::Sorted(..)))
    }

    /// Whether a row's loss depends on the other rows of its batch.
    pub fn spans_batch(&self) -> bool {
        self.sorts() || self.needs_reference_point() || self.has_running_shift()
    }
}

impl Term {
    fn equals(&self, other: &Self) -> bool {
        self.algorithm.name == other.algorithm.name
            && self.weight == other.weight
            && self.settings == other.settings
    }

    pub(super) fn looks_at_facts(&self) -> bool {
        self.settings.get(Setting::FactWeight) > 0.0
    }

    /// Whether both labels have weight 0 and the loss has no other term.
    fn is_idle(&self) -> bool {
        let weights = [Setting::DesirableWeight, Setting::UndesirableWeight];
        let counts_none = weights.iter().all(|weight| self.settings.get(*weight) == 0.0);
        self.algorithm.has(weights[0]) && counts_none && !self.looks_at_facts()
    }

    fn give(&mut self, setting: Setting, value: f64) -> Result<(), ObjectiveError> {
        let algorithm = self.algorithm.name;
        let right = match setting {
            // Its loss has the logarithm of the smoothing.
            LabelSmoothing if algorithm == "exo" && value == 0.0 => "above 0, e.g. 0.001",
            RpoAlpha if algorithm == "sft" && value == 0.0 => "above 0: its loss has no other term",
            // At one half the loss is divided by 0.
            LabelSmoothing if algorithm == "robust" && value >= 0.5 => "below 0.5",
            _ => {
                // A margin in the other form replaces the default.
                if setting == GammaOverBeta {
                    self.settings.set(Gamma, 0.0);
                }
                self.settings.set(setting, value);
                return Ok(());
            }
        };
        Err(ObjectiveError::Range { setting: setting.name(), algorithm, right })
    }
}

impl Algorithm {
    /// Whether it has a setting.
    pub fn has(&self, setting: Setting) -> bool {
        self.settings.iter().any(|(known, _)| *known == setting)
    }
}

fn known_names() -> String {
    ALGORITHMS
        .iter()
        .map(|algorithm| format!("`{}`", algorithm.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The algorithm of a sum that does not support a divergence.
fn without(divergence: Divergence, terms: &[Term]) -> Option<&Term> {
    terms.iter().find(|term| match term.algorithm.loss {
        // Beside others, `sft` only adds its likelihood.
        Loss::Nothing => terms.len() == 1,
        _ if divergence == Divergence::ReverseKl => {
            term.algorithm.reward != RewardKind::AgainstReference
        }
        _ => !term.algorithm.takes_divergence,
    })
}

fn with_divergence() -> String {
    let algorithms = ALGORITHMS.iter().filter(|algorithm| algorithm.takes_divergence);
    algorithms.map(|algorithm| algorithm.name).collect::<Vec<_>>().join(", ")
}

fn foreign(setting: Setting, terms: &[Term]) -> ObjectiveError {
    let names: Vec<&str> = terms.iter().map(|term| term.algorithm.name).collect();
    let mut known: Vec<Setting> = terms
        .iter()
        .flat_map(|term| term.algorithm.settings.iter().map(|(setting, _)| *setting))
        .collect();
    known.sort_unstable();
    known.dedup();
    let known: Vec<String> =
        known.into_iter().map(|setting| format!("`{}`", setting.name())).collect();
    ObjectiveError::Foreign {
        setting: setting.name(),
        algorithm: names.join(" + "),
        known: known.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Setting::Beta, *};

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |sum: &[(&str, f64)], given: &[(Setting, f64)], divergence| {
            Objective::new(sum, given, divergence).unwrap_err()
        };
        let foreign = error(&[("dpo", 1.0)], &[(Setting::Average, 1.0)], None);
        assert_eq!(
            (foreign.setting(), foreign.to_string().as_str()),
            (
                "average",
                "`average` is not a parameter of the algorithm `dpo`, which has `beta`, \
                `label_smoothing`, `rpo_alpha`"
            )
        );
        let smoothing = |value| [(LabelSmoothing, value)];
        assert!(
            error(&[("exo", 1.0)], &smoothing(0.0), None)
                .to_string()
                .ends_with("must be above 0, e.g. 0.001")
        );
        assert!(
            error(&[("robust", 1.0)], &smoothing(0.5), None)
                .to_string()
                .ends_with("must be below 0.5")
        );
        assert!(
            error(&[("sft", 1.0)], &[(RpoAlpha, 0.0)], None)
                .to_string()
                .contains("must be above 0")
        );
        let weights = [(Setting::DesirableWeight, 0.0), (Setting::UndesirableWeight, 0.0)];
        for name in ["kto", "fact_kto"] {
            let facts = (Setting::FactWeight, 0.0);
            let given =
                if name == "kto" { weights.to_vec() } else { [&weights[..], &[facts]].concat() };
            assert_eq!(error(&[(name, 1.0)], &given, None), ObjectiveError::NoWeight(name));
        }
        Objective::new(&[("kto", 1.0)], &weights[..1], None).unwrap();
        Objective::new(&[("fact_kto", 1.0)], &weights, None).unwrap();
        assert_eq!(
            error(&[("simpo", 1.0)], &[(Gamma, 1.0), (GammaOverBeta, 0.5)], None),
            ObjectiveError::TwoMargins
        );
        for name in ["kto", "nca", "bco", "sppo", "aot", "apo_zero", "apo_down", "simpo", "sft"] {
            let found = error(&[(name, 1.0)], &[], Some(Divergence::ForwardKl));
            assert_eq!(found, ObjectiveError::Divergence(name));
        }
        assert_eq!(
            error(&[("orpo", 1.0)], &[], Some(Divergence::ReverseKl)),
            ObjectiveError::Divergence("orpo")
        );
        Objective::new(&[("kto", 1.0)], &[], Some(Divergence::ReverseKl)).unwrap();
        Objective::new(&[("dpo", 1.0), ("sft", 0.5)], &[], Some(Divergence::JensenShannon))
            .unwrap();
        assert!(
            error(&[("dop", 1.0)], &[], None)
                .to_string()
                .starts_with("unknown algorithm `dop`; known: `dpo`")
        );
        Objective::new(
            &[("dpo", 1.0), ("ipo", 0.5)],
            &[(Setting::Average, 0.0), (Beta, 0.2)],
            None,
        )
        .unwrap();
    }

    #[test]
    fn names_are_unique_and_defaults_fit() {
        for (index, algorithm) in ALGORITHMS.iter().enumerate() {
            assert!(
                ALGORITHMS[..index].iter().all(|other| other.name != algorithm.name),
                "{}",
                algorithm.name
            );
            Objective::plain(algorithm.name, &[]).unwrap();
            assert!(
                algorithm.has(RpoAlpha)
                    && !algorithm.formula.is_empty()
                    && !algorithm.source.is_empty()
            );
        }
    }
}
