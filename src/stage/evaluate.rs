//! The name `evaluate`: answers over several domains, their claims, verdicts and scores.

use super::{extract, sample, score, verify};
use crate::recipe::schema::{Composite, Part, Wire};

/// Sample, extract, verify and score, wired together.
pub(super) const COMPOSITE: Composite = Composite {
    name: "evaluate",
    about: "Asks a model over several domains and scores its answers: sample, extract, verify and score in one.",
    parts: &[
        Part { name: "answers", kind: &sample::KIND, wires: &[] },
        Part { name: "claims", kind: &extract::KIND, wires: &[Wire { input: "responses", part: "answers" }] },
        Part { name: "verdicts", kind: &verify::KIND, wires: &[Wire { input: "claims", part: "claims" }] },
        Part {
            name: "scores",
            kind: &score::KIND,
            wires: &[
                Wire { input: "responses", part: "answers" },
                Wire { input: "claims", part: "claims" },
                Wire { input: "verdicts", part: "verdicts" },
            ],
        },
    ],
};
