//! An objective as a recipe states it: one algorithm or a weighted sum of several, with their settings.

use super::{
    ALGORITHMS, Algorithm, Divergence, Dual, Loss, Reward, Scored, Setting,
    Setting::{Alpha, Beta, Gamma, GammaOverBeta, LabelSmoothing, NllWeight},
    Settings,
    reference_free::curved,
};

/// What a tuning run minimises.
#[derive(Clone, Debug)]
pub struct Objective {
    /// The algorithms whose losses add up.
    pub(super) terms: Vec<Term>,
    /// What log-ratios go through.
    pub(super) divergence: Divergence,
    /// The weight of the chosen answer's negative log-likelihood per token.
    pub nll_weight: f64,
}

/// One algorithm in a sum.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub algorithm: &'static Algorithm,
    pub weight: f64,
    pub settings: Settings,
}

/// Why words and numbers do not make an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// There is no such algorithm.
    #[error("there is no algorithm `{0}`; known ones: {known}", known = known_names())]
    Unknown(String),
    /// A setting was given that no algorithm of the objective has.
    #[error("`{setting}` is not a parameter of the algorithm `{algorithm}`, which has {known}")]
    Foreign {
        /// The setting.
        setting: &'static str,
        /// The algorithm.
        algorithm: String,
        /// What it has.
        known: String,
    },
    /// The value of a setting makes no sense for the algorithm.
    #[error("`{setting}` of the algorithm `{algorithm}` must be {right}")]
    Range {
        /// The setting.
        setting: &'static str,
        /// The algorithm.
        algorithm: &'static str,
        /// What would be right.
        right: &'static str,
    },
    /// One margin was said in two ways.
    #[error("`gamma` and `gamma_over_beta` say the same margin in two ways; give one of them")]
    TwoMargins,
    /// The algorithm does not look at log-ratios, or at plain ones only.
    #[error("the algorithm `{0}` takes no `divergence` but reverse_kl; those that do are {known}", known = with_divergence())]
    Divergence(&'static str),
}

impl ObjectiveError {
    /// The setting that is wrong.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "algorithm",
            Self::Foreign { setting, .. } | Self::Range { setting, .. } => setting,
            Self::TwoMargins => GammaOverBeta.name(),
            Self::Divergence(_) => "divergence",
        }
    }
}

impl Objective {
    /// The weighted sum of algorithms with these settings, which each of them takes over that has them.
    ///
    /// # Errors
    /// Names the algorithm that there is not, and the setting that is none of theirs, or out of its range.
    pub fn new(
        sum: &[(&str, f64)],
        given: &[(Setting, f64)],
        divergence: Option<Divergence>,
    ) -> Result<Self, ObjectiveError> {
        let mut terms = Vec::new();
        for (name, weight) in sum {
            let found = ALGORITHMS.iter().find(|algorithm| algorithm.name == *name);
            let algorithm = *found.ok_or_else(|| ObjectiveError::Unknown((*name).to_owned()))?;
            terms.push(Term { algorithm, weight: *weight, settings: Settings::of(algorithm) });
        }
        if [Gamma, GammaOverBeta].iter().all(|margin| given.iter().any(|(setting, _)| setting == margin)) {
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
        if let Some(term) = divergence.and_then(|divergence| without(divergence, &terms)) {
            return Err(ObjectiveError::Divergence(term.algorithm.name));
        }
        let said = given.iter().find(|(setting, _)| *setting == NllWeight).map(|(_, weight)| *weight);
        let by_default = terms.iter().map(|term| term.weight * term.settings.get(NllWeight)).sum();
        Ok(Self { terms, divergence: divergence.unwrap_or_default(), nll_weight: said.unwrap_or(by_default) })
    }

    /// One algorithm with its defaults, but for these settings.
    ///
    /// # Errors
    /// As [`Objective::new`].
    pub fn plain(name: &str, given: &[(Setting, f64)]) -> Result<Self, ObjectiveError> {
        Self::new(&[(name, 1.0)], given, None)
    }

    /// The value of a setting of the first algorithm that has it, for whoever records it.
    pub fn setting(&self, setting: Setting) -> Option<f64> {
        if setting == NllWeight {
            return Some(self.nll_weight);
        }
        self.terms.iter().find(|term| term.algorithm.has(setting)).map(|term| term.settings.get(setting))
    }

    /// The algorithms' names.
    pub fn names(&self) -> Vec<&'static str> {
        self.terms.iter().map(|term| term.algorithm.name).collect()
    }

    /// What is measured as an answer's reward: by the first algorithm.
    pub(in crate::tuning) fn reward(&self, answer: &Scored) -> f64 {
        let Term { algorithm, settings, .. } = &self.terms[0];
        let log_probability = match algorithm.reward {
            Reward::AgainstReference => answer.ratio(),
            Reward::Summed => answer.policy,
            Reward::PerToken => answer.policy / answer.tokens,
            Reward::Curved => curved(Dual::constant(answer.policy / answer.tokens), settings.get(Alpha)).value,
        };
        self.setting(Beta).unwrap_or(1.0) * log_probability
    }

    /// What is measured as an answer's log-probability: per token where the first algorithm looks at it so (as TRL).
    pub(in crate::tuning) fn log_probability(&self, answer: &Scored) -> f64 {
        match self.terms[0].algorithm.reward {
            Reward::AgainstReference | Reward::Summed => answer.policy,
            Reward::PerToken | Reward::Curved => answer.policy / answer.tokens,
        }
    }

    /// Whether any loss looks at the reference.
    pub fn needs_reference(&self) -> bool {
        self.terms.iter().any(|term| term.algorithm.reward == Reward::AgainstReference)
    }

    /// Whether answers without a partner can be learnt from.
    pub fn takes_single_answers(&self) -> bool {
        let alone = |term: &Term| matches!(term.algorithm.loss, Loss::Single(_) | Loss::Each(_) | Loss::Nothing);
        self.terms.iter().all(alone)
    }

    /// Whether it needs to know how far the policy has moved on answers to other prompts.
    pub fn needs_reference_point(&self) -> bool {
        self.terms.iter().any(|term| term.algorithm.has(Setting::DesirableWeight))
    }

    /// Whether it looks at the single facts of answers.
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
    pub(super) fn looks_at_facts(&self) -> bool {
        self.settings.get(Setting::FactWeight) > 0.0
    }

    fn give(&mut self, setting: Setting, value: f64) -> Result<(), ObjectiveError> {
        let algorithm = self.algorithm.name;
        let wrong = |right| Err(ObjectiveError::Range { setting: setting.name(), algorithm, right });
        match setting {
            LabelSmoothing if algorithm == "exo" && value == 0.0 => return wrong("above 0, e.g. 0.001"),
            NllWeight if algorithm == "sft" && value == 0.0 => return wrong("above 0: there is nothing else to learn"),
            LabelSmoothing if algorithm == "robust" && value >= 0.5 => return wrong("below 0.5"),
            // The margin said in the other way takes the place of the default.
            GammaOverBeta => self.settings.set(Gamma, 0.0),
            _ => {}
        }
        self.settings.set(setting, value);
        Ok(())
    }
}

impl Algorithm {
    /// Whether it has a setting.
    pub fn has(&self, setting: Setting) -> bool {
        self.settings.iter().any(|(known, _)| *known == setting)
    }
}

fn known_names() -> String {
    ALGORITHMS.iter().map(|algorithm| format!("`{}`", algorithm.name)).collect::<Vec<_>>().join(", ")
}

/// The algorithm of a sum that cannot have a divergence. Beside others, `sft` only adds its likelihood.
fn without(divergence: Divergence, terms: &[Term]) -> Option<&Term> {
    let is_plain = divergence == Divergence::ReverseKl;
    let cannot = |term: &&Term| match term.algorithm.loss {
        Loss::Nothing => terms.len() == 1,
        _ if is_plain => term.algorithm.reward != Reward::AgainstReference,
        _ => !term.algorithm.takes_divergence,
    };
    terms.iter().find(cannot)
}

fn with_divergence() -> String {
    let names = ALGORITHMS.iter().filter(|algorithm| algorithm.takes_divergence).map(|algorithm| algorithm.name);
    names.collect::<Vec<_>>().join(", ")
}

fn foreign(setting: Setting, terms: &[Term]) -> ObjectiveError {
    let names: Vec<&str> = terms.iter().map(|term| term.algorithm.name).collect();
    let mut known: Vec<Setting> =
        terms.iter().flat_map(|term| term.algorithm.settings.iter().map(|(setting, _)| *setting)).collect();
    known.sort_unstable();
    known.dedup();
    let known: Vec<String> = known.into_iter().map(|setting| format!("`{}`", setting.name())).collect();
    ObjectiveError::Foreign { setting: setting.name(), algorithm: names.join(" + "), known: known.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                "`average` is not a parameter of the algorithm `dpo`, which has `beta`, `label_smoothing`, `nll_weight`"
            )
        );
        let smoothing = |value| [(LabelSmoothing, value)];
        assert!(error(&[("exo", 1.0)], &smoothing(0.0), None).to_string().ends_with("must be above 0, e.g. 0.001"));
        assert!(error(&[("robust", 1.0)], &smoothing(0.5), None).to_string().ends_with("must be below 0.5"));
        assert!(error(&[("sft", 1.0)], &[(NllWeight, 0.0)], None).to_string().contains("must be above 0"));
        assert_eq!(error(&[("simpo", 1.0)], &[(Gamma, 1.0), (GammaOverBeta, 0.5)], None), ObjectiveError::TwoMargins);
        for name in ["kto", "nca", "bco", "sppo", "aot", "apo_zero", "apo_down", "simpo", "sft"] {
            let found = error(&[(name, 1.0)], &[], Some(Divergence::ForwardKl));
            assert_eq!(found, ObjectiveError::Divergence(name));
        }
        assert_eq!(error(&[("orpo", 1.0)], &[], Some(Divergence::ReverseKl)), ObjectiveError::Divergence("orpo"));
        Objective::new(&[("kto", 1.0)], &[], Some(Divergence::ReverseKl)).unwrap();
        Objective::new(&[("dpo", 1.0), ("sft", 0.5)], &[], Some(Divergence::JensenShannon)).unwrap();
        assert!(
            error(&[("dop", 1.0)], &[], None).to_string().starts_with("there is no algorithm `dop`; known ones: `dpo`")
        );
        Objective::new(&[("dpo", 1.0), ("ipo", 0.5)], &[(Setting::Average, 0.0), (Beta, 0.2)], None).unwrap();
    }

    #[test]
    fn names_are_unique_and_defaults_fit() {
        for (index, algorithm) in ALGORITHMS.iter().enumerate() {
            assert!(ALGORITHMS[..index].iter().all(|other| other.name != algorithm.name), "{}", algorithm.name);
            Objective::plain(algorithm.name, &[]).unwrap();
            assert!(algorithm.has(NllWeight) && !algorithm.formula.is_empty() && !algorithm.source.is_empty());
        }
    }
}
