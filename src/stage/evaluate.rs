//! The composite `evaluate`: responses over several domains, their claims, verdicts and scores.

use super::{extract, sample, score, verify};
use crate::recipe::schema::{Composite, Part, Wire};

/// Sample, extract, verify and score.
pub(super) const COMPOSITE: Composite = Composite {
    name: "evaluate",
    about: "Evaluate the factuality of a model: sample, extract, verify and score.",
    // Stages of their own, so that scores with other parameters use the same responses.
    parts: &[
        Part { name: "answers", kind: &sample::KIND, wires: &[] },
        Part {
            name: "claims",
            kind: &extract::KIND,
            wires: &[Wire { input: "responses", part: "answers" }],
        },
        Part {
            name: "verdicts",
            kind: &verify::KIND,
            wires: &[Wire { input: "claims", part: "claims" }],
        },
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
