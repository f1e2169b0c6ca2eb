//! What a kind of stage is asked before anything runs: whether parameters, inputs and cells fit together, and what it leaves.

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::{ArtifactType, Kind};

/// Says what does not fit together in a stage, all parameters of which have the right shape.
pub type Fits = fn(&Chosen<'_>) -> Vec<Mismatch>;

/// Says which types a stage does not leave although its kind provides them.
pub type Lacks = fn(&Chosen<'_>) -> Vec<Lack>;

/// Says what does not fit together in a stage and the cells that it gathers.
pub type Suits = fn(&Chosen<'_>, &[Gathered<'_>]) -> Vec<Mismatch>;

/// What a recipe says of a stage in one of its cells.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// Its parameters, defaults filled in.
    pub parameters: &'a BTreeMap<String, Value>,
    /// How many artifacts each input is given, by name; inputs without any are left out.
    pub inputs: BTreeMap<&'a str, usize>,
}

/// A cell that a stage gathers.
#[derive(Debug)]
pub struct Gathered<'a> {
    /// The input's name.
    pub input: &'a str,
    /// The cell's name: `after@algorithm=dpo,seed=0`.
    pub name: &'a str,
    /// The recipe's stage: `after`.
    pub stage: &'a str,
    /// Its coordinates in matrix and seeds.
    pub cell: &'a BTreeMap<String, Value>,
}

/// A type of artifact that a stage does not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The type's name.
    pub artifact: &'static str,
    /// Why, in words that go on from "leaves no `model`": "since `merge` is false".
    pub why: &'static str,
    /// What would be right.
    pub right: &'static str,
}

/// A parameter that does not fit the others, or the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The parameter, or the input.
    pub field: &'static str,
    /// What is wrong: `` `hidden` 100 is not an even multiple of `heads` 3 ``.
    pub problem: String,
    /// What would be right, in a few words.
    pub right: String,
    /// Whether nothing can run so; else the parameter is only of no use.
    pub is_error: bool,
}

impl Mismatch {
    /// What cannot run.
    pub fn error(field: &'static str, problem: impl Into<String>, right: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), right: right.into(), is_error: true }
    }

    /// What runs, but passes the parameter over: `` `top_k` is of no use: ... ``.
    pub fn of_no_use(field: &'static str, why: &str, right: impl Into<String>) -> Self {
        Self { field, problem: format!("`{field}` is of no use: {why}"), right: right.into(), is_error: false }
    }
}

impl Chosen<'_> {
    /// Whether an input is given.
    pub fn is_given(&self, input: &str) -> bool {
        self.inputs.contains_key(input)
    }

    /// Whether a parameter has a value.
    pub fn has(&self, parameter: &str) -> bool {
        self.parameters.contains_key(parameter)
    }

    /// Whether a parameter has another value than it has where the recipe says nothing; a default that is written out means
    /// nothing.
    pub fn is_changed(&self, name: &str) -> bool {
        let parameter = self.kind.parameters.iter().find(|known| known.name == name);
        let default = parameter.and_then(|parameter| Some(parameter.in_order(parameter.default_value()?)));
        self.parameters.get(name) != default.as_ref()
    }

    /// A text, or "" where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.parameters.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A truth value, or false where there is none.
    pub fn flag(&self, name: &str) -> bool {
        self.parameters.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A number, or 0 where there is none.
    pub fn number(&self, name: &str) -> f64 {
        self.parameters.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// A whole number, or 0 where there is none.
    pub fn count(&self, name: &str) -> u64 {
        self.parameters.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let list = self.parameters.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// Why the stage cannot serve as this type although its kind can, if so.
    pub fn lack(&self, wanted: &ArtifactType) -> Option<Lack> {
        let lacking = self.kind.lacks.map_or(Vec::new(), |lacks| lacks(self));
        let is_lacking = |given: &ArtifactType| lacking.iter().any(|lack| lack.artifact == given.name);
        let served = self.kind.provides.iter().filter(|given| wanted.takes(given));
        let (lost, left): (Vec<&&ArtifactType>, Vec<_>) = served.partition(|given| is_lacking(given));
        let first = lost.first().filter(|_| left.is_empty())?;
        lacking.iter().find(|lack| lack.artifact == first.name).cloned()
    }
}
