//! Parameters of a kind: names, shapes, ranges, defaults.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Input, Mismatch};

/// A struct whose fields are parameters; `#[derive(apeft_derive::Parameters)]` implements it.
pub trait Declared {
    /// Parameters in field order.
    const PARAMETERS: &'static [Parameter];
}

/// A field with a value.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Field name.
    pub name: &'static str,
    /// Meaning and unit in one sentence.
    pub about: &'static str,
    /// Accepted values.
    pub shape: Shape,
    /// Value if the recipe does not set it.
    pub default: Default,
    /// Whether it can change the result; only such parameters are part of the key (a sampling batch
    /// size is not).
    pub in_key: bool,
    /// The input that the parameter's text names as a file if it contains a slash. The path is
    /// relative to the recipe; the file's name and content are part of the key.
    pub file: Option<&'static Input>,
    /// The form of the recipe's tables of which its text names one; the stage gets that table.
    pub table: Option<&'static NamedTable>,
    /// Former name, for the error that gives the current one.
    pub former: Option<&'static str>,
    /// Names in other tools, for the error that gives the name here.
    pub aliases: &'static [&'static str],
    /// Names in other tools without an equivalent here, each with what to write.
    pub foreign: &'static [(&'static str, &'static str)],
    /// Values in other tools, each with what to write.
    pub foreign_values: &'static [(&'static str, &'static str)],
    /// Whether it is an unordered list without repetitions; stage and key see it sorted.
    pub is_set: bool,
}

/// Accepted values of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// An integer from `least` to `most`.
    Integer {
        /// Smallest accepted value.
        least: i64,
        /// Largest accepted value.
        most: i64,
    },
    /// A finite number in a range; integers are accepted.
    Number {
        /// Lower end.
        least: f64,
        /// Upper end.
        most: f64,
        /// Whether `least` is excluded.
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

/// Value of a parameter that the recipe does not set.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Required in the recipe.
    Required,
    /// Absent (`Option` in the stage's parameters).
    Absent,
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A flag.
    Flag(bool),
    /// A text.
    Text(&'static str),
    /// A list of texts.
    Texts(&'static [&'static str]),
}

impl Parameter {
    /// The default as JSON, if any.
    pub fn default_value(&self) -> Option<Value> {
        // A float in JSON, whatever the declaration writes: 1 and 1.0 would be two keys.
        match (self.shape, self.default) {
            (Shape::Number { .. }, Default::Integer(integer)) => Some(Value::from(integer as f64)),
            (_, default) => default.to_json(),
        }
    }

    /// The value as stage and key see it: unordered lists are sorted and deduplicated.
    pub fn in_order(&self, value: Value) -> Value {
        match value {
            // One order, so that ["a", "b"] and ["b", "a"] are one key.
            Value::Array(mut list) if self.is_set => {
                list.sort_by_key(Value::to_string);
                list.dedup();
                Value::Array(list)
            }
            other => other,
        }
    }

    /// A parameter that is part of the key.
    pub const fn new(
        name: &'static str,
        shape: Shape,
        default: Default,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            about,
            shape,
            default,
            in_key: true,
            file: None,
            table: None,
            former: None,
            aliases: &[],
            foreign: &[],
            foreign_values: &[],
            is_set: false,
        }
    }

    /// Marks a text parameter as a file of the given input if the text contains a slash.
    pub const fn file(mut self, input: &'static Input) -> Self {
        self.file = Some(input);
        self
    }

    /// Marks a text parameter as the name of a table of this form.
    pub const fn table(mut self, table: &'static NamedTable) -> Self {
        self.table = Some(table);
        self
    }

    /// Sets the former name.
    pub const fn former(mut self, name: &'static str) -> Self {
        self.former = Some(name);
        self
    }

    /// Sets the names in other tools.
    pub const fn aliases(mut self, names: &'static [&'static str]) -> Self {
        self.aliases = names;
        self
    }

    /// Sets names of other tools without an equivalent here, each with what to write.
    pub const fn foreign(mut self, names: &'static [(&'static str, &'static str)]) -> Self {
        self.foreign = names;
        self
    }

    /// Sets values of other tools, each with what to write.
    pub const fn foreign_values(mut self, values: &'static [(&'static str, &'static str)]) -> Self {
        self.foreign_values = values;
        self
    }

    /// What to write instead of a value of another tool.
    pub fn instead_of(&self, value: &str) -> Option<&'static str> {
        advice(self.foreign_values, value)
    }

    /// A message with the current name, if `written` is a former or foreign name of this parameter,
    /// or with what to write for a foreign name without an equivalent.
    pub fn renamed(&self, written: &str) -> Option<String> {
        let Self { name, about, .. } = self;
        if self.former == Some(written) {
            return Some(format!("`{written}` is now `{name}`: {about}"));
        }
        if self.aliases.contains(&written) {
            return Some(format!("`{written}` is called `{name}` here: {about}"));
        }
        advice(self.foreign, written).map(str::to_owned)
    }

    /// Whether a text is such a file.
    pub fn is_file(&self, text: &str) -> bool {
        self.file.is_some() && text.contains('/')
    }

    /// Marks a list as unordered.
    pub const fn unordered(mut self) -> Self {
        self.is_set = true;
        self
    }

    /// Excludes the parameter from the key, since it cannot change the result.
    pub const fn not_in_key(mut self) -> Self {
        self.in_key = false;
        self
    }
}

/// The advice for a name or value.
fn advice(pairs: &'static [(&'static str, &'static str)], written: &str) -> Option<&'static str> {
    pairs.iter().find(|(name, _)| *name == written).map(|(_, advice)| *advice)
}

/// A form of table, such as `[endpoint.NAME]`. A parameter that names one gets its values.
#[derive(Debug)]
pub struct NamedTable {
    /// Key of the recipe: `endpoint`.
    pub name: &'static str,
    /// Purpose in one sentence.
    pub about: &'static str,
    /// Fields.
    pub parameters: &'static [Parameter],
    /// Checks of the fields together. A mismatch without a field concerns the whole table.
    pub checks: fn(&BTreeMap<String, Value>) -> Vec<Mismatch>,
}

impl NamedTable {
    /// A table's value as a stage sees it.
    pub fn value(name: &str, fields: &BTreeMap<String, Value>) -> Value {
        serde_json::json!({ "name": name, "table": fields })
    }

    /// The part of such a value that can change a result.
    pub fn in_key(&self, value: &Value) -> Value {
        let in_key = self.parameters.iter().filter(|parameter| parameter.in_key);
        let fields = in_key.filter_map(|parameter| {
            let field = value["table"].get(parameter.name)?;
            Some((parameter.name.to_owned(), field.clone()))
        });
        Value::Object(fields.collect())
    }
}

/// Total number of parameters of some groups.
pub const fn total(groups: &[&[Parameter]]) -> usize {
    let (mut count, mut group) = (0, 0);
    while group < groups.len() {
        count += groups[group].len();
        group += 1;
    }
    count
}

/// The parameters of all groups in one list of length `N`, their [`total`].
pub const fn joined<const N: usize>(groups: &[&[Parameter]]) -> [Parameter; N] {
    let mut all = [Parameter::new("", Shape::Flag, Default::Absent, ""); N];
    let (mut group, mut count) = (0, 0);
    while group < groups.len() {
        let mut index = 0;
        while index < groups[group].len() {
            all[count] = groups[group][index];
            count += 1;
            index += 1;
        }
        group += 1;
    }
    all
}

/// The same `N` parameters with other defaults for the named ones; an unknown name fails to
/// compile.
pub const fn with_defaults<const N: usize>(
    list: &[Parameter],
    defaults: &[(&str, Default)],
) -> [Parameter; N] {
    let mut all: [Parameter; N] = joined(&[list]);
    let mut index = 0;
    while index < defaults.len() {
        let (name, default) = defaults[index];
        all[position(&all, name)].default = default;
        index += 1;
    }
    all
}

const fn position(list: &[Parameter], name: &str) -> usize {
    let mut index = 0;
    while index < list.len() {
        if is_same(list[index].name, name) {
            return index;
        }
        index += 1;
    }
    // In a constant a panic is an error of the compiler.
    panic!("no flattened parameter has this name")
}

/// Equality of texts in constants, where `==` is not available.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}
