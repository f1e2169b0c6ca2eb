//! What users of TRL, transformers and PEFT write in a `tune` stage, and what to write here.

/// A name or value of another tool, and what to write.
type Advice = (&'static str, &'static str);

/// TRL's names of losses that have other names here.
pub(super) const LOSSES: [Advice; 9] = [
    ("sigmoid", "TRL's `sigmoid` is `algorithm = \"dpo\"`"),
    ("sigmoid_norm", "TRL's `sigmoid_norm` is `algorithm = \"dpo_norm\"`"),
    ("exo_pair", "TRL's `exo_pair` is `algorithm = \"exo\"`"),
    ("sppo_hard", "TRL's `sppo_hard` is `algorithm = \"sppo\"`"),
    ("nca_pair", "TRL's `nca_pair` is `algorithm = \"nca\"`"),
    ("bco_pair", "TRL's `bco_pair` is `algorithm = \"bco\"` with `running_shift = false`"),
    ("aot_pair", "TRL's `aot_pair` is `algorithm = \"aot\"`"),
    ("kto_pair", "write `algorithm = \"kto\"`, which accepts pairs"),
    ("apo_zero_unpaired", "write `algorithm = \"kto\"` or `algorithm = \"bco\"`"),
];

/// Names of f-divergences.
pub(super) const DIVERGENCES: [Advice; 2] = [
    ("js_divergence", "write `f_divergence_type = \"jensen_shannon\"`"),
    ("alpha_divergence", "write `f_divergence_type = \"alpha\"`"),
];

/// What is evaluated and kept.
pub(super) const EVALUATION_DATA: [Advice; 3] = [
    ("load_best_model_at_end", BEST_IS_KEPT),
    ("metric_for_best_model", BEST_IS_KEPT),
    ("eval_dataset", "write `eval_share`, the share of prompts that are held out"),
];

/// When evaluation takes place.
pub(super) const EVALUATION: [Advice; 2] = [
    ("eval_strategy", "write `eval_share` and `eval_steps`"),
    ("evaluation_strategy", "write `eval_share` and `eval_steps`"),
];

/// Seeds.
pub(super) const RANDOMNESS: [Advice; 2] = [("seed", SEEDS), ("data_seed", SEEDS)];

/// Sizes of batches.
pub(super) const BATCHES: [Advice; 2] = [
    ("per_device_eval_batch_size", "remove it: evaluation uses `batch_size`"),
    ("auto_find_batch_size", "write `batch_size`"),
];

/// Adapters and quantised weights.
pub(super) const ADAPTERS: [Advice; 4] = [
    ("peft_config", "write `lora_rank`, `lora_alpha` and `target_modules`"),
    ("use_peft", "write `lora_rank`"),
    ("load_in_4bit", "remove it: quantised weights (QLoRA) are not offered"),
    ("load_in_8bit", "remove it: quantised weights are not offered"),
];

/// Layers with LoRA updates.
pub(super) const TARGETS: [Advice; 1] =
    [("all-linear", "write `target_modules_pattern = \"all-linear\"`")];

const BEST_IS_KEPT: &str =
    "remove it: with `eval_share` above 0 the model with the lowest held-out loss is kept";
const SEEDS: &str = "write `seeds = [0]` at the top of the recipe, above all stages";
