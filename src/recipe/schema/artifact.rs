//! Artifact types.

/// An artifact type: a name and its files.
#[derive(Debug)]
pub struct ArtifactType {
    /// Name in errors: "model", "prompts", ...
    pub name: &'static str,
    /// Patterns of its files (`*` matches any characters); only these enter a consumer's key.
    pub files: &'static [&'static str],
}

impl ArtifactType {
    /// Whether an artifact of type `other` is accepted: the same type, or this one accepts any
    /// file.
    pub fn takes(&self, other: &Self) -> bool {
        self.name == other.name || self.files == ["**"]
    }
}
