//! Artifact types and their files, in formats that other tools open.

use crate::{recipe::schema::ArtifactType, store::EVERY_FILE};

/// A Hugging Face model directory.
pub const MODEL: ArtifactType = ArtifactType {
    name: "model",
    files: &[
        "config.json",
        "generation_config.json",
        "*.safetensors",
        // No part of the model, but of its digest since the first artifacts: `tune` writes the
        // adapter that it merged into a folder of the model's.
        "adapter/adapter_model.safetensors",
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
/// Training documents.
pub const DOCUMENTS: ArtifactType = ArtifactType { name: "documents", files: &["documents.jsonl"] };
/// FActScore's SQLite file of titles and texts, and the normal forms of its titles.
pub const KNOWLEDGE: ArtifactType =
    ArtifactType { name: "knowledge", files: &["knowledge.db", "titles.db"] };
/// Responses of a model.
pub const RESPONSES: ArtifactType = ArtifactType { name: "responses", files: &["responses.jsonl"] };
/// Claims of responses.
pub const CLAIMS: ArtifactType = ArtifactType { name: "claims", files: &["claims.jsonl"] };
/// A prompt with places: a text file.
pub const PROMPT_TEMPLATE: ArtifactType =
    ArtifactType { name: "prompt template", files: &["*.txt"] };
/// Demonstrations of claims: rows of sentences with their facts.
pub const DEMONSTRATIONS: ArtifactType =
    ArtifactType { name: "demonstrations", files: &["*.jsonl"] };
/// Passages retrieved for claims.
pub const PASSAGES: ArtifactType = ArtifactType { name: "passages", files: &["passages.jsonl"] };
/// Verdicts on claims.
pub const VERDICTS: ArtifactType = ArtifactType { name: "verdicts", files: &["verdicts.jsonl"] };
/// Calibration of a verifier's log-odds.
pub const CALIBRATION: ArtifactType =
    ArtifactType { name: "calibration", files: &["calibration.json"] };
/// Knowledge classes of facts.
pub const PROBE: ArtifactType =
    ArtifactType { name: "probe", files: &["probe.jsonl", "probe.csv"] };
/// Preference pairs.
pub const PAIRS: ArtifactType = ArtifactType { name: "pairs", files: &["pairs.jsonl"] };
/// Reference log-probabilities of preference data.
pub const REFERENCE: ArtifactType = ArtifactType { name: "reference", files: &["reference.jsonl"] };
/// Training metrics by step.
pub const METRICS: ArtifactType = ArtifactType { name: "metrics", files: &["metrics.jsonl"] };
/// Factuality scores by domain, with intervals.
pub const SCORES: ArtifactType =
    ArtifactType { name: "scores", files: &["scores.json", "responses.csv"] };
/// Table of arms and seeds.
pub const COMPARISON: ArtifactType =
    ArtifactType { name: "comparison", files: &["comparison.json", "comparison.csv"] };
/// Labels by people.
pub const LABELS: ArtifactType = ArtifactType { name: "labels", files: &["labels.jsonl"] };
/// Agreement of claims and verdicts with labels by people.
pub const AGREEMENT: ArtifactType = ArtifactType {
    name: "agreement",
    files: &["agreement.json", "agreement.csv", "compared_claims.csv", "compared_responses.csv"],
};
/// Token shift of a tuned model's responses.
pub const SHIFT: ArtifactType =
    ArtifactType { name: "shift", files: &["shift.json", "shift.csv", "tokens.jsonl"] };
/// Diagnosis of each arm.
pub const DIAGNOSIS: ArtifactType =
    ArtifactType { name: "diagnosis", files: &["diagnosis.json", "diagnosis.csv"] };
/// Facts of one domain: a CSV table.
pub const FACT_TABLE: ArtifactType = ArtifactType { name: "fact table", files: &["*.csv"] };
/// Wording of a domain's facts: a TOML file.
pub const PHRASES: ArtifactType = ArtifactType { name: "phrases", files: &["*.toml"] };
/// Files of any format, for `command`.
pub const FILES: ArtifactType = ArtifactType { name: "files", files: EVERY_FILE };
