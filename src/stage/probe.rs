//! The name `probe`: what a model says when it is asked for single facts many times, and so how well it knows them.

use super::{classify, extract, questions, sample, verify};
use crate::recipe::schema::{Composite, Part, Wire};

/// Ask, sample, extract, verify and classify, wired together.
pub(super) const COMPOSITE: Composite = Composite {
    name: "probe",
    about: "Asks a model for single facts many times and says which it knows: questions, sample, extract, verify and classify in one.",
    parts: &[
        Part { name: "questions", kind: &questions::KIND, wires: &[] },
        Part { name: "answers", kind: &sample::KIND, wires: &[Wire { input: "prompts", part: "questions" }] },
        Part { name: "claims", kind: &extract::KIND, wires: &[Wire { input: "responses", part: "answers" }] },
        Part { name: "verdicts", kind: &verify::KIND, wires: &[Wire { input: "claims", part: "claims" }] },
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
