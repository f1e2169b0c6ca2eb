//! Kinds of stage for tests of plans.

use std::fs;

use super::{Plan, plan};
use crate::{
    diagnostic::Problems,
    recipe::{
        Recipe,
        schema::{
            ArtifactType, Catalogue, Composite, Default, Input, Kind, Mismatch, NamedTable,
            Parameter, Part, Shape, Sharing, Wire,
        },
    },
};

static MODEL: ArtifactType = ArtifactType { name: "model", files: &["**"] };
static TEXTS: ArtifactType = ArtifactType { name: "texts", files: &["texts.jsonl"] };
static SCORES: ArtifactType = ArtifactType { name: "scores", files: &["scores.json"] };

const PLAIN: Kind = Kind {
    name: "",
    version: 1,
    about: "For tests.",
    inputs: &[],
    parameters: &[],
    provides: &[],
    seeded: false,
    fan_in: false,
    on_device: None,
    cross_checks: None,
    lacks: None,
    cell_checks: None,
    redundant: None,
};

static MAKE: Kind = Kind {
    name: "make",
    inputs: &[
        Input::optional("data", &TEXTS, "What it is made of.").path(),
        Input::optional("base", &MODEL, "What it is like."),
    ],
    parameters: &[Parameter::new(
        "size",
        Shape::Integer { least: 1, most: 9 },
        Default::Integer(1),
        "How large.",
    )],
    provides: &[&MODEL],
    ..PLAIN
};
static TUNE: Kind = Kind {
    name: "tune",
    version: 3,
    inputs: &[
        Input::one("model", &MODEL, "What is tuned."),
        Input::optional("texts", &TEXTS, "With what."),
    ],
    parameters: &[
        Parameter::new(
            "algorithm",
            Shape::Choice(&["dpo", "ipo"]),
            Default::Text("dpo"),
            "The loss.",
        ),
        Parameter::new(
            "beta",
            Shape::Number { least: 0.0, most: 9.0, open: true },
            Default::Number(0.1),
            "How close.",
        ),
        Parameter::new("note", Shape::Text, Default::Absent, "Anything."),
        Parameter::new(
            "batch",
            Shape::Integer { least: 1, most: 99 },
            Default::Integer(8),
            "At once.",
        )
        .not_in_key(),
    ],
    provides: &[&MODEL],
    seeded: true,
    on_device: Some(Sharing::ByGradients),
    cross_checks: None,
    // A note that names the algorithm says nothing more.
    redundant: Some(|values| {
        if values.get("note") == values.get("algorithm") { vec!["note"] } else { Vec::new() }
    }),
    ..PLAIN
};
static SAMPLE: Kind = Kind {
    name: "sample",
    inputs: &[Input::one("model", &MODEL, "What answers.")],
    parameters: &[
        Parameter::new("n", Shape::Integer { least: 1, most: 9 }, Default::Integer(1), "How many."),
        Parameter::new("by", Shape::Choice(&["luck", "both"]), Default::Text("luck"), "How."),
    ],
    provides: &[&TEXTS],
    seeded: true,
    ..PLAIN
};
static SCORE: Kind = Kind {
    name: "score",
    inputs: &[Input::one("texts", &TEXTS, "What is scored.")],
    parameters: &[
        Parameter::new("n", Shape::Integer { least: 1, most: 9 }, Default::Integer(2), "How many."),
        Parameter::new("by", Shape::Choice(&["hand", "both"]), Default::Text("hand"), "How."),
    ],
    provides: &[&SCORES],
    ..PLAIN
};
static COMPARE: Kind = Kind {
    name: "compare",
    inputs: &[Input::many("scores", &SCORES, "What is compared.")],
    fan_in: true,
    ..PLAIN
};
static ENDPOINT: NamedTable = NamedTable {
    name: "endpoint",
    about: "A model elsewhere.",
    parameters: &[
        Parameter::new("url", Shape::Text, Default::Required, "Where.").not_in_key(),
        Parameter::new("model", Shape::Text, Default::Text("m"), "Which."),
        Parameter::new(
            "timeout",
            Shape::Number { least: 0.0, most: 9.0, open: true },
            Default::Number(5.0),
            "How long.",
        )
        .not_in_key(),
    ],
    checks: |values| {
        let is_secret = values["url"] == "secret";
        let mismatch = Mismatch { is_secret, ..Mismatch::error("url", "bad url", "another") };
        (is_secret || values["url"] == "bad").then_some(mismatch).into_iter().collect()
    },
};
static ASK: Kind = Kind {
    name: "ask",
    parameters: &[
        Parameter::new("endpoint", Shape::Text, Default::Absent, "Whom.").table(&ENDPOINT)
    ],
    provides: &[&TEXTS],
    ..PLAIN
};
pub(super) static CATALOGUE: Catalogue = Catalogue {
    kinds: &[&MAKE, &TUNE, &SAMPLE, &SCORE, &COMPARE, &ASK],
    composites: &[Composite {
        name: "evaluate",
        about: "Samples and scores.",
        parts: &[
            Part { name: "sample", kind: &SAMPLE, wires: &[] },
            Part { name: "score", kind: &SCORE, wires: &[Wire { input: "texts", part: "sample" }] },
        ],
    }],
};

/// Plans a recipe's text named `x`.
pub(super) fn try_plan(text: &str, settings: &[&str]) -> Result<Plan, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    fs::write(&path, format!("name = \"x\"\n{text}")).unwrap();
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    plan(&Recipe::load(&path, &settings)?, &CATALOGUE, None)
}

/// Plans a recipe that must be valid.
pub(super) fn plan_text(text: &str, settings: &[&str]) -> Plan {
    try_plan(text, settings).unwrap_or_else(|problems| panic!("{problems}"))
}

/// One line per stage: its name and inputs.
pub(super) fn outline(plan: &Plan) -> String {
    let mut text = String::new();
    for node in &plan.order {
        let stage = &plan.graph[*node];
        let needs = stage.inputs.iter().map(|input| match input.source.stage() {
            Some(node) => plan.graph[node].name.clone(),
            None => "a file".to_owned(),
        });
        text.push_str(&format!("{} <- {}\n", stage.name, needs.collect::<Vec<_>>().join(" ")));
    }
    text
}
