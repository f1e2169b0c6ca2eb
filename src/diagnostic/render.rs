//! Renders problems as text in the manner of rustc, or as JSON.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::{Problem, Problems, Severity, Span, printable};

impl Problems {
    /// All problems with file, line and caret, sorted by position, and a last line with their
    /// number.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in self.sorted() {
            text.push_str(&renderer.render(&[group(&shown(problem))]));
            text.push_str("\n\n");
        }
        if !self.is_empty() {
            text.push_str(&self.count());
            text.push('\n');
        }
        text
    }

    /// The same as JSON: objects with `severity`, `message`, `file`, `line`, `column`, `label`,
    /// `help`.
    pub fn to_json(&self) -> Value {
        let problems = self.sorted().into_iter().map(|problem| {
            let position = problem.span.as_ref().map(Span::position);
            json!({
                "severity": match problem.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                "message": problem.message,
                "file": problem.span.as_ref().map(|span| &span.source.path),
                "line": position.map(|(line, _)| line),
                "column": position.map(|(_, column)| column),
                "label": problem.label,
                "help": problem.help,
            })
        });
        Value::Array(problems.collect())
    }

    fn count(&self) -> String {
        let counts = match (self.errors(), self.warnings()) {
            (errors, 0) => plural(errors, "error"),
            (0, warnings) => plural(warnings, "warning"),
            (errors, warnings) => {
                format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"))
            }
        };
        match self.left_out() {
            0 => counts,
            more => format!("{counts}; {more} of them are not shown"),
        }
    }
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// The problem with control characters escaped and few related locations.
fn shown(problem: &Problem) -> Problem {
    const MOST_RELATED: usize = 8;
    // Texts of recipes reach the terminal here, and could move its cursor or hide lines.
    let related = problem.related.iter().take(MOST_RELATED);
    Problem {
        severity: problem.severity,
        message: printable(&problem.message).into_owned(),
        span: problem.span.clone(),
        label: printable(&problem.label).into_owned(),
        related: related
            .map(|(span, label)| (span.clone(), printable(label).into_owned()))
            .collect(),
        help: problem.help.iter().map(|line| printable(line).into_owned()).collect(),
    }
}

fn group(problem: &Problem) -> Group<'_> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(&problem.message));
    // Marks in one file are one snippet, so that lines between them are shown once.
    let mut elsewhere: Vec<&(Span, String)> = problem.related.iter().collect();
    if let Some(span) = &problem.span {
        let here;
        (here, elsewhere) =
            elsewhere.into_iter().partition(|(other, _)| other.source == span.source);
        let mut marks = vec![(AnnotationKind::Primary, span, problem.label.as_str())];
        marks.extend(
            here.iter().map(|(other, label)| (AnnotationKind::Context, other, label.as_str())),
        );
        group = group.element(snippet(&marks));
    }
    for (span, label) in elsewhere {
        group = group.element(snippet(&[(AnnotationKind::Context, span, label)]));
    }
    problem.help.iter().fold(group, |group, line| group.element(Level::HELP.message(line)))
}

/// Annotations in one source, cut to the lines that they span, since the renderer reads its whole
/// input.
fn snippet<'a>(marks: &[(AnnotationKind, &'a Span, &'a str)]) -> Snippet<'a, Annotation<'a>> {
    let source = &marks[0].1.source;
    let first = marks.iter().map(|(_, span, _)| span.range().start).min().unwrap_or_default();
    let last = marks.iter().map(|(_, span, _)| span.range().end).max().unwrap_or_default();
    let start = source.text[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source.text[last..].find('\n').map_or(source.text.len(), |newline| last + newline);
    // The renderer does not count an empty last line.
    let (start, end) = if start == end { (0, source.text.len()) } else { (start, end) };
    let line = source.text[..start].matches('\n').count() + 1;
    let snippet = Snippet::source(&source.text[start..end]).path(&source.path).line_start(line);
    marks.iter().fold(snippet, |snippet, (kind, span, label)| {
        let mark = kind.span(span.range().start - start..span.range().end - start);
        snippet.annotation(mark.label((!label.is_empty()).then_some(*label)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;
    use expect_test::expect;

    #[test]
    fn problems_are_shown_in_the_order_of_the_file_and_counted() {
        let source = Source::new("a.toml", "name = \"x\"\n\n[stage.a]\nkind = \"tunne\"\nn = 0\n");
        let mut problems = Problems::default();
        problems.push(Problem::error("`n` is 0").at(&Span::new(&source, 41..42), "at least 1"));
        problems.push(Problem::warning("unused").at(&Span::new(&source, 0..4), ""));
        let kind = Problem::error("unknown kind `tunne`")
            .at(&Span::new(&source, 29..36), "a kind is expected");
        problems.push(
            kind.beside(&Span::new(&source, 19..20), "of this stage").help("did you mean `tune`?"),
        );
        problems.push(Problem::error("cannot read `b.toml`"));
        expect![[r#"
            error: cannot read `b.toml`

            warning: unused
             --> a.toml:1:1
              |
            1 | name = "x"
              | ^^^^

            error: unknown kind `tunne`
             --> a.toml:4:8
              |
            3 | [stage.a]
              |        - of this stage
            4 | kind = "tunne"
              |        ^^^^^^^ a kind is expected
              |
              = help: did you mean `tune`?

            error: `n` is 0
             --> a.toml:5:5
              |
            5 | n = 0
              |     ^ at least 1

            3 errors, 1 warning
        "#]]
        .assert_eq(&problems.render(false));
        assert!(problems.render(true).contains("\u{1b}["));
        assert_eq!(problems.to_json()[2]["line"], 4);
    }
}
