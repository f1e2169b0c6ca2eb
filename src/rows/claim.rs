//! Rows of claims.

use serde::{Deserialize, Serialize};

use super::{CharSpan, ClaimId, ResponseId, Row};

/// A row of `claims.jsonl`: one fact of a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// Unique in its file.
    pub id: ClaimId,
    /// Id of the response.
    pub response_id: ResponseId,
    /// Topic of the response; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// The fact, self-contained.
    pub text: String,
    /// Its characters in the output, from the first to the last one.
    pub span: CharSpan,
    /// The pieces of the output that state it, in order; empty if `span` is all that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<CharSpan>,
    /// Characters of its sentence in the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<CharSpan>,
    /// What kind of statement it is.
    #[serde(default, skip_serializing_if = "ClaimKind::is_fact")]
    pub kind: ClaimKind,
    /// Earlier claim of the same response that states the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<ClaimId>,
    /// Whether a model wrote words that neither prompt nor output has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfaithful: bool,
}

impl Claim {
    /// The pieces of the output that state it: `spans`, or the whole `span`.
    pub fn pieces(&self) -> &[CharSpan] {
        if self.spans.is_empty() { std::slice::from_ref(&self.span) } else { &self.spans }
    }
}

/// What kind of statement a claim is. Only facts can be supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A statement that sources can support.
    #[default]
    Fact,
    /// Nothing beyond the topic itself, such as "She was a person".
    Trivial,
    /// A judgement, such as "She is an inspiration to many".
    Opinion,
    /// A refusal, or words about the response itself.
    Refusal,
    /// A heading or label without a value.
    Heading,
    /// A question.
    Question,
}

impl ClaimKind {
    /// Whether sources can support it.
    pub fn is_fact(&self) -> bool {
        matches!(self, Self::Fact)
    }
}

impl Row for Claim {
    const WHAT: &'static str = "claim";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}
