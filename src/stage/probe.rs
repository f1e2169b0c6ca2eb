//! The composite `probe`: many samples of single-fact questions, and the knowledge classes of these
//! facts.

use super::{classify, extract, questions, sample, verify};
use crate::recipe::schema::{Composite, Part, Wire};

/// Questions, sample, extract, verify and classify.
pub(super) const COMPOSITE: Composite = Composite {
    name: "probe",
    about: "Probe which facts a model knows: questions, sample, extract, verify and classify.",
    parts: &[
        Part { name: "questions", kind: &questions::KIND, wires: &[] },
        Part {
            name: "answers",
            kind: &sample::KIND,
            wires: &[Wire { input: "prompts", part: "questions" }],
        },
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
            name: "classes",
            kind: &classify::KIND,
            wires: &[
                Wire { input: "prompts", part: "questions" },
                Wire { input: "responses", part: "answers" },
                Wire { input: "claims", part: "claims" },
                Wire { input: "verdicts", part: "verdicts" },
            ],
        },
    ],
};
