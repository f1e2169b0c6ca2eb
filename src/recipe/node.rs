//! The tree of a recipe's values with their spans.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::diagnostic::{Problem, Problems, Source, Span};

/// A value with its span.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub data: Data,
    /// Its span.
    pub span: Span,
    /// Span of the matrix value that replaced a variable here.
    pub origin: Option<Span>,
}

/// The kinds of value.
#[derive(Clone, Debug)]
pub enum Data {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Number(f64),
    /// A boolean.
    Flag(bool),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Entries in the order of the recipe.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Entry>);

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Span of the key.
    pub key_span: Span,
    /// Value.
    pub value: Node,
}

/// State of the TOML reader: source, byte offset and problems.
pub(super) struct TomlReader<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) offset: usize,
    pub(super) problems: &'a mut Problems,
}

impl Node {
    /// A value with this span.
    pub fn new(data: Data, span: Span) -> Self {
        Self { data, span, origin: None }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self.data {
            Data::Integer(integer) => Some(integer as f64),
            Data::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.data {
            Data::List(list) => Some(list),
            _ => None,
        }
    }

    /// Type of the value as messages name it: "a text".
    pub fn what(&self) -> &'static str {
        match &self.data {
            Data::Text(_) => "a text",
            Data::Integer(_) => "a whole number",
            Data::Number(_) => "a number",
            Data::Flag(_) => "a truth value",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// The value in cell names: texts unquoted, numbers in shortest form; none for lists and
    /// tables.
    pub fn as_word(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Integer(integer) => Some(integer.to_string()),
            Data::Number(number) => {
                Some(Number::from_f64(*number).map_or(number.to_string(), |json| json.to_string()))
            }
            Data::Flag(flag) => Some(flag.to_string()),
            Data::List(_) | Data::Table(_) => None,
        }
    }

    /// The value as JSON; infinities and NaN become null.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Text(text) => Value::String(text.clone()),
            Data::Integer(integer) => Value::from(*integer),
            Data::Number(number) => Value::from(*number),
            Data::Flag(flag) => Value::Bool(*flag),
            Data::List(list) => Value::Array(list.iter().map(Self::to_json).collect()),
            Data::Table(table) => {
                let fields = table.0.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// Calls a function on every text of this value, recursively.
    pub fn each_text(&self, visit: &mut impl FnMut(&str, &Span)) {
        match &self.data {
            Data::Text(text) => visit(text, &self.span),
            Data::List(list) => list.iter().for_each(|node| node.each_text(visit)),
            Data::Table(table) => table.0.iter().for_each(|entry| entry.value.each_text(visit)),
            Data::Integer(_) | Data::Number(_) | Data::Flag(_) => {}
        }
    }
}

impl Table {
    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<&Node> {
        self.get(key).map(|entry| &entry.value)
    }

    /// Merges another table into this one; anything but a table replaces the old value.
    pub fn merge(&mut self, later: Self) {
        // An index of keys: merging 10,000 settings into a list of fields would be quadratic.
        let mut places: BTreeMap<String, usize> =
            self.0.iter().enumerate().map(|(place, own)| (own.key.clone(), place)).collect();
        for entry in later.0 {
            match places.get(&entry.key).map(|place| &mut self.0[*place]) {
                None => {
                    places.insert(entry.key.clone(), self.0.len());
                    self.0.push(entry);
                }
                Some(own) => match (&mut own.value.data, entry.value.data) {
                    (Data::Table(own), Data::Table(later)) => own.merge(later),
                    (_, data) => {
                        own.key_span = entry.key_span;
                        own.value = Node { data, ..entry.value };
                    }
                },
            }
        }
    }
}

impl TomlReader<'_> {
    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.source, range.start + self.offset..range.end + self.offset)
    }

    /// Converts a table, keys in file order.
    pub(super) fn table(&mut self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: self.span(key.span()),
            value: self.node(value),
        });
        Table(entries.collect())
    }

    /// Converts a value.
    pub(super) fn node(&mut self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = self.span(value.span());
        let data = match value.get_ref() {
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => Data::Integer(integer),
                    Err(_) => {
                        let problem =
                            Problem::error(format!("`{integer}` is too large for a whole number"));
                        self.problems.push(problem.at(&span, format!("at most {}", i64::MAX)));
                        Data::Integer(0)
                    }
                }
            }
            DeValue::Float(float) => Data::Number(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Data::Flag(*flag),
            DeValue::Datetime(time) => {
                let problem = Problem::error("dates and times are not supported");
                self.problems.push(problem.at(&span, format!("as a text: \"{time}\"")));
                Data::Text(time.to_string())
            }
            DeValue::Array(list) => Data::List(list.iter().map(|value| self.node(value)).collect()),
            DeValue::Table(table) => Data::Table(self.table(table)),
        };
        Node::new(data, span)
    }
}
