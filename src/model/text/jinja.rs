//! Jinja as in transformers, with Python's semantics.

use std::error::Error as _;

use jiff::{ZonedDateTime, civil::DateTime, fmt::strtime};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Value, syntax::SyntaxConfig, value::Serde,
};
use minijinja_contrib::globals;
use serde::Serialize;

use super::{
    calls::failed,
    filters::{indent, join, things, tojson},
    loops::{THINGS, guard_loop},
    notation::text,
    python::{method, strip},
};

/// Maximum instructions of a template, of which 64 bytes of text cost one, far more than the
/// longest conversations need.
const FUEL: u64 = 5_000_000;
/// The name of the one template in its environment.
const NAME: &str = "chat";

/// Why a template failed.
pub(super) enum Failure {
    /// It called `raise_exception` with this message.
    Raised(String),
    /// An error of Jinja.
    Failed(TemplateProblem),
}

/// Jinja's message for a line of a template.
pub(super) struct TemplateProblem {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// A compiled template with its functions.
#[derive(Debug)]
pub(super) struct Jinja(Environment<'static>);

/// The message of `raise_exception`, on its way through minijinja's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl Jinja {
    pub(super) fn compile(source: &str) -> Result<Self, TemplateProblem> {
        let mut environment = environment();
        environment
            .add_template_owned(NAME, prepare(source))
            .map_err(|error| TemplateProblem::of(&error))?;
        Ok(Self(environment))
    }

    pub(super) fn render(&self, variables: &impl Serialize) -> Result<String, Failure> {
        let rendered = self
            .0
            .get_template(NAME)
            .and_then(|template| template.render(Value::from(Serde(variables))));
        rendered.map_err(|error| {
            // The error of a macro or a loop wraps the one that happened inside.
            let mut cause = error.source();
            while let Some(inner) = cause {
                if let Some(Raised(message)) = inner.downcast_ref() {
                    return Failure::Raised(message.clone());
                }
                cause = inner.source();
            }
            Failure::Failed(TemplateProblem::of(&error))
        })
    }
}

impl TemplateProblem {
    fn of(error: &Error) -> Self {
        let reason = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => format!("it takes more than {FUEL} steps"),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Self { line: error.line().unwrap_or(1), reason }
    }
}

/// The template with Jinja2's line ends, and its tags in minijinja's syntax.
fn prepare(source: &str) -> String {
    // Jinja2 reads all line ends as one kind, and minijinja keeps them.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut prepared = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(start) = next_tag(rest) {
        let (text, tagged) = rest.split_at(start);
        let close = if tagged.starts_with("{%") { "%}" } else { "}}" };
        let (tag, after) = tagged.split_at(tagged.find(close).unwrap_or(tagged.len()));
        prepared.push_str(text);
        prepared.push_str(&translate(tag));
        rest = after;
    }
    prepared + rest
}

/// Where the next statement or expression begins.
fn next_tag(text: &str) -> Option<usize> {
    [text.find("{%"), text.find("{{")].into_iter().flatten().min()
}

/// `{% generation %}` only marks what the model writes: `{% with %}` keeps variables inside in the
/// same way.
fn translate(tag: &str) -> String {
    let words = tag.trim_start_matches(|c: char| "{%-+".contains(c) || c.is_whitespace());
    match words.split(|c: char| !c.is_alphanumeric() && c != '_').next() {
        Some("generation") if tag.starts_with("{%") => tag.replacen("generation", "with", 1),
        Some("endgeneration") if tag.starts_with("{%") => {
            tag.replacen("endgeneration", "endwith", 1)
        }
        Some("for") if tag.starts_with("{%") => guard_loop(tag),
        _ => tag.to_owned(),
    }
}

/// Jinja as in transformers, with Python's semantics where minijinja differs.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // transformers sets both, so that tags on lines of their own leave no empty lines.
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual tags differ from each other"));
    // By default the name decides about escapes for HTML, which no chat template expects.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    // Errors then name the variable that is undefined, also in a release build.
    environment.set_debug(true);
    // Python writes `True`, `None` and quotes in lists, and models were trained on those.
    environment.set_formatter(|out, _, value| Ok(out.write_str(&text(value)?)?));
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", raise_exception);
    // Jinja2 has no such function: `debug is defined` must not hold.
    environment.remove_global("debug");
    // Globals of Jinja2 that minijinja leaves to its companion.
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
    // In Python these hold for whatever has items, texts included, and for what is undefined.
    for name in ["sequence", "iterable"] {
        environment.add_test(name, |value: &Value| {
            value.is_undefined() || !value.is_none() && value.try_iter().is_ok()
        });
    }
    environment
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    Err(failed("raise_exception").with_source(Raised(text(message)?)))
}

fn now() -> DateTime {
    ZonedDateTime::now().datetime()
}

/// Directives that it does not know stay as they are, as in C.
fn strftime(time: DateTime, format: &str) -> Result<String, Error> {
    let as_in_c = strtime::Config::new().custom(strtime::PosixCustom::new()).lenient(true);
    let written = strtime::BrokenDownTime::from(time).to_string_with_config(&as_in_c, format);
    written.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> String {
        let Ok(jinja) = Jinja::compile(source) else { panic!("{source} is no Jinja") };
        match jinja.render(&()) {
            Ok(text) => text,
            Err(Failure::Failed(TemplateProblem { reason, .. }) | Failure::Raised(reason)) => {
                reason
            }
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
            (
                "{% for a in none %}{% endfor %}",
                "invalid operation: `none` is nothing to go through",
            ),
            ("{% for a in missing %}{{ a }}{% else %}else{% endfor %}", "else"),
            ("{%- for a in [1, 2, 3] if a is odd -%}{{ a }}{%- endfor -%}", "13"),
            ("{% for a in 1, 2 -%} {{ a }}{% endfor %}", "12"),
            ("{% for a, b in {'if': ' in '}.items() %}{{ a ~ b }}{% endfor %}", "if in "),
            ("{% for a in ([1] if none else [2]) %}{{ a }}{% endfor %}", "2"),
            (
                "{% for a in [[1, [2]]] recursive %}{{ a if a is number else loop(a) }}{% endfor \
                %}",
                "12",
            ),
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
            ("{{ 'a' * 1000000000 }}", "more than 5000000 steps"),
            ("{{ [] | tojson(indent=1000000000) }}", "cannot convert"),
            (
                "{% set n = namespace(x=[]) %}{% for i in range(300) %}{% set n.x = [n.x] %}{% \
                endfor %}{{ n.x }}",
                "levels",
            ),
        ] {
            let said = render(source);
            assert!(said.contains(reason), "{source}: {said}");
        }
    }

    #[test]
    fn tags_are_renamed_only_where_they_are_tags() {
        let source = "generation {%- generation -%} {{ generation }}\r\n{% endgeneration+%}";
        assert_eq!(prepare(source), "generation {%- with -%} {{ generation }}\n{% endwith+%}");
    }
}
