//! Inputs of a kind.

use super::ArtifactType;

/// A field that names an input.
#[derive(Debug)]
pub struct Input {
    /// Field name.
    pub name: &'static str,
    /// Purpose in one sentence.
    pub about: &'static str,
    /// Accepted artifact type.
    pub accepts: &'static ArtifactType,
    /// Accepted number of artifacts.
    pub count: Count,
    /// Whether its text is a path instead of a stage's name: `path = "models/my-llama"`.
    pub is_path: bool,
}

/// Accepted number of artifacts of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly one: `model = "base"`.
    One,
    /// Zero or one.
    Optional,
    /// One or more: `scores = ["before", "after"]`; a single one may stand without brackets.
    Many,
    /// Zero or more.
    Any,
}

impl Count {
    /// Whether a list is accepted.
    pub fn takes_list(self) -> bool {
        matches!(self, Self::Many | Self::Any)
    }

    /// Whether the field is required.
    pub fn is_required(self) -> bool {
        matches!(self, Self::One | Self::Many)
    }
}

impl Input {
    /// A required input of exactly one artifact.
    pub const fn one(
        name: &'static str,
        accepts: &'static ArtifactType,
        about: &'static str,
    ) -> Self {
        Self { name, about, accepts, count: Count::One, is_path: false }
    }

    /// An optional input of one artifact.
    pub const fn optional(
        name: &'static str,
        accepts: &'static ArtifactType,
        about: &'static str,
    ) -> Self {
        Self { name, about, accepts, count: Count::Optional, is_path: false }
    }

    /// An input of one or more artifacts.
    pub const fn many(
        name: &'static str,
        accepts: &'static ArtifactType,
        about: &'static str,
    ) -> Self {
        Self { name, about, accepts, count: Count::Many, is_path: false }
    }

    /// An optional input of any number of artifacts.
    pub const fn any(
        name: &'static str,
        accepts: &'static ArtifactType,
        about: &'static str,
    ) -> Self {
        Self { name, about, accepts, count: Count::Any, is_path: false }
    }

    /// The same input, whose text is always a path.
    pub const fn path(mut self) -> Self {
        self.is_path = true;
        self
    }
}
