//! The words in which a kind of stage declares what it takes and gives, so that recipes are checked before anything runs.

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

impl Parameter {
    /// A parameter that enters the key.
    pub const fn new(name: &'static str, shape: Shape, default: Default, about: &'static str) -> Self {
        Self { name, about, shape, default, in_key: true }
    }

    /// The same parameter, left out of the key since it cannot change the result.
    pub const fn neutral(mut self) -> Self {
        self.in_key = false;
        self
    }
}

impl Input {
    /// An input that takes exactly one artifact.
    pub const fn one(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::One }
    }

    /// An input that may be left out.
    pub const fn optional(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::Optional }
    }

    /// An input that takes one or more artifacts.
    pub const fn many(name: &'static str, accepts: &'static ArtifactType, about: &'static str) -> Self {
        Self { name, about, accepts, count: Count::Many }
    }
}
