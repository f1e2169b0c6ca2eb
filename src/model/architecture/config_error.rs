//! Why a `config.json` is not supported.

use std::fmt::Display;

use super::Architecture;

/// Why a `config.json` is not supported.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("it is not a JSON object: {0}")]
    Syntax(serde_json::Error),
    /// A required field is missing.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A field's value is invalid.
    #[error("the field `{field}` is {found}, but {expected}")]
    Wrong {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// Unknown architecture.
    #[error("unknown architecture `{found}`; known: {known}", known = known_architectures())]
    Architecture {
        /// Its name.
        found: String,
    },
    /// `architectures` and `model_type` contradict each other.
    #[error(
        "`architectures` is `{class}`, but `model_type` is `{model_type}`: they must name the \
        same architecture"
    )]
    TwoArchitectures {
        /// Value of `architectures`.
        class: String,
        /// Value of `model_type`.
        model_type: String,
    },
    /// The field needs another architecture.
    #[error(
        "the field `{field}` is {found}, but the architecture is `{architecture}`: {supported}"
    )]
    NotOfArchitecture {
        /// The architecture.
        architecture: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What the architecture supports.
        supported: &'static str,
    },
    /// The field needs an unsupported feature.
    #[error("the field `{field}` is {found}, which is not supported: {supported}")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
}

fn known_architectures() -> String {
    Architecture::ALL.map(|architecture| format!("`{}`", architecture.class())).join(", ")
}

impl ConfigError {
    /// The error of a field with an invalid value.
    pub(super) fn wrong(field: &'static str, found: impl Display, expected: &'static str) -> Self {
        Self::Wrong { field, found: found.to_string(), expected }
    }

    /// The error of a field that needs an unsupported feature.
    pub(super) fn unsupported(
        field: &'static str,
        found: impl Display,
        supported: &'static str,
    ) -> Self {
        Self::Unsupported { field, found: found.to_string(), supported }
    }
}
