//! Kinds of stage, and their checks before anything runs: parameters, inputs and cells together,
//! and the types that a stage provides.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::Value;

use super::{ArtifactType, Input, Mismatch, Parameter};
use crate::{device::DeviceNames, rows::Cell};

/// A kind of stage, as the engine sees it.
#[derive(Debug)]
pub struct Kind {
    /// Name after `kind =`.
    pub name: &'static str,
    /// Version, part of the key: raised when the same inputs and parameters give other bytes.
    pub version: u32,
    /// Summary in one sentence.
    pub about: &'static str,
    /// Fields that name stages or files.
    pub inputs: &'static [Input],
    /// Fields with values.
    pub parameters: &'static [Parameter],
    /// Artifact types that its folder can serve as.
    pub provides: &'static [&'static ArtifactType],
    /// Whether it draws random numbers, and so is repeated for each seed.
    pub seeded: bool,
    /// Whether it reads all cells of its inputs at once (a comparison), and so is never repeated.
    pub fan_in: bool,
    /// Whether it runs a model on a device, and how several share its work; such a kind has the
    /// option `device`, and its backend is part of the key. A kind with the parameter `by` runs one
    /// only with `by = "model"`.
    pub on_device: Option<Sharing>,
    /// Checks of parameters and inputs together.
    pub cross_checks: Option<CrossChecks>,
    /// Types of `provides` that a stage lacks with its parameters; without it, it provides all.
    pub lacks: Option<Lacks>,
    /// Checks of a fan-in kind's parameters and input cells together.
    pub cell_checks: Option<CellChecks>,
    /// Parameters that change nothing, since they equal defaults that follow from other parameters;
    /// the key leaves them out, so that a default may be written out.
    pub redundant: Option<Redundant>,
}

/// How several devices share the work of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Not at all: the first one does it.
    Alone,
    /// By rows, whose numbers do not depend on where they are computed.
    ByRows,
    /// By the rows of a batch, whose gradients are added up: the number of devices decides how sums
    /// are rounded, and is part of the key.
    ByGradients,
}

impl Kind {
    /// Whether a stage with these parameters runs a model on a device.
    pub fn uses_device(&self, parameters: &BTreeMap<String, Value>) -> bool {
        self.on_device.is_some() && parameters.get("by").is_none_or(|by| by == "model")
    }

    /// Those of the named devices that have work.
    pub fn devices(&self, named: DeviceNames) -> DeviceNames {
        match self.on_device {
            Some(Sharing::Alone) => named.first().into(),
            _ => named,
        }
    }
}

/// Checks the parameters and inputs of a stage together; each parameter already has its shape.
pub type CrossChecks = fn(&Chosen<'_>) -> Vec<Mismatch>;

/// Types that a stage does not provide with its parameters although its kind can.
pub type Lacks = fn(&Chosen<'_>) -> Vec<Lack>;

/// Checks a fan-in stage together with its input cells.
pub type CellChecks = fn(&Chosen<'_>, &[InputCell<'_>]) -> Vec<Mismatch>;

/// Names of the parameters that equal the defaults which the other ones imply.
pub type Redundant = fn(&BTreeMap<String, Value>) -> Vec<&'static str>;

/// A parameter that is given as what it is by default, for [`Kind::redundant`].
pub fn given_as(
    values: &BTreeMap<String, Value>,
    name: &'static str,
    default: impl Into<Value>,
) -> Vec<&'static str> {
    if values.get(name) == Some(&default.into()) { vec![name] } else { Vec::new() }
}

/// A stage's fields in one of its cells.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// Kind of stage.
    pub kind: &'a Kind,
    /// Values of the parameters, defaults filled in.
    pub values: &'a BTreeMap<String, Value>,
    /// Number of artifacts per input; inputs without any are absent.
    pub inputs: BTreeMap<&'a str, usize>,
}

/// An input cell of a fan-in stage.
#[derive(Debug)]
pub struct InputCell<'a> {
    /// Input name.
    pub input: &'a str,
    /// The cell.
    pub cell: &'a Cell,
}

/// An artifact type that a stage does not provide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Name of the type.
    pub artifact: &'static str,
    /// The reason, which continues "leaves no `model`": "since `merge_adapter` is false".
    pub why: &'static str,
    /// The fix.
    pub right: &'static str,
}

/// Values as a kind's struct; none if a required one is missing or has another shape.
pub fn read_parameters<P: DeserializeOwned>(values: &BTreeMap<String, Value>) -> Option<P> {
    let values = values.iter().map(|(name, value)| (name.as_str(), value));
    P::deserialize(MapDeserializer::<_, serde_json::Error>::new(values)).ok()
}

impl Chosen<'_> {
    /// Whether an input is given.
    pub fn is_given(&self, input: &str) -> bool {
        self.inputs.contains_key(input)
    }

    /// The parameters as the kind's struct.
    ///
    /// # Panics
    /// If declaration and struct disagree, which a test of the registry excludes.
    pub fn parameters<P: DeserializeOwned>(&self) -> P {
        read_parameters(self.values).expect("parameters of the declared shapes fit the struct")
    }

    /// Whether a parameter differs from its default; a default written in the recipe counts as
    /// unset.
    pub fn is_changed(&self, name: &str) -> bool {
        let parameter = self.kind.parameters.iter().find(|known| known.name == name);
        let parameter = parameter.expect("checks name declared parameters");
        let default = parameter.default_value().map(|value| parameter.in_order(value));
        self.values.get(name) != default.as_ref()
    }

    /// Warnings for those of these inputs and parameters that are given or differ from their
    /// defaults.
    pub fn unused(
        &self,
        fields: impl IntoIterator<Item = &'static str>,
        why: &str,
        right: &str,
    ) -> Vec<Mismatch> {
        let set = fields.into_iter().filter(|field| self.is_set(field));
        set.map(|field| Mismatch::without_effect(field, why, right)).collect()
    }

    fn is_set(&self, field: &str) -> bool {
        let is_input = self.kind.inputs.iter().any(|input| input.name == field);
        if is_input { self.is_given(field) } else { self.is_changed(field) }
    }

    /// Why the stage cannot serve as this type although its kind can.
    pub fn lack(&self, wanted: &ArtifactType) -> Option<Lack> {
        let lacking = self.kind.lacks.map_or(Vec::new(), |lacks| lacks(self));
        let is_lacking =
            |given: &ArtifactType| lacking.iter().any(|lack| lack.artifact == given.name);
        let served = self.kind.provides.iter().filter(|given| wanted.takes(given));
        let (lost, left): (Vec<&&ArtifactType>, Vec<_>) =
            served.partition(|given| is_lacking(given));
        // A kind may provide several types that serve; one that is left is enough.
        let first = lost.first().filter(|_| left.is_empty())?;
        lacking.iter().find(|lack| lack.artifact == first.name).cloned()
    }
}
