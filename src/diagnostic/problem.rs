//! What is wrong, gathered so that all of it can be said at once.

use super::Span;

/// Whether a problem stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs before it is mended.
    Error,
    /// Worth a look; things run all the same.
    Warning,
}

/// One thing that is wrong with what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where; none for a file that could not be read at all.
    pub span: Option<Span>,
    /// Stands beside the caret: what would be right.
    pub label: String,
    /// Other places that belong to it, each with what it is.
    pub related: Vec<(Span, String)>,
    /// How to mend it, a line each.
    pub help: Vec<String>,
}

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problem {
    /// Something that stands in the way.
    pub fn error(message: impl Into<String>) -> Self {
        let (label, related, help) = (String::new(), Vec::new(), Vec::new());
        Self { severity: Severity::Error, message: message.into(), span: None, label, related, help }
    }

    /// Something that is worth a look.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Points at the place, with a label that says what would be right.
    pub fn at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.span = Some(span.clone());
        self.label = label.into();
        self
    }

    /// Points at another place that belongs to it, with what that is.
    pub fn beside(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// Adds a line that says how to mend it.
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl Problems {
    /// Adds one, unless the same was said of the same place already.
    pub fn push(&mut self, problem: Problem) {
        let known = |other: &Problem| other.span == problem.span && other.message == problem.message;
        if !self.0.iter().any(known) {
            self.0.push(problem);
        }
    }

    /// Adds all of another list.
    pub fn extend(&mut self, others: Self) {
        others.0.into_iter().for_each(|problem| self.push(problem));
    }

    /// Whether there is none, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many stand in the way.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many are only worth a look.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// All of them by file and position; those without a place come first.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.0.iter().collect();
        sorted.sort_by_key(|problem| problem.span.as_ref().map(|span| (&span.source.path, span.range.start)));
        sorted
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
