//! What a recipe can say of `tune`, and which of it fits together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    artifact::{ADAPTER, METRICS, MODEL, PAIRS, REFERENCE},
    optimisation,
};
use crate::{
    recipe::schema::{Chosen, Default, Input, Kind, Lack, Mismatch as Misfit, Parameter, Shape},
    tuning::{ALGORITHMS, Divergence, Mismatch, NllMean, Objective, ObjectiveError, Setting, Tape, Truncation},
};

const COUNT: Shape = Shape::Integer { least: 1, most: 1 << 20 };
const POSITIVE: Shape = Shape::Number { least: 0.0, most: 1e6, open: true };
const AT_LEAST_0: Shape = Shape::Number { least: 0.0, most: 1e6, open: false };

/// The names of all algorithms.
const NAMES: [&str; ALGORITHMS.len()] = {
    let mut names = [""; ALGORITHMS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ALGORITHMS[index].name;
        index += 1;
    }
    names
};

/// The longest prompt with answer.
pub(super) const MAX_LENGTH: Parameter = Parameter::new(
    "max_length",
    COUNT,
    Default::Integer(1024),
    "The longest prompt with answer, in tokens; `truncation` says what longer ones lose.",
);

/// What longer ones lose.
pub(super) const TRUNCATION: Parameter = Parameter::new(
    "truncation",
    Shape::Choice(&["prompt", "answers"]),
    Default::Text("prompt"),
    "What is cut: the prompt's beginning, then answers' ends; or only these (TRL's keep_start), or the row is left out.",
);

/// The format in which states are computed.
pub(super) const PRECISION: Parameter = Parameter::new(
    "precision",
    Shape::Choice(&["float32", "bfloat16"]),
    Default::Text("float32"),
    "The format of states and frozen weights; what is trained is kept in float32. A `reference` needs the same.",
);

const fn setting(setting: Setting, shape: Shape, about: &'static str) -> Parameter {
    Parameter::new(setting.name(), shape, Default::Absent, about)
}

/// What the engine knows of it.
pub(super) const KIND: Kind = Kind {
    name: "tune",
    // 1: the first. 2: all algorithms; prompts that both answers share are computed once, and too long ones cut.
    // 3: a cut prompt keeps its beginning; metrics of entropies and logits. 4: `fact_dpo` knows errors by facts; `freeze`
    // names what a checkpoint names; empty parts of a batch come last; no accuracies without pairs.
    version: 4,
    about: "Tunes a model on preferences, against its frozen start.",
    inputs: &[
        Input::one("model", &MODEL, "The start, which is also the reference."),
        Input::one("pairs", &PAIRS, "Preference pairs, or single answers with labels."),
        Input::optional("adapter", &ADAPTER, "A LoRA adapter to go on from; the start is the model with it."),
        Input::optional("reference", &REFERENCE, "What the start thinks of the pairs; else it is computed first."),
    ],
    parameters: &[
        Parameter::new("algorithm", Shape::Choice(&NAMES), Default::Text("dpo"), "The preference loss."),
        Parameter::new(
            "plus",
            Shape::Table(&AT_LEAST_0),
            Default::Absent,
            "Algorithms whose losses are added, with their weights, e.g. { sft = 0.5 }.",
        ),
        setting(Setting::Beta, POSITIVE, "How strongly the model is held to its start."),
        setting(
            Setting::LabelSmoothing,
            Shape::Number { least: 0.0, most: 0.5, open: false },
            "The probability that a label is wrong.",
        ),
        setting(Setting::Average, Shape::Flag, "For ipo: log-ratios per token (true, as TRL) or per answer."),
        setting(Setting::Gamma, AT_LEAST_0, "For simpo and alphapo: the margin to reach."),
        setting(Setting::GammaOverBeta, AT_LEAST_0, "The same margin as a share of beta (SimPO's own code)."),
        setting(Setting::Alpha, AT_LEAST_0, "For alphapo: the exponent of its reward."),
        setting(Setting::Temperature, POSITIVE, "For discopop: how sharply it changes over."),
        setting(Setting::Delta, AT_LEAST_0, "For slic: the margin at which it is content."),
        setting(Setting::Lambda, AT_LEAST_0, "For slic: the weight of the chosen answer's log-likelihood."),
        setting(Setting::DesirableWeight, AT_LEAST_0, "For kto: the weight of desirable answers."),
        setting(Setting::UndesirableWeight, AT_LEAST_0, "For kto: the weight of undesirable answers."),
        setting(
            Setting::RunningShift,
            Shape::Flag,
            "For bco: compare rewards with their running mean (false: as TRL).",
        ),
        setting(
            Setting::FactMargin,
            AT_LEAST_0,
            "For fact_dpo: the margin to reach where only the rejected answer errs.",
        ),
        setting(
            Setting::NllWeight,
            AT_LEAST_0,
            "Weight of the chosen answer's negative log-likelihood per token (RPO).",
        ),
        Parameter::new(
            "nll_mean",
            Shape::Choice(&["answers", "tokens", "texts"]),
            Default::Text("answers"),
            "Mean likelihood over answers, over all their tokens (TRL's sft, cpo), or prompts' too (TRL's orpo).",
        ),
        Parameter::new(
            "divergence",
            Shape::Choice(&["reverse_kl", "forward_kl", "jensen_shannon", "alpha"]),
            Default::Absent,
            "The f-divergence that holds the model to its start, for algorithms that compare two answers; else reverse_kl.",
        ),
        Parameter::new("divergence_alpha", POSITIVE, Default::Absent, "For the alpha divergence; 0.5 by default."),
        Parameter::new(
            "weighting",
            Shape::Flag,
            Default::Flag(false),
            "Rows count more the likelier their answers are by now (WPO).",
        ),
        Parameter::new(
            "weight_ceiling",
            POSITIVE,
            Default::Absent,
            "The largest weight of `weighting`: 1 by default, as its authors have it; TRL 1.16 has none (1e6).",
        ),
        Parameter::new(
            "facts_only",
            Shape::Flag,
            Default::Flag(false),
            "Only right facts of chosen and wrong facts of rejected answers count in the preference (Mask-DPO).",
        ),
        Parameter::new(
            "beyond_shared_length",
            Shape::Number { least: 0.0, most: 1.0, open: false },
            Default::Number(1.0),
            "What tokens beyond the length of the shorter answer count (LD-DPO), also in `logps/chosen` and others.",
        ),
        Parameter::new(
            "mismatch",
            Shape::Choice(&["fixed", "batch"]),
            Default::Text("fixed"),
            "For kto: the reference point is over answers of the next row with another prompt, or of the batch (TRL).",
        ),
        setting(Setting::FactWeight, AT_LEAST_0, "For fact_kto: the weight of the term over single facts."),
        setting(
            Setting::WrongFactWeight,
            AT_LEAST_0,
            "For fact_kto: the weight of a wrong fact; a right one weighs 1.",
        ),
        Parameter::new(
            "reference_every",
            COUNT,
            Default::Absent,
            "After every so many steps the reference moves towards the policy (TR-DPO); never where nothing is said.",
        ),
        Parameter::new(
            "reference_mixup",
            Shape::Number { least: 0.0, most: 1.0, open: true },
            Default::Absent,
            "How far it moves: the policy's share in the new reference; 0.6 by default.",
        ),
        Parameter::new(
            "held_out",
            Shape::Number { least: 0.0, most: 0.9, open: false },
            Default::Number(0.0),
            "The share of prompts that is never learnt from; the model that does best on them is kept.",
        ),
        Parameter::new("evaluate_every", COUNT, Default::Integer(20), "Steps between two looks at held-out rows."),
        Parameter::new(
            "patience",
            COUNT,
            Default::Absent,
            "After so many looks without a lower loss on held-out rows training stops; else it goes on to its end.",
        ),
        Parameter::new("epochs", POSITIVE, Default::Number(1.0), "Passes over the rows; a part of a pass is right."),
        Parameter::new("shuffle", Shape::Flag, Default::Flag(true), "Whether each pass has an order of its own."),
        Parameter::new("batch", COUNT, Default::Integer(32), "Rows of one optimizer step."),
        Parameter::new("accumulation", COUNT, Default::Integer(1), "Parts in which a batch goes through the model."),
        MAX_LENGTH,
        TRUNCATION,
        Parameter::new(
            "freeze",
            Shape::List(&Shape::Text),
            Default::Texts(&[]),
            "Parts of parameter names that stay as they are, e.g. [\"embed_tokens\", \"layers.0\"]; names as in the checkpoint.",
        )
        .set(),
        Parameter::new(
            "lora_rank",
            COUNT,
            Default::Absent,
            "Learn a LoRA adapter of this rank instead of all weights.",
        ),
        Parameter::new(
            "lora_alpha",
            POSITIVE,
            Default::Absent,
            "What updates are multiplied by, times the rank; 2 ranks.",
        ),
        Parameter::new(
            "lora_targets",
            Shape::List(&Shape::Text),
            Default::Texts(&["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
            "The layers that have updates, by the ends of their names.",
        )
        .set(),
        Parameter::new(
            "rslora",
            Shape::Flag,
            Default::Flag(false),
            "Alpha is divided by the rank's root instead of the rank.",
        ),
        Parameter::new(
            "lora_pattern",
            Shape::Text,
            Default::Absent,
            "A pattern of whole layer names instead of `lora_targets`, as PEFT reads it, or `all-linear`.",
        ),
        Parameter::new(
            "lora_dropout",
            Shape::Number { least: 0.0, most: 0.9, open: false },
            Default::Number(0.0),
            "The share of an update's input that is left out in training; TRL switches dropout off by default.",
        ),
        Parameter::new(
            "merge",
            Shape::Flag,
            Default::Flag(true),
            "Whether a tuned adapter is also merged into a model of its own; false leaves the adapter alone.",
        ),
        PRECISION,
        Parameter::new(
            "share_prompts",
            Shape::Flag,
            Default::Flag(true),
            "The prompt that two answers share is computed once.",
        ),
        Parameter::new(
            "sort_by_length",
            Shape::Flag,
            Default::Flag(true),
            "Attention lays out sequences of similar length together.",
        ),
        Parameter::new(
            "logits_at_once",
            COUNT,
            Default::Integer(4096),
            "Tokens whose logits over the vocabulary are in memory at once.",
        ),
        Parameter::new(
            "tape",
            Shape::Choice(&["whole", "blocks"]),
            Default::Text("whole"),
            "What is kept for the backward pass: everything, or the states before each block (gradient checkpointing).",
        ),
        optimisation::learning_rate(1e-6),
        optimisation::warmup(0),
        optimisation::decay("linear"),
        optimisation::floor(0.0),
        optimisation::weight_decay(0.0),
        optimisation::beta1(0.9),
        optimisation::beta2(0.999),
        optimisation::EPSILON,
        optimisation::CLIP,
        optimisation::CHECKPOINT_SECONDS,
    ],
    provides: &[&MODEL, &ADAPTER, &METRICS],
    draws: true,
    gathers: false,
    on_device: true,
    fits: Some(fits),
    lacks: Some(lacks),
    suits: None,
};

/// The values of the parameters that are `tune`'s own.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    pub weighting: bool,
    pub weight_ceiling: Option<f64>,
    pub facts_only: bool,
    pub beyond_shared_length: f64,
    pub nll_mean: NllMean,
    pub mismatch: Mismatch,
    pub reference_every: Option<usize>,
    pub reference_mixup: Option<f64>,
    pub held_out: f64,
    pub evaluate_every: usize,
    pub patience: Option<usize>,
    pub epochs: f64,
    pub shuffle: bool,
    pub batch: usize,
    pub accumulation: usize,
    pub max_length: usize,
    pub truncation: Truncation,
    pub freeze: Vec<String>,
    pub lora_rank: Option<usize>,
    pub lora_alpha: Option<f64>,
    pub lora_targets: Vec<String>,
    pub lora_pattern: Option<String>,
    pub lora_dropout: f64,
    pub rslora: bool,
    pub precision: String,
    pub merge: bool,
    pub share_prompts: bool,
    pub sort_by_length: bool,
    pub logits_at_once: usize,
    pub tape: Tape,
}

/// The objective that parameters state; each algorithm has parameters of its own.
pub(super) fn objective(parameters: &BTreeMap<String, Value>) -> Result<Objective, ObjectiveError> {
    let name = parameters.get("algorithm").and_then(Value::as_str).unwrap_or("dpo");
    let mut sum = vec![(name, 1.0)];
    let plus = parameters.get("plus").and_then(Value::as_object).into_iter().flatten();
    sum.extend(plus.map(|(name, weight)| (name.as_str(), weight.as_f64().unwrap_or(0.0))));
    let number = |value: &Value| value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))));
    let given = |setting: &Setting| Some((*setting, number(parameters.get(setting.name())?)?));
    let given: Vec<(Setting, f64)> = Setting::ALL.iter().filter_map(given).collect();
    let alpha = parameters.get("divergence_alpha").and_then(Value::as_f64).unwrap_or(0.5);
    let divergence = parameters.get("divergence").and_then(Value::as_str).map(|name| match name {
        "forward_kl" => Divergence::ForwardKl,
        "jensen_shannon" => Divergence::JensenShannon,
        "alpha" => Divergence::Alpha(alpha),
        _ => Divergence::ReverseKl,
    });
    Objective::new(&sum, &given, divergence)
}

fn fits(chosen: &Chosen<'_>) -> Vec<Misfit> {
    let mut found = optimisation::fits(chosen);
    let weighs = chosen.flag("weighting");
    match objective(chosen.parameters) {
        Err(error) => {
            found.push(Misfit::error(error.setting(), error.to_string(), "only what the algorithm has is expected"));
        }
        Ok(objective) if weighs && objective.sorts() => {
            let names = objective.names().join(" + ");
            let problem =
                format!("`{names}` sorts margins over the batch, so that none is a row's that could be weighted");
            found.push(Misfit::error("weighting", problem, "leave `weighting` out, or choose another algorithm"));
        }
        Ok(objective) => found.extend(unused_by(&objective, chosen)),
    }
    if chosen.has("divergence_alpha") && chosen.text("divergence") != "alpha" {
        let problem = "`divergence_alpha` is only of use to the alpha divergence";
        found.push(Misfit::error("divergence_alpha", problem, "set `divergence = \"alpha\"`, or leave it out"));
    }
    let is_new = chosen.has("lora_rank");
    let is_adapter = is_new || chosen.is_given("adapter");
    if is_new && chosen.is_given("adapter") {
        let problem = "`adapter` is gone on from with the rank that it has, but `lora_rank` asks for a new one";
        found.push(Misfit::error("lora_rank", problem, "leave out `lora_rank` or `adapter`"));
    }
    if chosen.count("accumulation") > chosen.count("batch") {
        let why = format!("a batch of {} rows has no more parts than rows", chosen.count("batch"));
        found.push(Misfit::of_no_use("accumulation", &why, "at most `batch` is expected"));
    }
    let holds_out = chosen.number("held_out") > 0.0;
    for (field, of_use, right) in [
        ("lora_alpha", is_new, "set `lora_rank`, or leave it out"),
        ("lora_pattern", is_new, "set `lora_rank`, or leave it out"),
        ("reference_mixup", chosen.has("reference_every"), "set `reference_every`, or leave it out"),
        ("weight_ceiling", weighs, "set `weighting = true`, or leave it out"),
        ("patience", holds_out, "set `held_out` above 0, or leave it out"),
    ] {
        if chosen.has(field) && !of_use {
            found.push(Misfit::error(field, format!("`{field}` is of no use by itself"), right));
        }
    }
    for (field, of_use, why) in [
        ("lora_targets", is_new, "it is for a new adapter, which needs `lora_rank`"),
        ("lora_targets", !chosen.has("lora_pattern"), "`lora_pattern` names the layers"),
        ("rslora", is_new, "it is for a new adapter, which needs `lora_rank`"),
        ("lora_dropout", is_adapter, "no adapter is learnt: there is neither `lora_rank` nor `adapter`"),
        ("merge", is_adapter, "no adapter is learnt: there is neither `lora_rank` nor `adapter`"),
        ("evaluate_every", holds_out, "no row is held out; set `held_out` above 0"),
    ] {
        if chosen.is_changed(field) && !of_use {
            found.push(Misfit::of_no_use(field, why, "leave it out"));
        }
    }
    found
}

/// What an objective passes over.
fn unused_by(objective: &Objective, chosen: &Chosen<'_>) -> Vec<Misfit> {
    let mut found = Vec::new();
    if chosen.is_given("reference") {
        if chosen.has("reference_every") {
            let why = "a reference that moves is asked anew at each step";
            found.push(Misfit::of_no_use("reference", why, "leave out `reference` or `reference_every`"));
        } else if !objective.needs_reference() {
            found.push(Misfit::of_no_use("reference", "the algorithm has no reference model", "leave it out"));
        }
    }
    for (field, of_use, why) in [
        ("mismatch", objective.needs_reference_point(), "the algorithm has no reference point"),
        ("nll_mean", objective.nll_weight > 0.0, "no likelihood is in the loss"),
    ] {
        if chosen.is_changed(field) && !of_use {
            found.push(Misfit::of_no_use(field, why, "leave it out"));
        }
    }
    found
}

/// An adapter that is not merged leaves no model, and without one there is no adapter.
fn lacks(chosen: &Chosen<'_>) -> Vec<Lack> {
    if !chosen.has("lora_rank") && !chosen.is_given("adapter") {
        let why = "since neither `lora_rank` nor `adapter` is given: all weights are tuned";
        return vec![Lack { artifact: ADAPTER.name, why, right: "read its `model`, or set `lora_rank`" }];
    }
    if chosen.flag("merge") {
        return Vec::new();
    }
    let right = "set `merge = true`, or read the model before tuning with the tuned `adapter`";
    vec![Lack { artifact: MODEL.name, why: "since `merge` is false: it leaves the adapter alone", right }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stage::trial;

    /// The fields that do not fit.
    fn wrong(parameters: Value) -> Vec<&'static str> {
        trial::misfits(&KIND, &[], parameters).into_iter().map(|misfit| misfit.field).collect()
    }

    /// What TRL 1.16 refuses when its trainer is made, and what it takes.
    #[test]
    fn what_trl_refuses_is_refused_before_anything_runs() {
        let divergences = ["forward_kl", "jensen_shannon", "alpha"];
        for algorithm in ["dpo", "dpo_norm", "hinge", "ipo", "exo", "robust", "discopop"] {
            for divergence in divergences {
                assert!(wrong(json!({"algorithm": algorithm, "divergence": divergence})).is_empty(), "{algorithm}");
            }
        }
        let sum = json!({"plus": {"sft": 0.5}, "divergence": "alpha", "divergence_alpha": 1.5});
        assert!(wrong(sum).is_empty());
        for algorithm in ["nca", "bco", "sppo", "aot", "aot_unpaired", "apo_zero", "apo_down"] {
            for divergence in divergences {
                let found = wrong(json!({"algorithm": algorithm, "divergence": divergence}));
                assert_eq!(found, ["divergence"], "{algorithm}");
            }
            assert!(wrong(json!({"algorithm": algorithm, "divergence": "reverse_kl"})).is_empty(), "{algorithm}");
        }
        assert_eq!(wrong(json!({"plus": {"bco": 0.5}, "divergence": "forward_kl"})), ["divergence"]);
        for algorithm in ["aot", "aot_unpaired"] {
            assert_eq!(wrong(json!({"algorithm": algorithm, "weighting": true})), ["weighting"]);
        }
        assert_eq!(wrong(json!({"weight_ceiling": 2.0})), ["weight_ceiling"]);
        assert!(wrong(json!({"weighting": true, "weight_ceiling": 2.0})).is_empty());
    }
}
