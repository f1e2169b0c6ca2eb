//! The words in which a kind of stage declares what it takes and gives, so that recipes are checked before anything runs.

use serde_json::Value;

pub use super::fit::{Chosen, Fits, Gathered, Lack, Lacks, Mismatch, Suits};

/// A kind of stage: everything that the engine knows of it.
#[derive(Debug)]
pub struct Kind {
    /// The word after `kind =` in a recipe.
    pub name: &'static str,
    /// Enters the key: raised whenever the same inputs and parameters would give other bytes.
    pub version: u32,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Fields that name other stages, or files.
    pub inputs: &'static [Input],
    /// Fields that are values.
    pub parameters: &'static [Parameter],
    /// The types of artifact that its folder can serve as.
    pub provides: &'static [&'static ArtifactType],
    /// Whether it draws at random, and so is repeated for each of the recipe's seeds.
    pub draws: bool,
    /// Whether it takes all cells of its inputs at once (a comparison), and so is repeated for none.
    pub gathers: bool,
    /// Whether it runs a model on a device; such a kind has the common parameter `device`, and its backend enters the key.
    pub on_device: bool,
    /// What must hold between parameters, and the inputs that they need, where each is right on its own.
    pub fits: Option<Fits>,
    /// Which types of `provides` a stage does not leave, as its parameters have it; without it, it leaves all of them.
    pub lacks: Option<Lacks>,
    /// What must hold between the parameters of a kind that gathers and the cells that it is given.
    pub suits: Option<Suits>,
}

/// A name for several kinds that are wired together.
///
/// In a recipe it is used like a kind. Its fields are those inputs of its parts that no wire fills, and the parts'
/// parameters; fields of one name are one field. The last part carries the stage's own name, the others are called
/// `<stage>/<part>`.
#[derive(Debug)]
pub struct Composite {
    /// The word after `kind =` in a recipe.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Its parts, each after those that it is wired to.
    pub parts: &'static [Part],
}

/// One of the stages that a composite stands for.
#[derive(Debug)]
pub struct Part {
    /// Unique in the composite.
    pub name: &'static str,
    /// What kind of stage it is.
    pub kind: &'static Kind,
    /// Its inputs that other parts fill.
    pub wires: &'static [Wire],
}

/// An input of a part that an earlier part fills.
#[derive(Debug)]
pub struct Wire {
    /// The input's name.
    pub input: &'static str,
    /// The earlier part's name.
    pub part: &'static str,
}

/// All that may stand after `kind =`.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// Kinds, in the order in which help and docs list them.
    pub kinds: &'static [&'static Kind],
    /// Names for several kinds.
    pub composites: &'static [Composite],
}

/// What one word after `kind =` stands for.
#[derive(Clone, Copy, Debug)]
pub enum Word {
    /// A kind.
    Kind(&'static Kind),
    /// Several kinds.
    Composite(&'static Composite),
}

/// What can be handed from stage to stage: a name, and the files that make it up.
#[derive(Debug)]
pub struct ArtifactType {
    /// As design and errors call it: "model", "prompts", ...
    pub name: &'static str,
    /// Files of the folder that belong to it (`*` stands for any run of characters); only these enter a successor's key.
    pub files: &'static [&'static str],
}

/// A field that names what a stage reads.
#[derive(Debug)]
pub struct Input {
    /// The field's name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// The type of artifact it must be.
    pub accepts: &'static ArtifactType,
    /// How many of them there may be.
    pub count: Count,
    /// Whether its text is a path rather than the name of a stage: `path = "models/my-llama"`.
    pub is_path: bool,
}

/// How many artifacts an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly one: `model = "base"`.
    One,
    /// One or none.
    Optional,
    /// One or more: `scores = ["before", "after"]` (a single one may stand without brackets).
    Many,
    /// None, one or more.
    Any,
}

impl Count {
    /// Whether a list may stand there.
    pub fn takes_list(self) -> bool {
        matches!(self, Self::Many | Self::Any)
    }

    /// Whether a recipe must say it.
    pub fn is_required(self) -> bool {
        matches!(self, Self::One | Self::Many)
    }
}

/// A field that is a value.
#[derive(Debug)]
pub struct Parameter {
    /// The field's name.
    pub name: &'static str,
    /// What it means, with its unit, in one sentence.
    pub about: &'static str,
    /// What values are right.
    pub shape: Shape,
    /// What holds where the recipe says nothing.
    pub default: Default,
    /// Whether it can change the result; only such parameters enter the key (a batch size at sampling does not).
    pub in_key: bool,
    /// Where a text with a slash is a file that the stage reads: the input which that file is. It is relative to the recipe,
    /// like every path; its content enters the key, and of its path the name.
    pub file: Option<&'static Input>,
    /// Whether it is a list whose order and repetitions mean nothing; the stage and the key see it sorted.
    pub is_set: bool,
}

/// The values that a parameter accepts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A whole number from `least` to `most`.
    Integer {
        /// The smallest right value.
        least: i64,
        /// The largest right value.
        most: i64,
    },
    /// A finite number (a whole one is accepted too) in a range.
    Number {
        /// The lower end.
        least: f64,
        /// The upper end.
        most: f64,
        /// Whether `least` itself is right.
        open: bool,
    },
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of one shape.
    List(&'static Shape),
    /// A table from names to one shape, e.g. `rows = { people = 140 }`.
    Table(&'static Shape),
}

/// What holds where a recipe says nothing.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// The recipe must say it.
    Required,
    /// Left out: the stage sees no such value (`Option` in its parameters).
    Absent,
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A truth value.
    Flag(bool),
    /// A text.
    Text(&'static str),
    /// A list of texts.
    Texts(&'static [&'static str]),
}

impl Catalogue {
    /// What a word after `kind =` stands for.
    pub fn find(&self, name: &str) -> Option<Word> {
        let kind = self.kinds.iter().find(|kind| kind.name == name).map(|kind| Word::Kind(kind));
        kind.or_else(|| self.composites.iter().find(|composite| composite.name == name).map(Word::Composite))
    }

    /// All words that may stand after `kind =`.
    pub fn names(&self) -> Vec<&'static str> {
        let kinds = self.kinds.iter().map(|kind| kind.name);
        kinds.chain(self.composites.iter().map(|composite| composite.name)).collect()
    }
}

impl Word {
    /// The kinds that it stands for.
    pub fn kinds(&self) -> Vec<&'static Kind> {
        match self {
            Self::Kind(kind) => vec![kind],
            Self::Composite(composite) => composite.parts.iter().map(|part| part.kind).collect(),
        }
    }

    /// The fields that name what is read: all inputs that no wire fills, each name once.
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
                    part.kind.inputs.iter().filter(|input| !part.is_wired(input.name)).for_each(&mut add);
                }
            }
        }
        found
    }

    /// The fields that are values, each name once.
    pub fn parameters(&self) -> Vec<&'static Parameter> {
        let mut found: Vec<&'static Parameter> = Vec::new();
        for parameter in self.kinds().iter().flat_map(|kind| kind.parameters) {
            if found.iter().all(|other| other.name != parameter.name) {
                found.push(parameter);
            }
        }
        found
    }

    /// Whether any of its kinds runs on a device.
    pub fn on_device(&self) -> bool {
        self.kinds().iter().any(|kind| kind.on_device)
    }

    /// The fields that every stage has: `kind`, `resources`, `retries`, `timeout`, and `device` where there is one.
    pub fn common_fields(&self) -> &'static [&'static str] {
        const COMMON: [&str; 5] = ["kind", "resources", "retries", "timeout", "device"];
        if self.on_device() { &COMMON } else { &COMMON[..4] }
    }

    /// The names of all its fields, for whoever mistyped one.
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

impl Parameter {
    /// What holds where a recipe says nothing of it.
    pub fn default_value(&self) -> Option<Value> {
        match (self.shape, self.default) {
            (Shape::Number { .. }, Default::Integer(integer)) => Some(Value::from(integer as f64)),
            (_, default) => default.to_json(),
        }
    }

    /// The value as stage and key see it: a list of which only matters what is in it is sorted, each item once.
    pub fn in_order(&self, value: Value) -> Value {
        match value {
            Value::Array(mut list) if self.is_set => {
                list.sort_by_key(Value::to_string);
                list.dedup();
                Value::Array(list)
            }
            other => other,
        }
    }

    /// A parameter that enters the key.
    pub const fn new(name: &'static str, shape: Shape, default: Default, about: &'static str) -> Self {
        Self { name, about, shape, default, in_key: true, file: None, is_set: false }
    }

    /// The same parameter, whose text is a file that the stage reads where it has a slash.
    pub const fn file(mut self, input: &'static Input) -> Self {
        self.file = Some(input);
        self
    }

    /// Whether a text is such a file.
    pub fn is_file(&self, text: &str) -> bool {
        self.file.is_some() && text.contains('/')
    }

    /// The same parameter, a list of which only matters what is in it.
    pub const fn set(mut self) -> Self {
        self.is_set = true;
        self
    }

    /// The same parameter, left out of the key since it cannot change the result.
    pub const fn neutral(mut self) -> Self {
        self.in_key = false;
        self
    }
}

impl ArtifactType {
    /// Whether an artifact that can serve as `other` can serve as this: the same type, or this one takes any file.
    pub fn takes(&self, other: &Self) -> bool {
        self.name == other.name || self.files == ["*"]
    }
}

impl Input {
    /// An input that takes exactly one artifact.
    pub const fn one(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::One, is_path: false }
    }

    /// An input that may be left out.
    pub const fn optional(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::Optional, is_path: false }
    }

    /// An input that takes one or more artifacts.
    pub const fn many(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::Many, is_path: false }
    }

    /// An input that takes any number of artifacts, and may be left out.
    pub const fn any(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::Any, is_path: false }
    }

    /// The same input, whose text is the path of a file or folder and never the name of a stage.
    pub const fn path(mut self) -> Self {
        self.is_path = true;
        self
    }
}
