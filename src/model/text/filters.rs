//! The filters of Jinja2 that minijinja implements differently.

use minijinja::{
    Error, Value,
    value::{Kwargs, Rest, ValueOrKwargs, from_args},
};

use super::{
    calls::{argument, failed},
    notation::{Language, Notation, text},
    python::LINE_ENDS,
};

pub(super) fn join(value: &Value, arguments: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let arguments = arguments.into_values();
    let (separator, attribute, named): (Option<&str>, Option<&str>, Kwargs) =
        from_args(&arguments)?;
    let attribute = argument(attribute, &named, "attribute")?;
    named.assert_all_used()?;
    let mut parts = Vec::new();
    for item in value.try_iter()?.checked() {
        let item = match attribute {
            Some(attribute) => item?.get_attr(attribute)?,
            None => item?,
        };
        parts.push(text(&item)?);
    }
    Ok(parts.join(separator.unwrap_or_default()))
}

/// Guards a loop: minijinja treats `none` as empty, Python raises an error.
pub(super) fn things(value: Value) -> Result<Value, Error> {
    if value.is_none() { Err(failed("`none` is nothing to go through")) } else { Ok(value) }
}

/// As in Jinja2, which keeps a last line end.
pub(super) fn indent(value: &Value, arguments: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let arguments = arguments.into_values();
    let (width, first, blank, named): (Option<Value>, Option<bool>, Option<bool>, Kwargs) =
        from_args(&arguments)?;
    let width = argument(width, &named, "width")?;
    let first = argument(first, &named, "first")?.unwrap_or(false);
    let blank = argument(blank, &named, "blank")?.unwrap_or(false);
    named.assert_all_used()?;
    let margin = match width {
        Some(width) if width.as_str().is_none() => " ".repeat(u8::try_from(width)?.into()),
        Some(width) => text(&width)?,
        None => " ".repeat(4),
    };
    let text = text(value)?.replace("\r\n", "\n").replace(LINE_ENDS, "\n");
    let mut lines = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        // Jinja2 indents the first line apart from the others, and so even if it is blank.
        let is_indented = if number == 0 { first } else { blank || !line.is_empty() };
        lines.push(if is_indented { format!("{margin}{line}") } else { line.to_owned() });
    }
    Ok(lines.join("\n"))
}

/// As in transformers, whose filter has the arguments of Python's `json.dumps` and escapes nothing
/// for HTML.
pub(super) fn tojson(value: &Value, arguments: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let arguments = arguments.into_values();
    type JsonArguments = (Option<bool>, Option<Value>, Option<Value>, Option<bool>, Kwargs);
    let (ascii, indent, separators, sorted, named): JsonArguments = from_args(&arguments)?;
    let ascii = argument(ascii, &named, "ensure_ascii")?.unwrap_or(false);
    let indent = argument(indent, &named, "indent")?;
    let separators = argument(separators, &named, "separators")?;
    let sorted = argument(sorted, &named, "sort_keys")?.unwrap_or(false);
    named.assert_all_used()?;
    let indent = match indent {
        Some(indent) if indent.as_str().is_none() => Some(" ".repeat(u8::try_from(indent)?.into())),
        indent => indent.as_ref().and_then(Value::as_str).map(str::to_owned),
    };
    let separators = match separators {
        Some(separators) => separators
            .try_iter()?
            .map(|separator| text(&separator))
            .collect::<Result<Vec<_>, _>>()?,
        None => vec![if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
    };
    let [comma, colon] =
        separators.try_into().map_err(|_| failed("separators must be two texts"))?;
    let mut out = String::new();
    Notation { language: Language::Json { ascii }, indent, comma, colon, sorted }
        .write(value, 0, &mut out)?;
    Ok(out)
}
