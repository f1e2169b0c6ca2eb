//! Ids of rows.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

/// Id of a response: `<prompt id>#<sample>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseId(String);

/// Id of a claim: `<response id>/<number>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimId(String);

impl ResponseId {
    /// The id of the response of this number, from 0, to a prompt.
    pub fn of_sample(prompt: &str, sample: usize) -> Self {
        Self(format!("{prompt}#{sample}"))
    }

    /// The id of the claim of this number, from 0, in this response.
    pub fn claim(&self, number: usize) -> ClaimId {
        ClaimId(format!("{}/{number}", self.0))
    }
}

// Two types and not one: a claim looked up by the id of a response does not compile.
macro_rules! text {
    ($id:ident) => {
        impl $id {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl From<String> for $id {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $id {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text!(ResponseId);
text!(ClaimId);
