//! All names after `kind =`: kinds, and composites of several.

use super::{Input, Kind, NamedTable, Parameter, Shape};

/// A name for several wired kinds.
///
/// In a recipe it looks like a kind. Its fields are the parts' unwired inputs and their parameters;
/// equal names are one field. The last part carries the stage's name, the others are called
/// `<stage>/<part>`.
#[derive(Debug)]
pub struct Composite {
    /// Name after `kind =`.
    pub name: &'static str,
    /// Summary in one sentence.
    pub about: &'static str,
    /// Parts in order of their wires.
    pub parts: &'static [Part],
}

/// One stage of a composite.
#[derive(Debug)]
pub struct Part {
    /// Unique name in the composite.
    pub name: &'static str,
    /// Kind of stage.
    pub kind: &'static Kind,
    /// Inputs filled by other parts.
    pub wires: &'static [Wire],
}

/// An input of a part that an earlier part fills.
#[derive(Debug)]
pub struct Wire {
    /// Input name.
    pub input: &'static str,
    /// Name of the earlier part.
    pub part: &'static str,
}

/// All names valid after `kind =`.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// Kinds in the order of help and docs.
    pub kinds: &'static [&'static Kind],
    /// Composites.
    pub composites: &'static [Composite],
}

/// What a name after `kind =` stands for.
#[derive(Clone, Copy, Debug)]
pub enum KindOrComposite {
    /// A single kind.
    Kind(&'static Kind),
    /// A composite.
    Composite(&'static Composite),
}

impl Catalogue {
    /// What a name after `kind =` stands for.
    pub fn find(&self, name: &str) -> Option<KindOrComposite> {
        let kind = self
            .kinds
            .iter()
            .find(|kind| kind.name == name)
            .map(|kind| KindOrComposite::Kind(kind));
        kind.or_else(|| {
            self.composites
                .iter()
                .find(|composite| composite.name == name)
                .map(KindOrComposite::Composite)
        })
    }

    /// The form of the tables `[endpoint.NAME]` and the like that parameters of its kinds refer to.
    pub fn table(&self, name: &str) -> Option<&'static NamedTable> {
        self.tables().into_iter().find(|table| table.name == name)
    }

    /// All forms of such tables.
    pub fn tables(&self) -> Vec<&'static NamedTable> {
        let mut found: Vec<&'static NamedTable> = Vec::new();
        for parameter in self.kinds.iter().flat_map(|kind| kind.parameters) {
            if let Some(table) =
                parameter.table.filter(|table| found.iter().all(|other| other.name != table.name))
            {
                found.push(table);
            }
        }
        found
    }

    /// All names valid after `kind =`.
    pub fn names(&self) -> Vec<&'static str> {
        let kinds = self.kinds.iter().map(|kind| kind.name);
        kinds.chain(self.composites.iter().map(|composite| composite.name)).collect()
    }
}

impl KindOrComposite {
    /// The kinds of the stage or of a composite's parts.
    pub fn kinds(&self) -> Vec<&'static Kind> {
        match self {
            Self::Kind(kind) => vec![kind],
            Self::Composite(composite) => composite.parts.iter().map(|part| part.kind).collect(),
        }
    }

    /// Input fields: all unwired inputs, each name once.
    pub fn inputs(&self) -> Vec<&'static Input> {
        let mut found: Vec<&'static Input> = Vec::new();
        let mut add = |input: &'static Input| {
            if found.iter().all(|other| other.name != input.name) {
                found.push(input);
            }
        };
        match self {
            Self::Kind(kind) => kind.inputs.iter().for_each(add),
            Self::Composite(composite) => {
                for part in composite.parts {
                    part.kind
                        .inputs
                        .iter()
                        .filter(|input| !part.is_wired(input.name))
                        .for_each(&mut add);
                }
            }
        }
        found
    }

    /// Value fields, each name once.
    pub fn parameters(&self) -> Vec<&'static Parameter> {
        // Parts of a composite share fields, such as the domain of sampling and of scores.
        let mut found: Vec<&'static Parameter> = Vec::new();
        for parameter in self.kinds().iter().flat_map(|kind| kind.parameters) {
            if found.iter().all(|other| other.name != parameter.name) {
                found.push(parameter);
            }
        }
        found
    }

    /// The first declaration of a value field.
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        let declared = |kind: &'static Kind| kind.parameters.iter().find(|one| one.name == name);
        match self {
            Self::Kind(kind) => declared(kind),
            Self::Composite(composite) => {
                composite.parts.iter().find_map(|part| declared(part.kind))
            }
        }
    }

    /// The first declaration of an input field.
    pub fn input(&self, name: &str) -> Option<&'static Input> {
        let declared = |kind: &'static Kind| kind.inputs.iter().find(|one| one.name == name);
        match self {
            Self::Kind(kind) => declared(kind),
            Self::Composite(composite) => composite
                .parts
                .iter()
                .filter(|part| !part.is_wired(name))
                .find_map(|part| declared(part.kind)),
        }
    }

    /// All declarations of value fields. Parts of a composite may declare one name with different
    /// words, of which each part takes its own.
    pub fn declarations(&self) -> Vec<&'static Parameter> {
        let mut found: Vec<&'static Parameter> = Vec::new();
        for parameter in self.kinds().iter().flat_map(|kind| kind.parameters) {
            let is_known = found.iter().any(|other| {
                other.name == parameter.name
                    && (other.about == parameter.about
                        || !matches!(parameter.shape, Shape::Choice(_)))
            });
            if !is_known {
                found.push(parameter);
            }
        }
        found
    }

    /// Whether any of its kinds runs on a device.
    pub fn on_device(&self) -> bool {
        self.kinds().iter().any(|kind| kind.on_device.is_some())
    }

    /// Fields of every stage: `kind`, `resources`, `retries`, `timeout`, and `device` of kinds that
    /// have one.
    pub fn common_fields(&self) -> &'static [&'static str] {
        const COMMON: [&str; 5] = ["kind", "resources", "retries", "timeout", "device"];
        if self.on_device() { &COMMON } else { &COMMON[..4] }
    }

    /// All field names, for suggestions.
    pub fn field_names(&self) -> Vec<&'static str> {
        let inputs = self.inputs().into_iter().map(|input| input.name);
        let parameters = self.parameters().into_iter().map(|parameter| parameter.name);
        inputs.chain(parameters).chain(self.common_fields().iter().copied()).collect()
    }
}

impl Part {
    /// Whether another part fills this input.
    pub fn is_wired(&self, input: &str) -> bool {
        self.wires.iter().any(|wire| wire.input == input)
    }
}
