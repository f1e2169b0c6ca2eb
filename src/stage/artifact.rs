//! The types of artifact and the files that make them up (design: ordinary formats that other tools open).

use crate::recipe::schema::ArtifactType;

/// A Hugging Face model directory.
pub const MODEL: ArtifactType = ArtifactType {
    name: "model",
    files: &[
        "config.json",
        "generation_config.json",
        "*.safetensors",
        "*.safetensors.index.json",
        "tokenizer*.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "additional_chat_templates/*.jinja",
    ],
};
/// A PEFT directory with a LoRA adapter.
pub const ADAPTER: ArtifactType = ArtifactType {
    name: "adapter",
    files: &[
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    ],
};
/// Prompts with topic and domain.
pub const PROMPTS: ArtifactType = ArtifactType { name: "prompts", files: &["prompts.jsonl"] };
/// Texts to train on.
pub const DOCUMENTS: ArtifactType = ArtifactType { name: "documents", files: &["documents.jsonl"] };
/// FActScore's SQLite file of titles and texts.
pub const KNOWLEDGE: ArtifactType = ArtifactType { name: "knowledge", files: &["knowledge.db"] };
/// Answers of a model.
pub const RESPONSES: ArtifactType = ArtifactType { name: "responses", files: &["responses.jsonl"] };
/// Single facts that answers state.
pub const CLAIMS: ArtifactType = ArtifactType { name: "claims", files: &["claims.jsonl"] };
/// Whether claims hold.
pub const VERDICTS: ArtifactType = ArtifactType { name: "verdicts", files: &["verdicts.jsonl"] };
/// How well a model knows single facts.
pub const PROBE: ArtifactType = ArtifactType { name: "probe", files: &["probe.jsonl", "probe.csv"] };
/// Preference pairs.
pub const PAIRS: ArtifactType = ArtifactType { name: "pairs", files: &["pairs.jsonl"] };
/// What a model thinks of preference data before it is tuned on them.
pub const REFERENCE: ArtifactType = ArtifactType { name: "reference", files: &["reference.jsonl"] };
/// What training measured, step by step.
pub const METRICS: ArtifactType = ArtifactType { name: "metrics", files: &["metrics.jsonl"] };
/// Factuality scores by domain, with intervals.
pub const SCORES: ArtifactType = ArtifactType { name: "scores", files: &["scores.json", "responses.csv"] };
/// A table of arms and seeds.
pub const COMPARISON: ArtifactType = ArtifactType { name: "comparison", files: &["comparison.json", "comparison.csv"] };
/// What the model before tuning thinks of a tuned model's answers.
pub const SHIFT: ArtifactType = ArtifactType { name: "shift", files: &["shift.json", "shift.csv", "tokens.jsonl"] };
/// Whether tuning reaches other domains, by arm.
pub const DIAGNOSIS: ArtifactType = ArtifactType { name: "diagnosis", files: &["diagnosis.json", "diagnosis.csv"] };
/// Facts of one domain: a CSV table. As an input it is a file.
pub const FACT_TABLE: ArtifactType = ArtifactType { name: "fact table", files: &["*.csv"] };
/// How the facts of a domain are worded: a TOML file.
pub const PHRASES: ArtifactType = ArtifactType { name: "phrases", files: &["*.toml"] };
/// Files of any kind, for and from a user's own program.
pub const FILES: ArtifactType = ArtifactType { name: "files", files: &["*"] };
