//! Parameters of `tune` and their checks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{foreign, settings::ObjectiveParameters};
use crate::{
    context::artifact::{ADAPTER, METRICS, MODEL, PAIRS, REFERENCE},
    model::{AdapterConfig, Targets},
    recipe::schema::{Chosen, Declared, Input, Kind, Lack, Mismatch, Sharing, read_parameters},
    stage_support::{
        encoding::{EncodingParameters, LOGITS_BY_TOKENS},
        optimisation::{self, OptimisationParameters},
        preference_rows::Needs,
    },
    tuning::{
        ALGORITHMS, Divergence, KlPairs, LOGITS_BYTES, NllReduction, Objective, ObjectiveError,
        Setting,
    },
};

/// Names of all algorithms.
const NAMES: [&str; ALGORITHMS.len()] = {
    // A loop by index: iterators and maps of slices are no constant expressions.
    let mut names = [""; ALGORITHMS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ALGORITHMS[index].name;
        index += 1;
    }
    names
};

/// Linear layers of the supported architectures.
const LINEAR_LAYERS: [&str; 7] =
    ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// Default of `f_alpha_divergence_coef`.
const ALPHA_DIVERGENCE: f64 = 0.5;
/// Default of `max_weight`.
pub(super) const MAX_WEIGHT: f64 = 1.0;
/// Default of `ref_model_mixup_alpha`, that of TRL.
pub(super) const MIXUP: f64 = 0.6;
/// Default of `lora_alpha`, in ranks.
const LORA_ALPHA_BY_RANK: f64 = 2.0;

/// The kind.
pub(crate) const KIND: Kind = Kind {
    name: "tune",
    // 1: first version. 2: all algorithms; shared prompts are computed once, and long ones
    // truncated. 3: truncated prompts keep their beginning; metrics of entropies and logits. 4:
    // `fact_dpo` finds errors by facts; `freeze` uses checkpoint names; empty parts of a batch come
    // last; no accuracies without pairs. 5: dropout by a counter, the same on every device.
    version: 5,
    about: "Tune a model on preferences against a frozen reference model.",
    inputs: &[
        Input::one("model", &MODEL, "Base model, also the reference model."),
        Input::one("pairs", &PAIRS, "Preference pairs or labelled completions."),
        Input::optional(
            "adapter",
            &ADAPTER,
            "LoRA adapter to continue; the reference is the model with it.",
        ),
        Input::optional(
            "reference",
            &REFERENCE,
            "Reference log-probabilities; computed first if absent.",
        ),
    ],
    parameters: Parameters::PARAMETERS,
    provides: &[&MODEL, &ADAPTER, &METRICS],
    seeded: true,
    fan_in: false,
    on_device: Some(Sharing::ByGradients),
    cross_checks: Some(cross_checks),
    lacks: Some(lacks),
    cell_checks: None,
    redundant: Some(redundant),
};

/// Parameters of `tune`.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(crate) struct Parameters {
    /// Preference loss.
    #[parameter(
        default = "dpo", words = &NAMES, aliases = ["loss_type"], foreign_values = foreign::LOSSES
    )]
    pub algorithm: String,
    /// Further algorithms whose losses are added, with their weights, such as { sft = 0.5 }.
    #[serde(default)]
    #[parameter(min = 0, max = 1e6, former = "plus", aliases = ["loss_weights"])]
    pub additional_losses: BTreeMap<String, f64>,
    #[serde(flatten)]
    pub settings: ObjectiveParameters,
    /// Mean of the likelihood loss: over completions, tokens (TRL's sft, cpo), or prompts too
    /// (orpo).
    #[parameter(default = "completions", former = "nll_mean", foreign_values = [
        ("answers", "write `nll_reduction = \"completions\"`"),
    ])]
    pub nll_reduction: NllReduction,
    /// Type of f-divergence to the reference model, for algorithms that compare two completions.
    #[parameter(
        words = &["reverse_kl", "forward_kl", "jensen_shannon", "alpha"],
        former = "divergence",
        foreign_values = foreign::DIVERGENCES
    )]
    pub f_divergence_type: Option<String>,
    /// Coefficient of the alpha divergence; 0.5 by default.
    #[parameter(above = 0, max = 1e6, former = "divergence_alpha")]
    pub f_alpha_divergence_coef: Option<f64>,
    /// WPO: rows weigh more the more probable their completions are under the policy.
    #[parameter(default = false, former = "weighting")]
    pub use_weighting: bool,
    /// Ceiling of WPO's weights; 1 by default, as its authors have it; TRL 1.16 has none (1e6).
    #[parameter(above = 0, max = 1e6, former = "weight_ceiling")]
    pub max_weight: Option<f64>,
    /// Mask-DPO: only supported facts of chosen and unsupported facts of rejected completions
    /// count.
    #[parameter(default = false, former = "facts_only")]
    pub fact_mask: bool,
    /// LD-DPO: weight of tokens beyond the shorter completion's length, in `logps/chosen` and
    /// others too.
    #[parameter(default = 1.0, min = 0, max = 1, former = "beyond_shared_length")]
    pub ld_alpha: f64,
    /// KTO's reference point: over fixed mismatched pairs of the data, or of each batch (as TRL).
    #[parameter(default = "fixed", former = "mismatch")]
    pub kl_pairs: KlPairs,
    /// TR-DPO: steps between updates of the reference model; none by default.
    #[parameter(min = 1, max = 1 << 20, former = "reference_every", aliases = ["sync_ref_model"])]
    pub ref_model_sync_steps: Option<usize>,
    /// TR-DPO: share of the policy in the updated reference model; 0.6 by default.
    #[parameter(above = 0, max = 1, former = "reference_mixup")]
    pub ref_model_mixup_alpha: Option<f64>,
    /// Share of prompts held out for evaluation; the model that is best on them is kept.
    #[parameter(
        default = 0.0, min = 0, max = 0.9, former = "held_out", aliases = ["test_size"],
        foreign = foreign::EVALUATION_DATA
    )]
    pub eval_share: f64,
    /// Steps between two evaluations on held-out rows.
    #[parameter(
        default = 20, min = 1, max = 1 << 20, former = "evaluate_every",
        foreign = foreign::EVALUATION
    )]
    pub eval_steps: usize,
    /// Evaluations without a lower held-out loss before training stops; never by default.
    #[parameter(min = 1, max = 1 << 20, former = "patience")]
    pub early_stopping_patience: Option<usize>,
    /// Epochs; a fraction is right.
    #[parameter(default = 1.0, above = 0, max = 1e6, former = "epochs")]
    pub num_train_epochs: f64,
    /// Optimizer steps in all, whatever the number of rows; replaces `num_train_epochs`.
    #[parameter(min = 1, max = 1 << 30)]
    pub max_steps: Option<usize>,
    /// Shuffled rows, in another order each epoch.
    #[parameter(
        default = true, aliases = ["shuffle_dataset"],
        foreign = foreign::RANDOMNESS
    )]
    pub shuffle: bool,
    /// Rows of one forward pass; an optimizer step has `gradient_accumulation_steps` times as many.
    #[parameter(
        default = 32, min = 1, max = 1 << 20,
        former = "batch", aliases = ["per_device_train_batch_size"],
        foreign = foreign::BATCHES
    )]
    pub batch_size: usize,
    /// Forward passes of one optimizer step, whose gradients are summed, as in TRL.
    #[parameter(default = 1, min = 1, max = 1 << 20, former = "accumulation")]
    pub gradient_accumulation_steps: usize,
    #[serde(flatten)]
    pub encoding: EncodingParameters,
    /// Frozen weights by parts of their checkpoint names, such as ["embed_tokens", "layers.0"].
    #[parameter(default = [], unordered)]
    pub freeze: Vec<String>,
    /// LoRA rank; without it all weights are tuned.
    #[parameter(
        min = 1, max = 1 << 20, aliases = ["lora_r", "r"],
        foreign = foreign::ADAPTERS
    )]
    pub lora_rank: Option<usize>,
    /// LoRA alpha (scaling = alpha / rank); 2 x rank by default.
    #[parameter(above = 0, max = 1e6)]
    pub lora_alpha: Option<f64>,
    /// Layers with LoRA updates, by the ends of their names.
    #[parameter(
        default = LINEAR_LAYERS, unordered,
        former = "lora_targets", aliases = ["lora_target_modules"],
        foreign_values = foreign::TARGETS
    )]
    pub target_modules: Vec<String>,
    /// Rank-stabilised LoRA: scaling = alpha / sqrt(rank).
    #[parameter(default = false, former = "rslora")]
    pub use_rslora: bool,
    /// PEFT's regular expression of whole layer names, or `all-linear`; replaces `target_modules`.
    #[parameter(former = "lora_pattern")]
    pub target_modules_pattern: Option<String>,
    /// LoRA dropout; TRL trains DPO with dropout off by default.
    #[parameter(default = 0.0, min = 0, max = 0.9)]
    pub lora_dropout: f64,
    /// Merged model beside the tuned adapter; false writes the adapter alone.
    #[parameter(default = true, former = "merge")]
    pub merge_adapter: bool,
    /// Shared forward pass of the prompt that two completions have in common.
    #[parameter(default = true)]
    pub share_prompts: bool,
    /// Sequences of similar length grouped in attention.
    #[parameter(default = true, former = "sort_by_length")]
    pub group_by_length: bool,
    /// Bytes of the float32 logits that are in memory at once; further tokens follow in pieces.
    #[parameter(
        default = LOGITS_BYTES as i64, min = 1, max = 1 << 40, foreign = LOGITS_BY_TOKENS
    )]
    pub logits_bytes: usize,
    /// Gradient checkpointing, to save memory; by default only where free memory is short.
    #[parameter(not_in_key, former = "tape")]
    pub gradient_checkpointing: Option<bool>,
    #[serde(flatten)]
    pub optimisation: OptimisationParameters,
}

impl Parameters {
    /// Configuration of a new adapter; none without a rank.
    pub(crate) fn new_adapter(&self) -> Option<AdapterConfig> {
        let rank = self.lora_rank?;
        Some(AdapterConfig {
            base_model_name_or_path: String::new(),
            r: rank,
            lora_alpha: self.lora_alpha.unwrap_or(LORA_ALPHA_BY_RANK * rank as f64),
            lora_dropout: self.lora_dropout,
            target_modules: match &self.target_modules_pattern {
                Some(pattern) => Targets::Pattern(pattern.clone()),
                None => Targets::Names(self.target_modules.clone()),
            },
            rank_pattern: std::default::Default::default(),
            alpha_pattern: std::default::Default::default(),
            use_rslora: self.use_rslora,
            layers_to_transform: None,
        })
    }
}

impl Parameters {
    /// The objective of these parameters, with settings per algorithm.
    pub(crate) fn objective(&self) -> Result<Objective, ObjectiveError> {
        self.objective_of(&self.settings.given())
    }

    /// The objective with other settings.
    fn objective_of(&self, given: &[(Setting, f64)]) -> Result<Objective, ObjectiveError> {
        let mut sum = vec![(self.algorithm.as_str(), 1.0)];
        sum.extend(self.additional_losses.iter().map(|(name, weight)| (name.as_str(), *weight)));
        Objective::new(&sum, given, self.divergence())
    }

    fn divergence(&self) -> Option<Divergence> {
        Some(match self.f_divergence_type.as_deref()? {
            "forward_kl" => Divergence::ForwardKl,
            "jensen_shannon" => Divergence::JensenShannon,
            "alpha" => Divergence::Alpha(self.f_alpha_divergence_coef.unwrap_or(ALPHA_DIVERGENCE)),
            _ => Divergence::ReverseKl,
        })
    }
}

/// Settings without which the objective is the same, and other defaults that follow from
/// parameters.
fn redundant(values: &BTreeMap<String, Value>) -> Vec<&'static str> {
    // Wrong parameters are reported elsewhere.
    let Some(parameters) = read_parameters::<Parameters>(values) else { return Vec::new() };
    let mut found = Vec::new();
    let mut given = parameters.settings.given();
    if let Ok(objective) = parameters.objective() {
        for (setting, _) in parameters.settings.given() {
            let others: Vec<(Setting, f64)> =
                given.iter().copied().filter(|(other, _)| *other != setting).collect();
            if parameters.objective_of(&others).is_ok_and(|same| same.equals(&objective)) {
                found.push(setting.name());
                given = others;
            }
        }
    }
    let alpha = parameters.lora_rank.map(|rank| LORA_ALPHA_BY_RANK * rank as f64);
    for (name, given, default) in [
        ("f_alpha_divergence_coef", parameters.f_alpha_divergence_coef, Some(ALPHA_DIVERGENCE)),
        ("max_weight", parameters.max_weight, Some(MAX_WEIGHT)),
        ("ref_model_mixup_alpha", parameters.ref_model_mixup_alpha, Some(MIXUP)),
        ("lora_alpha", parameters.lora_alpha, alpha),
    ] {
        if given.is_some() && given == default {
            found.push(name);
        }
    }
    if parameters.f_divergence_type.as_deref() == Some("reverse_kl") {
        found.push("f_divergence_type");
    }
    found
}

fn cross_checks(chosen: &Chosen<'_>) -> Vec<Mismatch> {
    let parameters: Parameters = chosen.parameters();
    let mut found = optimisation::cross_checks(chosen);
    match parameters.objective() {
        Err(error) => {
            let right = "a setting of the algorithm is expected";
            found.push(Mismatch::error(error.setting(), error.to_string(), right));
        }
        Ok(objective) if parameters.use_weighting && objective.sorts() => {
            let names = objective.names().join(" + ");
            let problem =
                format!("`{names}` sorts margins over the batch, so rows cannot be weighted");
            let right = "leave `use_weighting` out, or choose another algorithm";
            found.push(Mismatch::error("use_weighting", problem, right));
        }
        Ok(objective) => found.extend(parameters.unused_by(&objective, chosen)),
    }
    if parameters.f_alpha_divergence_coef.is_some()
        && parameters.f_divergence_type.as_deref() != Some("alpha")
    {
        let problem = "`f_alpha_divergence_coef` needs the alpha divergence";
        let right = "set `f_divergence_type = \"alpha\"`, or remove it";
        found.push(Mismatch::error("f_alpha_divergence_coef", problem, right));
    }
    if parameters.lora_rank.is_some() && chosen.is_given("adapter") {
        let problem = "`adapter` has its own rank, but `lora_rank` requests a new adapter";
        found.push(Mismatch::error("lora_rank", problem, "leave out `lora_rank` or `adapter`"));
    }
    found.extend(parameters.empty_names());
    found.extend(parameters.without_effect(chosen));
    found
}

impl Parameters {
    /// Number of passes over this many rows; a fraction is right.
    pub(crate) fn epochs(&self, rows: usize) -> f64 {
        // As floats, since products of the largest accepted integers overflow.
        let rows_per_step = self.batch_size as f64 * self.gradient_accumulation_steps as f64;
        self.max_steps
            .map_or(self.num_train_epochs, |steps| steps as f64 * rows_per_step / rows as f64)
    }

    /// Parameters that another one makes meaningful.
    fn without_effect(&self, chosen: &Chosen<'_>) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let is_new = self.lora_rank.is_some();
        let rank = "set `lora_rank`, or remove it";
        let sync = "set `ref_model_sync_steps`, or remove it";
        let weighting = "set `use_weighting = true`, or remove it";
        let share = "set `eval_share` above 0, or remove it";
        let has_no_sync = self.ref_model_sync_steps.is_none();
        let holds_nothing_out = self.eval_share == 0.0;
        for (field, is_alone, right) in [
            ("lora_alpha", self.lora_alpha.is_some() && !is_new, rank),
            ("target_modules_pattern", self.target_modules_pattern.is_some() && !is_new, rank),
            ("ref_model_mixup_alpha", self.ref_model_mixup_alpha.is_some() && has_no_sync, sync),
            ("max_weight", self.max_weight.is_some() && !self.use_weighting, weighting),
            (
                "early_stopping_patience",
                self.early_stopping_patience.is_some() && holds_nothing_out,
                share,
            ),
        ] {
            if is_alone {
                found.push(Mismatch::error(field, format!("`{field}` has no effect alone"), right));
            }
        }
        let new = "it is for a new adapter, which needs `lora_rank`";
        let pattern = "`target_modules_pattern` names the layers";
        let none = "no adapter is trained: neither `lora_rank` nor `adapter` is given";
        let has_none = !is_new && !chosen.is_given("adapter");
        for (field, is_unused, why) in [
            ("target_modules", !is_new, new),
            ("target_modules", self.target_modules_pattern.is_some(), pattern),
            ("use_rslora", !is_new, new),
            ("lora_dropout", has_none, none),
            ("merge_adapter", has_none, none),
            ("eval_steps", holds_nothing_out, "no row is held out; set `eval_share` above 0"),
            ("num_train_epochs", self.max_steps.is_some(), "`max_steps` sets the number of steps"),
        ] {
            if is_unused && chosen.is_changed(field) {
                found.push(Mismatch::without_effect(field, why, "remove it"));
            }
        }
        found
    }

    /// Rejects empty names, which would match all layers or none, and warns of losses with weight
    /// 0.
    fn empty_names(&self) -> Vec<Mismatch> {
        let mut found = Vec::new();
        for (field, names) in [("freeze", &self.freeze), ("target_modules", &self.target_modules)] {
            if names.iter().any(|name| name.trim().is_empty()) {
                let problem = format!("`{field}` has an empty name");
                let right = "names of parts of the model are expected";
                found.push(Mismatch::error(field, problem, right));
            }
        }
        if self.lora_rank.is_some()
            && self.target_modules_pattern.is_none()
            && self.target_modules.is_empty()
        {
            let right = "names of linear layers are expected";
            found.push(Mismatch::error("target_modules", "`target_modules` is empty", right));
        }
        for name in self.additional_losses.iter().filter(|loss| *loss.1 == 0.0).map(|loss| loss.0) {
            let why = format!("`{name}` has the weight 0");
            let right = "remove it, or give it a weight";
            found.push(Mismatch::without_effect("additional_losses", &why, right));
        }
        found
    }

    /// Warns of parameters that the objective does not use.
    fn unused_by(&self, objective: &Objective, chosen: &Chosen<'_>) -> Vec<Mismatch> {
        let mut found = Vec::new();
        if chosen.is_given("reference") {
            if self.ref_model_sync_steps.is_some() {
                let why = "a synced reference model is evaluated at each step";
                let right = "leave out `reference` or `ref_model_sync_steps`";
                found.push(Mismatch::without_effect("reference", why, right));
            } else if !objective.needs_reference() {
                let why = "the algorithm has no reference model";
                found.push(Mismatch::without_effect("reference", why, "remove it"));
            }
        }
        for (field, of_use, why) in [
            ("kl_pairs", objective.needs_reference_point(), "the algorithm has no reference point"),
            ("nll_reduction", objective.rpo_alpha > 0.0, "the loss has no likelihood term"),
        ] {
            if chosen.is_changed(field) && !of_use {
                found.push(Mismatch::without_effect(field, why, "remove it"));
            }
        }
        found
    }

    /// What rows must have for these parameters; any rows where they are no objective, which is
    /// reported elsewhere.
    pub(crate) fn needs(&self) -> Needs {
        self.objective().map_or(Needs::ANY, |objective| Needs::of(&objective, self.fact_mask))
    }
}

/// Without merging there is no model, and without a rank no adapter.
fn lacks(chosen: &Chosen<'_>) -> Vec<Lack> {
    let Parameters { lora_rank, merge_adapter, .. } = chosen.parameters();
    if lora_rank.is_none() && !chosen.is_given("adapter") {
        let why = "since neither `lora_rank` nor `adapter` is given: all weights are tuned";
        let right = "read its `model`, or set `lora_rank`";
        return vec![Lack { artifact: ADAPTER.name, why, right }];
    }
    // Merged, it is both: a model, and an adapter in a folder of it.
    if merge_adapter {
        return Vec::new();
    }
    let right =
        "set `merge_adapter = true`, or read the model before tuning with the tuned `adapter`";
    vec![Lack { artifact: MODEL.name, why: "since `merge_adapter` is false", right }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::context::test_support;

    /// Fields with mismatches.
    fn wrong(parameters: Value) -> Vec<&'static str> {
        test_support::misfits(&KIND, &[], parameters)
            .into_iter()
            .map(|misfit| misfit.field)
            .collect()
    }

    /// A recipe may write a default out without tuning again.
    #[test]
    fn settings_that_equal_the_algorithms_defaults_are_redundant() {
        let names = |changed: Value| {
            let mut values: BTreeMap<String, Value> =
                test_support::defaults(&KIND).into_iter().collect();
            values.extend(changed.as_object().unwrap().clone());
            redundant(&values)
        };
        let none: [&str; 0] = [];
        assert_eq!(names(json!({})), none);
        assert_eq!(names(json!({"beta": 0.1})), ["beta"]);
        assert_eq!(names(json!({"beta": 0.2})), none);
        assert_eq!(names(json!({"algorithm": "simpo", "beta": 0.1})), none);
        let simpo = json!({"algorithm": "simpo", "beta": 2.0, "gamma": 1.0});
        assert_eq!(names(simpo), ["beta", "gamma"]);
        // Of a sum, each term that has the setting takes it over.
        let sum = json!({"beta": 0.1, "additional_losses": {"simpo": 0.5}});
        assert_eq!(names(sum), none);
        assert_eq!(names(json!({"rpo_alpha": 0.0, "label_smoothing": 0.1})), ["rpo_alpha"]);
        assert_eq!(names(json!({"lora_rank": 8, "lora_alpha": 16.0})), ["lora_alpha"]);
        assert_eq!(names(json!({"lora_rank": 8, "lora_alpha": 8.0})), none);
        let divergence = json!({"f_divergence_type": "alpha", "f_alpha_divergence_coef": 0.5});
        assert_eq!(names(divergence), ["f_alpha_divergence_coef"]);
        assert_eq!(names(json!({"f_divergence_type": "reverse_kl"})), ["f_divergence_type"]);
        assert_eq!(names(json!({"algorithm": "none", "beta": 0.1})), none);
    }

    /// What TRL 1.16 accepts and rejects when its trainer is constructed.
    #[test]
    fn what_trl_refuses_is_refused_before_anything_runs() {
        let divergences = ["forward_kl", "jensen_shannon", "alpha"];
        for algorithm in ["dpo", "dpo_norm", "hinge", "ipo", "exo", "robust", "discopop"] {
            for divergence in divergences {
                assert!(
                    wrong(json!({"algorithm": algorithm, "f_divergence_type": divergence}))
                        .is_empty(),
                    "{algorithm}"
                );
            }
        }
        let sum = json!({"additional_losses": {"sft": 0.5}, "f_divergence_type": "alpha", "f_alpha_divergence_coef": 1.5});
        assert!(wrong(sum).is_empty());
        for algorithm in ["nca", "bco", "sppo", "aot", "aot_unpaired", "apo_zero", "apo_down"] {
            for divergence in divergences {
                let found = wrong(json!({"algorithm": algorithm, "f_divergence_type": divergence}));
                assert_eq!(found, ["f_divergence_type"], "{algorithm}");
            }
            assert!(
                wrong(json!({"algorithm": algorithm, "f_divergence_type": "reverse_kl"}))
                    .is_empty(),
                "{algorithm}"
            );
        }
        assert_eq!(
            wrong(json!({"additional_losses": {"bco": 0.5}, "f_divergence_type": "forward_kl"})),
            ["f_divergence_type"]
        );
        for algorithm in ["aot", "aot_unpaired"] {
            assert_eq!(
                wrong(json!({"algorithm": algorithm, "use_weighting": true})),
                ["use_weighting"]
            );
        }
        assert_eq!(wrong(json!({"max_weight": 2.0})), ["max_weight"]);
        assert_eq!(wrong(json!({"max_steps": 2, "num_train_epochs": 3.0})), ["num_train_epochs"]);
        assert!(wrong(json!({"use_weighting": true, "max_weight": 2.0})).is_empty());
    }
}
