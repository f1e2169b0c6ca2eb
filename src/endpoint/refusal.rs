//! Calls that a server refuses for what they ask, and which of them go without an answer.

use serde_json::json;

use super::call::Call;
use crate::digest::{Digest, digest_value};

/// What becomes of calls that a server does not accept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusals {
    /// The first one is an error.
    Fail,
    /// Calls that exceed the model's context are logged, and have no answer.
    KeepTooLong,
    /// All are logged, and have no answer.
    Keep,
}

/// What a server refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    /// A call that exceeds the model's context.
    TooLong,
    /// What a call asks.
    Invalid,
}

impl Refusal {
    /// Key of its log line. It is not that of the answer, which the call gets where it must be
    /// answered.
    pub(super) fn key(self, call: &Call) -> Digest {
        let domain = match self {
            Self::TooLong => "call beyond the context",
            Self::Invalid => "refused call",
        };
        digest_value(domain, &json!(call.key.to_string()))
    }
}

impl Refusals {
    /// The refusals that count as answers.
    pub(super) fn kept(self) -> &'static [Refusal] {
        match self {
            Self::Fail => &[],
            Self::KeepTooLong => &[Refusal::TooLong],
            Self::Keep => &[Refusal::TooLong, Refusal::Invalid],
        }
    }
}
