//! Settings of the algorithms as parameters of `tune`.

use serde::Deserialize;

use crate::tuning::Setting;

/// Settings of algorithms; each algorithm has its own defaults and accepts only its own settings.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(crate) struct ObjectiveParameters {
    /// KL regularisation strength (DPO's beta); larger stays closer to the reference model.
    #[parameter(above = 0, max = 1e6)]
    beta: Option<f64>,
    /// Probability that a label is wrong.
    #[parameter(min = 0, max = 0.5)]
    label_smoothing: Option<f64>,
    /// For ipo: log-ratios per token (true, as TRL) or per completion.
    average: Option<bool>,
    /// For simpo and alphapo: target margin.
    #[parameter(min = 0, max = 1e6, aliases = ["simpo_gamma"])]
    gamma: Option<f64>,
    /// The same margin as a share of beta (SimPO's own code).
    #[parameter(min = 0, max = 1e6, aliases = ["gamma_beta_ratio"])]
    gamma_over_beta: Option<f64>,
    /// For alphapo: exponent of the reward.
    #[parameter(min = 0, max = 1e6)]
    alpha: Option<f64>,
    /// For discopop: temperature of the log-ratio modulation.
    #[parameter(above = 0, max = 1e6, aliases = ["discopop_tau"])]
    temperature: Option<f64>,
    /// For slic: hinge margin.
    #[parameter(min = 0, max = 1e6)]
    delta: Option<f64>,
    /// For slic: weight of the chosen completion's log-likelihood.
    #[parameter(min = 0, max = 1e6)]
    lambda: Option<f64>,
    /// For kto: weight of desirable completions.
    #[parameter(min = 0, max = 1e6)]
    desirable_weight: Option<f64>,
    /// For kto: weight of undesirable completions.
    #[parameter(min = 0, max = 1e6)]
    undesirable_weight: Option<f64>,
    /// For bco: rewards are compared with their running mean (false: as TRL).
    running_shift: Option<bool>,
    /// For fact_dpo: target margin where only the rejected completion has an unsupported fact.
    #[parameter(min = 0, max = 1e6)]
    fact_margin: Option<f64>,
    /// RPO: weight of the chosen completion's negative log-likelihood per token.
    #[parameter(min = 0, max = 1e6, former = "nll_weight")]
    rpo_alpha: Option<f64>,
    /// For fact_kto: weight of the loss over single facts.
    #[parameter(min = 0, max = 1e6)]
    fact_weight: Option<f64>,
    /// For fact_kto: weight of an unsupported fact; a supported one weighs 1.
    #[parameter(min = 0, max = 1e6)]
    wrong_fact_weight: Option<f64>,
}

impl ObjectiveParameters {
    /// Settings given in the recipe; flags are 0 or 1.
    pub(super) fn given(&self) -> Vec<(Setting, f64)> {
        let all = [
            (Setting::Beta, self.beta),
            (Setting::LabelSmoothing, self.label_smoothing),
            (Setting::Average, flag(self.average)),
            (Setting::Gamma, self.gamma),
            (Setting::GammaOverBeta, self.gamma_over_beta),
            (Setting::Alpha, self.alpha),
            (Setting::Temperature, self.temperature),
            (Setting::Delta, self.delta),
            (Setting::Lambda, self.lambda),
            (Setting::DesirableWeight, self.desirable_weight),
            (Setting::UndesirableWeight, self.undesirable_weight),
            (Setting::FactWeight, self.fact_weight),
            (Setting::WrongFactWeight, self.wrong_fact_weight),
            (Setting::RunningShift, flag(self.running_shift)),
            (Setting::FactMargin, self.fact_margin),
            (Setting::RpoAlpha, self.rpo_alpha),
        ];
        all.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
    }
}

/// A flag as a number, which all settings of objectives are.
fn flag(value: Option<bool>) -> Option<f64> {
    value.map(|value| f64::from(u8::from(value)))
}
