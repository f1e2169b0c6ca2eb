//! Values as text: Python's `repr`, and JSON as Python's `json` writes it.

use minijinja::{
    Error, Value,
    value::{Tuple, ValueKind},
};
use serde_json::Value as Json;

use super::calls::failed;

/// Maximum depth of lists and dictionaries in output.
const DEEPEST: usize = 200;

/// Python's `str` of a value.
pub(super) fn text(value: &Value) -> Result<String, Error> {
    match (value.as_str(), value.kind()) {
        (Some(string), _) => Ok(string.to_owned()),
        (_, ValueKind::Undefined) => Ok(String::new()),
        _ => {
            let (comma, colon) = (", ".to_owned(), ": ".to_owned());
            let mut out = String::new();
            Notation { language: Language::Python, indent: None, comma, colon, sorted: false }
                .write(value, 0, &mut out)?;
            Ok(out)
        }
    }
}

/// Output language: Python's `repr`, or JSON.
pub(super) enum Language {
    Python,
    Json { ascii: bool },
}

/// Output format of a value.
pub(super) struct Notation {
    pub(super) language: Language,
    /// What a level is indented by; without it all is one line.
    pub(super) indent: Option<String>,
    pub(super) comma: String,
    pub(super) colon: String,
    pub(super) sorted: bool,
}

impl Notation {
    /// Appends a value at a depth of lists and dictionaries.
    pub(super) fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        let is_map = value.kind() == ValueKind::Map;
        if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            out.push_str(&self.scalar(value)?);
            return Ok(());
        }
        // A loop can nest a value once more each time, until the recursion uses up the stack.
        if depth == DEEPEST {
            return Err(failed("the value has too many levels"));
        }
        let mut items: Vec<Value> = value.try_iter()?.checked().collect::<Result<_, _>>()?;
        if is_map && self.sorted {
            items.sort();
        }
        let is_tuple = matches!(self.language, Language::Python)
            && value.downcast_object_ref::<Tuple>().is_some();
        let [open, close] = match (is_map, is_tuple) {
            (true, _) => ['{', '}'],
            (_, true) => ['(', ')'],
            _ => ['[', ']'],
        };
        out.push(open);
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                out.push_str(&self.comma);
            }
            self.begin_line(depth + 1, out);
            if is_map {
                out.push_str(&self.key(item)?);
                out.push_str(&self.colon);
                self.write(&value.get_item(item)?, depth + 1, out)?;
            } else {
                self.write(item, depth + 1, out)?;
            }
        }
        if !items.is_empty() {
            self.begin_line(depth, out);
        }
        if is_tuple && items.len() == 1 {
            out.push(',');
        }
        out.push(close);
        Ok(())
    }

    fn begin_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    /// JSON's keys are texts.
    fn key(&self, key: &Value) -> Result<String, Error> {
        let scalar = self.scalar(key)?;
        let bare = matches!(self.language, Language::Json { .. }) && key.as_str().is_none();
        Ok(if bare { format!("\"{scalar}\"") } else { scalar })
    }

    fn scalar(&self, value: &Value) -> Result<String, Error> {
        match (value.kind(), &self.language) {
            (ValueKind::Number, _) => Ok(number(value)),
            (ValueKind::String, Language::Python) => {
                Ok(python_string(value.as_str().unwrap_or_default()))
            }
            (ValueKind::String, Language::Json { ascii }) => {
                let quoted = Json::from(value.as_str()).to_string();
                Ok(if *ascii { quoted.chars().map(escaped_beyond_ascii).collect() } else { quoted })
            }
            (ValueKind::Undefined, Language::Python) => Ok("Undefined".to_owned()),
            (_, Language::Python) => Ok(value.to_string()),
            (ValueKind::None, Language::Json { .. }) => Ok("null".to_owned()),
            (ValueKind::Bool, Language::Json { .. }) => Ok(value.is_true().to_string()),
            (kind, Language::Json { .. }) => Err(failed(format!("{kind} has no JSON"))),
        }
    }
}

/// Python writes floats with as few digits as tell them apart, and very large and small ones with
/// an exponent.
fn number(value: &Value) -> String {
    let Ok(float) = f64::try_from(value.clone()) else { return value.to_string() };
    if value.is_integer() || !float.is_finite() {
        return value.to_string();
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    match exponent.parse::<i32>().expect("`{:e}` writes a whole exponent") {
        -4..16 => format!("{float:?}"),
        exponent @ ..0 => format!("{digits}e-{:02}", -exponent),
        exponent => format!("{digits}e+{exponent:02}"),
    }
}

fn escaped_beyond_ascii(c: char) -> String {
    if c.is_ascii() && c != '\x7f' {
        return c.to_string();
    }
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

fn python_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        // Beyond ASCII both escape the same, but Rust also a mark at the very start: hence the
        // letter before.
        let printable = c == ' '
            || c.is_ascii_graphic()
            || !c.is_ascii() && format!("a{c}").escape_debug().nth(1) == Some(c);
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote || c == '\\' => out.extend(['\\', c]),
            _ if printable => out.push(c),
            ..='\u{ff}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            ..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push(quote);
    out
}
