//! Jinja as transformers sets it up, with Python's ways.

use std::{borrow::Cow, error::Error as _, sync::Arc};

use jiff::{Zoned, civil::DateTime, fmt::strtime};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value, filters,
    value::{ArgType, Kwargs, Rest, ValueKind, from_args},
};
use minijinja_contrib::{globals, pycompat};
use serde::Serialize;
use serde_json::Value as Json;

use super::loops::{THINGS, guard_loop};

/// How many instructions a template may take: far more than the longest conversations need.
const FUEL: u64 = 5_000_000;
/// How many levels of lists and dictionaries are written out.
const DEEPEST: usize = 200;
/// What ends a line in Python, beside `\r\n`.
const LINE_ENDS: [char; 10] = ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
/// The name of the one template in its environment.
const NAME: &str = "chat";

/// Why a template wrote nothing.
pub(super) enum Failure {
    /// It called `raise_exception` with this.
    Raised(String),
    /// Jinja could not go on.
    Failed(Problem),
}

/// What Jinja says of a line of a template.
pub(super) struct Problem {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// A template, and what it may call.
#[derive(Debug)]
pub(super) struct Jinja(Environment<'static>);

/// What `raise_exception` was given, on its way through minijinja's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl Jinja {
    pub(super) fn compile(source: &str) -> Result<Self, Problem> {
        let mut environment = environment();
        environment.add_template_owned(NAME, prepare(source)).map_err(|error| Problem::of(&error))?;
        Ok(Self(environment))
    }

    pub(super) fn render(&self, variables: &impl Serialize) -> Result<String, Failure> {
        let rendered = self.0.get_template(NAME).and_then(|template| template.render(variables));
        rendered.map_err(|error| {
            let mut cause = error.source();
            while let Some(inner) = cause {
                if let Some(Raised(message)) = inner.downcast_ref() {
                    return Failure::Raised(message.clone());
                }
                cause = inner.source();
            }
            Failure::Failed(Problem::of(&error))
        })
    }
}

impl Problem {
    fn of(error: &Error) -> Self {
        let reason = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps"),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Self { line: error.line().unwrap_or(1), reason }
    }
}

/// The template with the line ends that Jinja2 gives it, and its tags in the words of minijinja.
fn prepare(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source.as_str();
    let opens = |text: &str, place: usize| matches!(text.as_bytes().get(place + 1), Some(b'%' | b'{'));
    while let Some((start, _)) = rest.match_indices('{').find(|(place, _)| opens(rest, *place)) {
        let (text, tagged) = rest.split_at(start);
        let close = if tagged.starts_with("{%") { "%}" } else { "}}" };
        let (tag, after) = tagged.split_at(tagged.find(close).unwrap_or(tagged.len()));
        prepared.push_str(text);
        prepared.push_str(&translate(tag));
        rest = after;
    }
    prepared + rest
}

/// `{% generation %}` only marks what the model writes: `{% with %}` keeps variables inside in the same way. And
/// minijinja panics where a slice turns nothing around, hence a method that does it.
fn translate(tag: &str) -> String {
    let words = tag.trim_start_matches(|c: char| "{%-+".contains(c) || c.is_whitespace());
    let renamed = match words.split(|c: char| !c.is_alphanumeric() && c != '_').next() {
        Some("generation") if tag.starts_with("{%") => tag.replacen("generation", "with", 1),
        Some("endgeneration") if tag.starts_with("{%") => tag.replacen("endgeneration", "endwith", 1),
        Some("for") if tag.starts_with("{%") => guard_loop(tag),
        _ => tag.to_owned(),
    };
    renamed.replace("[::-1]", ".reversed()")
}

/// Jinja as transformers sets it up, with Python's ways where minijinja has its own.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, _, value| Ok(out.write_str(&text(value)?)?));
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", raise_exception);
    environment.remove_global("debug");
    environment.add_function("cycler", globals::cycler);
    environment.add_function("joiner", globals::joiner);
    environment.add_function("strftime_now", |format: &str| strftime(now(), format));
    environment.add_filter(THINGS, things);
    environment.add_filter("indent", indent);
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", text);
    environment.add_filter("join", join);
    environment.add_filter("trim", |value: &Value, characters: Option<&str>| {
        text(value).map(|text| strip(&text, characters, true, true).to_owned())
    });
    environment.add_filter("title", |value: &Value| {
        text(value).map(|text| title(&text, |before| before.is_whitespace() || "-({[<".contains(before)))
    });
    for name in ["length", "count"] {
        environment.add_filter(name, |value: &Value| match value.kind() {
            ValueKind::Undefined => Ok(0),
            _ => filters::length(value),
        });
    }
    // In Python these hold for whatever has items, texts included, and for what is undefined.
    for name in ["sequence", "iterable"] {
        environment
            .add_test(name, |value: &Value| value.is_undefined() || !value.is_none() && value.try_iter().is_ok());
    }
    environment
}

fn failed(problem: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    Err(failed("raise_exception").with_source(Raised(text(message)?)))
}

fn now() -> DateTime {
    Zoned::now().datetime()
}

/// Directives that it does not know stay as they are, as in C.
fn strftime(time: DateTime, format: &str) -> Result<String, Error> {
    let as_in_c = strtime::Config::new().custom(strtime::PosixCustom::new()).lenient(true);
    let written = strtime::BrokenDownTime::from(time).to_string_with_config(&as_in_c, format);
    written.map_err(|error| failed(error.to_string()))
}

/// The methods of Python's types; those of strings that `pycompat` lacks, or takes to work otherwise, come first.
fn method(state: &State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if name == "reversed" && arguments.is_empty() {
        return filters::reverse(value);
    }
    let Some(string) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, name, arguments);
    };
    let cased = |c: char| c.is_lowercase() || c.is_uppercase();
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let (characters,) = from_args(arguments)?;
            Ok(strip(string, characters, name != "rstrip", name != "lstrip").into())
        }
        "split" | "rsplit" => split(value, arguments, name == "rsplit"),
        "partition" => {
            let (separator,) = from_args(arguments)?;
            let (before, after) = string.split_once::<&str>(separator).unwrap_or((string, ""));
            let found = if before.len() == string.len() { "" } else { separator };
            Ok(Value::from_iter([before, found, after]))
        }
        "rpartition" => {
            let (separator,) = from_args(arguments)?;
            let (before, after) = string.rsplit_once::<&str>(separator).unwrap_or(("", string));
            let found = if after.len() == string.len() { "" } else { separator };
            Ok(Value::from_iter([before, found, after]))
        }
        "removeprefix" => {
            let (prefix,) = from_args(arguments)?;
            Ok(string.strip_prefix::<&str>(prefix).unwrap_or(string).into())
        }
        "removesuffix" => {
            let (suffix,) = from_args(arguments)?;
            Ok(string.strip_suffix::<&str>(suffix).unwrap_or(string).into())
        }
        "find" | "rfind" => {
            let (part,): (&str,) = from_args(arguments)?;
            let place = if name == "find" { string.find(part) } else { string.rfind(part) };
            Ok(place.map_or(Value::from(-1), |place| string[..place].chars().count().into()))
        }
        "count" => {
            let (part,): (&str,) = from_args(arguments)?;
            Ok(string.matches(part).count().into())
        }
        "splitlines" => lines(string, arguments),
        "title" if arguments.is_empty() => Ok(title(string, |before| !cased(before)).into()),
        "islower" if arguments.is_empty() => {
            Ok((string.contains(cased) && !string.contains(char::is_uppercase)).into())
        }
        "isupper" if arguments.is_empty() => {
            Ok((string.contains(cased) && !string.contains(char::is_lowercase)).into())
        }
        "isspace" | "isdigit" | "isnumeric" | "isalnum" | "isalpha" if string.is_empty() => Ok(false.into()),
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

fn strip<'a>(text: &'a str, characters: Option<&str>, start: bool, end: bool) -> &'a str {
    let goes = |c: char| match characters {
        Some(characters) => characters.contains(c),
        None => c.is_whitespace() || ('\x1c'..='\x1f').contains(&c),
    };
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

fn split(value: &Value, arguments: &[Value], from_end: bool) -> Result<Value, Error> {
    let (separator, limit, named): (Option<Arc<str>>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = argument(separator, &named, "sep")?;
    let limit = argument(limit, &named, "maxsplit")?;
    named.assert_all_used()?;
    match (separator, limit.and_then(|limit| usize::try_from(limit).ok())) {
        (Some(separator), _) if separator.is_empty() => Err(failed("empty separator")),
        (Some(separator), Some(limit)) if from_end => {
            let string = value.as_str().unwrap_or_default();
            let mut parts: Vec<&str> = string.rsplitn(limit.saturating_add(1), &*separator).collect();
            parts.reverse();
            Ok(Value::from_iter(parts))
        }
        (None, Some(_)) if from_end => Err(failed("rsplit needs a separator")),
        (separator, _) => filters::split(value, separator, limit),
    }
}

fn lines(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (keep, named): (Option<bool>, Kwargs) = from_args(arguments)?;
    let keep = argument(keep, &named, "keepends")?.unwrap_or(false);
    let ends = LINE_ENDS;
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ends).unwrap_or(rest.len());
        let next = match rest[end..].strip_prefix("\r\n") {
            Some(next) => next,
            None => rest[end..].strip_prefix(ends).unwrap_or_default(),
        };
        lines.push(if keep { &rest[..rest.len() - next.len()] } else { &rest[..end] });
        rest = next;
    }
    Ok(Value::from_iter(lines))
}

/// Capital first letters; `starts_word` looks at the character before.
fn title(text: &str, starts_word: impl Fn(char) -> bool) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        if before.is_none_or(&starts_word) {
            titled.extend(c.to_uppercase())
        } else {
            titled.extend(c.to_lowercase())
        }
        before = Some(c);
    }
    titled
}

fn join(value: &Value, arguments: Rest<Value>) -> Result<String, Error> {
    let (separator, attribute, named): (Option<&str>, Option<&str>, Kwargs) = from_args(&arguments)?;
    let attribute = argument(attribute, &named, "attribute")?;
    named.assert_all_used()?;
    let part = |item: Value| text(&attribute.map_or(Ok(item.clone()), |attribute: &str| item.get_attr(attribute))?);
    let parts: Vec<String> = value.try_iter()?.map(part).collect::<Result<_, _>>()?;
    Ok(parts.join(separator.unwrap_or_default()))
}

/// What a loop goes through: nothing is what minijinja finds in `none`, an error what Python does.
fn things(value: Value) -> Result<Value, Error> {
    if value.is_none() { Err(failed("`none` is nothing to go through")) } else { Ok(value) }
}

/// As in Jinja2, which keeps a last line end.
fn indent(value: &Value, arguments: Rest<Value>) -> Result<String, Error> {
    let (width, first, blank, named): (Option<Value>, Option<bool>, Option<bool>, Kwargs) = from_args(&arguments)?;
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
    let indented = |(number, line): (usize, &str)| match number {
        0 if !first => line.to_owned(),
        1.. if line.is_empty() && !blank => String::new(),
        _ => format!("{margin}{line}"),
    };
    Ok(text.split('\n').enumerate().map(indented).collect::<Vec<_>>().join("\n"))
}

fn tojson(value: &Value, arguments: Rest<Value>) -> Result<String, Error> {
    type Arguments = (Option<bool>, Option<Value>, Option<Value>, Option<bool>, Kwargs);
    let (ascii, indent, separators, sorted, named): Arguments = from_args(&arguments)?;
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
        Some(separators) => separators.try_iter()?.map(|separator| text(&separator)).collect::<Result<Vec<_>, _>>()?,
        None => vec![if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()],
    };
    let [comma, colon] = separators.try_into().map_err(|_| failed("separators must be two texts"))?;
    let mut out = String::new();
    Notation { language: Language::Json { ascii }, indent, comma, colon, sorted }.write(value, 0, &mut out)?;
    Ok(out)
}

/// What was given at its place or else under its name.
fn argument<'a, T>(placed: Option<T>, named: &'a Kwargs, name: &'a str) -> Result<Option<T>, Error>
where
    T: ArgType<'a, Output = T>,
{
    match placed {
        Some(_) => Ok(placed),
        None => named.get(name),
    }
}

/// What Python's `str` makes of a value.
fn text(value: &Value) -> Result<String, Error> {
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

/// Who reads what is written down: Python's `repr`, or JSON.
enum Language {
    Python,
    Json { ascii: bool },
}

/// How a value is written down.
struct Notation {
    language: Language,
    /// What a level is indented by; without it all is one line.
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

impl Notation {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        let is_map = value.kind() == ValueKind::Map;
        if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
            out.push_str(&self.scalar(value)?);
            return Ok(());
        }
        if depth == DEEPEST {
            return Err(failed("the value has too many levels"));
        }
        let mut items: Vec<Value> = value.try_iter()?.collect();
        if is_map && self.sorted {
            items.sort();
        }
        out.push(if is_map { '{' } else { '[' });
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
        out.push(if is_map { '}' } else { ']' });
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
            (ValueKind::String, Language::Python) => Ok(python_string(value.as_str().unwrap_or_default())),
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

/// Python writes floats with as few digits as tell them apart, and very large and small ones with an exponent.
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
        // Beyond ASCII both escape the same, but Rust also a mark at the very start: hence the letter before.
        let printable =
            c == ' ' || c.is_ascii_graphic() || !c.is_ascii() && format!("a{c}").escape_debug().nth(1) == Some(c);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> String {
        let Ok(jinja) = Jinja::compile(source) else { panic!("{source} is no Jinja") };
        match jinja.render(&()) {
            Ok(text) => text,
            Err(Failure::Failed(Problem { reason, .. }) | Failure::Raised(reason)) => reason,
        }
    }

    #[test]
    fn dates_are_written_as_in_c() {
        let time = jiff::civil::date(2024, 7, 6).at(15, 4, 5, 0);
        for (format, written) in [
            ("%d %b %Y", "06 Jul 2024"),
            ("%A, %B %-d, %y %e", "Saturday, July 6, 24  6"),
            ("%c %x %X %h %W %C", "Sat Jul  6 15:04:05 2024 07/06/24 15:04:05 Jul 27 20"),
            ("%k %l %P %r %g", "15  3 pm 03:04:05 PM 24"),
            ("%a %I:%M %p %j %U %w %u %V %G %%", "Sat 03:04 PM 188 26 6 6 27 2024 %"),
            ("%F %T %D %R é %Q", "2024-07-06 15:04:05 07/06/24 15:04 é %Q"),
        ] {
            assert_eq!(strftime(time, format).unwrap(), written);
        }
        assert!(render("{{ strftime_now('%Y') }}").parse::<u16>().is_ok_and(|year| year >= 2024));
    }

    /// Values from Jinja 3.1.6.
    #[test]
    fn texts_are_indented_as_in_jinja2() {
        for (source, written) in [
            ("{{ '{\\n' | indent(4, first=True) }}|", "    {\n|"),
            ("{{ 'a\\n\\nb' | indent }}", "a\n\n    b"),
            ("{{ 'a\\n\\nb' | indent(2, True, True) }}", "  a\n  \n  b"),
            ("{{ 'a\\nb\\n' | indent('> ', blank=true) }}", "a\n> b\n> "),
            ("{{ '' | indent(first=True) }}", "    "),
        ] {
            assert_eq!(render(source), written, "{source}");
        }
    }

    #[test]
    fn loops_go_through_what_python_goes_through() {
        for (source, written) in [
            ("{% for a in none %}{% endfor %}", "invalid operation: `none` is nothing to go through"),
            ("{% for a in missing %}{{ a }}{% else %}else{% endfor %}", "else"),
            ("{%- for a in [1, 2, 3] if a is odd -%}{{ a }}{%- endfor -%}", "13"),
            ("{% for a in 1, 2 -%} {{ a }}{% endfor %}", "12"),
            ("{% for a, b in {'if': ' in '}.items() %}{{ a ~ b }}{% endfor %}", "if in "),
            ("{% for a in ([1] if none else [2]) %}{{ a }}{% endfor %}", "2"),
            ("{% for a in [[1, [2]]] recursive %}{{ a if a is number else loop(a) }}{% endfor %}", "12"),
            ("{%for a in range(2)%}{{ a }}{%endfor%}", "01"),
            ("{% for a in [3, 1]|sort|list\n  %}{{ a }}{% endfor %}", "13"),
        ] {
            assert_eq!(render(source), written, "{source}");
        }
    }

    #[test]
    fn hostile_templates_end() {
        for (source, reason) in [
            (
                "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                "more than 5000000 steps",
            ),
            ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit"),
            ("{{ 'abc'.count('') }}{{ ''[::-1] }}{{ [][::-1] }}", "4[]"),
            ("{{ 'a' * 1000000000 }}", "too large"),
            ("{{ [] | tojson(indent=1000000000) }}", "cannot convert"),
            (
                "{% set n = namespace(x=[]) %}{% for i in range(300) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
                "levels",
            ),
        ] {
            let said = render(source);
            assert!(said.contains(reason), "{source}: {said}");
        }
    }

    #[test]
    fn tags_are_renamed_only_where_they_are_tags() {
        let source = "generation {%- generation -%} {{ generation[::-1] }}\r\n{% endgeneration+%} [::-1]";
        assert_eq!(prepare(source), "generation {%- with -%} {{ generation.reversed() }}\n{% endwith+%} [::-1]");
    }
}
